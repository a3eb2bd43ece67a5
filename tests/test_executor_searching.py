"""A text that may be stored already is searched for: each content is fetched once, and nothing is stored twice."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from contentops.execution import content_search
from contentops.operations.adopting.adopt_files import Options, adopt
from tests.fakes.api import FakeApi, Generation, Killed, Stored, on
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = tuple(f"item-{n:02}" for n in range(24))
LOST = ["reset", "504", "500-after", "truncated", "slow"]


class OneTitle(FakeApi):
    """A server that titles every text alike."""

    def _written(self, job: Generation) -> tuple[str, str]:
        return "Blog Article Generator", job.text


def _scene(root: Path, api: FakeApi, *items: str) -> Scene:
    scene = Scene(root, api)
    scene.write("content/blog.yaml", blog(*(items or ITEMS)))
    return scene


def _fetches(api: FakeApi) -> collections.Counter[str]:
    return collections.Counter(seen.path for seen in api.requests if seen.name == "get content")


def _strangers(scene: Scene, number: int, *, ago: float) -> None:
    """Contents other people stored, some time ago."""
    for n in range(number):
        stored = Stored(f"theirs-{n}", f"Theirs {n}", f"Their words {n}.\n", -ago, -ago)
        scene.api.contents[stored.id] = stored


def test_texts_the_server_stores_without_naming_them(root: Path) -> None:
    """All titled alike, stored by the server itself: none is stored twice, none fetched twice."""
    scene = _scene(root, OneTitle(duration=30, names_content=False))
    assert set(results(scene.apply()).values()) == {"done"}
    assert len(scene.api.contents) == len(ITEMS)
    assert scene.api.count("save") == 0
    assert set(_fetches(scene.api).values()) == {1}
    assert {scene.record(item).content_id for item in ITEMS} == set(scene.api.contents)


def test_a_list_in_pages_is_read_as_far_as_it_may_matter(root: Path) -> None:
    """A text that was stored without a name is found on whatever page; what was made long before is not asked for."""
    scene = _scene(root, OneTitle(duration=30, names_content=False, page=5))
    _strangers(scene, 500, ago=100_000.0)
    assert set(results(scene.apply()).values()) == {"done"}
    assert len(scene.api.contents) == 500 + len(ITEMS)
    assert scene.api.count("save") == 0
    pages = {seen.query for seen in scene.api.requests if seen.name == "list content"}
    assert {"", "page=2&limit=5"} <= pages
    assert max(int(query.split("&")[0].removeprefix("page=") or 1) for query in pages) <= len(ITEMS) // 5 + 2


@pytest.mark.parametrize("fault", LOST)
def test_saves_whose_answers_are_all_lost(root: Path, fault: Any) -> None:
    """Every save arrives and no answer comes: two dozen texts with one title are stored once each."""
    scene = _scene(root, OneTitle(duration=30, auto_save=False))
    scene.api.fault(on("save", *range(1, 60)), fault)
    for _ in range(3):
        scene.apply()
    assert len(scene.api.contents) == len(ITEMS)
    assert {scene.record(item).content_id for item in ITEMS} == set(scene.api.contents)
    assert scene.plan().empty


def test_saves_of_a_run_that_died(root: Path) -> None:
    """Killed when two dozen texts were stored and none of it was on record: found, each fetched once."""
    scene = _scene(root, OneTitle(duration=30, auto_save=False), "zero")
    scene.apply()
    scene.write("content/blog.yaml", blog("zero", *ITEMS))
    scene.api.fault(lambda name, n: name == "save" and 1 < n < len(ITEMS), "504")
    scene.api.fault(on("save", len(ITEMS)), "kill-after")
    with pytest.raises(Killed):
        scene.apply()
    scene.api.heal()
    fetched = sum(_fetches(scene.api).values())
    assert set(results(scene.apply()).values()) == {"done"}
    assert len(scene.api.contents) == len(ITEMS) + 1
    assert sum(_fetches(scene.api).values()) - fetched <= len(ITEMS)
    assert scene.plan().empty


def test_what_was_stored_long_before_is_not_fetched(root: Path) -> None:
    """Five thousand contents of a day before cost one list."""
    scene = _scene(root, FakeApi(duration=30, auto_save=False), "one")
    _strangers(scene, 5_000, ago=86_400.0)
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.count("list content") == 1
    assert all("theirs" not in path for path in _fetches(scene.api))


def test_too_many_contents_to_look_at(root: Path) -> None:
    """Where hundreds of contents of the time in question belong to no one, a save is blocked rather than doubled."""
    scene = _scene(root, FakeApi(duration=30, auto_save=False), "one")
    _strangers(scene, content_search.STRANGERS + 3, ago=0.0)
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "blocked"}
    assert "contentops content list" in run.outcomes[0].hint
    assert scene.api.count("save") == 0
    assert sum(_fetches(scene.api).values()) == content_search.STRANGERS + 2
    for content in [id_ for id_ in scene.api.contents if id_.startswith("theirs")][5:]:
        del scene.api.contents[content]
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 4


def test_a_content_that_can_not_be_looked_at(root: Path) -> None:
    """A server that is down for one of the contents proves nothing: the save waits for the next run."""
    scene = _scene(root, FakeApi(duration=30, names_content=False), "one")
    scene.api.fault(on("get content"), 503)
    assert results(scene.apply()) == {"one": "failed"}
    assert scene.api.count("save") == 0
    scene.api.heal()
    assert results(scene.apply()) == {"one": "done"}
    assert len(scene.api.contents) == 1


@pytest.mark.parametrize("status", [403, 404], ids=str)
def test_a_content_that_is_not_for_us(root: Path, status: int) -> None:
    """Someone else's content, or one that has just been deleted, is no reason to wait."""
    scene = _scene(root, FakeApi(duration=30, auto_save=False), "one")
    _strangers(scene, 1, ago=0.0)
    scene.api.fault(on("get content", 1), status)
    assert results(scene.apply()) == {"one": "done"}
    assert scene.record("one").content_id in scene.api.contents


