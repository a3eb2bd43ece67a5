"""Servers that change what they store: every later save goes on, and no one's edit is taken for the server's doing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.digest import NOTHING, Digest
from contentops.execution.run_context import ServerCapabilities
from contentops.model import Saved, State
from contentops.reporting.run import run_text
from contentops.state.cache import Cache
from tests.fakes.api import FakeApi, Generation, Stored, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill
from tests.fakes.tidy import TidyApi, curl, keep, rewrite, strip
from tests.plans import a_digest, make_record

ANY = pytest.mark.parametrize("tidy", [keep, curl, rewrite], ids=["keeps", "curls", "rewrites"])
EDITED = pytest.mark.parametrize(
    ("tidy", "edited"), [(strip, True), (strip, False), (curl, False), (rewrite, True)],
    ids=["edited-strips", "-strips", "-curls", "edited-rewrites"],
)  # fmt: skip


def _done(root: Path, api: TidyApi, *items: str) -> Harness:
    """A harness whose items are generated and saved."""
    harness = Harness(root, api).declared(*(items or ("one",)))
    assert set(results(harness.apply()).values()) == {"done"}
    return harness


def _saved(harness: Harness, item: str = "one") -> Saved:
    saved = harness.record(item).saved
    assert saved is not None
    return saved


def _by_hand(harness: Harness, words: str, item: str = "one") -> None:
    harness.write(f"out/{item}.md", harness.read(f"out/{item}.md") + f"\n{words}\n")


def _bodies(harness: Harness) -> list[str]:
    return [stored.body for stored in harness.api.contents.values()]


def _stored(harness: Harness, item: str = "one") -> str:
    return harness.api.contents[harness.record(item).content_id].body


@pytest.mark.parametrize(("known", "given_back", "alters"), [
    (None, NOTHING, None), (None, a_digest("2"), True), (True, NOTHING, True), (False, NOTHING, False),
    (False, a_digest("2"), True),
])  # fmt: skip
def test_a_text_given_back_otherwise_proves_that_a_server_changes_texts(
    root: Path, known: Any, given_back: Digest, alters: Any
) -> None:
    """With or without the cache, which alone knows of a server that changes none."""
    record = make_record("one", server="s", saved=Saved(body=a_digest("1"), server_body=given_back))
    with Cache(root / "cache") as cache:
        cache.remember("facts s", {"alters_texts": known})
        capabilities = ServerCapabilities.load(cache, State(lineage="l", records={record.id: record}), "s")
    assert capabilities.alters_texts is alters


# --- what it costs ------------------------------------------------------------------------------------------


def test_a_server_that_keeps_texts_is_looked_at_once(root: Path) -> None:
    """One fetch after the first save tells; from then on a save is one request, also in later runs."""
    harness = _done(root, TidyApi(), "one", "two", "three")
    assert harness.api.count("get content") == 1
    harness.write("content/blog.yaml", blog("one", "two", "three", "four"))
    before = len(harness.api.requests)
    assert results(harness.apply()) == {"four": "done"}
    assert [seen.name for seen in harness.api.requests[before:] if seen.name != "status"] == ["submit", "save"]
    looked = [item for item in ("one", "two", "three", "four") if _saved(harness, item).server_body]
    assert (len(looked), _saved(harness, looked[0]).server_body) == (1, _saved(harness, looked[0]).body)


# --- later saves --------------------------------------------------------------------------------------------


def test_a_new_text_the_server_stored_itself_gets_our_title(root: Path) -> None:
    """The manifest's title goes over the content that the server made of a new text, long after the last save."""
    harness = Harness(root, TidyApi(auto_save=True))
    harness.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))
    assert results(harness.apply()) == {"one": "done"}
    harness.timeline.now += 86_400
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    assert results(harness.apply()) == {"one": "done"}
    assert harness.api.contents[harness.record("one").content_id].title == "Mine"
    assert harness.plan().empty


