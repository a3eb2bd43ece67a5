"""What a person wrote goes only where it was said to go, the plan says so, and a stop on the way changes nothing."""

from __future__ import annotations

import contextlib
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from contentops.digest import digest_bytes
from contentops.documents.clean import body_digest
from contentops.model import Action, JobState, OnEdit
from contentops.planning.plan import make_plan
from contentops.reporting.run import run_text
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, results
from tests.fakes.kills import state_after_each_kill
from tests.fakes.sides import a_file, a_finished, a_record, a_situation, a_spec, an_entry, only_change, plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Change
    from tests.running import Build, Run

HAND = "By hand.\n"
REPLACED = "`out/a.md` was edited by hand, and that text is replaced"


def _told(change: Change) -> list[str]:
    return [reason.detail for reason in change.reasons if reason.kind == "edited"]


# --- what the plan says ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, *JobState], ids=str)
def test_an_overwrite_says_what_goes(state: JobState | None) -> None:
    """Whether it is submitted, finished or looked up."""
    spec = a_spec(topic="new")
    record, file = a_record(a_spec()), a_file(spec.output, body=HAND)
    entries = [an_entry(spec, state)] if state is not None else []
    change = only_change([spec], [record], [file], entries=entries, on_edit=OnEdit.OVERWRITE)
    assert "write" in change.names
    assert _told(change) == [REPLACED]


def test_a_stored_text_in_place_of_an_edit_says_so() -> None:
    """It costs nothing, and the words go all the same."""
    spec = a_spec(topic="new")
    jobs = [a_finished(spec)]
    file = a_file(spec.output, body=HAND)
    change = only_change([spec], [a_record(a_spec())], [file], jobs=jobs, on_edit=OnEdit.OVERWRITE)
    assert (change.action, _told(change)) == (Action.FINISH, [REPLACED])


def test_overwritten_items_are_selected_as_edited() -> None:
    """As the reference of selectors says."""
    edited, plain = a_spec(topic="new"), a_spec("b", topic="newer")
    records = [a_record(a_spec()), a_record(a_spec("b"))]
    files = [a_file(edited.output, body=HAND), a_file(plain.output)]
    plan = plan_of([edited, plain], records, files, on_edit=OnEdit.OVERWRITE, select=("state:edited",))
    assert [(change.id, change.action) for change in plan.changes] == [("a", Action.OVERWRITE)]


@pytest.mark.parametrize("file", [a_file("out/a.md"), None], ids=["as generated", "gone"])
def test_nothing_is_said_where_nothing_goes(file: object) -> None:
    """An unedited file, or none."""
    spec = a_spec(topic="new")
    files = [a_file("out/a.md")] if file else []
    assert _told(only_change([spec], [a_record(a_spec())], files, on_edit=OnEdit.OVERWRITE)) == []


# --- a replacement that was cut short ----------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAID, JobState.SUBMITTING])
def test_a_replacement_of_an_edited_file_is_finished_by_the_same_command(state: JobState) -> None:
    """It was asked for whatever the file holds; without the flag it waits for a person's word."""
    spec = a_spec()
    record, file, entry = a_record(spec), a_file(spec.output, body=HAND), an_entry(spec, state, attempt=2)
    again = only_change([spec], [record], [file], entries=[entry], replace=("a",))
    assert again.action in (Action.FINISH, Action.RESOLVE)
    assert (again.attempt, _told(again)) == (2, [REPLACED])
    held = only_change([spec], [record], [file], entries=[entry])
    assert (held.action, held.blocked) == (Action.BLOCKED, "edited")
    assert "`--replace a` replaces it by the text being generated, `--on-edit keep` keeps the file" in held.hint


