"""Projects of the format before `contentops.jobs`: refused by name, and upgraded without paying for anything again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.atomic_io import Disk
from contentops.digest import digest_text
from contentops.errors import StateError
from contentops.model import ItemId, JobState
from contentops.operations.opening import HERE, open_project, read_state
from contentops.operations.plan import plan
from contentops.operations.state import Upgraded, upgrade
from contentops.planning.sides import Choice
from tests.clones import commit, git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.running import Run

HERE_LIES = Path(__file__).parent / "previous_version"
FIXTURE, REPOSITORY = HERE_LIES / "project", HERE_LIES / "repository"
LOCK, JOBS = "contentops.lock", "contentops.jobs"
DONE = ("assam", "darjeeling", "green", "white")
OPEN = {"oolong": JobState.FAILED, "sencha": JobState.PAID, "hojicha": JobState.RUNNING, "matcha": JobState.UNKNOWN}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the project, as its last user left it."""
    root = tmp_path / "site"
    shutil.copytree(FIXTURE, root, ignore=shutil.ignore_patterns("state"))
    shutil.copytree(FIXTURE / "state", root / ".contentops")
    return root


@pytest.fixture
def site(old: Path) -> Path:
    """The same, upgraded."""
    upgraded(old)
    return old


def upgraded(root: Path, disk: Disk | None = None) -> list[tuple[str, int, int]]:
    """`contentops state upgrade`: environment, records and jobs of each that was old."""
    done: tuple[Upgraded, ...] = upgrade(open_project(str(root), "", ()), structs.replace(HERE, disk=disk or Disk()))
    return [(one.environment, one.records, one.jobs) for one in done]


def harness_of(root: Path) -> Harness:
    """Its runtime, with a server that has forgotten everything; the project file stays as it was."""
    settings = (root / "contentops.yaml").read_bytes()
    harness = Harness(root, FakeApi(duration=90, auto_save=False))
    (root / "contentops.yaml").write_bytes(settings)
    return harness


def files_of(root: Path) -> dict[str, bytes]:
    """Every file but those of locks and caches, which any command may touch."""
    passing = {"apply.lock", "apply.json", "cache.db", "cache.db-wal", "cache.db-shm", ".gitignore"}
    found = (path for path in root.rglob("*") if path.is_file() and path.name not in passing)
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.mark.parametrize("command", [
    *("plan", "plan --json", "apply --yes", "status", "report", "report --runs", "check", "show assam"),
    *("diff assam", "restore assam", "state list", "state mv assam ceylon", "state resolve matcha --forget"),
    *("regenerate assam --section Intro", "adopt out/other.md"),
])  # fmt: skip
def test_every_command_that_reads_the_state_refuses(old: Path, invoke: Run, command: str) -> None:
    """With the one command that helps, which `doctor` names too; nothing is written."""
    (old / "out/other.md").write_text("A text.\n", encoding="utf-8")
    before = files_of(old)
    ended = invoke(*command.split(), cwd=old)
    words = ended.stdout + ended.stderr
    assert (ended.code, "old-state" in words, "contentops state upgrade" in words) == (1, True, True)
    assert files_of(old) == before
    shown = invoke("doctor", cwd=old).stdout
    assert "failed  state: `contentops.lock` was written before there was `contentops.jobs`" in shown
    assert "hint: run `contentops state upgrade`" in shown


def test_every_fact_is_kept(old: Path) -> None:
    """Records of lock and journal, open jobs of both; outputs, cache and manifests stay as they are."""
    before = files_of(old)
    assert upgraded(old) == [("", 4, 8)]
    harness = harness_of(old)
    state = harness.state
    assert tuple(state.records) == DONE
    assert harness.record("darjeeling").superseded == ("cnt_old",)
    saved = harness.record("green").saved
    assert saved is not None
    assert saved.sent == digest_text("Sent.\n")
    assert harness.record("white").metadata == {"order": 2, "tags": ["tea"]}
    assert {order.item: order.state for order in state.open_jobs.values()} == OPEN
    assert {job.item: job.state for job in state.jobs} == dict.fromkeys(DONE, JobState.SETTLED) | OPEN
    changed = {name for name, data in files_of(old).items() if before.get(name) != data}
    assert changed == {".gitattributes", LOCK, JOBS, ".contentops/jobs.jsonl"}
    assert "contentops*.jobs text eol=lf merge=union" in (old / ".gitattributes").read_text("utf-8")
    assert not (old / ".contentops/journal.jsonl").exists()


