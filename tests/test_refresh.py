"""`--refresh` finds what was edited or deleted in WriterzRoom, and `pull` brings edits into the files, on request alone."""

import asyncio
import contextlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from contentops.api.calls import DeleteContent, Failure, PutContent
from contentops.documents.clean import body_digest
from contentops.errors import ApiError, Refused
from contentops.model import Event, ItemId, OnEdit, Outcome, Project, Run
from contentops.operations import connection, opening
from tests.fakes.api import FakeApi, Fault, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill
from tests.reviewing import apply_file, review
from tests.running import Build
from tests.running import Run as Invoke

LOCAL = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
THEIRS = "## Introduction\n\nTheir words.\n"


def _harness(tmp_path: Path, *ids: str, **habits: Any) -> Harness:
    harness = Harness(tmp_path, FakeApi(duration=30, **habits)).declared(*(ids or ("one", "two")))
    harness.apply()
    assert harness.plan().empty
    return harness


def _edit(harness: Harness, item: str = "one", body: str = THEIRS, **given: Any) -> None:
    harness.api.edit(harness.record(item).content_id, body, **given)


def _asked(harness: Harness, **choice: Any) -> tuple[int, int]:
    """Lists and fetches that a plan with a refresh asks for."""
    before = harness.api.count("list content"), harness.api.count("get content")
    harness.plan(refresh=True, **choice)
    return harness.api.count("list content") - before[0], harness.api.count("get content") - before[1]


def _drift(harness: Harness, **choice: Any) -> list[str]:
    """The items whose edit in WriterzRoom a plan with a refresh notes, and which it leaves alone."""
    plan = harness.plan(refresh=True, **choice)
    noted = [note.id for note in plan.notes if note.kind == "edited-on-server"]
    assert not {change.id for change in plan.changes} & {*noted}
    return [str(id_) for id_ in noted]


def test_an_edit_there_is_a_note_and_nothing_else(tmp_path: Path) -> None:
    """It is found by one list and one fetch; an apply with `--refresh` changes neither the file nor the server."""
    harness = _harness(tmp_path)
    _edit(harness, "one", title="Their title")
    before = harness.bytes()
    assert harness.plan().empty
    assert _asked(harness) == (1, 1)
    assert _asked(harness) == (1, 0)
    (note,) = harness.plan(refresh=True).notes
    assert (note.kind, note.id) == ("edited-on-server", "one")
    assert "`contentops pull one`" in note.hint
    assert harness.plan(refresh=True).empty
    harness.apply(refresh=True)
    assert (harness.bytes(), harness.api.contents[harness.record("one").content_id].body) == (before, THEIRS)
    # `on_edit` of a manifest is about new texts: a file that no one changed is not saved over an edit.
    harness.write("content/blog.yaml", f"defaults: {{on_edit: overwrite}}\n{blog('one', 'two')}")
    harness.apply(refresh=True)
    assert (harness.api.contents[harness.record("one").content_id].body, _drift(harness)) == (THEIRS, ["one"])


def _one(run: Run | None, item: str = "one") -> Outcome:
    assert run is not None
    (found,) = [outcome for outcome in run.outcomes if outcome.id == item]
    return found


@pytest.mark.parametrize("later", [0.5, -7200.0], ids=["half a second", "two hours behind"])
@pytest.mark.parametrize("habits", [{}, {"auto_save": False}, {"auto_save": False, "create_only": True}], ids=str)
@pytest.mark.parametrize("pulled", [False, True], ids=["", "after a pull"])
def test_an_edit_is_seen_whatever_the_clocks_say(
    tmp_path: Path, habits: dict[str, Any], later: float, *, pulled: bool
) -> None:
    """The server's own stamps are compared exactly: no clock of this machine says what was edited."""
    harness = _harness(tmp_path, **habits)
    if pulled:
        _edit(harness, body="Earlier words.\n")
        harness.pull()
    elif habits:
        harness.edit("out/one.md", "Closing", "MINE")
        harness.apply()
    content = harness.api.contents[harness.record("one").content_id]
    saved = content.updated
    assert (_asked(harness), _drift(harness)) == ((1, 0), [])
    _edit(harness, "one")
    content.updated = saved + later
    assert _drift(harness) == ["one"]