@EDITED
def test_what_the_server_stored_by_itself_is_saved_over_as_it_was_created(
    root: Path, tidy: Callable[[str], str], *, edited: bool
) -> None:
    """Nothing was changed in it since: what it made of the text is its own doing, and a copy stays. Else it is left."""
    harness = Harness(root, TidyApi(tidy, auto_save=True))
    harness.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))

    def edit() -> Any:
        (content,) = harness.api.contents
        harness.api.edit(content, "Their words.\n")
        return httpx.Response(503)

    if edited:
        harness.api.fault(on("get content", 1), edit)
    run = harness.ran()
    assert results(run) == {"one": "blocked" if edited else "done"}
    assert "title: Mine" in harness.read("out/one.md")
    if edited:
        assert ("delete the content" in run.outcomes[0].hint, _bodies(harness)) == (True, ["Their words.\n"])
        harness.api.contents.clear()
        assert results(harness.apply()) == {"one": "done"}
    else:
        assert "Take 1." in harness.read(run.outcomes[0].copy)
    assert (harness.plan().empty, harness.api.credits) == (True, 4)


@pytest.mark.parametrize(
    ("habits", "cache"),
    [({}, True), ({"stamps": True}, False), ({"auto_save": True}, True), ({"create_only": True}, False)],
)
def test_a_server_that_changes_some_texts_alone_is_in_no_ones_way(
    root: Path, habits: dict[str, Any], *, cache: bool
) -> None:
    """The first text came back unchanged. Each later one is saved, whatever became of it, and a refresh sees no edit."""
    harness = _done(root, TidyApi(keep, **habits), "one", "two")
    assert isinstance(harness.api, TidyApi)
    harness.api.tidy = curl
    for words in ("It's by hand...", "And it's again...", "And it's once more..."):
        _by_hand(harness, words)
        assert (results(harness.apply()), curl(words) in _stored(harness)) == ({"one": "done"}, True)
        if not cache:
            shutil.rmtree(harness.root / ".contentops")
        assert harness.plan(refresh=True).empty
    harness.write("content/blog.yaml", blog("one", "two", "three"))
    assert (results(harness.apply()), harness.plan(refresh=True).empty) == ({"three": "done"}, True)
    _by_hand(harness, "It's by hand...", "three")
    assert results(harness.apply()) == {"three": "done"}
    harness.api.edit(harness.record("three").content_id, "Their words.\n")
    plan = harness.plan(refresh=True)
    assert (plan.empty, [(note.kind, note.id) for note in plan.notes]) == (True, [("edited-on-server", "three")])


# --- a person's edit there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "tidy", "dates", "cache"), [
    ("body", keep, True, False), ("body", strip, False, True), ("body", curl, False, False),
    ("body", rewrite, True, True), ("title", keep, True, True), ("title", curl, True, True), ("title", rewrite, True, True),
])  # fmt: skip
def test_an_edit_there_is_never_overwritten(
    root: Path, field: str, tidy: Callable[[str], str], *, dates: bool, cache: bool
) -> None:
    """A word changed in WriterzRoom blocks the save, on every kind of server; hand edits and new texts alike."""
    harness = _done(root, TidyApi(tidy, dates=dates))
    stored = harness.api.contents[harness.record("one").content_id]
    if field == "title":
        harness.api.edit(stored.id, stored.body, title="A better one")
    else:
        harness.api.edit(stored.id, stored.body.replace("that", "this"))
    theirs = (stored.title, stored.body)
    if not cache:
        shutil.rmtree(harness.root / ".contentops")
    _by_hand(harness, "By hand...")
    assert (results(harness.apply()), (stored.title, stored.body)) == ({"one": "blocked"}, theirs)
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    harness.apply(on_edit="overwrite")
    assert ((stored.title, stored.body), list(harness.api.contents)) == (theirs, [stored.id])


