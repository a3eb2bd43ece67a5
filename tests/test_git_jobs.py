"""`contentops.jobs` in git: reverts, deletions and merges of both files forget no payment."""

import itertools
import shutil
from pathlib import Path

import pytest

from contentops.ci.git import first_commit
from contentops.ci.push import JOBS_SUBJECT
from contentops.errors import Refused, StateError
from contentops.model import ItemId, JobState
from contentops.operations.commit import CommitOptions, commit
from contentops.operations.doctor import doctor
from contentops.state.lock import lineage_of
from tests.clones import git
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results
from tests.repositories import cloned, in_git
from tests.test_promote import ENVIRONMENTS, Room

JOBS, LOCK = "contentops.jobs", "contentops.lock"


@pytest.fixture(params=["replay"])
def made(request: pytest.FixtureRequest, tmp_path: Path, processes: None) -> Harness:
    """A repository with the results of one apply, as `contentops commit` commits them."""
    api = FakeApi(duration=30, auto_save=False, request_ids=request.param)
    harness = Harness(tmp_path / "made", api).declared("one", "two")
    in_git(harness, "Two articles")
    harness.apply()
    committed(harness)
    return harness


def committed(harness: Harness) -> None:
    """`contentops commit --no-push`."""
    for name, value in (("user.name", "Author"), ("user.email", "author@example.com")):
        git(harness.root, "config", name, value)
    commit(harness.project, CommitOptions(push=False), pause=lambda _: None, runtime=harness.runtime())


def orders(harness: Harness) -> list[tuple[str, JobState]]:
    """Item and state of each order."""
    return sorted((job.item, job.state) for job in harness.state.jobs)


SETTLED = [("one", JobState.SETTLED), ("two", JobState.SETTLED)]


@pytest.mark.parametrize("keeps", [True, False], ids=["the server keeps its jobs", "git has the texts"])
def test_a_revert_of_results_forgets_no_payment(made: Harness, tmp_path: Path, *, keeps: bool) -> None:
    """In a fresh clone, which has no other place to know it from: the texts come back for nothing."""
    assert git(made.root, "log", "-2", "--format=%s").splitlines() == ["content: 2 created (8 credits)", JOBS_SUBJECT]
    before = made.read("out/one.md").partition("\n---\n")[2]
    git(made.root, "revert", "--no-edit", "HEAD")
    clone = cloned(made, tmp_path / "clone")
    assert (clone.state.records, orders(clone)) == ({}, SETTLED)
    if not keeps:
        clone.api.jobs.clear()
    assert (clone.actions(), clone.plan().credits_worst) == ({"one": "finish", "two": "finish"}, 0)
    assert results(clone.apply()) == {"one": "done", "two": "done"}
    assert clone.read("out/one.md").partition("\n---\n")[2] == before
    assert (len(clone.api.generations), clone.plan().empty, orders(clone)) == (2, True, SETTLED)


@pytest.mark.parametrize("how", ["deleted", "cut", "not yet pulled"])
def test_no_commit_takes_an_order_out(made: Harness, tmp_path: Path, how: str) -> None:
    """In a fresh clone, whose git directory knows no jobs: what the last commit has is written again."""
    clone = cloned(made, tmp_path / "clone")
    path = clone.root / JOBS
    header, *lines = path.read_bytes().splitlines(keepends=True)
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(header + b"".join(lines[1:] if how == "cut" else []))
    clone.write("content/blog.yaml", blog("one", "two", "three"))
    clone.apply(select=("three",))
    committed(clone)
    assert orders(clone) == sorted([*SETTLED, ("three", JobState.SETTLED)])
    assert set(lines) < set(path.read_bytes().splitlines(keepends=True))
    assert git(clone.root, "status", "--porcelain", "--", JOBS) == ""


def branch_of(harness: Harness, root: Path, *ids: str, replace: str = "") -> Harness:
    """A clone that has declared and made more items, or another text of one."""
    clone = cloned(harness, root)
    clone.write("content/blog.yaml", blog("one", "two", *ids))
    clone.apply(replace=(ItemId(replace),) if replace else ())
    committed(clone)
    return clone