def test_reports_show_what_they_showed(site: Path, invoke: Run) -> None:
    """As the version before printed them for this very project; the paid text that is in no file counts today."""
    spent = invoke("report", "--json", cwd=site).json
    assert (spent["texts"], spent["credits"], spent["unwritten"]) == (4 + 1, 16 + 4, 1)
    assert [(row["name"], row["texts"], row["credits"]) for row in spent["by"]["month"]] == [("2026-02", 5, 20)]
    assert {(row["name"], row["credits"]) for row in spent["open"]} == {
        ("with a lost answer, perhaps paid", 4),
        ("running", 4),
    }
    made = invoke("report", "--runs", "--json", cwd=site).json["generations"]
    assert {(one["item"], one["outcome"], one["credits"]) for one in made} == {
        *((item, "generated", 4) for item in DONE),
        *(("oolong", "failed", 0), ("sencha", "unwritten", 4), ("hojicha", "running", 4), ("matcha", "unknown", 4)),
    }


def test_it_goes_on_where_the_last_run_was_killed(site: Path, invoke: Run) -> None:
    """What is open is finished, what failed is tried once more, and nothing paid is paid again."""
    shown = {item["id"]: item["state"] for item in invoke("status", "--json", cwd=site).json["items"]}
    assert shown == dict.fromkeys(DONE, "as generated") | {
        "hojicha": "running", "matcha": "unknown", "oolong": "new", "sencha": "paid",
    }  # fmt: skip
    changes = {change["id"]: change for change in invoke("plan", "--json", cwd=site).json["changes"]}
    assert {id_: (change["action"], change["credits"]) for id_, change in changes.items()} == {
        "hojicha": ("finish", 0), "matcha": ("resolve", 0), "oolong": ("create", 4), "sencha": ("finish", 0),
    }  # fmt: skip
    harness, before = harness_of(site), harness_of(site).tree("out")
    ended = results(harness.apply(deadline=400))
    assert (ended["oolong"], ended["sencha"], harness.api.credits) == ("done", "done", 4)
    assert "All about sencha in 2026." in harness.read("out/sencha.md")
    after = harness.tree("out")
    assert {name: after[name] for name in before} == before


def test_an_upgraded_project_with_nothing_to_do(old: Path) -> None:
    """A no-op apply changes no byte, with or without the cache and this checkout's own files."""
    for name in ("failed", "paid", "open"):
        (old / "content" / f"{name}.yaml").unlink()
    (old / ".contentops/journal.jsonl").unlink()
    harness = harness_of(old)
    harness.edit("content/white.yaml", "order: 2", "order: 1")
    harness.edit("out/white.md", "order: 2", "order: 1")
    harness.write(LOCK, "".join(line for line in harness.read(LOCK).splitlines(keepends=True) if '"open"' not in line))
    upgraded(old)
    before = files_of(old)
    assert harness.apply() is None
    shutil.rmtree(old / ".contentops")
    assert harness.apply() is None
    assert harness.api.requests == []
    for name in (LOCK, JOBS, "out/white.md"):
        assert (old / name).read_bytes() == before[name]


class Dies(Disk):
    """A disk that is gone at its Nth replacement of a file."""

    def __init__(self, number: int) -> None:
        self.left = number

    def replace(self, path: Path, data: bytes, *args: Any, **given: Any) -> None:
        """As the disk does, until then."""
        self.left -= 1
        if self.left < 0:
            raise StateError("killed")
        super().replace(path, data, *args, **given)