def test_an_adopted_text_is_not_searched_for_among_everything(root: Path) -> None:
    """No job made it, so no time tells when it can have been stored: its title alone does."""
    scene = _scene(root, FakeApi(duration=30, auto_save=False), "one")
    scene.apply()
    _strangers(scene, 500, ago=0.0)
    (scene.root / "contentops.lock").unlink()
    text = scene.read("out/one.md").replace("## Closing", "## By hand")
    scene.write("out/one.md", text)
    assert results(scene.apply()) == {"one": "done"}
    assert all("theirs" not in path for path in _fetches(scene.api))


# --- the text of a submit whose answer was lost --------------------------------------------------------------------


def _with_a_lost_text(root: Path, strangers: int) -> tuple[Scene, str]:
    """A lost submit whose text the server stored among as many contents of others, made nearer to when it was due."""
    scene = _scene(root, FakeApi(duration=60, request_ids="ignore"), "zero")
    scene.apply()
    scene.write("content/blog.yaml", blog("zero", "one"))
    scene.api.fault(on("submit", 2), "reset")
    assert results(scene.apply()) == {"one": "unknown"}
    lost = scene.entry("one")
    scene.timeline.now += 300
    scene.api._settle(scene.timeline.now)
    (text,) = [each for each in scene.api.contents.values() if "All about one" in each.body]
    text.metadata["request_id"] = lost.request_id
    at = text.created
    text.created = at + 400
    for n in range(strangers):
        stored = Stored(f"theirs-{n}", f"Theirs {n}", f"Their words {n}.\n", at + n, at + n)
        scene.api.contents[stored.id] = stored
    return scene, text.id


def test_a_paid_text_is_found_however_many_contents_lie_nearer(root: Path) -> None:
    """Each run looks at ten more and at none twice; the text is found in the end, and paid once."""
    scene, text = _with_a_lost_text(root, 25)
    before = scene.api.count("get content")
    for run in (1, 2):
        assert results(scene.apply()) == {"one": "unknown"}
        assert scene.api.count("get content") == before + 10 * run
    assert results(scene.apply()) == {"one": "done"}
    assert set(_fetches(scene.api).values()) == {1}
    assert scene.record("one").content_id == text
    assert scene.api.charged("All about one in 2026") == 1
    assert scene.plan().empty


