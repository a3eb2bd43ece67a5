"""Where a copy of a person's words lies once they are replaced: where no `git clean` takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.model import OnEdit
from contentops.operations.plan import spent_this_month
from contentops.operations.restore import restore
from tests.clones import git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.test_promote import Room

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("processes")
MONTH = "budget: {credits_per_month: 100}\n"
ONE = "items: [{id: a, inputs: {topic: A, target_audience: readers}}]\n"


@pytest.mark.parametrize("folder", ["", "sites/blog"], ids=["top", "below"])
def test_no_clean_takes_replaced_words_away(tmp_path: Path, folder: str) -> None:
    """Not even before the first commit; the path that the run names leads to them from the project's folder."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    harness = Harness(tmp_path / folder, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.apply()
    harness.edit("out/a.md", "Closing", "MINE")
    mine = harness.read("out/a.md")
    harness.edit("content/b.yaml", "topic: A", "topic: B")
    run = harness.apply(on_edit=OnEdit.OVERWRITE)
    assert run is not None
    (outcome,) = run.outcomes
    git(tmp_path, "clean", "-xfd", "--quiet")
    harness.root.joinpath("out").mkdir(parents=True, exist_ok=True)
    copy = harness.root / outcome.copy
    assert copy.read_text() == mine
    assert (tmp_path / ".git" / "contentops").resolve() in copy.resolve().parents


def test_a_restore_keeps_them_too(tmp_path: Path) -> None:
    """`restore --on-edit overwrite` replaces words as well."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.apply()
    made = harness.record("a").generated
    harness.edit("out/a.md", "Closing", "MINE")
    mine = harness.read("out/a.md")
    restored = restore(harness.project, "a", made, overwrite=True, runtime=harness.runtime())
    assert "MINE" not in harness.read("out/a.md")
    git(tmp_path, "clean", "-xfd", "--quiet")
    assert (tmp_path / restored.copy).read_text() == mine


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


def test_jobs_of_another_project_do_not_count(tmp_path: Path) -> None:
    """A file that was copied under the name of an environment that no one declares."""
    ours, theirs = (Harness(tmp_path / name, FakeApi(duration=30), extra=MONTH) for name in ("ours", "theirs"))
    for harness, first in ((ours, "A"), (theirs, "B")):
        git(harness.root, "init", "--quiet", "--initial-branch", "main")
        harness.write("content/b.yaml", ONE.replace("topic: A", f"topic: {first}"))
        git(harness.root, "add", "--all")
        git(harness.root, "commit", "--quiet", "--message", f"Begin {first}")
        harness.apply()
    ours.write("contentops.copied.jobs", theirs.read("contentops.jobs"))
    spent = spent_this_month(ours.project, ours.runtime())
    assert spent is not None
    assert spent.credits == ours.api.credits == 4
