"""A project is named by its `project` and the first commit of its repository: alike in clones, different elsewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest

from contentops.ci.git import first_commit
from contentops.errors import Refused
from contentops.operations.doctor import doctor
from contentops.state.lock import lineage_of
from tests.clones import NOBODY
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, results
from tests.repositories import cloned, in_git
from tests.test_promote import ENVIRONMENTS, Room

ALONE = lineage_of("acme-blog")


def _harness(root: Path, message: str = "", api: FakeApi | None = None) -> Harness:
    """A project that was never applied; with a message, committed."""
    harness = Harness(root, api or FakeApi(duration=30)).declared("one")
    if message:
        in_git(harness, message)
    return harness


def _git(harness: Harness, *words: str) -> None:
    subprocess.run(["git", *NOBODY, *words], cwd=harness.root, check=True, capture_output=True)


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
    _git(harness, "init", "--quiet")
    assert harness.plan().lineage == ALONE
    harness.apply()
    in_git(harness, "First")
    assert harness.plan().lineage == harness.state.lineage == ALONE


def test_a_run_that_was_killed_before_its_first_lock_is_gone_on_with(tmp_path: Path) -> None:
    """The journal keeps the lineage, also where a first commit came in between: nothing is paid for twice."""
    harness = _harness(tmp_path)
    _git(harness, "init", "--quiet")
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
    _git(staging, "clone", "--quiet", "--depth", "1", f"file://{tmp_path}", str(folder))
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
    _git(shallow, "fetch", "--quiet", "--unshallow")
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
