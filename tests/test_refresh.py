"""`--refresh`: what was edited or deleted in WriterzRoom is found by one list, and comes home."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from contentops.api.calls import DeleteContent, Failure, PutContent
from contentops.documents.clean import body_digest
from contentops.errors import ApiError, Refused
from contentops.model import ItemId, OnEdit
from contentops.operations import connection, opening
from tests.fakes.api import FakeApi, on
from tests.fakes.death import witnessed
from tests.fakes.scene import Scene, blog, know_server, results
from tests.reviewing import apply_file, review

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Event, Outcome, Project, Run
    from tests.fakes.api import Fault
    from tests.running import Build
    from tests.running import Run as Invoke

LOCAL = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
THEIRS = "## Introduction\n\nTheir words.\n"


def _scene(tmp_path: Path, *ids: str, **habits: Any) -> Scene:
    scene = Scene(tmp_path, FakeApi(duration=30, **habits))
    scene.write("content/blog.yaml", blog(*(ids or ("one", "two"))))
    scene.apply()
    assert scene.plan().empty
    return scene


def _edit(scene: Scene, item: str, body: str = THEIRS, **given: Any) -> None:
    scene.api.edit(scene.record(item).content_id, body, **given)


def _asked(scene: Scene, **choice: Any) -> tuple[int, int]:
    """Lists and fetches that a plan with a refresh asks for."""
    before = scene.api.count("list content"), scene.api.count("get content")
    scene.plan(refresh=True, **choice)
    return scene.api.count("list content") - before[0], scene.api.count("get content") - before[1]


def test_nothing_changed_there_is_one_list(tmp_path: Path) -> None:
    """What was saved and left alone is not fetched: one request says so for all of it."""
    scene = _scene(tmp_path)
    assert _asked(scene) == (1, 0)
    assert scene.plan(refresh=True).empty


def test_an_edit_there_is_pulled_and_stays_a_persons(tmp_path: Path) -> None:
    """Planned, pulled, recorded as saved and not as generated; nothing is saved again, and it is an edit from then on."""
    scene = _scene(tmp_path)
    generated = scene.record("one").generated
    _edit(scene, "one", title="Their title")
    assert scene.plan().empty
    assert _asked(scene) == (1, 1)
    assert _asked(scene) == (1, 0)
    (change,) = scene.plan(refresh=True).changes
    assert (change.id, change.action, change.names, change.credits) == ("one", "pull", ("fetch", "write"), 0)
    before = scene.api.count("save")
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert "Their words." in scene.read("out/one.md")
    assert "title: Their title" in scene.read("out/one.md")
    record = scene.record("one")
    assert record.saved is not None
    assert (record.generated, record.saved.body) == (generated, body_digest(THEIRS))
    assert scene.api.count("save") == before
    assert scene.plan(refresh=True).empty
    assert scene.plan().empty
    assert _asked(scene) == (1, 0)
    scene.write("content/blog.yaml", blog("one", "two", year=2027))
    assert scene.actions()["one"] == "blocked"


def _one(run: Run | None, item: str = "one") -> Outcome:
    assert run is not None
    (found,) = [outcome for outcome in run.outcomes if outcome.id == item]
    return found


@pytest.mark.parametrize("later", [0.5, -7200.0], ids=["half a second", "two hours behind"])
@pytest.mark.parametrize("habits", [{}, {"auto_save": False}, {"auto_save": False, "create_only": True}], ids=str)
def test_an_edit_is_seen_whatever_the_clocks_say(tmp_path: Path, habits: dict[str, Any], later: float) -> None:
    """The server's own stamps are compared: no clock of this machine says what was edited."""
    scene = _scene(tmp_path, **habits)
    if habits:
        scene.edit("out/one.md", "Closing", "MINE")
        scene.apply()
    content = scene.api.contents[scene.record("one").content_id]
    saved = content.updated
    assert _asked(scene) == (1, 0)
    _edit(scene, "one")
    content.updated = saved + later
    assert scene.actions(refresh=True) == {"one": "pull"}