def test_contents_that_can_not_be_read_hide_no_text(root: Path) -> None:
    """What the server does not give now is asked for again, but after what was never looked at."""
    scene, text = _with_a_lost_text(root, 12)
    scene.api.fault(on("get content", *range(1, 200)), lambda: httpx.Response(403, json={"detail": "no"}))
    assert results(scene.apply()) == {"one": "unknown"}
    scene.api.heal()
    assert results(scene.apply()) == {"one": "done"}
    assert scene.record("one").content_id == text


def test_a_content_is_looked_at_again_once_it_has_changed(root: Path) -> None:
    """What it held before says nothing of what it holds now."""
    scene, text = _with_a_lost_text(root, 0)
    request = scene.api.contents[text].metadata.pop("request_id")
    assert results(scene.apply()) == {"one": "unknown"}
    scene.api.contents[text].metadata["request_id"] = request
    scene.api.contents[text].updated += 60
    assert results(scene.apply()) == {"one": "done"}


def test_the_hint_says_how_a_person_names_the_content(root: Path) -> None:
    """The contents that may be the text are listed, how many more there are is said, and the hint works as it stands."""
    scene, _ = _with_a_lost_text(root, 25)
    run = scene.apply()
    assert run is not None
    (outcome,) = run.outcomes
    assert "`theirs-" in outcome.error
    assert "and 21 more" in outcome.error
    assert "the next apply looks at more of them" in outcome.error
    assert f"`contentops state resolve one --request {scene.entry('one').short} --content ID`" in outcome.hint


def test_the_hint_of_a_job_that_is_forgotten_names_the_content_too(root: Path) -> None:
    """Its text may be stored although the server does not know the job any more, so giving it up is not the only way."""
    scene = _scene(root, FakeApi(duration=600, auto_save=False), "zero")
    scene.apply()
    scene.write("content/blog.yaml", blog("zero", "one"))
    scene.apply(deadline=100)
    scene.api.restart()
    _strangers(scene, 1, ago=-scene.timeline.now)
    run = scene.apply()
    assert run is not None
    (outcome,) = run.outcomes
    assert outcome.result == "late"
    assert "`theirs-0`" in outcome.error
    assert "--content ID" in outcome.hint
    assert "--forget" in outcome.hint


# --- titles -------------------------------------------------------------------------------------------------------


def _retitle(scene: Scene, title: str) -> None:
    lines = [f"title: {title}" if line.startswith("title:") else line for line in scene.read("out/one.md").split("\n")]
    scene.write("out/one.md", "\n".join(lines))


@pytest.mark.parametrize("fault", [*LOST, "kill-after", "kill", "drop"])
@pytest.mark.parametrize("habits", [{}, {"create_only": True}, {"create_only": True, "put": False}], ids=str)
def test_a_new_title_whose_save_was_lost(root: Path, habits: dict[str, Any], fault: Any) -> None:
    """Body as before, only the title new: every content is the item's own or listed as superseded."""
    scene = _scene(root, FakeApi(duration=30, auto_save=False, **habits), "one")
    scene.apply()
    _retitle(scene, "Mine")
    scene.api.fault(on("save", 2), fault)
    for _ in range(2):
        try:
            scene.apply()
        except Killed:
            scene.api.heal()
    record = scene.record("one")
    assert scene.api.contents[record.content_id].title == "Mine"
    assert {record.content_id, *record.superseded} == set(scene.api.contents)
    assert len(scene.api.contents) == 1 + bool(habits)
    assert scene.plan().empty


def test_new_titles_where_contents_can_only_be_made(root: Path) -> None:
    """Without any way to store over a content, each new title is one more content, listed; and the run ends."""
    scene = _scene(root, FakeApi(duration=30, auto_save=False, create_only=True, put=False), "one")
    scene.apply()
    for title in ("First", "Second", "Third"):
        _retitle(scene, title)
        assert results(scene.apply()) == {"one": "done"}
        record = scene.record("one")
        assert scene.api.contents[record.content_id].title == title
        assert {record.content_id, *record.superseded} == set(scene.api.contents)
    assert len(scene.api.contents) == 4


def test_what_the_server_stored_under_its_own_title_where_contents_can_only_be_made(root: Path) -> None:
    """Found under the server's title, it cannot be stored over: both it and what came before are listed."""
    api = OneTitle(duration=30, names_content=False, create_only=True, put=False)
    scene = Scene(root, api)
    manifest = blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs")
    scene.write("content/blog.yaml", manifest)
    assert results(scene.apply()) == {"one": "done"}
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    assert results(scene.apply()) == {"one": "done"}
    record = scene.record("one")
    assert scene.api.contents[record.content_id].title == "Mine"
    assert {record.content_id, *record.superseded} == set(scene.api.contents)
    assert scene.plan().empty


