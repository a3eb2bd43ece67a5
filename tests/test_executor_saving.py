"""Saves: what the server has is what the file says, stored once, and no one's edit there is overwritten."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.api.reading import CREATED
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, Stored, on
from tests.fakes.harness import Harness, before, blog, results
from tests.fakes.kills import EachKill
from tests.repositories import cloned, in_git


def _done(root: Path, *items: str, rpm: int = 0, **habits: Any) -> Harness:
    """A harness whose items are generated and saved."""
    harness = Harness(root, FakeApi(**({"duration": 30, "auto_save": False} | habits)), rpm=rpm)
    harness.write("content/blog.yaml", blog(*(items or ("one",))))
    assert set(results(harness.apply()).values()) == {"done"}
    return harness


def _by_hand(harness: Harness, words: str = "By hand") -> None:
    harness.edit("out/one.md", "## Closing", f"## {words}")


def test_a_new_text_is_saved_once(root: Path) -> None:
    """One creating save, with what makes it findable again; none where the server has stored this very body itself."""
    harness = _done(root / "saved")
    assert harness.api.count("save") == 1
    (stored,) = harness.api.contents.values()
    assert stored.metadata["contentops_item"] == "one"
    assert stored.metadata["request_id"] == harness.record("one").request_id
    assert harness.record("one").content_id == stored.id
    assert stored.body.strip() in harness.read("out/one.md")
    harness = _done(root / "stored", auto_save=True)
    assert harness.api.count("save") == harness.api.count("list content") == 0
    assert [harness.record("one").content_id] == list(harness.api.contents)


# --- over what was edited or deleted there --------------------------------------------------------------------


@pytest.mark.parametrize("left", ["", "\n", "---\ntitle: One\n---\n"])
def test_a_file_that_was_emptied_empties_nothing_on_the_server(root: Path, left: str) -> None:
    """An editor that crashed, or a disk that was full, leaves such files: what is there stays, and comes back."""
    harness = _done(root)
    text = harness.read("out/one.md")
    harness.write("out/one.md", left)
    (change,) = harness.plan().changes
    assert (change.blocked, change.steps, results(harness.apply())) == ("emptied", (), {"one": "blocked"})
    assert harness.api.count("save") == 1
    (root / "out/one.md").unlink()
    assert results(harness.apply()) == {"one": "done"}
    assert (harness.read("out/one.md"), harness.api.count("save")) == (text, 1)


def test_an_edit_there_blocks_the_save_of_a_new_text_but_not_its_file(root: Path) -> None:
    """Edited while the run goes: the new text is written, only its save is blocked, and it is not paid for again."""
    harness = _done(root)
    harness.edit("content/blog.yaml", "in 2026", "in 2027")

    content = harness.record("one").content_id
    run = harness.apply(emit=before("", lambda: harness.api.edit(content, "Edited in the web app.\n")))
    assert results(run) == {"one": "blocked"}
    assert "2027" in harness.read("out/one.md")
    assert (harness.plan().submits, results(harness.apply())) == (0, {"one": "blocked"})
    assert harness.api.credits == 8


@pytest.mark.parametrize(("status", "deleted"), [(404, True), (403, False), (500, False), (503, False)])
def test_only_a_404_about_a_content_means_deleted(root: Path, status: int, *, deleted: bool) -> None:
    """Then the text is saved as new, the old id listed; any other answer fails the save, and the next apply saves."""
    harness = _done(root)
    _by_hand(harness)
    old = harness.record("one").content_id
    harness.api.fault(on("get content"), status)
    assert (results(harness.apply()), len(harness.api.contents)) == (
        {"one": "done" if deleted else "failed"},
        1 + deleted,
    )
    harness.api.heal()
    harness.apply()
    record = harness.record("one")
    assert (record.content_id != old, record.superseded) == (deleted, (old,) if deleted else ())
    assert ("By hand" in harness.api.contents[record.content_id].body, harness.plan().empty) == (True, True)


# --- servers that only create -----------------------------------------------------------------------------------


@pytest.mark.parametrize("put", [True, False], ids=["put", "no put"])
def test_a_server_that_only_creates_is_put_to(root: Path, *, put: bool) -> None:
    """A save that answers with another id teaches that: then PUT is used. Without it, every old id is listed."""
    harness = _done(root, create_only=True, put=put)
    first = harness.record("one").content_id
    _by_hand(harness)
    assert results(harness.apply()) == {"one": "done"}
    second = harness.record("one").content_id
    assert (second != first, harness.record("one").superseded) == (True, (first,))
    # Later, a list alone shows that no one has changed it.
    saved = harness.record("one").saved
    assert saved is not None
    assert saved.stamp == CREATED
    _by_hand_again(harness)
    assert results(harness.apply()) == {"one": "done"}
    record = harness.record("one")
    assert (record.content_id == second, len(harness.api.contents)) == (put, 2 if put else 3)
    assert {record.content_id, *record.superseded} == set(harness.api.contents)
    assert ("Again" in harness.api.contents[record.content_id].body, harness.plan().empty) == (True, True)
    assert harness.api.count("put content") == 1


def _by_hand_again(harness: Harness) -> None:
    harness.edit("out/one.md", "By hand", "Again")


# --- lost answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "fault"), [((), "reset"), (("zero",), "500-after"), (("zero",), "drop"), ((), "truncated")]
)
def test_a_creating_save_with_a_lost_answer_stores_once(root: Path, fault: Any, known: tuple[str, ...]) -> None:
    """Whether it arrived or not. Once a server is known to store no jobs, a lost answer alone makes it look."""
    harness = _done(root, *known) if known else Harness(root, FakeApi(duration=30, auto_save=False))
    harness.write("content/blog.yaml", blog(*known, "one"))
    harness.api.fault(on("save", 1 + len(known)), fault)
    for _ in range(2):
        harness.apply()
    assert set(harness.api.contents) == {record.content_id for record in harness.state.records.values()}
    assert (len(harness.api.contents), harness.plan().empty) == (1 + len(known), True)


@pytest.mark.parametrize(
    ("field", "known", "put"),
    [("title", True, True), ("title", False, False), ("body", True, False), ("body", False, True)],
)
def test_a_save_that_arrived_before_a_kill_is_found_and_not_repeated(
    root: Path, field: str, *, known: bool, put: bool, each_kill: EachKill
) -> None:
    """Killed at any step on a server that only creates: the next apply finds the content by what was saved with it."""
    harness = _done(root / "undisturbed", create_only=True, put=put)
    if known:
        _by_hand(harness)
        harness.apply()
    if field == "title":
        harness.edit("out/one.md", "title: ", "title: My ")
    else:
        harness.edit("out/one.md", "Take 1.", "My words.")
    stops = each_kill(harness, root, harness.apply)
    assert len(stops) > 5
    for where, stop in stops.items():
        assert stop.settle().empty, where
        record = stop.record("one")
        assert len(stop.api.contents) == len(harness.api.contents), where
        assert {record.content_id, *record.superseded} == set(stop.api.contents), where


def test_equal_words_of_two_items_are_two_contents(root: Path) -> None:
    """Two items with the same text never share a content, not even when both look for theirs at once."""
    same = {"status": "completed", "content": {"title": "Same", "body": "Same words.\n"}}
    harness = Harness(root, FakeApi(duration=1, auto_save=False)).declared("zero", "one", "two")
    harness.api.fault(
        lambda name, n: name == "status" and n > 1 and len(harness.api.generations) > 0,
        lambda: httpx.Response(200, json=same),
    )
    harness.api.fault(on("save", 1, 2, 3), "reset")
    for _ in range(2):
        harness.apply()
    ids = [record.content_id for record in harness.state.records.values()]
    assert len(set(ids)) == len(ids)


# --- other outcomes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 409, 413, 422], ids=str)
def test_a_refused_save_fails_the_item_and_keeps_its_file(root: Path, status: int) -> None:
    """The text is written and paid for once; the next apply only saves."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).declared("one", "two")
    harness.api.fault(on("save", 1), status)
    run = harness.ran()
    assert (sorted(results(run).values()), exit_code_of(run)) == (["done", "failed"], 3)
    assert (set(harness.tree()), set(harness.actions().values())) == ({"out/one.md", "out/two.md"}, {"save"})
    assert (set(results(harness.apply()).values()), harness.api.credits) == ({"done"}, 8)