def test_a_section_under_way_is_finished_over_a_saved_edit() -> None:
    """The rest of the file is what the server has, so nothing of it goes."""
    spec = a_spec()
    made, edited = "## One\n\na\n\n## Two\n\nb\n", "## One\n\nMINE\n\n## Two\n\nb\n"
    file, entry = a_file(spec.output, body=edited), an_entry(spec, attempt=2, section="Two")
    sides = a_situation([spec], [a_record(spec, body=made, saved=edited)], [file], entries=[entry])
    texts = {body_digest(text): text for text in (made, edited)}
    sides = structs.replace(sides, text=texts.get, read=lambda _: edited)
    (change,) = make_plan(sides).changes
    assert (change.action, change.section, change.attempt) == (Action.FINISH, "Two", 2)
    assert _told(change) == []
    other = structs.replace(entry, section="One")
    held = make_plan(structs.replace(sides, state=structs.replace(sides.state, entries={other.request_id: other})))
    assert [change.blocked for change in held.changes] == ["edited"]


def test_a_section_under_way_waits_where_no_one_knows_what_was_generated() -> None:
    """All of an edited file may be a person's then."""
    spec = a_spec()
    entry = an_entry(spec, attempt=2, section="Two")
    file = a_file(spec.output, body=HAND)
    change = only_change([spec], [a_record(spec)], [file], entries=[entry], sections={"a": "Two"})
    assert (change.action, change.blocked) == (Action.BLOCKED, "edited")
    assert "`--on-edit overwrite` writes the paid section instead" in change.hint


def test_a_killed_replacement_costs_once(tmp_path: Path) -> None:
    """The same command again ends it, with the words it was told to replace gone and nothing paid twice."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", "items: [{id: a, inputs: {topic: A, target_audience: readers}}]\n")
    harness.apply()
    harness.edit("out/a.md", "Closing", "MINE")
    harness.api.fault(on("submit", 2), "kill-after")
    with contextlib.suppress(Killed):
        harness.apply(replace=("a",))
    assert harness.actions() == {"a": "blocked"}
    assert results(harness.apply(replace=("a",))) == {"a": "done"}
    assert ("MINE" in harness.read("out/a.md"), harness.api.credits) == (False, 8)
    assert harness.plan().empty


# --- words that are nowhere else ----------------------------------------------------------------------------


ONE = "items: [{id: a, inputs: {topic: A, target_audience: readers}}]\n"


@pytest.mark.parametrize("changed", [False, True], ids=["replace", "overwrite"])
def test_words_that_are_saved_nowhere_are_copied_before_they_are_replaced(tmp_path: Path, *, changed: bool) -> None:
    """To the byte, for their owner alone; the run says where."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.apply()
    harness.edit("out/a.md", "Closing", "MINE")
    mine = (tmp_path / "out/a.md").read_bytes()
    if changed:
        harness.edit("content/b.yaml", "topic: A", "topic: B")
        run = harness.apply(on_edit=OnEdit.OVERWRITE)
    else:
        run = harness.apply(replace=("a",))
    assert run is not None
    (outcome,) = run.outcomes
    copy = tmp_path / outcome.copy
    assert outcome.copy == f".contentops/replaced/{digest_bytes(mine)[7:19]}/out/a.md"
    assert copy.read_bytes() == mine
    assert sys.platform == "win32" or stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert f"a copy of the file is `{outcome.copy}`" in run_text(run)
    assert "MINE" not in harness.read("out/a.md")
    assert harness.plan().empty


def test_a_file_that_no_record_owns_is_copied_before_it_is_replaced(tmp_path: Path) -> None:
    """Nothing tells that its words are anywhere else."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.write("out/a.md", "Mine.\n")
    run = harness.apply(on_edit=OnEdit.OVERWRITE)
    assert run is not None
    assert harness.read(run.outcomes[0].copy) == "Mine.\n"


def test_words_that_the_server_has_are_copied_too(tmp_path: Path) -> None:
    """The new text is saved over them there; a generated text is not copied."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.apply()
    copies = []
    for _ in range(2):
        run = harness.apply(replace=("a",))
        assert run is not None
        copies += [outcome.copy for outcome in run.outcomes]
        harness.edit("out/a.md", "Closing", "MINE")
        harness.apply()
    assert copies[0] == ""
    assert "MINE" in harness.read(copies[1])


