"""A copy of the lock beside it, as people and git's merge tools leave them, is no environment's lock."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fakes.harness import Harness, blog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run


@pytest.mark.parametrize(
    "name",
    ["contentops-backup.lock", "contentops_BASE_1234.lock", "contentops.old.lock", "contentops copy.lock"],
)
@pytest.mark.parametrize("content", ["", "not a lock\n"], ids=["copied", "damaged"])
def test_only_the_locks_of_declared_environments_are_read(tmp_path: Path, invoke: Run, name: str, content: str) -> None:
    """Neither plan nor status stops at it, and what it names belongs to no one else."""
    harness = Harness(tmp_path, extra="environments: {live: {output: 'live/{{ item.id }}.md'}}")
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    copy = tmp_path / name
    shutil.copy(tmp_path / "contentops.lock", copy)
    if content:
        copy.write_text(content)
    assert harness.plan().empty
    for words in (["plan"], ["status"], ["state", "list"]):
        ended = invoke(*words, cwd=tmp_path)
        assert (ended.code, "another" in ended.stdout) == (0, False), ended.stderr
    # The lock of an environment that is declared still owns its paths.
    shutil.copy(tmp_path / "contentops.lock", tmp_path / "contentops.live.lock")
    assert harness.actions() == {"one": "blocked"}