@pytest.mark.parametrize("stamps", [True, False], ids=["stamps in the answer", "none"])
def test_a_clone_without_a_cache_asks_for_one_list(tmp_path: Path, *, stamps: bool) -> None:
    """The stamps of all saves are in the lock: what was created, and what was saved over that."""
    scene = _scene(tmp_path, "one", "two", "three", auto_save=False, stamps=stamps)
    scene.edit("out/one.md", "Closing", "MINE")
    scene.apply()
    for item in ("one", "two", "three"):
        saved = scene.record(item).saved
        assert saved is not None
        assert saved.stamp
    shutil.rmtree(tmp_path / ".contentops")
    know_server(tmp_path, "https://api.example.test/v1")
    assert _asked(scene) == (1, 0)


def test_a_text_without_a_stamp_is_fetched_once(tmp_path: Path) -> None:
    """A lock of an earlier version knows none: the first refresh looks at each, the next one at none."""
    scene = _scene(tmp_path)
    lock = re.sub(r',"stamp":"[^"]*"', "", scene.read("contentops.lock"))
    scene.write("contentops.lock", lock)
    assert (_asked(scene), _asked(scene)) == ((1, 2), (1, 0))
    assert scene.apply(refresh=True) is None
    assert scene.read("contentops.lock") == lock
    scene.write("content/blog.yaml", blog("one", "two").replace("    inputs", "    metadata: {tag: new}\n    inputs"))
    assert results(scene.apply(refresh=True)) == {"one": "done", "two": "done"}
    assert scene.read("contentops.lock").count('"stamp":') == 2
    shutil.rmtree(tmp_path / ".contentops")
    know_server(tmp_path, "https://api.example.test/v1")
    assert _asked(scene) == (1, 0)


# --- what is asked ---------------------------------------------------------------------------------------------


def test_a_list_in_pages_is_read_to_its_end(tmp_path: Path) -> None:
    """An edit on the second page is found; no content on it counts as deleted."""
    scene = _scene(tmp_path, "one", "two", "three", page=2)
    _edit(scene, "one")
    assert scene.actions(refresh=True) == {"one": "pull"}


def test_a_time_that_is_not_known_is_looked_at(tmp_path: Path) -> None:
    """A list without times proves nothing, so each content is fetched; one that it does not show as well."""
    scene = _scene(tmp_path)
    shown = [{"id": scene.record("one").content_id, "title": "x"}]
    scene.api.fault(on("list content"), lambda: httpx.Response(200, json={"content": shown}))
    assert _asked(scene) == (1, 2)
    assert scene.plan(refresh=True).empty


def test_a_content_that_is_deleted_is_asked_for_once(tmp_path: Path) -> None:
    """The list does not show it, and only a 404 proves it: then it is saved as new, once, and known from then on."""
    scene = _scene(tmp_path)
    before = scene.record("one").content_id
    del scene.api.contents[before]
    assert scene.plan().empty
    assert (_asked(scene), _asked(scene)) == ((1, 1), (1, 0))
    (change,) = scene.plan(refresh=True).changes
    assert (change.id, change.action, change.names) == ("one", "save", ("save",))
    assert [reason.kind for reason in change.reasons] == ["deleted-there"]
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert scene.record("one").content_id not in ("", before)
    assert len(scene.api.contents) == 2
    assert scene.plan(refresh=True).empty


def test_nothing_is_planned_where_the_server_cannot_be_asked(tmp_path: Path) -> None:
    """No key, no answer, a key that is refused, a server that falls silent at the second request: an error each."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    before = scene.bytes()
    trouble: list[tuple[str, Fault]] = [("list content", "refuse"), ("list content", 401), ("get content", 503)]
    for name, what in trouble:
        scene.api.fault(on(name), what)
        for act in (scene.plan, scene.apply):
            with pytest.raises(ApiError):
                act(refresh=True)
        scene.api.heal()
    assert scene.bytes() == before
    assert scene.actions(refresh=True) == {"one": "pull"}


@pytest.mark.parametrize("what", [403, "html", 422, 500])
def test_one_content_that_cannot_be_read_is_a_note_and_the_others_go_on(tmp_path: Path, what: Any) -> None:
    """Another owner's, or a reply that is none: the item is left alone, and is blocked where it would be saved."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    _edit(scene, "two")
    scene.api.broken[scene.record("one").content_id] = what
    plan = scene.plan(refresh=True)
    assert {change.id: change.action for change in plan.changes} == {"two": "pull"}
    assert [(note.kind, note.id) for note in plan.notes] == [("unreadable-there", "one")]
    scene.write("content/blog.yaml", blog("one", "two", year=2027))
    plan = scene.plan(refresh=True)
    assert {change.id: change.blocked for change in plan.changes} == {"one": "unreadable-there", "two": "edited-there"}
    assert plan.credits == 0