def merged(into: Harness, other: Harness) -> None:
    """Git's own merge of the other clone's branch; the files of the first one win where both changed one."""
    git(into.root, "checkout", "--quiet", "--", ".")
    for path in (each.root for each in (into, other)):
        git(path, "add", "--all")
        git(path, "commit", "--quiet", "--allow-empty", "--message", "Work")
    command = ("pull", "--quiet", "--no-rebase", "--no-edit", "-X", "ours", f"file://{other.root}", "HEAD")
    git(into.root, *command)


@pytest.mark.parametrize(("made", "paid"), [("replay", 5), ("ignore", 6)], indirect=["made"])
def test_branches_merge_in_both_orders(made: Harness, tmp_path: Path, paid: int) -> None:
    """Both files line by line: either merge knows every payment, has both texts, and has nothing left to pay for.

    A server that ignores our ids was paid twice for the item that both clones made.
    """
    first = branch_of(made, tmp_path / "first", "three")
    second = branch_of(made, tmp_path / "second", "three", "four", replace="one")
    copies = [cloned(each, tmp_path / f"copy-{number}") for number, each in enumerate((first, second))]
    assert len(made.api.generations) == paid
    known = []
    for into, other in itertools.permutations(copies):
        merged(into, cloned(other, tmp_path / f"of-{into.root.name}"))
        known.append({(job.item, job.attempt, job.job_id, job.state) for job in into.state.jobs})
        assert into.plan().credits_worst == 0
        into.applied("one", "two", "three", "four")
        assert into.plan().empty
    assert known[0] == known[1]
    assert len(known[0]) == len(made.api.generations) == paid


@pytest.mark.parametrize("lost", [JOBS, LOCK])
def test_one_file_without_the_other(made: Harness, tmp_path: Path, lost: str) -> None:
    """A merge that took one side's file: jobs alone bring the texts back, the lock alone says what is up to date."""
    git(made.root, "rm", "--quiet", lost)
    git(made.root, "commit", "--quiet", "--message", "Lost")
    clone = cloned(made, tmp_path / "clone")
    assert clone.plan().credits_worst == 0
    clone.apply()
    assert (len(clone.api.generations), clone.plan().empty, list(clone.state.records)) == (2, True, ["one", "two"])


