"""What a person wrote goes only where it was said to go, the plan says so, and a stop on the way changes nothing."""

import contextlib
import itertools
import json
import math
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contentops.digest import digest_bytes
from contentops.documents.clean import body_digest
from contentops.documents.front_matter import split
from contentops.errors import Refused
from contentops.model import Action, JobState, OnEdit
from contentops.operations.plan import spent_this_month
from contentops.operations.state import move_server
from contentops.operations.texts import restore
from contentops.reporting.run import run_text
from tests.clones import git
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, blog, quick_folder, results
from tests.fakes.kills import EachKill
from tests.fakes.sides import a_file, a_job, a_record, a_spec, only_change
from tests.running import Build, Run
from tests.test_promote import Room

HAND = "By hand.\n"
ONE = "items: [{id: a, inputs: {topic: A, target_audience: readers}}]\n"
REPLACED = "`out/a.md` was edited by hand, and that text is replaced"


@pytest.fixture
def made(tmp_path: Path) -> Harness:
    """A project with one text."""
    return _made(tmp_path)


def _made(root: Path, manifest: str = ONE, *, extra: str = "") -> Harness:
    harness = Harness(root, FakeApi(duration=30), extra=extra)
    harness.write("content/b.yaml", manifest)
    harness.apply()
    return harness


# --- a replacement that was cut short ----------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAID, JobState.SUBMITTING])
def test_a_replacement_of_an_edited_file_is_finished_by_the_same_command(state: JobState) -> None:
    """It was asked for whatever the file holds; without the flag it waits for a person's word."""
    spec = a_spec()
    record, file, job = a_record(spec), a_file(spec.output, body=HAND), a_job(spec, state, attempt=2)
    again = only_change([spec], [record], [file], open_jobs=[job], replace=("a",))
    assert again.action in (Action.FINISH, Action.RESOLVE)
    assert (again.attempt, [reason.detail for reason in again.reasons if reason.kind == "edited"]) == (2, [REPLACED])
    held = only_change([spec], [record], [file], open_jobs=[job])
    assert (held.action, held.blocked) == (Action.BLOCKED, "edited")
    assert "`--replace a` replaces it by the text being generated, `--on-edit keep` keeps the file" in held.hint


# --- words that are nowhere else ----------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", ["here", "in git"])
def test_no_text_replaces_deleted_words_that_git_has(
    project: Build, invoke: Run, processes: None, deleted: str
) -> None:
    """Nothing was saved, so an apply would restore the generated text; its hint brings the words back."""
    settings = 'version: 1\nproject: p\napi: {base_url: local, save: "off"}\ndefaults: {template: blog_article_generator, style: general_blog}\n'
    root = project({"contentops.yaml": settings, "content/a.yaml": ONE})
    git(root, "init", "-q")
    assert invoke("apply", "--yes", cwd=root).code == 0
    file = root / "out/a.md"
    file.write_text(file.read_text("utf-8") + HAND, "utf-8")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "edited")
    file.unlink()
    if deleted == "in git":
        git(root, "commit", "-qam", "deleted")
    ended = invoke("apply", "--yes", cwd=root)
    assert (ended.code, file.exists()) == (3, False)
    (command,) = set(re.findall(r"`contentops (restore a --to \w+)`", ended.stdout))
    assert invoke(*command.split(), cwd=root).code == 0
    assert file.read_text("utf-8").endswith(HAND)
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0


@pytest.mark.parametrize("changed", [False, True], ids=["replace", "overwrite"])
def test_words_that_are_saved_nowhere_are_copied_before_they_are_replaced(made: Harness, *, changed: bool) -> None:
    """To the byte, for their owner alone; the run says where."""
    made.edit("out/a.md", "Closing", "MINE")
    mine = (made.root / "out/a.md").read_bytes()
    if changed:
        made.edit("content/b.yaml", "topic: A", "topic: B")
    run = made.ran(on_edit=OnEdit.OVERWRITE) if changed else made.ran(replace=("a",))
    (outcome,) = run.outcomes
    copy = made.root / outcome.copy
    assert outcome.copy == f".contentops/replaced/{digest_bytes(mine)[7:19]}/out/a.md"
    assert copy.read_bytes() == mine
    assert sys.platform == "win32" or stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert f"a copy of the file is `{outcome.copy}`" in run_text(run)
    assert "MINE" not in made.read("out/a.md")
    assert made.plan().empty