def test_a_content_that_is_deleted_is_asked_for_once(tmp_path: Path) -> None:
    """The list does not show it, and only a 404 proves it: then it is saved as new, once, and known from then on."""
    harness = _harness(tmp_path)
    before = harness.record("one").content_id
    del harness.api.contents[before]
    assert (harness.plan().empty, _asked(harness), _asked(harness)) == (True, (1, 1), (1, 0))
    (change,) = harness.plan(refresh=True).changes
    assert (change.id, change.action, change.names) == ("one", "save", ("save",))
    assert [reason.kind for reason in change.reasons] == ["deleted-there"]
    assert results(harness.apply(refresh=True)) == {"one": "done"}
    assert harness.record("one").content_id not in ("", before)
    assert (len(harness.api.contents), harness.plan(refresh=True).empty) == (2, True)


def test_nothing_is_planned_where_the_server_cannot_be_asked(tmp_path: Path) -> None:
    """No key, no answer, a key that is refused, a server that falls silent at the second request: an error each."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    before = harness.bytes()
    trouble: list[tuple[str, Fault]] = [("list content", "refuse"), ("list content", 401), ("get content", 503)]
    for name, what in trouble:
        harness.api.fault(on(name), what)
        for act in (harness.plan, harness.apply):
            with pytest.raises(ApiError):
                act(refresh=True)
        harness.api.heal()
    assert (harness.bytes(), _drift(harness)) == (before, ["one"])


@pytest.mark.parametrize("what", [403, "html", 422, 500])
def test_one_content_that_cannot_be_read_is_a_note_and_the_others_go_on(tmp_path: Path, what: Any) -> None:
    """Another owner's, or a reply that is none: the item is left alone, and is blocked where it would be saved."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    _edit(harness, "two")
    harness.api.broken[harness.record("one").content_id] = what
    plan = harness.plan(refresh=True)
    assert plan.empty
    assert [(note.kind, note.id) for note in plan.notes] == [("unreadable-there", "one"), ("edited-on-server", "two")]
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    plan = harness.plan(refresh=True)
    assert {change.id: change.blocked for change in plan.changes} == {
        "one": "unreadable-there",
        "two": "edited-on-server",
    }
    assert plan.credits == 0


def test_a_file_that_is_gone_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Deleted here, edited there: the file is restored, the edit stays, and `pull` brings it then."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    before = harness.read("out/one.md")
    (harness.root / "out/one.md").unlink()
    assert [one.refused for one in harness.pull()] == ["`out/one.md` is gone: `contentops apply` restores it first"]
    assert (results(harness.apply(refresh=True)), harness.read("out/one.md")) == ({"one": "done"}, before)
    assert (_drift(harness), [one.refused for one in harness.pull()]) == (["one"], [""])
    assert "Their words." in harness.read("out/one.md")