def test_a_server_that_stumbles_over_each_content_is_not_well(tmp_path: Path) -> None:
    """One may be broken; a second one in a row says something about the server."""
    scene = _scene(tmp_path)
    for item in ("one", "two"):
        _edit(scene, item)
        scene.api.broken[scene.record(item).content_id] = 500
    with pytest.raises(ApiError, match="500"):
        scene.plan(refresh=True)


def test_what_is_not_saved_or_not_declared_is_not_asked_for(tmp_path: Path) -> None:
    """An orphan, and an item whose text is no longer saved, are left alone; one that is renamed is not."""
    scene = _scene(tmp_path, "one", "two", "three")
    for item in ("one", "two", "three"):
        _edit(scene, item)
    asked = "inputs: {topic: All about one in 2026, target_audience: readers}"
    rest = blog("two").removeprefix("items:\n")
    scene.write("content/blog.yaml", f"items:\n  - {{id: uno, {asked}}}\n{rest}    save: false\n")
    assert _asked(scene) == (1, 1)
    assert scene.actions(refresh=True) == {"uno": "pull"}


def test_a_refresh_counts_among_the_requests_of_a_minute(tmp_path: Path) -> None:
    """What the run sends after it waits its turn as if it had sent the list and the fetches itself."""
    scene = Scene(tmp_path, FakeApi(duration=30, per_minute=6, stamps=True), rpm=6)
    items = ("one", "two", "three", "four", "five", "six")
    scene.write("content/blog.yaml", blog(*items))
    scene.apply()
    for item in items[:3]:
        _edit(scene, item)
        scene.edit(f"out/{items[items.index(item) + 3]}.md", "Closing", "MINE")
    scene.timeline.now += 300
    before = len(scene.api.requests)
    assert set(results(scene.apply(refresh=True)).values()) == {"done"}
    sent = [seen.status for seen in scene.api.requests[before:]]
    assert (len(sent), set(sent)) == (10, {200})


# --- what comes of it ------------------------------------------------------------------------------------------


def test_a_title_alone_comes_home(tmp_path: Path) -> None:
    """It is an edit like any other; the next text of the item keeps it."""
    scene = _scene(tmp_path)
    scene.api.edit(scene.record("one").content_id, scene.api.generations[0].text, title="Theirs")
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert "title: Theirs" in scene.read("out/one.md")
    assert scene.plan(refresh=True).empty
    for year in (2027, 2028):
        scene.write("content/blog.yaml", blog("one", "two", year=year))
        scene.apply()
        assert "title: Theirs" in scene.read("out/one.md")
        assert scene.api.contents[scene.record("one").content_id].title == "Theirs"


def test_words_of_two_people_wait_and_the_others_go_on(tmp_path: Path) -> None:
    """Edited here and there: nothing is written, nothing is saved, and both are named."""
    scene = _scene(tmp_path)
    scene.edit("out/one.md", "Closing", "MINE")
    for item in ("one", "two"):
        _edit(scene, item)
    run = scene.apply(refresh=True)
    assert results(run) == {"one": "blocked", "two": "done"}
    error = _one(run).error
    assert "`out/one.md`" in error
    assert "`contentops diff one --remote`" in error
    assert scene.record("one").content_id in error
    assert "MINE" in scene.read("out/one.md")
    assert scene.api.contents[scene.record("one").content_id].body == THEIRS
    assert "Their words." in scene.read("out/two.md")


def test_the_same_words_on_both_sides_are_only_recorded(tmp_path: Path) -> None:
    """Whoever copied one over to the other by hand is asked nothing."""
    scene = _scene(tmp_path)
    head = scene.read("out/one.md").split("## Introduction")[0]
    scene.write("out/one.md", head + THEIRS)
    _edit(scene, "one")
    before = scene.bytes()["out/one.md"]
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert scene.bytes()["out/one.md"] == before
    assert scene.plan(refresh=True).empty
    assert scene.plan().empty