def test_a_file_that_no_record_owns_is_copied_before_it_is_replaced(tmp_path: Path) -> None:
    """Nothing tells that its words are anywhere else."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.write("out/a.md", "Mine.\n")
    assert harness.read(harness.ran(on_edit=OnEdit.OVERWRITE).outcomes[0].copy) == "Mine.\n"


def test_words_that_the_server_has_are_copied_too(made: Harness) -> None:
    """The new text is saved over them there; a generated text is not copied."""
    assert made.ran(replace=("a",)).outcomes[0].copy == ""
    made.edit("out/a.md", "Closing", "MINE")
    made.apply()
    assert "MINE" in made.read(made.ran(replace=("a",)).outcomes[0].copy)


def test_a_stop_at_any_step_of_a_replacement_leaves_the_words_somewhere(tmp_path: Path, each_kill: EachKill) -> None:
    """In the file, or in its copy."""
    whole = _made(tmp_path / "whole")
    whole.edit("out/a.md", "Closing", "MINE")
    stops = each_kill(whole, tmp_path, lambda: whole.apply(replace=("a",)))
    assert len(stops) > 10
    for where, harness in (stops | {"whole": whole}).items():
        texts = [path.read_text("utf-8") for path in harness.root.rglob("a.md")]
        assert any("MINE" in text for text in texts), where


def test_front_matter_of_a_file_that_was_not_recorded_is_kept(tmp_path: Path, each_kill: EachKill) -> None:
    """Title and keys that a person changed after a stop are in the file, or in its copy, at any step of the stop."""
    whole = Harness(tmp_path / "whole", FakeApi(duration=30))
    whole.write("content/b.yaml", ONE.replace("id: a,", "id: a, metadata: {author: Ann},"))
    stops = each_kill(whole, tmp_path, whole.apply)
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


# --- regenerate --------------------------------------------------------------------------------------------


def test_regenerate_names_its_item_so_only_its_price_is_guarded(project: Build, invoke: Run) -> None:
    """The share of items that change says nothing about one that a person names; what is approved is a limit."""
    settings = "version: 1\nproject: x\napi: {base_url: local}\n"
    manifest = f"defaults: {{template: blog_article_generator, style: general_blog}}\n{ONE}"
    root = project({"contentops.yaml": settings, "content/a.yaml": manifest})
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert invoke("state", "mv", "--server", "local", "http://127.0.0.1:9", cwd=root).code == 0
    remote = settings.replace("local", "'http://127.0.0.1:9/v1'")
    (root / "contentops.yaml").write_text(f"{remote}guards: {{max_changed_ratio: 0, from_items: 1}}\n")
    heading = next(line[3:] for line in (root / "out/a.md").read_text("utf-8").splitlines() if line.startswith("## "))
    ended = invoke("regenerate", "a", "--section", heading, "--yes", "--approve-credits", "0", cwd=root)
    assert (ended.code, "error[approved-credits]" in ended.stderr, "changed-ratio" in ended.stderr) == (4, True, False)


MONTH = "budget: {credits_per_month: 100}\n"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("folder", ["", "sites/blog"], ids=["top", "below"])
def test_no_clean_takes_replaced_words_away(tmp_path: Path, folder: str) -> None:
    """Not even before the first commit; the path that the run names leads to them from the project's folder."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    harness = _made(tmp_path / folder)
    harness.edit("out/a.md", "Closing", "MINE")
    mine = harness.read("out/a.md")
    (outcome,) = harness.ran(replace=("a",)).outcomes
    git(tmp_path, "clean", "-xfd", "--quiet")
    harness.root.joinpath("out").mkdir(parents=True, exist_ok=True)
    copy = harness.root / outcome.copy
    assert copy.read_text() == mine
    assert (tmp_path / ".git" / "contentops").resolve() in copy.resolve().parents


@pytest.mark.usefixtures("processes")
def test_a_restore_keeps_them_too(tmp_path: Path) -> None:
    """`restore --on-edit overwrite` replaces words as well."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    harness = _made(tmp_path)
    generated = harness.record("a").generated
    harness.edit("out/a.md", "Closing", "MINE")
    mine = harness.read("out/a.md")
    restored = restore(harness.project, "a", generated, overwrite=True, runtime=harness.runtime())
    assert "MINE" not in harness.read("out/a.md")
    git(tmp_path, "clean", "-xfd", "--quiet")
    assert (tmp_path / restored.copy).read_text() == mine


@pytest.mark.usefixtures("processes")
def test_a_branch_that_does_not_declare_an_environment_knows_its_payments(tmp_path: Path) -> None:
    """They are in the git directory: they count in the month, and answer requests."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    harness = Harness(tmp_path, FakeApi(duration=30), extra=MONTH)
    harness.write("content/b.yaml", ONE)
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    git(tmp_path, "switch", "--quiet", "--create", "feature")
    staging = f"{MONTH}environments: {{staging: {{output: 'staging/{{{{ item.id }}}}.md'}}}}\n"
    Room(tmp_path, "staging", harness.api, extra=staging).apply()
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Results")
    git(tmp_path, "switch", "--quiet", "main")
    spent = spent_this_month(harness.project, harness.runtime())
    assert spent is not None
    assert spent.credits == harness.api.credits == 4
    assert not harness.plan().submits