def test_many_texts_under_one_title_whose_saves_were_lost(root: Path) -> None:
    """Killed when ours stood beside what the server stored under its own title: ours is found, however busy the look."""
    scene = _scene(root, OneTitle(duration=30, names_content=False, create_only=True, put=False), "zero")
    scene.apply()
    items = ITEMS[:9]
    scene.write("content/more.yaml", blog(*items).replace("    inputs", "    metadata: {title: Mine}\n    inputs"))
    scene.api.fault(lambda name, n: name == "save" and n < 5, "504")
    scene.api.fault(on("save", 5), "kill-after")
    with pytest.raises(Killed):
        scene.apply()
    scene.api.heal()
    looked = scene.api.count("get content")
    scene.api.fault(on("get content", *range(looked + 1, looked + 5)), 500)
    assert set(results(scene.apply()).values()) == {"done"}
    ours = [stored.body for stored in scene.api.contents.values() if stored.title == "Mine"]
    assert len(ours) == len(set(ours)) == len(items)
    assert scene.plan().empty


def test_a_content_edited_after_it_was_found(root: Path) -> None:
    """Found under the server's title, then edited there before our title goes over it: both texts stay."""
    scene = Scene(root, OneTitle(duration=30, names_content=False))
    scene.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Mine}\n    inputs"))

    def edited_meanwhile(name: str, n: int) -> bool:
        if name == "get content" and n == 2:
            scene.api.edit(next(iter(scene.api.contents)), "Edited there.\n")
        return False

    scene.api.fault(edited_meanwhile, 500)
    assert results(scene.apply()) == {"one": "blocked"}
    (stored,) = scene.api.contents.values()
    assert (stored.title, stored.body) == ("Blog Article Generator", "Edited there.\n")
    assert "All about one" in scene.read("out/one.md")


# --- texts that no job made ----------------------------------------------------------------------------------------


def _adopted(scene: Scene, number: int) -> None:
    """Takes over as many files, to be saved."""
    for n in range(number):
        scene.write(f"pages/p-{n:02}.md", f"---\ntitle: Page {n}\n---\n\nWords of page {n}.\n")
    options = Options(save=True)
    adopt(scene.project, ["pages"], options, confirm=lambda _: True, runtime=scene.runtime())


@pytest.mark.parametrize("page", [0, 20], ids=["one list", "in pages"])
def test_adopted_texts_are_saved_after_one_look_at_what_is_stored(root: Path, page: int) -> None:
    """However many they are, and however much the account has stored."""
    scene = Scene(root, FakeApi(auto_save=False, page=page))
    _strangers(scene, 100, ago=1_000.0)
    _adopted(scene, 24)
    assert set(results(scene.apply()).values()) == {"done"}
    assert scene.api.count("save") == 24
    assert scene.api.count("list content") == (100 // page + 1 if page else 1)
    assert sum(_fetches(scene.api).values()) <= 1
    assert len(scene.api.contents) == 124


@pytest.mark.parametrize("fault", LOST)
def test_adopted_texts_whose_answers_are_lost_are_stored_once(root: Path, fault: Any) -> None:
    """A lost answer is reason to look again, in this run and in the next."""
    scene = Scene(root, FakeApi(auto_save=False))
    _adopted(scene, 8)
    scene.api.fault(on("save", 2, 5, 6), fault)
    for _ in range(2):
        scene.apply()
    assert len(scene.api.contents) == 8
    assert {record.content_id for record in scene.state.records.values()} == set(scene.api.contents)
    assert scene.plan().empty


def test_untitled_contents_of_others_are_not_fetched_for_an_adopted_text(root: Path) -> None:
    """A server that lists titles lists ours too, so what it lists without one is another's."""
    scene = Scene(root, FakeApi(auto_save=False))
    _strangers(scene, 400, ago=1_000.0)
    for stored in [*scene.api.contents.values()][1:]:
        stored.title = ""
    _adopted(scene, 1)
    assert results(scene.apply()) == {"pages/p-00": "done"}
    assert not any("theirs" in path for path in _fetches(scene.api))