def test_a_conflict_in_the_jobs_names_its_line(made: Harness, tmp_path: Path) -> None:
    """Where `merge=union` is missing: nothing is planned or paid for, and `commit` commits no marker."""
    clone = cloned(made, tmp_path / "clone")
    text = clone.read(JOBS)
    clone.write(JOBS, f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> other\n")
    for act in (clone.plan, clone.apply, lambda: committed(clone)):
        with pytest.raises(StateError, match=f"line 1 of `{JOBS}` is a git conflict marker") as caught:
            act()
        assert (caught.value.code, len(caught.value.diagnostics())) == ("conflict-markers", 3)
    assert len(clone.api.generations) == 2


# --- a project is named by its `project` and the first commit of its repository ------------------------------------

ALONE = lineage_of("acme-blog")


def _harness(root: Path, message: str = "", api: FakeApi | None = None) -> Harness:
    """A project that was never applied; with a message, committed."""
    harness = Harness(root, api or FakeApi(duration=30)).declared("one")
    if message:
        in_git(harness, message)
    return harness


def test_clones_agree_and_repositories_differ(tmp_path: Path) -> None:
    """From the first plan on, and whatever is committed later."""
    harness, other = _harness(tmp_path / "a", "A"), _harness(tmp_path / "b", "B")
    made = harness.plan().lineage
    assert made == lineage_of("acme-blog", first_commit(harness.root))
    assert len({made, other.plan().lineage, ALONE}) == 3
    harness.write("notes.md", "Later.\n")
    in_git(harness, "Later")
    clone = cloned(harness, tmp_path / "clone")
    assert clone.plan().lineage == made
    clone.apply()
    assert clone.state.lineage == harness.plan().lineage == made
    assert clone.record("one").request_id == clone.api.generations[0].request_id
    assert (results(harness.apply()), len(harness.api.generations)) == ({"one": "done"}, 1)


def test_doctor_says_where_a_lock_may_be_copied(tmp_path: Path) -> None:
    """A lock of another repository claims that one's contents; doctor names it, and says nothing of the first one."""
    harness, other = _harness(tmp_path / "a", "A"), _harness(tmp_path / "b", "B")
    harness.apply()
    shutil.copy(harness.root / "contentops.lock", other.root)

    def found(each: Harness) -> list[bool | None]:
        return [one.ok for one in doctor(each.project, each.runtime()) if one.name == "lineage"]

    assert (found(harness), found(other)) == ([], [None])


def test_without_a_first_commit_the_project_alone_names_it(tmp_path: Path) -> None:
    """Without git, and before anything was committed; a lock that is there keeps what it says."""
    harness = _harness(tmp_path)
    assert harness.plan().lineage == ALONE
    git(harness.root, "init", "--quiet")
    assert harness.plan().lineage == ALONE
    harness.apply()
    in_git(harness, "First")
    assert harness.plan().lineage == harness.state.lineage == ALONE


def test_a_run_that_was_killed_before_its_first_lock_is_gone_on_with(tmp_path: Path) -> None:
    """The journal keeps the lineage, also where a first commit came in between: nothing is paid for twice."""
    harness = _harness(tmp_path)
    git(harness.root, "init", "--quiet")
    harness.api.fault(on("submit", 1), "kill-after")
    harness.killed()
    shutil.rmtree(harness.root / "contentops.lock", ignore_errors=True)
    in_git(harness, "First")
    harness.api.heal()
    assert (results(harness.apply()), harness.state.lineage) == ({"one": "done"}, ALONE)
    assert len(harness.api.generations) == 1


def test_a_new_environment_belongs_to_the_project_of_the_others(tmp_path: Path) -> None:
    """Also where their locks were made from the project's name alone."""
    staging = Room(tmp_path, "staging", extra=ENVIRONMENTS)
    staging.applied("one")
    in_git(staging, "First")
    assert Room(tmp_path, "prod", extra=ENVIRONMENTS).plan().lineage == ALONE
    staging.write("notes.md", "Later.\n")
    in_git(staging, "Later")
    folder = tmp_path / "shallow"
    git(staging.root, "clone", "--quiet", "--depth", "1", f"file://{tmp_path}", str(folder))
    prod = Room(folder, "prod", extra=ENVIRONMENTS)
    assert (results(prod.apply()), prod.state.lineage) == ({"one": "done"}, ALONE)


def test_a_shallow_clone_applies_nothing_before_there_is_a_lock(tmp_path: Path) -> None:
    """It cannot see the first commit: it plans, says what to do, and pays for nothing."""
    harness = _harness(tmp_path / "a", "A")
    harness.write("notes.md", "Later.\n")
    in_git(harness, "Later")
    shallow = cloned(harness, tmp_path / "shallow", "--depth", "1")
    assert shallow.plan().lineage == ALONE
    with pytest.raises(Refused) as refused:
        shallow.apply()
    assert (refused.value.code, "`git fetch --unshallow`" in refused.value.hint) == ("no-first-commit", True)
    assert not shallow.api.generations
    git(shallow.root, "fetch", "--quiet", "--unshallow")
    shallow.apply()
    assert shallow.state.lineage == harness.plan().lineage
    again = cloned(shallow, tmp_path / "again", "--depth", "1")
    shutil.copy(shallow.root / "contentops.lock", again.root)
    again.apply()
    assert len(harness.api.generations) == 1


def test_two_repositories_of_one_name_share_no_row_of_a_ledger(tmp_path: Path, database: str) -> None:
    """Neither sees or finishes what the other one has begun."""
    harnesses = [_harness(tmp_path / name) for name in ("a", "b")]
    for harness in harnesses:
        harness.write("contentops.yaml", harness.read("contentops.yaml") + f"ledger: '{database}'\n")
        in_git(harness, harness.root.name)
    first, second = harnesses
    first.api.fault(on("status", 1), "kill")
    first.killed()
    assert (second.actions(), results(second.apply())) == ({"one": "create"}, {"one": "done"})
    first.api.heal()
    assert results(first.apply()) == {"one": "done"}
    assert [len(harness.api.generations) for harness in harnesses] == [1, 1]