@pytest.mark.parametrize(("status", "stopped", "code"), [(401, "unauthorized", 3), (402, "credits", 5)], ids=str)
def test_a_save_can_stop_the_run(root: Path, status: int, stopped: str, code: int) -> None:
    """A wrong key or a used-up account on a save ends the run like anywhere else."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).declared("one")
    harness.api.fault(on("save"), status)
    run = harness.ran()
    assert (run.stopped, exit_code_of(run), "out/one.md" in harness.tree()) == (stopped, code, True)
    harness.api.heal()
    assert results(harness.apply()) == {"one": "done"}


@pytest.mark.parametrize("where", ["project", "item"])
def test_save_off(root: Path, where: str) -> None:
    """`save: off` for the project, or false for an item, tells the server nothing."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).declared("one")
    if where == "project":
        harness.edit("contentops.yaml", "requests_per_minute: 0", 'requests_per_minute: 0, save: "off"')
    else:
        harness.edit("content/blog.yaml", "  - id: one\n", "  - id: one\n    save: false\n")
    assert (results(harness.apply()), harness.api.count("save")) == ({"one": "done"}, 0)
    assert harness.plan().empty


def test_a_file_that_went_away_before_its_save(root: Path) -> None:
    """What is saved is the file: one that vanished meanwhile blocks the save and stores nothing."""
    harness = _done(root)
    _by_hand(harness)

    run = harness.apply(emit=before("save", (harness.root / "out/one.md").unlink))
    assert (results(run), harness.api.count("save")) == ({"one": "blocked"}, 1)