@pytest.mark.parametrize("edited", [False, True], ids=["as generated", "edited too"])
def test_keep_records_a_changed_request_and_leaves_both_sides(tmp_path: Path, *, edited: bool) -> None:
    """Nothing is paid for, written or saved; what was edited there is still a note, or blocks the save of the file."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    if edited:
        harness.edit("out/one.md", "Closing", "MINE")
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    before, paid = harness.read("out/one.md"), harness.api.credits
    (note,) = harness.plan(refresh=True, select=("one",), on_edit=OnEdit.KEEP).notes
    assert ("blocks the next save" in note.hint, "leaves both" in note.hint) == (edited, not edited)
    assert results(harness.apply(refresh=True, select=("one",), on_edit=OnEdit.KEEP)) == {"one": "done"}
    assert (harness.read("out/one.md"), harness.api.credits) == (before, paid)
    assert harness.api.contents[harness.record("one").content_id].body == THEIRS
    assert harness.actions(refresh=True) == {"two": "regenerate", **({"one": "blocked"} if edited else {})}


@pytest.mark.parametrize("lost", [False, True], ids=["edited again", "not in the cache"])
def test_what_was_not_looked_at_or_cannot_be_copied_is_not_saved_over(tmp_path: Path, *, lost: bool) -> None:
    """Later words, or words that the cache has lost: they stay where they are, and the new text waits in the file."""
    harness = _harness(tmp_path, auto_save=False)
    _edit(harness, "one")
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    theirs = THEIRS if lost else "Later words.\n"

    def meanwhile(event: Event) -> None:
        if event.kind == "run-started" and not lost:
            _edit(harness, "one", theirs)
        elif event.kind == "run-started":
            with contextlib.closing(sqlite3.connect(tmp_path / ".contentops/cache/cache.db")) as cache, cache:
                cache.execute("DELETE FROM Cache WHERE key LIKE 'body %'")

    choice: dict[str, Any] = {"refresh": True, "select": ("one",), "on_edit": OnEdit.OVERWRITE}
    run = harness.apply(emit=meanwhile, **choice)
    assert (results(run), "--refresh" in _one(run).hint) == ({"one": "blocked"}, True)
    assert harness.api.contents[harness.record("one").content_id].body == theirs
    paid = harness.api.credits
    run = harness.apply(**choice)
    assert (results(run), harness.api.credits) == ({"one": "done"}, paid)
    assert harness.read(_one(run).copy) == theirs


def test_what_was_seen_before_a_save_is_no_edit_after_it(tmp_path: Path) -> None:
    """Where the times of a server are whole seconds, the save may have the very time of the edit that it took in."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    content = harness.api.contents[harness.record("one").content_id]
    at = content.updated
    harness.pull()
    harness.edit("out/one.md", "Their words", "MINE, and their words")
    assert results(harness.apply(refresh=True)) == {"one": "done"}
    harness.api.contents[content.id].updated = at
    assert harness.plan(refresh=True).empty