def test_a_file_that_is_gone_comes_back_as_it_was_edited_there(tmp_path: Path) -> None:
    """Deleted here, edited there: no earlier text takes the place of a person's."""
    scene = _scene(tmp_path)
    _edit(scene, "one", title="Theirs")
    (scene.root / "out/one.md").unlink()
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert "Their words." in scene.read("out/one.md")
    assert "title: Theirs" in scene.read("out/one.md")
    assert "item: one" in scene.read("out/one.md")
    assert scene.plan(refresh=True).empty


@pytest.mark.parametrize("habits", [{}, {"create_only": True, "auto_save": False}], ids=["", "creates only"])
def test_a_pull_goes_along_with_what_the_manifest_changed(tmp_path: Path, habits: dict[str, Any]) -> None:
    """A new id, another place, another title and tag, and their words: all of it in one apply, and saved once."""
    scene = _scene(tmp_path, "one", **habits)
    _edit(scene, "one")
    asked = "inputs: {topic: All about one in 2026, target_audience: readers}"
    metadata = "metadata: {title: Stated, tags: [tea]}"
    scene.write("content/blog.yaml", f"items: [{{id: uno, output: new/uno.md, {asked}, {metadata}}}]")
    (change,) = scene.plan(refresh=True).changes
    assert (change.action, change.names) == ("pull", ("move", "fetch", "write", "save"))
    assert results(scene.apply(refresh=True)) == {"uno": "done"}
    text = scene.read("new/uno.md")
    for words in ("title: Stated", "- tea", "item: uno", "Their words."):
        assert words in text
    stored = scene.api.contents[scene.record("uno").content_id]
    assert (stored.title, stored.body) == ("Stated", THEIRS)
    for plan in (scene.plan(refresh=True), scene.plan()):
        assert (plan.changes, plan.notes) == ((), ())


def test_a_content_without_a_title_keeps_that_of_the_file(tmp_path: Path) -> None:
    """A server that tells no title, or one whose person removed it, changes none here."""
    scene = _scene(tmp_path)
    before = scene.record("one").title
    _edit(scene, "one")
    scene.api.contents[scene.record("one").content_id].title = ""
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert f"title: {before}" in scene.read("out/one.md")
    assert scene.plan(refresh=True).empty
    assert scene.plan().empty


def test_an_emptied_content_is_no_text(tmp_path: Path) -> None:
    """Nothing in the file is replaced by nothing."""
    scene = _scene(tmp_path)
    _edit(scene, "one", " \n")
    plan = scene.plan(refresh=True)
    assert (plan.changes, [note.kind for note in plan.notes]) == ((), ["unreadable-there"])


def test_a_content_with_front_matter_of_its_own_is_pulled_without_it(tmp_path: Path) -> None:
    """What stands before the text there is none of the file's keys, and the plan says so."""
    scene = _scene(tmp_path)
    _edit(scene, "one", f"---\nlayout: theirs\n---\n{THEIRS}")
    assert [(note.kind, "`layout`" in note.message) for note in scene.plan(refresh=True).notes] == [
        ("front-matter-there", True)
    ]
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert "layout" not in scene.read("out/one.md")
    assert scene.read("out/one.md").count("\n---\n") == 1
    assert scene.plan(refresh=True).empty


def test_an_edit_there_is_replaced_by_choice_alone_and_a_copy_stays(tmp_path: Path) -> None:
    """The request changed: held back by default, else pulled for an answer, or generated over, as chosen."""
    scene = _scene(tmp_path, auto_save=False)
    _edit(scene, "one")
    scene.write("content/blog.yaml", blog("one", "two", year=2027))
    assert scene.actions(refresh=True) == {"one": "blocked", "two": "regenerate"}
    run = scene.apply(refresh=True, on_edit=OnEdit.OVERWRITE)
    assert results(run) == {"one": "done", "two": "done"}
    assert "in 2027" in scene.api.contents[scene.record("one").content_id].body
    assert "in 2027" in scene.read("out/one.md")
    assert scene.read(_one(run).copy) == THEIRS
    assert scene.plan(refresh=True).empty