def test_an_upgrade_that_is_killed_goes_on(old: Path, tmp_path: Path) -> None:
    """Before each file it replaces; and another one does nothing."""
    whole = tmp_path / "whole"
    shutil.copytree(old, whole)
    upgraded(whole)
    wanted, killed = files_of(whole), 0
    for number in range(9):
        root = tmp_path / f"at-{number}"
        shutil.copytree(old, root)
        try:
            upgraded(root, Dies(number))
        except StateError:
            killed += 1
        upgraded(root)
        assert (files_of(root), upgraded(root), files_of(root)) == (wanted, [], wanted)
    assert 2 < killed < 9


def test_a_journal_that_was_left_beside_an_upgraded_lock(old: Path, tmp_path: Path) -> None:
    """Another clone upgraded the project: here the jobs of the killed run join those that were pulled."""
    other = tmp_path / "other"
    shutil.copytree(old, other)
    (other / ".contentops/journal.jsonl").unlink()
    upgraded(other)
    for name in (LOCK, JOBS):
        shutil.copy(other / name, old / name)
    assert upgraded(old) == [("", 4, 8)]
    harness = harness_of(old)
    assert {job.item: job.state for job in harness.state.open_jobs.values()} == OPEN


def test_lines_of_both_formats_after_a_merge(old: Path) -> None:
    """A branch of before, merged into one of today: upgraded once more, with what both knew."""
    shutil.rmtree(old / ".contentops")
    text = (old / LOCK).read_text("utf-8")
    (old / LOCK).write_text("".join(line for line in text.splitlines(True) if '"sencha"' not in line), encoding="utf-8")
    upgraded(old)
    new = (old / LOCK).read_text("utf-8")
    for both in (new + text, text + new):
        (old / LOCK).write_text(both, encoding="utf-8")
        assert upgraded(old) == [("", 4, 6)]
        states = {job.item: job.state for job in harness_of(old).state.jobs}
        assert states == dict.fromkeys(DONE, JobState.SETTLED) | {"oolong": JobState.FAILED, "sencha": JobState.PAID}


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes], str, str]] = {
    "cut": (LOCK, lambda data: data.replace(b'"state":"paid"', b'"state":"pa'), "damaged-lock", "line 7 of `contentops.lock` is incomplete or invalid JSON"),
    "no JSON": (LOCK, lambda data: data + b"{\n", "damaged-lock", "line 8 of `contentops.lock` is incomplete or invalid JSON"),
    "no UTF-8": (LOCK, lambda data: data + b"\xff\n", "damaged-lock", "`contentops.lock` is not UTF-8"),
    "deep": (LOCK, lambda data: data + b"[" * 99_999 + b"\n", "damaged-lock", "line 8 of"),
    "other types": (LOCK, lambda data: data.replace(b'"attempt":1', b'"attempt":"1"'), "damaged-lock", "line 2 of"),
    "conflict": (LOCK, lambda data: b"<<<<<<< a\n" + data, "conflict-markers", "line 1 of `contentops.lock` is a git"),
    "projects": (LOCK, lambda data: data + data.splitlines(True)[0].replace(b"5eea", b"6eea"), "mixed-lineages", "lines of different projects"),
    "no lineage": (LOCK, lambda data: data.replace(b"5eeaabdc", b"x"), "damaged-lock", "line 1 of"),
    "journal": (
        ".contentops/journal.jsonl",
        lambda data: data.replace(b'"state":"running"', b'"state":"walking"'),
        "damaged-journal",
        "line 5 of `journal.jsonl` cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_an_error_and_stay(old: Path, invoke: Run, damage: str) -> None:
    """With the line and what to do: a line that is left out would be paid for again."""
    name, change, code, words = DAMAGE[damage]
    path = old / name
    path.write_bytes(change(path.read_bytes()))
    before = files_of(old)
    ended = invoke("state", "upgrade", cwd=old)
    assert (ended.code, f"error[{code}]" in ended.stderr, words in ended.stderr) == (1, True, True), ended.stderr
    assert "hint: " in ended.stderr
    assert files_of(old) == before


def test_the_torn_end_of_a_journal_is_ignored(old: Path) -> None:
    """It never became durable; a group of lines without its end counts as a whole or not at all."""
    path = old / ".contentops/journal.jsonl"
    lines = path.read_bytes().splitlines(True)
    group = lines[1].replace(b'{"base"', b'{"more":true,"base"').replace(b'"order":2', b'"order":3')
    path.write_bytes(b"".join(lines[:-1]) + group + b'{"open":')
    assert (upgraded(old), harness_of(old).record("white").metadata["order"]) == ([("", 4, 8)], 2)


@pytest.fixture
def clone(tmp_path: Path, processes: None) -> Path:
    """A repository of the version before, two environments, and the folder of a run that was killed."""
    root = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--branch=main", str(REPOSITORY / "repository.bundle"), str(root))
    shutil.copytree(REPOSITORY / "state", root / ".contentops")
    shutil.copytree(REPOSITORY / "out", root / "out", dirs_exist_ok=True)
    return root


def test_what_git_knows_is_read_once(clone: Path, invoke: Run) -> None:
    """Replaced, renamed, removed and given-up texts, and those of another environment: as the version before said."""
    shown = json.loads((REPOSITORY / "shown.json").read_text("utf-8"))
    outputs = {name: data for name, data in files_of(clone).items() if name.endswith(".md")}
    assert upgraded(clone) == [("", 3, 5), ("staging", 3, 3)]

    for name, options in {"all": (), "default": ("--env", ""), "staging": ("--env", "staging")}.items():
        found = invoke("report", *options, "--json", cwd=clone).json
        assert {key: found[key] for key in shown["spent"][name]} == shown["spent"][name], name
    for name, option in {"default": "", "staging": "staging"}.items():
        found = invoke("report", "--runs", "--env", option, "--json", cwd=clone).json
        assert [run["id"] for run in found["runs"]] == shown["runs"][name]
        made = [{key: one[key] for key in shown["generations"][name][0]} for one in found["generations"]]
        # A job whose text was given up has a word of its own today.
        made = [one | {"outcome": one["outcome"].replace("lost", "unwritten")} for one in made]
        assert sorted(made, key=str) == sorted(shown["generations"][name], key=str)

    # The month of the fixture, by a clock that has stopped.
    runtime = structs.replace(HERE, wall=lambda: 1_796_200_000.0)
    found_plan = plan(open_project(str(clone), "", ()), Choice(), runtime=runtime)
    assert [[change.id, change.action, change.credits] for change in found_plan.changes] == shown["plan"]["changes"]
    spent = found_plan.spent
    assert spent is not None
    assert (spent.month, spent.credits, spent.ahead) == ("2026-12", shown["plan"]["spent"]["credits"], 0)
    assert {name: data for name, data in files_of(clone).items() if name.endswith(".md")} == outputs
    assert upgraded(clone) == []


def test_a_shallow_clone_is_refused(clone: Path, tmp_path: Path, invoke: Run) -> None:
    """It lacks what earlier locks say was paid for."""
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", clone.as_uri(), str(shallow))
    before = files_of(shallow)
    ended = invoke("state", "upgrade", cwd=shallow)
    assert (ended.code, "`git fetch --unshallow`" in ended.stderr, files_of(shallow)) == (1, True, before)


def test_a_kept_text_answers_the_request_it_was_made_for(clone: Path) -> None:
    """`on_edit: keep` gave the record another request; its job, which staging ordered, keeps its own."""
    upgraded(clone)
    states = {name: read_state(open_project(str(clone), name, ())) for name in ("", "staging")}
    (job,) = [job for job in states["staging"].jobs if job.item == "three"]
    record = states[""].records[ItemId("drei")]
    assert (job.request_id, job.body) == (record.request_id, record.generated)
    assert job.digest == states["staging"].records[ItemId("three")].digest != record.digest


def test_commit_asks_for_the_upgrade_to_be_committed(clone: Path, invoke: Run) -> None:
    """The last commit has files of the version before: a person commits those of today, and goes on."""
    upgraded(clone)
    ended = invoke("commit", "--no-push", cwd=clone)
    assert (ended.code, "error[old-state]" in ended.stderr) == (1, True)
    assert "`git add contentops*.jobs contentops*.lock .gitattributes` and `git commit`" in ended.stderr
    commit(clone, "Upgrade")
    assert invoke("commit", "--no-push", cwd=clone).code == 0