def test_a_plan_file_names_the_edit_that_it_replaces(tmp_path: Path) -> None:
    """What was reviewed is replaced for nothing, and a copy stays; a text that was edited again is refused by name."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    plan = review(harness, refresh=True, on_edit=OnEdit.OVERWRITE)
    assert plan["changes"][0]["remote"] == body_digest(THEIRS)
    _edit(harness, "one", "Later words.\n")
    with pytest.raises(Refused, match="has changed since"):
        apply_file(harness, plan)
    plan, before, paid = review(harness, refresh=True, on_edit=OnEdit.OVERWRITE), harness.bytes(), harness.api.credits
    run = apply_file(harness, plan)
    assert (results(run), harness.read(_one(run).copy)) == ({"one": "done"}, "Later words.\n")
    assert harness.api.contents[harness.record("one").content_id].body in harness.read("out/one.md")
    assert (harness.bytes()["out/one.md"], harness.api.credits, _drift(harness)) == (before["out/one.md"], paid, [])


@pytest.mark.parametrize("year", [2026, 2027], ids=["same request", "changed request"])
@pytest.mark.parametrize(
    "habits", [{"auto_save": False}, {"auto_save": False, "create_only": True}], ids=["", "creates"]
)
def test_a_stop_at_every_step_of_an_overwrite(
    root: Path, year: int, habits: dict[str, Any], each_kill: EachKill
) -> None:
    """The same end, the same charges, and a copy of their words stays."""
    harness = _harness(root / "undisturbed", "one", **habits)
    _edit(harness, "one")
    harness.write("content/blog.yaml", blog("one", year=year))
    choice = OnEdit.OVERWRITE
    stops = each_kill(harness, root, lambda: harness.apply(refresh=True, on_edit=choice))
    expected = _words(harness)
    assert len(stops) > 5
    for where, stop in stops.items():
        left = stop.settle(refresh=True, on_edit=choice)
        assert left.empty, (where, left.changes)
        assert _words(stop) == expected, where
        assert stop.api.credits == harness.api.credits, where
        kept = [path.read_text("utf-8") for path in stop.root.rglob("one.md")]
        assert any("Their words." in text for text in kept), where


def _words(harness: Harness) -> str:
    """The file without what depends on the time of day."""
    return re.sub(r"generated_at: .*", "", harness.read("out/one.md"))


def test_an_edit_by_another_client_of_the_embedded_server_comes_home(project: Build, invoke: Invoke) -> None:
    """Generated, edited there by someone else, noted, pulled, and planned again: nothing is left."""
    root = project({"contentops.yaml": LOCAL, "content/a.yaml": blog("one", "two")})
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert invoke("pull", cwd=root).stdout == "Nothing was edited in WriterzRoom.\n"
    settings = opening.open_project(str(root), "", ())
    content_id = opening.read_state(settings).records[ItemId("one")].content_id
    _other_client(settings, PutContent(content_id, "Their title", THEIRS))
    planned = invoke("plan", "--refresh", "--detailed-exitcode", cwd=root)
    assert (planned.code, "`contentops pull one`" in planned.stdout) == (0, True)
    assert "edited there" in invoke("status", "--refresh", cwd=root).stdout
    assert invoke("pull", "nine", cwd=root).code == 64
    assert invoke("pull", "two", cwd=root).stdout == "Nothing was edited in WriterzRoom.\n"
    pulled = invoke("pull", "one", cwd=root)
    assert (pulled.code, "1 pulled, 0 left alone." in pulled.stdout) == (0, True)
    text = (root / "out/one.md").read_text("utf-8")
    assert ("Their words." in text, "title: Their title" in text) == (True, True)
    for flags in ((), ("--refresh",)):
        assert invoke("plan", "--detailed-exitcode", *flags, cwd=root).code == 0
    assert "edited" in invoke("status", "--select", "state:edited", cwd=root).stdout
    _other_client(settings, PutContent(content_id, "Their title", "Again.\n"))
    (root / "out/one.md").write_text(text.replace("Their words.", "Mine."), "utf-8")
    left = invoke("pull", "--json", cwd=root)
    assert (left.code, [one["id"] for one in json.loads(left.stdout)["items"] if one["refused"]]) == (4, ["one"])
    assert "Mine." in (root / "out/one.md").read_text("utf-8")
    _other_client(settings, DeleteContent(content_id))
    assert "deleted there" in invoke("plan", "--refresh", cwd=root).stdout
    assert invoke("apply", "--yes", "--refresh", cwd=root).code == 0
    assert opening.read_state(settings).records[ItemId("one")].content_id not in ("", content_id)
    assert invoke("plan", "--refresh", "--detailed-exitcode", cwd=root).code == 0


@pytest.mark.parametrize("edited", [True, False], ids=["edited there", "saved by a clone"])
@pytest.mark.parametrize("auto_save", [True, False])
def test_words_that_only_the_server_has_outlive_record_and_file(
    tmp_path: Path, *, auto_save: bool, edited: bool
) -> None:
    """The text that was saved last is a person's: the text of the job is not saved over it, and `pull` brings it."""
    harness = _harness(tmp_path, "one", auto_save=auto_save)
    harness.edit("out/one.md", "Closing", "Their words.")
    harness.apply()
    content_id, paid = harness.record("one").content_id, harness.api.credits
    (tmp_path / "out/one.md").unlink()
    lines = harness.read("contentops.lock").splitlines(keepends=True)
    harness.write("contentops.lock", "".join(line for line in lines if '"id":"one"' not in line))
    if edited:
        harness.timeline.now += 100
        harness.api.edit(content_id, THEIRS)
    assert (results(harness.apply()), [one.refused for one in harness.pull()]) == ({"one": "blocked"}, [""])
    assert "Their words." in harness.read("out/one.md")
    assert "Their words." in harness.api.contents[content_id].body
    assert harness.plan(refresh=True).empty
    assert (list(harness.api.contents), harness.api.credits) == ([content_id], paid)