def test_an_edit_there_answers_a_changed_request_by_choice(tmp_path: Path) -> None:
    """`keep`: the edited text comes into the file and answers the new request; nothing is paid for."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    scene.write("content/blog.yaml", blog("one", "two", year=2027))
    before = scene.api.credits
    assert results(scene.apply(refresh=True, select=("one",), on_edit=OnEdit.KEEP)) == {"one": "done"}
    assert scene.api.credits == before
    assert "Their words." in scene.read("out/one.md")
    assert scene.actions(refresh=True) == {"two": "regenerate"}


def test_an_edit_after_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    """What was chosen to be replaced is that text, and no other that has come since."""
    scene = _scene(tmp_path, auto_save=False)
    _edit(scene, "one")
    scene.write("content/blog.yaml", blog("one", "two", year=2027))

    def later(event: Event) -> None:
        if event.kind == "run-started":
            _edit(scene, "one", "Later words.\n")

    run = scene.apply(refresh=True, select=("one",), on_edit=OnEdit.OVERWRITE, emit=later)
    assert results(run) == {"one": "blocked"}
    assert "--refresh" in _one(run).hint
    assert scene.api.contents[scene.record("one").content_id].body == "Later words.\n"


def test_what_cannot_be_copied_is_not_saved_over(tmp_path: Path) -> None:
    """The cache lost the text that was looked at: it stays where it is, and the new one waits in the file."""
    scene = _scene(tmp_path, auto_save=False)
    _edit(scene, "one")
    scene.write("content/blog.yaml", blog("one", "two", year=2027))

    def lost(event: Event) -> None:
        if event.kind == "run-started":
            with contextlib.closing(sqlite3.connect(tmp_path / ".contentops/cache/cache.db")) as cache, cache:
                cache.execute("DELETE FROM Cache WHERE key LIKE 'body %'")

    run = scene.apply(refresh=True, select=("one",), on_edit=OnEdit.OVERWRITE, emit=lost)
    assert results(run) == {"one": "blocked"}
    assert scene.api.contents[scene.record("one").content_id].body == THEIRS
    paid = scene.api.credits
    run = scene.apply(refresh=True, select=("one",), on_edit=OnEdit.OVERWRITE)
    assert (results(run), scene.api.credits) == ({"one": "done"}, paid)
    assert scene.read(_one(run).copy) == THEIRS


def test_without_a_refresh_a_save_still_sees_it(tmp_path: Path) -> None:
    """An apply that did not look first overwrites nothing, and says what to do."""
    scene = _scene(tmp_path)
    scene.edit("out/one.md", "Closing", "MINE")
    _edit(scene, "one")
    run = scene.apply()
    assert results(run) == {"one": "blocked"}
    assert "`contentops plan --refresh`" in _one(run).hint
    assert scene.api.contents[scene.record("one").content_id].body == THEIRS


def test_what_a_save_has_seen_a_refresh_knows(tmp_path: Path) -> None:
    """Once a save was blocked by an edit, it is known without another fetch, and pulled."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    before = scene.read("out/one.md")
    scene.edit("out/one.md", "Closing", "MINE")
    assert results(scene.apply()) == {"one": "blocked"}
    assert scene.plan(refresh=True).changes[0].blocked == "edit-conflict"
    scene.write("out/one.md", before)
    assert _asked(scene) == (1, 0)
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert "Their words." in scene.read("out/one.md")
    assert scene.plan(refresh=True).empty


def test_what_was_seen_before_a_save_is_no_edit_after_it(tmp_path: Path) -> None:
    """Where the times of a server are whole seconds, the save may have the very time of the edit that it took in."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    content = scene.api.contents[scene.record("one").content_id]
    at = content.updated
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    scene.edit("out/one.md", "Their words", "MINE, and their words")
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    scene.api.contents[content.id].updated = at
    assert scene.plan(refresh=True).empty


def test_an_edit_a_moment_after_the_one_that_was_pulled_is_seen(tmp_path: Path) -> None:
    """An editor that saves by itself does so every second: times of one clock are compared exactly."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    at = scene.api.contents[scene.record("one").content_id].updated
    scene.apply(refresh=True)
    assert scene.plan(refresh=True).empty
    _edit(scene, "one", "Their words, and more.\n")
    scene.api.contents[scene.record("one").content_id].updated = at + 0.5
    assert scene.actions(refresh=True) == {"one": "pull"}


