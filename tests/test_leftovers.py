"""A run killed in the middle of a write leaves a half-written file; the next apply removes it, and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog

if TYPE_CHECKING:
    from pathlib import Path

LEFT = "out/.contentops-0123456789abcdef.tmp"
OURS_IN_NAME_ONLY = "out/.contentops-notes.tmp"


@pytest.mark.parametrize("busy", [True, False], ids=["something to do", "nothing to do"])
def test_an_apply_sweeps_what_a_killed_one_left(tmp_path: Path, *, busy: bool) -> None:
    """Whether or not there is anything else to do."""
    harness = Harness(tmp_path, FakeApi())
    harness.write("content/blog.yaml", blog("one"))
    if not busy:
        harness.apply()
    for name in (LEFT, OURS_IN_NAME_ONLY):
        harness.write(name, "half of a te")
        os.utime(tmp_path / name, (0, 0))
    harness.apply()
    assert not (tmp_path / LEFT).exists()
    assert (tmp_path / OURS_IN_NAME_ONLY).exists()


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    """An apply for another environment may be at work in the same folder."""
    harness = Harness(tmp_path, FakeApi())
    harness.write("content/blog.yaml", blog("one"))
    harness.write(LEFT, "half of a te")
    os.utime(tmp_path / LEFT, (2**33, 2**33))
    harness.apply()
    assert (tmp_path / LEFT).exists()