def test_a_stop_at_any_step_of_a_replacement_leaves_the_words_somewhere(tmp_path: Path) -> None:
    """In the file, or in its copy."""
    whole = Harness(tmp_path / "whole", FakeApi(duration=30))
    whole.write("content/b.yaml", ONE)
    whole.apply()
    whole.edit("out/a.md", "Closing", "MINE")
    stops = state_after_each_kill(whole, tmp_path, lambda: whole.apply(replace=("a",)))
    assert len(stops) > 10
    for where, harness in (stops | {"whole": whole}).items():
        texts = [path.read_text("utf-8") for path in harness.root.rglob("a.md")]
        assert any("MINE" in text for text in texts), where


def test_front_matter_of_a_file_that_was_not_recorded_is_kept(tmp_path: Path) -> None:
    """Title and keys that a person changed after a stop are in the file, or in its copy, at any step of the stop."""
    whole = Harness(tmp_path / "whole", FakeApi(duration=30))
    whole.write("content/b.yaml", ONE.replace("id: a,", "id: a, metadata: {author: Ann},"))
    stops = state_after_each_kill(whole, tmp_path, whole.apply)
    written = {where: harness for where, harness in stops.items() if (harness.root / "out/a.md").exists()}
    assert len(written) > 3
    for where, harness in written.items():
        old = harness.read("out/a.md")
        title = next(line for line in old.splitlines() if line.startswith("title:"))
        harness.edit("out/a.md", title, "title: MINE")
        harness.edit("out/a.md", "author: Ann", "author: ME")
        harness.apply()
        assert "title: MINE" in harness.read("out/a.md"), where
        texts = [path.read_text("utf-8") for path in harness.root.rglob("a.md")]
        assert any("author: ME" in text for text in texts), where
        assert harness.plan().empty, where


# --- a text of the embedded server -------------------------------------------------------------------------


def test_a_moved_draft_is_still_a_draft(tmp_path: Path) -> None:
    """The move of a text that `local` made is no reason to take it for one of the real server."""
    draft = Harness(tmp_path, FakeApi(outlines=True), base_url="local")
    draft.write("content/b.yaml", "items: [{id: a, inputs: {topic: A, target_audience: readers}}]\n")
    draft.apply()
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write(
        "content/b.yaml", "items: [{id: a, output: out/x.md, inputs: {topic: A, target_audience: readers}}]\n"
    )
    harness.api.fault(on("submit", 1), 402)
    assert results(harness.apply()) == {"a": "pending"}
    assert (harness.record("a").output, harness.record("a").server) == ("out/x.md", "local")
    assert harness.actions() == {"a": "regenerate"}
    assert results(harness.apply()) == {"a": "done"}
    assert harness.record("a").server == "https://api.example.test:443"


# --- regenerate --------------------------------------------------------------------------------------------


def test_regenerate_has_a_way_past_the_guards(project: Build, invoke: Run) -> None:
    """What the refusal advises is what the command takes; and what is approved is a limit."""
    remote = "api: {base_url: 'http://127.0.0.1:9/v1'}"
    site = {
        "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n",
        "content/a.yaml": (
            "defaults: {template: blog_article_generator, style: general_blog}\n"
            "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
        ),
    }
    root = project(site)
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert invoke("state", "mv", "--server", "local", "http://127.0.0.1:9", cwd=root).code == 0
    guarded = site["contentops.yaml"].replace("api: {base_url: local}", remote)
    (root / "contentops.yaml").write_text(f"{guarded}guards: {{max_changed_ratio: 0, from_items: 1}}\n")
    heading = next(line[3:] for line in (root / "out/a.md").read_text("utf-8").splitlines() if line.startswith("## "))
    section = ("regenerate", "a", "--section", heading, "--yes")
    ended = invoke(*section, cwd=root)
    assert ended.code == 4
    assert "error[changed-ratio]" in ended.stderr
    assert "`--approve-changes`" in ended.stderr
    ended = invoke(*section, "--approve-changes", "--approve-credits", "0", cwd=root)
    assert (ended.code, "error[approved-credits]" in ended.stderr) == (4, True), ended.stderr