def test_a_plan_file_says_that_it_was_refreshed(tmp_path: Path) -> None:
    """What was reviewed is what is pulled; a text that was edited again since is refused by name."""
    scene = _scene(tmp_path)
    _edit(scene, "one")
    plan = review(scene, refresh=True)
    assert plan["changes"][0]["remote"] == body_digest(THEIRS)
    _edit(scene, "one", "Later words.\n")
    with pytest.raises(Refused, match="has changed since"):
        apply_file(scene, plan)
    plan = review(scene, refresh=True)
    assert results(apply_file(scene, plan)) == {"one": "done"}
    assert "Later words." in scene.read("out/one.md")
    with pytest.raises(Refused, match="already applied"):
        apply_file(scene, plan)


# --- stops -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["as written", "gone"])
def test_a_stop_at_every_step_of_a_pull_ends_like_a_run_that_was_not_stopped(root: Path, file: str) -> None:
    """Pulled and moved, saved as new, and left alone: the same files and contents, and nothing is paid for."""
    scene = _scene(root / "undisturbed", "one", "two", "three")
    asked = "{topic: All about one in 2026, target_audience: readers}"
    rest = blog("two", "three").removeprefix("items:\n")
    scene.write("content/blog.yaml", f"items:\n  - {{id: one, output: new/one.md, inputs: {asked}}}\n{rest}")
    _edit(scene, "one", title="Theirs")
    del scene.api.contents[scene.record("two").content_id]
    if file == "gone":
        (scene.root / "out/one.md").unlink()
    spent = scene.api.credits
    stops = witnessed(scene, root, lambda: scene.apply(refresh=True))
    expected = scene.tree("out", "new")
    assert "Their words." in expected["new/one.md"]
    assert len(stops) > 5
    for where, stop in stops.items():
        for _ in range(2):
            stop.apply(refresh=True)
        assert stop.tree("out", "new") == expected, where
        assert stop.api.credits == spent, where
        assert len(stop.api.contents) == 3, where
        assert stop.plan(refresh=True).empty, (where, stop.plan(refresh=True).changes)
        assert stop.record("one").saved == scene.record("one").saved, where


@pytest.mark.parametrize("choice", [OnEdit.KEEP, OnEdit.OVERWRITE])
@pytest.mark.parametrize(
    "habits", [{"auto_save": False}, {"auto_save": False, "create_only": True}], ids=["", "creates"]
)
def test_a_stop_at_every_step_of_what_was_chosen(root: Path, choice: OnEdit, habits: dict[str, Any]) -> None:
    """The request changed under an edit made there: the same end, the same charges, and no word of theirs is lost."""
    scene = _scene(root / "undisturbed", "one", **habits)
    _edit(scene, "one")
    scene.write("content/blog.yaml", blog("one", year=2027))
    stops = witnessed(scene, root, lambda: scene.apply(refresh=True, on_edit=choice))
    expected = _words(scene)
    assert ("Their words." in expected) == (choice is OnEdit.KEEP)
    assert len(stops) > 5
    for where, stop in stops.items():
        for _ in range(2):
            stop.apply(refresh=True, on_edit=choice)
        assert _words(stop) == expected, where
        assert stop.api.credits == scene.api.credits, where
        assert stop.plan(refresh=True).empty, (where, stop.plan(refresh=True).changes)
        kept = [path.read_text("utf-8") for path in stop.root.rglob("one.md")]
        assert any("Their words." in text for text in kept), where


def _words(scene: Scene) -> str:
    """The file without what depends on the time of day."""
    return re.sub(r"generated_at: .*", "", scene.read("out/one.md"))


# --- the embedded server ---------------------------------------------------------------------------------------