@pytest.mark.parametrize(
    ("fault", "word"), [(0, "done"), (404, "blocked"), (403, "failed"), (503, "pending")],
    ids=["the job has it", "gone", "refused", "down"],
)  # fmt: skip
def test_a_missing_file_is_restored_or_says_why(root: Path, fault: int, word: str, processes: None) -> None:
    """Without cache and store from its job; gone everywhere blocks with a hint; a refusal fails this time; none pays."""
    harness = _done(root)
    before = harness.read("out/one.md")
    (harness.root / "out/one.md").unlink()
    shutil.rmtree(harness.root / ".contentops")
    if fault:
        harness.api.fault(on("get content"), fault)
        harness.api.fault(on("status"), fault)
    else:
        harness.api.contents.clear()
    run = harness.ran()
    assert results(run) == {"one": word}
    assert ("--replace one" in run.outcomes[0].hint) is (word == "blocked")
    harness.api.heal()
    harness.apply()
    assert (harness.read("out/one.md"), harness.api.credits, harness.plan().empty) == (before, 4, True)


# --- stored, and not on record --------------------------------------------------------------------------------

HABITS: list[dict[str, Any]] = [{}, {"create_only": True}, {"create_only": True, "put": False}]


def _killed_when_stored(root: Path, **habits: Any) -> Harness:
    """A second item whose text was stored by a save that no one lived to record."""
    harness = _done(root, "zero", **habits)
    harness.write("content/blog.yaml", blog("zero", "one"))
    harness.api.fault(on("save", 2), "kill-after")
    harness.killed()
    assert len(harness.api.contents) == 2
    return harness


def _copy(harness: Harness) -> Stored:
    """The stored content of `one`."""
    (copy,) = [each for each in harness.api.contents.values() if "about one" in each.body]
    return copy


def _listed(harness: Harness) -> set[str]:
    """Every content that some record names."""
    return {id_ for one in harness.state.records.values() for id_ in (one.content_id, *one.superseded)} - {""}


@pytest.mark.parametrize("habits", HABITS, ids=str)
def test_a_text_that_was_stored_and_then_edited_is_no_second_content(root: Path, habits: dict[str, Any]) -> None:
    """Killed before the record, edited in the file: the copy is known by its metadata, and is stored over or listed."""
    harness = _killed_when_stored(root, **habits)
    _by_hand(harness)
    assert results(harness.apply()) == {"one": "done"}
    assert "By hand" in harness.api.contents[harness.record("one").content_id].body
    assert (_listed(harness), len(harness.api.contents)) == (set(harness.api.contents), (3 if habits else 2))
    assert (harness.plan().empty, harness.api.credits) == (True, 8)


@pytest.mark.parametrize("put", [True, False], ids=["put", "no put"])
def test_two_edits_around_a_save_that_was_cut_off(root: Path, put: bool) -> None:
    """What the save with the first edit made beside the content, the save of the second one stores over or lists."""
    harness = _done(root, create_only=True, put=put)
    _by_hand(harness)
    harness.api.fault(on("save", 2), "kill-after")
    harness.killed()
    _by_hand_again(harness)
    assert results(harness.apply()) == {"one": "done"}
    assert "Again" in harness.api.contents[harness.record("one").content_id].body
    assert (_listed(harness), len(harness.api.contents)) == (set(harness.api.contents), (2 if put else 3))
    assert harness.plan().empty