def _other_client(settings: Project, call: PutContent | DeleteContent) -> None:
    async def send() -> None:
        async with connection.connected(settings, connection.Credentials(), opening.Runtime()) as client:
            assert not isinstance(await client.send(call), Failure)

    asyncio.run(send())


# --- pull ------------------------------------------------------------------------------------------------


def _pulled(harness: Harness, *items: str) -> dict[str, bool]:
    """Pull; which items have the words now."""
    return {one.id: not one.refused for one in harness.pull(*items)}


def _is_done(harness: Harness) -> bool:
    """Whether nothing is left: no change and no note, with and without a refresh, and an apply changes nothing."""
    before = harness.bytes()
    plans = harness.plan(), harness.plan(refresh=True)
    harness.apply()
    return all(plan.empty and not plan.notes for plan in plans) and harness.bytes() == before


def test_pulled_words_are_a_persons_and_saved(tmp_path: Path) -> None:
    """Body and title come into the file, nothing is saved again, and a changed request does not replace them."""
    harness = _harness(tmp_path, "one", "two")
    generated, saves = harness.record("one").generated, harness.api.count("save")
    _edit(harness, title="Their title")
    assert _pulled(harness) == {"one": True}
    assert "Their words." in harness.read("out/one.md")
    assert "title: Their title" in harness.read("out/one.md")
    assert "item: one" in harness.read("out/one.md")
    record = harness.record("one")
    assert record.saved is not None
    assert (record.generated, record.saved.body) == (generated, body_digest(THEIRS))
    assert _is_done(harness)
    assert (_pulled(harness), harness.api.count("save"), harness.api.credits) == ({}, saves, 8)
    harness.write("content/blog.yaml", blog("one", "two", year=2027))
    assert harness.actions()["one"] == "blocked"


def test_a_file_that_was_changed_too_is_left_alone_by_name(tmp_path: Path) -> None:
    """A body, a title, and a text that was generated and not saved; the other items go on."""
    harness = _harness(tmp_path, "one", "two", "three")
    harness.edit("out/one.md", "Closing", "MINE")
    harness.edit("out/two.md", "title: ", "title: My ")
    before = harness.tree("out")
    for item in ("one", "two", "three"):
        _edit(harness, item)
    done = {str(one.id): one.refused for one in harness.pull()}
    assert [bool(done[item]) for item in ("one", "two", "three")] == [True, True, False]
    assert "`out/one.md` was changed too" in done["one"]
    assert "`contentops diff one --remote`" in done["one"]
    assert {path: text for path, text in harness.tree("out").items() if "three" not in path} == {
        path: text for path, text in before.items() if "three" not in path
    }
    run = harness.apply(refresh=True)
    assert results(run) == {"one": "blocked", "two": "blocked"}
    content = harness.record("one").content_id
    said = ("`out/one.md`", "`contentops diff one --remote`", content)
    assert [words for words in said if words not in _one(run).error] == []
    assert (harness.api.contents[content].body, "MINE" in harness.read("out/one.md")) == (THEIRS, True)


def test_words_that_were_saved_before_are_kept_as_a_copy(tmp_path: Path) -> None:
    """They are a person's, and in no job."""
    harness = _harness(tmp_path, "one")
    harness.edit("out/one.md", "Closing", "MINE")
    harness.apply()
    mine = harness.read("out/one.md")
    _edit(harness)
    (one,) = harness.pull()
    assert harness.read(one.copy) == mine
    assert _is_done(harness)