@ANY
def test_what_the_hint_says_helps_for_good(root: Path, tidy: Callable[[str], str]) -> None:
    """Deleted there, the file is saved as new; taken into the file, it is saved; both times later saves go on."""
    harness = _done(root, TidyApi(tidy))
    content = harness.record("one").content_id
    harness.api.edit(content, "Edited there...\n")
    _by_hand(harness, "By hand...")
    run = harness.ran()
    assert "delete the content" in run.outcomes[0].hint
    del harness.api.contents[content]
    assert (results(harness.apply()), "By hand" in _stored(harness)) == ({"one": "done"}, True)
    theirs = 'Edited there\'s "again"...\n'
    harness.api.edit(harness.record("one").content_id, theirs)
    _by_hand(harness, "Once more...")
    assert results(harness.apply()) == {"one": "blocked"}
    head = harness.read("out/one.md").split("\n---\n", 1)[0]
    harness.write("out/one.md", f"{head}\n---\n\n{_stored(harness)}")
    assert results(harness.apply()) == {"one": "done"}
    _by_hand(harness, "And again...")
    assert (results(harness.apply()), "And again" in _stored(harness)) == ({"one": "done"}, True)
    assert harness.plan().empty


@ANY
def test_a_pull_takes_their_words_and_not_the_changes_of_the_server(root: Path, tidy: Callable[[str], str]) -> None:
    """A title that the server has changed stays as the file has it; nothing is left to save."""
    harness = _done(root, TidyApi(tidy))
    title = harness.read("out/one.md").split("title: ")[1].split("\n")[0]
    harness.api.edit(harness.record("one").content_id, 'Edited there\'s "again"...\n')
    assert [one.refused for one in harness.pull()] == [""]
    assert f"title: {title}\n" in harness.read("out/one.md")
    assert 'there\'s "again"...' in harness.read("out/one.md")
    plan = harness.plan(refresh=True)
    assert (plan.empty, plan.notes) == (True, ())


@pytest.mark.parametrize(("tidy", "dates"), [(strip, True), (strip, False), (curl, True), (rewrite, False)])
def test_a_look_that_comes_late_does_not_take_an_edit_for_the_servers_doing(
    root: Path, tidy: Callable[[str], str], *, dates: bool
) -> None:
    """Edited between the save and a look that had to wait: not recorded as ours, and not overwritten.

    Where the server does not date edits, nothing tells that it is one: then a copy stays.
    """
    harness = Harness(root, TidyApi(tidy, dates=dates)).declared("one")
    theirs = "Edited there.\n"

    def edit_and_refuse() -> Any:
        (content,) = harness.api.contents
        harness.api.edit(content, theirs)
        return httpx.Response(429, json={"error": "slow"}, headers={"Retry-After": "40"})

    harness.api.fault(on("get content", 1), edit_and_refuse)
    assert results(harness.apply()) == {"one": "done"}
    _by_hand(harness, "By hand")
    run = harness.ran()
    assert results(run) == {"one": "blocked" if dates else "done"}
    assert (_stored(harness) if dates else harness.read(run.outcomes[0].copy)) == theirs


# --- cut off ---------------------------------------------------------------------------------------------------


class Skewed(TidyApi):
    """A server on which no content is ever as it was created."""

    def _create(self, title: str, body: str, metadata: dict[str, Any], *, at: float) -> Stored:
        stored = super()._create(title, body, metadata, at=at)
        stored.created -= 1
        return stored


@pytest.mark.parametrize("tidy", [strip, curl])
def test_a_run_that_saw_the_job_running_knows_the_servers_doing(root: Path, tidy: Callable[[str], str]) -> None:
    """Nothing dates an edit there; but a person has had no time for one, whichever run submitted the job."""
    harness = Harness(root, Skewed(tidy, auto_save=True, duration=90)).declared("one")
    assert results(harness.ran(deadline=10)) == {"one": "pending"}
    assert results(harness.apply()) == {"one": "done"}
    assert harness.plan(refresh=True).empty
    _by_hand(harness, "By hand")
    assert results(harness.apply()) == {"one": "done"}