def test_a_copy_that_was_edited_there_is_not_stored_over(root: Path) -> None:
    """The words of two people: the item is blocked, and nothing is stored beside it either."""
    harness = _killed_when_stored(root)
    copy = _copy(harness)
    harness.api.edit(copy.id, "Edited there.\n")
    _by_hand(harness)
    for _ in range(2):
        run = harness.ran()
        assert (results(run), copy.id in run.outcomes[0].error) == ({"one": "blocked"}, True)
    assert (copy.body, len(harness.api.contents)) == ("Edited there.\n", 2)


def test_a_title_that_was_edited_there_is_not_stored_over(root: Path) -> None:
    """Where no record names the content that the server made, its text under another title is a person's work too, which `pull` brings."""
    harness = _done(root, "zero", auto_save=True, names_content=False)
    harness.write("content/blog.yaml", blog("zero", "one"))
    harness.api.fault(on("list content", harness.api.count("list content") + 1), "kill")
    harness.killed()
    copy = _copy(harness)
    harness.api.edit(copy.id, copy.body, title="A title of theirs")
    run = harness.ran()
    assert (results(run), copy.id in run.outcomes[0].error) == ({"one": "blocked"}, True)
    assert [(note.kind, note.id) for note in harness.plan().notes] == [("edited-on-server", "one")]
    assert [one.refused for one in harness.pull()] == [""]
    assert "title: A title of theirs" in harness.read("out/one.md")
    assert copy.title == "A title of theirs"


def test_a_title_that_another_clone_has_saved_is_not_stored_over(tmp_path: Path, processes: None) -> None:
    """The words of someone whose lock is not here yet, under a body that is the same."""
    first = Harness(tmp_path / "first", FakeApi(duration=30, auto_save=True, names_content=False)).declared("one")
    in_git(first, "One item")
    second = cloned(first, tmp_path / "second")
    first.apply()
    first.edit("out/one.md", "title: ", "title: A title of theirs, not ")
    first.apply()
    (stored,) = first.api.contents.values()
    title = stored.title
    assert title.startswith("A title of theirs")
    run = second.ran()
    assert (results(run), stored.id in run.outcomes[0].error) == ({"one": "blocked"}, True)
    assert ([one.title for one in first.api.contents.values()], first.api.credits) == ([title], 4)


def test_an_edited_content_is_known_again_under_a_new_id_of_its_item(root: Path) -> None:
    """It was removed and comes back under another id: its content is the item's, and the edit there is seen."""
    harness = _done(root, "zero", "one", auto_save=False, stamps=True)
    content = harness.record("one").content_id
    harness.api.edit(content, "Their words.\n")
    manifest = blog("zero", "one")
    harness.write("content/blog.yaml", blog("zero"))
    harness.apply(prune=True)
    harness.write("content/blog.yaml", manifest.replace("- id: one", "- id: again"))
    assert (results(harness.apply()), harness.record("again").content_id) == ({"again": "done"}, content)
    assert harness.plan().empty
    plan = harness.plan(refresh=True)
    assert (plan.empty, [(note.kind, note.id) for note in plan.notes]) == (True, [("edited-on-server", "again")])
    assert harness.api.contents[content].body == "Their words.\n"


class OddIds(FakeApi):
    """A server whose content ids no one can ask for, until it is mended."""

    odd = True

    def _create(self, title: str, body: str, metadata: dict[str, Any], *, at: float) -> Stored:
        stored = super()._create(title, body, metadata, at=at)
        if self.odd:
            stored.id = f"no id/{stored.id}"
        return stored

    def mend(self) -> None:
        """Give every content an id that can be asked for."""
        self.odd = False
        for id_, stored in self.contents.items():
            stored.id = id_


def test_an_id_that_can_not_be_used_is_refused_and_nothing_stored_again(root: Path) -> None:
    """The item says what the server answered, every apply looks first, and the copy is taken once it has a real id."""
    api = OddIds(duration=30, auto_save=False)
    harness = Harness(root, api).declared("one")
    for error in ("possibly saved", "under an unusable id", "under an unusable id"):
        run = harness.ran()
        assert set(results(run).values()) <= {"failed", "blocked"}
        assert error in run.outcomes[0].error
        assert api.count("save") == len(api.contents) == 1
    api.mend()
    assert results(harness.apply()) == {"one": "done"}
    assert harness.record("one").content_id in api.contents
    assert (api.count("save"), harness.plan().empty) == (1, True)