@pytest.mark.usefixtures("processes")
def test_jobs_of_another_project_do_not_count(tmp_path: Path) -> None:
    """A file that was copied under the name of an environment that no one declares."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "--quiet", "--initial-branch", "main")
        git(tmp_path / name, "commit", "--quiet", "--allow-empty", "--message", f"Begin {name}")
    ours = _made(tmp_path / "ours", extra=MONTH)
    theirs = _made(tmp_path / "theirs", ONE.replace("topic: A", "topic: B"), extra=MONTH)
    ours.write("contentops.copied.jobs", theirs.read("contentops.jobs"))
    spent = spent_this_month(ours.project, ours.runtime())
    assert spent is not None
    assert spent.credits == ours.api.credits == 4


@pytest.mark.parametrize("removed", [False, True], ids=["replaced", "removed"])
def test_words_that_the_lock_calls_generated_are_kept(made: Harness, *, removed: bool) -> None:
    """A merge, a script or a hostile branch may write any digest into the lock: the jobs say what a machine made."""
    made.edit("out/a.md", "Closing", "MINE")
    mine = made.read("out/a.md")
    header, line = made.read("contentops.lock").splitlines()
    forged = json.loads(line) | {"generated": body_digest(split(mine).body)}
    made.write("contentops.lock", f"{header}\n{json.dumps(forged, separators=(',', ':'), sort_keys=True)}\n")
    if removed:
        made.write("content/b.yaml", ONE.replace("id: a", "id: b").replace("topic: A", "topic: B"))
        made.apply(prune=True)
        assert not (made.root / "out/a.md").exists()
    else:
        made.edit("content/b.yaml", "topic: A", "topic: B")
        made.apply()
        assert "MINE" not in made.read("out/a.md")
    (copy,) = made.root.glob(".contentops/replaced/*/out/a.md")
    assert copy.read_text() == mine


def test_without_a_lock_the_jobs_know_their_server(made: Harness) -> None:
    """A new address is refused until someone says that it is the same server; then nothing is paid again."""
    old, new = made.project.api.server, "https://other.example:443"
    made.root.joinpath("contentops.lock").unlink()
    made.write("contentops.yaml", made.read("contentops.yaml").replace(made.project.api.base_url, new))
    (refusal,) = made.plan().refusals
    assert (refusal.guard, refusal.flag) == ("server-changed", f"contentops state mv --server {old} {new}")
    with pytest.raises(Refused):
        made.apply()
    move_server(made.project, old, new)
    assert (made.plan().refusals, made.plan().submits) == ((), 0)


# --- a text that one side lost ----------------------------------------------------------------------------------


OUT = "out/one.md"
MORE = "\n## More\n\nWords.\n"


@pytest.fixture(scope="module")
def written() -> Iterator[Harness]:
    """An item with a file and a content, to be copied."""
    with quick_folder() as root:
        yield Harness(root, FakeApi(duration=30)).applied("one")


def _emptied(harness: Harness, here: str, there: str, year: int) -> Harness:
    """An item whose file and content are as they were, edited, longer or empty, and that asks for what it did or not."""
    text = split(harness.read(OUT)).body
    ways = {"same": text, "edited": text.replace("## Closing", "## End"), "longer": text + MORE, "emptied": ""}
    if there != "same":
        harness.api.edit(harness.record("one").content_id, ways[there])
    harness.write(OUT, harness.read(OUT).replace(text, ways[here]))
    harness.write("content/blog.yaml", blog("one", year=year))
    return harness


@pytest.mark.parametrize(("choice", "refresh"), [(None, False), *((choice, True) for choice in OnEdit)])
def test_no_words_give_way_to_none(written: Harness, choice: OnEdit | None, *, refresh: bool) -> None:
    """Whichever side lost its text, and whether another one is asked for; only `overwrite` puts a new one there."""
    cases = itertools.product(("same", "edited", "longer", "emptied"), repeat=2)
    for (here, there), year in itertools.product(cases, (2026, 2027)):
        if "emptied" not in (here, there):
            continue
        with quick_folder() as root:
            harness = _emptied(written.copied(root / "copy"), here, there, year)
            content = harness.api.contents[harness.record("one").content_id]
            before = (split(harness.read(OUT)).body, content.body)
            run = harness.apply(refresh=refresh, on_edit=choice)
            after = (split(harness.read(OUT)).body, content.body)
            where = f"{here} here, {there} there, {year}"
            if choice is OnEdit.OVERWRITE and year == 2027 and there != "emptied":
                assert results(run) == {"one": "done"}, where
                assert all(after), where
            else:
                assert after == before, where
                assert len(harness.api.generations) == 1, where
                assert run is None or results(run) == {"one": "blocked"}, where


# --- a stored text that a person edited before it was in a file ----------------------------------------------------


THEIRS = "## Introduction\n\nWords that a person wrote in WriterzRoom.\n"


@pytest.mark.parametrize("status_body", ["text", "absent"])
def test_words_of_a_stored_content_count_as_an_edit(tmp_path: Path, status_body: str) -> None:
    """Where the cache is gone, they are fetched in place of what the job made: no later text replaces them unasked."""
    harness = Harness(tmp_path, FakeApi(duration=60, auto_save=True, status_body=status_body)).declared("one")
    harness.apply(deadline=30)
    harness.write("out/one.md", "---\ntitle: Own\n---\nA file in the way.\n")
    assert results(harness.apply()) == {"one": "blocked"}
    (job,) = harness.state.open_jobs.values()
    made = job.body
    assert made
    shutil.rmtree(tmp_path / ".contentops/cache")
    ((content, _),) = harness.api.contents.items()
    harness.api.edit(content, THEIRS)
    (tmp_path / "out/one.md").unlink()
    charged = len(harness.api.charges)
    assert results(harness.apply()) == {"one": "done"}
    assert (harness.record("one").generated, len(harness.api.charges)) == (made, charged)
    (known,) = harness.state.jobs
    assert known.body == made
    assert THEIRS in harness.read("out/one.md")
    harness.apply()
    harness.write("content/blog.yaml", blog("one", year=2031))
    (change,) = harness.plan().changes
    assert (change.action, change.blocked) == ("blocked", "edited")
    assert results(harness.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert any(THEIRS in path.read_text("utf-8") for path in tmp_path.rglob("*.md"))


@pytest.mark.parametrize("title", ["", "Their title"], ids=["body", "title"])
@pytest.mark.parametrize("way", ["killed", "lost"])
def test_an_edit_made_before_a_job_is_collected_is_not_the_servers_own(tmp_path: Path, way: str, title: str) -> None:
    """The run that collects it has not seen the job end: another text under its content may be a person's."""
    harness = Harness(tmp_path, FakeApi(duration=30)).declared("one")
    if way == "killed":
        harness.api.fault(on("submit"), "kill-after")
        with contextlib.suppress(Killed):
            harness.apply()
        harness.api.heal()
        harness.timeline.now += 60
        harness.api._settle(math.inf)
    else:
        harness.apply()
        (tmp_path / "contentops.lock").unlink()
        shutil.rmtree(tmp_path / ".contentops")
    ((id_, stored),) = harness.api.contents.items()
    harness.api.edit(id_, stored.body if title else "Theirs.\n", title=title)
    theirs = stored.title, stored.body
    harness.apply()
    harness.write("out/one.md", harness.read("out/one.md") + "\nBy hand.\n")
    assert [change.blocked for change in harness.plan(refresh=True).changes] == ["edited-on-server"]
    assert results(harness.apply()) == {"one": "blocked"}
    assert (stored.title, stored.body) == theirs
    assert len(harness.api.generations) == 1


def test_a_copy_has_the_title_that_is_replaced(made: Harness) -> None:
    """On the server by the file's, and in the file by the server's; the bodies are equal."""
    id_ = made.record("a").content_id
    stored, ours = made.api.contents[id_], split(made.read("out/a.md")).title
    made.api.edit(id_, stored.body, title="Theirs")
    (outcome,) = made.ran(refresh=True, on_edit=OnEdit.OVERWRITE).outcomes
    assert (stored.title, split(made.read(outcome.copy)).title) == (ours, "Theirs")
    made.api.edit(id_, stored.body, title="Theirs again")
    (pulled,) = made.pull()
    assert [split(made.read(path)).title for path in ("out/a.md", pulled.copy)] == ["Theirs again", ours]