@pytest.mark.parametrize("template", [True, False], ids=["", "adopted"])
def test_protection_keeps_a_generated_text(tmp_path: Path, *, template: bool) -> None:
    """Until `protected: false` is applied; an adopted file is protected from generations alone."""
    manifest = blog("one").replace("    inputs", "    protected: true\n    inputs")
    harness = _harness(tmp_path, "one")
    if template:
        harness.write("content/blog.yaml", manifest)
    else:
        harness.write("content/blog.yaml", "items:\n  - {id: one, protected: true, template: null, style: null}\n")
    harness.apply()
    _edit(harness)
    before = harness.read("out/one.md")
    assert _pulled(harness) == {"one": not template}
    assert (harness.read("out/one.md") == before) is template
    if template:
        harness.write("content/blog.yaml", blog("one").replace("    inputs", "    protected: false\n    inputs"))
        harness.apply()
        assert _pulled(harness) == {"one": True}


HOSTILE = "---\ntitle: Theirs\ncontentops: {item: two}\nevil: true\n---\n\n## A\x1b[31m\n\n<<<<<<< a\n---\nTheirs.\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["", "windows"])
@pytest.mark.parametrize("body", [THEIRS, HOSTILE], ids=["", "hostile"])
def test_a_file_keeps_its_line_endings_and_front_matter(tmp_path: Path, newline: str, body: str) -> None:
    """Front matter that came with the text is left out, and a note says so; control characters are removed."""
    harness = _harness(tmp_path, "one")
    path = harness.root / "out/one.md"
    path.write_bytes(path.read_bytes().replace(b"\n", newline.encode()))
    head = path.read_bytes().split(f"{newline}---{newline}".encode())[0]
    _edit(harness, body=body)
    noted = {note.kind for note in harness.plan(refresh=True).notes}
    assert noted == {"edited-on-server"} | ({"front-matter-there"} if body == HOSTILE else set())
    assert _pulled(harness) == {"one": True}
    text = path.read_bytes()
    assert text.startswith(head)
    assert text.count(b"\r\n") == (text.count(b"\n") if newline == "\r\n" else 0)
    assert b"Their" in text
    assert b"evil" not in text
    assert b"\x1b" not in text
    assert harness.plan(refresh=True).empty


@pytest.mark.parametrize("words", ["generated", "a person's"])
def test_a_stop_at_every_step_of_a_pull_ends_like_one_that_was_not_stopped(
    root: Path, words: str, each_kill: EachKill
) -> None:
    """Pulled again: the same files, records and contents, nothing is paid for, and no words are lost."""
    harness = _harness(root / "undisturbed", "one", "two")
    if words != "generated":
        harness.edit("out/one.md", "Closing", "MINE")
        harness.apply()
    _edit(harness, "one", title="Theirs")
    _edit(harness, "two")
    spent, saves = harness.api.credits, harness.api.count("save")
    stops = each_kill(harness, root, harness.pull)
    expected = harness.tree("out")
    assert len(stops) > 5
    for where, stop in stops.items():
        assert all(_pulled(stop).values()), where
        assert stop.tree("out") == expected, where
        assert _is_done(stop), where
        assert (stop.api.credits, stop.api.count("save")) == (spent, saves), where
        for item in ("one", "two"):
            saved, wanted = stop.record(item).saved, harness.record(item).saved
            assert saved == wanted, where
        if words != "generated":
            assert any("MINE" in path.read_text("utf-8") for path in stop.root.rglob("replaced/**/*.md")), where


def test_a_stop_of_a_pull_may_be_followed_by_an_apply(root: Path, each_kill: EachKill) -> None:
    """The apply records what was written, and neither saves nor pays."""
    harness = _harness(root / "undisturbed", "one")
    _edit(harness, title="Theirs")
    saves = harness.api.count("save")
    for where, stop in each_kill(harness, root, harness.pull).items():
        run = stop.apply()
        assert run is None or results(run) == {"one": "done"}, where
        assert (stop.api.count("save"), stop.api.credits) == (saves, harness.api.credits), where
        stop.pull()
        assert stop.tree("out") == harness.tree("out"), where
        assert _is_done(stop), where