@EDITED
def test_killed_between_a_save_and_the_look_after_it(root: Path, tidy: Callable[[str], str], *, edited: bool) -> None:
    """What the server made of the text is not on record; the stamp says whether anyone else changed it since."""
    harness = Harness(root, TidyApi(tidy)).declared("one")
    harness.api.fault(on("get content", 1), "kill")
    harness.killed()
    harness.apply()
    (content,) = harness.api.contents
    if edited:
        harness.api.edit(content, "Their words.\n")
    _by_hand(harness, "By hand...")
    assert results(harness.apply()) == {"one": "blocked" if edited else "done"}
    assert (_bodies(harness) == ["Their words.\n"]) is edited
    assert ("By hand" in _stored(harness)) is not edited


@pytest.mark.parametrize(
    ("tidy", "fault", "create_only"),
    [
        (strip, "reset", True),
        (curl, "500-after", True),
        (rewrite, "truncated", True),
        (rewrite, "reset", False),
        (keep, "drop", True),
        (keep, 503, False),
    ],
)
def test_lost_answers_store_nothing_twice(
    root: Path, tidy: Callable[[str], str], fault: Any, *, create_only: bool
) -> None:
    """A save that arrived is known again by what was sent with it, whatever became of its text."""
    harness = Harness(root, TidyApi(tidy, create_only=create_only)).declared("one")
    harness.api.fault(on("save", 1, 2), fault)
    assert (results(harness.apply()), len(harness.api.contents)) == ({"one": "done"}, 1)
    harness.api.heal()
    harness.api.fault(on("save", 2, 3), fault)
    _by_hand(harness, "By hand...")
    assert results(harness.apply()) == {"one": "done"}
    record = harness.record("one")
    assert {record.content_id, *record.superseded} == set(harness.api.contents)
    assert "By hand" in _stored(harness)
    assert harness.plan().empty


def test_a_changed_quote_is_not_taken_for_a_save_that_arrived(root: Path) -> None:
    """An edit of nothing but typography whose save was lost is sent again."""
    harness = _done(root, TidyApi(curl))
    harness.edit("out/one.md", "it -- see", "it - see")
    harness.api.fault(on("save", 2), "drop")
    assert (results(harness.apply()), "it - see" in _stored(harness)) == ({"one": "done"}, True)


@pytest.mark.parametrize("status", [403, 404, 500, 503], ids=str)
def test_a_look_without_answer_fails_nothing(root: Path, status: int) -> None:
    """The text is saved and on record; the look is not tried for every item; what it missed is known by its stamp."""
    harness = Harness(root, TidyApi(curl))
    harness.api.fault(on("get content"), status)
    harness.write("content/blog.yaml", blog("one", "two", "three"))
    assert (set(results(harness.apply()).values()), harness.plan().empty) == ({"done"}, True)
    assert len({seen.path for seen in harness.api.requests if seen.name == "get content"}) == 1
    harness.api.heal()
    _by_hand(harness, "By hand...")
    assert (results(harness.apply()), "By hand" in _stored(harness)) == ({"one": "done"}, True)


@pytest.mark.parametrize(("habits", "every"), [({}, 2), ({"create_only": True}, 4), ({"auto_save": True}, 4)], ids=str)
def test_a_stop_at_every_step_on_a_server_that_changes_texts(
    root: Path, habits: dict[str, Any], every: int, each_kill: EachKill
) -> None:
    """Stopped anywhere, run again, edited by hand and applied: nothing paid or stored twice, no text lost.

    Where it came between a save and the look after it, the server's stamp says that no one changed the content since.
    """
    whole = Harness(root / "whole", TidyApi(curl, **habits)).declared("one", "two")
    for where, harness in each_kill(whole, root, whole.apply, every).items():
        assert harness.settle().empty, where
        assert len(harness.api.contents) == 2, where
        _by_hand(harness, "By hand...")
        assert results(harness.apply()) == {"one": "done"}, where
        assert "By hand" in _stored(harness), where
        assert harness.plan().empty, where
        assert harness.api.credits == 8, where


