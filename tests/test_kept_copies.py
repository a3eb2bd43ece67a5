"""Where a copy of a person's words lies once they are replaced: where no `git clean` takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.model import OnEdit
from contentops.operations.texts.diff_and_restore import restore
from tests.clones import git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("processes")
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