def test_an_edit_by_another_client_of_the_embedded_server_comes_home(project: Build, invoke: Invoke) -> None:
    """Generated, edited there by someone else, planned, pulled, and planned again: nothing is left."""
    root = project({"contentops.yaml": LOCAL, "content/a.yaml": blog("one", "two")})
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert invoke("plan", "--refresh", "--detailed-exitcode", cwd=root).code == 0
    settings = opening.open_project(str(root), "", ())
    content_id = opening.read_state(settings).records[ItemId("one")].content_id
    _other_client(settings, PutContent(content_id, "Their title", THEIRS))
    planned = invoke("plan", "--refresh", "--detailed-exitcode", "--out", "plan.json", cwd=root)
    assert (planned.code, "1 to pull" in planned.stdout) == (2, True)
    assert "edited there" in invoke("status", "--refresh", cwd=root).stdout
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 2
    assert invoke("plan", "--check", "plan.json", cwd=root).code == 0
    assert invoke("apply", "plan.json", cwd=root).code == 0
    text = (root / "out/one.md").read_text("utf-8")
    assert ("Their words." in text, "title: Their title" in text) == (True, True)
    for flags in ((), ("--refresh",)):
        assert invoke("plan", "--detailed-exitcode", *flags, cwd=root).code == 0
    _other_client(settings, DeleteContent(content_id))
    assert "deleted there" in invoke("plan", "--refresh", cwd=root).stdout
    assert invoke("apply", "--yes", "--refresh", cwd=root).code == 0
    assert opening.read_state(settings).records[ItemId("one")].content_id not in ("", content_id)
    assert invoke("plan", "--refresh", "--detailed-exitcode", cwd=root).code == 0


def test_an_edit_of_a_content_whose_record_was_lost_comes_home(project: Build, invoke: Invoke) -> None:
    """The apply that finds the edit is blocked, and records whose content it is: the command of its hint shows a pull."""
    root = project({"contentops.yaml": LOCAL, "content/a.yaml": blog("one", "two")})
    assert invoke("apply", "--yes", cwd=root).code == 0
    settings = opening.open_project(str(root), "", ())
    content_id = opening.read_state(settings).records[ItemId("one")].content_id
    lines = (root / "contentops.lock").read_text("utf-8").splitlines(keepends=True)
    (root / "contentops.lock").write_text("".join(line for line in lines if '"id":"one"' not in line), "utf-8")
    _other_client(settings, PutContent(content_id, "Their title", THEIRS))
    blocked = invoke("apply", "--yes", cwd=root)
    assert f"content `{content_id}` was edited in WriterzRoom" in blocked.stdout + blocked.stderr
    assert "`contentops plan --refresh` what becomes of it" in " ".join((blocked.stdout + blocked.stderr).split())
    assert "1 to pull" in invoke("plan", "--refresh", cwd=root).stdout
    assert invoke("apply", "--yes", "--refresh", cwd=root).code == 0
    assert "Their words." in (root / "out/one.md").read_text("utf-8")
    assert invoke("plan", "--refresh", "--detailed-exitcode", cwd=root).code == 0


@pytest.mark.parametrize("edited", [True, False], ids=["edited there", "saved by a clone"])
@pytest.mark.parametrize("auto_save", [True, False])
def test_words_that_only_the_server_has_outlive_record_and_file(
    tmp_path: Path, *, auto_save: bool, edited: bool
) -> None:
    """The text that was saved last is a person's: it is pulled, and the text of the job is not saved over it."""
    scene = _scene(tmp_path, "one", auto_save=auto_save)
    scene.edit("out/one.md", "Closing", "Their words.")
    scene.apply()
    content_id, paid = scene.record("one").content_id, scene.api.credits
    (tmp_path / "out/one.md").unlink()
    lines = scene.read("contentops.lock").splitlines(keepends=True)
    scene.write("contentops.lock", "".join(line for line in lines if '"id":"one"' not in line))
    if edited:
        scene.timeline.now += 100
        scene.api.edit(content_id, THEIRS)
    assert results(scene.apply()) == {"one": "blocked"}
    assert scene.actions(refresh=True) == {"one": "pull"}
    assert results(scene.apply()) == {"one": "done"}
    assert "Their words." in scene.read("out/one.md")
    assert "Their words." in scene.api.contents[content_id].body
    assert scene.plan(refresh=True).empty
    assert (list(scene.api.contents), scene.api.credits) == ([content_id], paid)


def _other_client(settings: Project, call: PutContent | DeleteContent) -> None:
    async def send() -> None:
        async with connection.connected(settings, connection.Credentials(), opening.Runtime()) as client:
            assert not isinstance(await client.send(call), Failure)

    asyncio.run(send())