# --- restore ---------------------------------------------------------------------------------------------------


@ANY
def test_a_missing_file_comes_back_as_the_server_has_it(
    root: Path, tidy: Callable[[str], str], processes: None
) -> None:
    """Without cache, words by hand come back in the server's version rather than not at all; nothing is left to do."""
    harness = _done(root, TidyApi(tidy))
    _by_hand(harness, "It's by hand...")
    harness.apply()
    (harness.root / "out/one.md").unlink()
    shutil.rmtree(harness.root / ".contentops")
    assert results(harness.apply()) == {"one": "done"}
    assert tidy("It's by hand...") in harness.read("out/one.md")
    assert (harness.api.credits, harness.plan().empty) == (4, True)


# --- texts with front matter of their own ---


class Fronted(FakeApi):
    """A server whose texts carry front matter in the store as well."""

    front = 'description: "d"'

    def _written(self, job: Generation) -> tuple[str, str]:
        return job.title, f'---\ntitle: "{job.title}"\n{self.front}\n---\n\n{job.text}'


@pytest.mark.parametrize(("status", "named"), [("text", True), ("text", False), ("empty", True)])
def test_texts_with_front_matter_are_written_once_and_saved_over(root: Path, status: Any, *, named: bool) -> None:
    """Fetched or told, named or not: one block of front matter in the file, one content, and later saves go on."""
    harness = Harness(root, Fronted(duration=30, status_body=status, names_content=named)).declared("one")
    assert results(harness.apply()) == {"one": "done"}
    _, front, body = harness.read("out/one.md").split("---\n")
    assert ("title: " in front, "description" in body) == (True, False)
    assert (len(harness.api.contents), harness.api.count("save")) == (1, 0)
    harness.edit("out/one.md", "## Closing", "## By hand")
    assert results(harness.apply()) == {"one": "done"}
    (stored,) = harness.api.contents.values()
    assert "By hand" in stored.body
    assert "description" not in stored.body
    assert harness.plan().empty


@pytest.mark.parametrize("front", ['description: "Tea: all of it"', "description: Tea: all of it"])
@pytest.mark.parametrize("status", ["text", "empty"])
def test_what_front_matter_of_a_text_said_is_told(root: Path, status: Any, front: str) -> None:
    """Its description is in no file: the run says so, unless the manifest states one of its own."""
    api = Fronted(duration=30, status_body=status)
    api.front = front
    harness = Harness(root, api)
    stated = blog("two").removeprefix("items:\n") + "    metadata: {description: mine}\n"
    harness.write("content/blog.yaml", blog("one") + stated)
    run = harness.ran()
    assert {outcome.id: outcome.left_out for outcome in run.outcomes} == {
        "one": {"description": "Tea: all of it"},
        "two": {},
    }
    assert "Tea: all of it" not in harness.read("out/one.md")
    assert '  front matter that came with the text was left out: description: "Tea: all of it"' in run_text(run)
    assert harness.plan().empty


def test_a_body_of_a_persons_that_looks_like_front_matter(root: Path) -> None:
    """What the file says below its own front matter is saved as it is, and known for ours again."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("one")
    harness.edit("out/one.md", "## Introduction", "---\nnote: mine\n---\n\n## Introduction")
    for words in ("First", "Second"):
        harness.write("out/one.md", harness.read("out/one.md") + f"\n{words}\n")
        assert results(harness.apply()) == {"one": "done"}
        (stored,) = harness.api.contents.values()
        assert "note: mine" in stored.body
        assert words in stored.body
    assert "note: mine" in harness.read("out/one.md")
