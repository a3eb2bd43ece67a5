"""What a lost machine may have started is asked for before it is paid, whatever became of the runs since."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fakes.api import FakeApi, Killed
from tests.fakes.harness import Harness, blog
from tests.fakes.kills import Death

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("at", range(1, 24, 5))
def test_a_run_that_was_killed_while_it_asked(tmp_path: Path, at: int) -> None:
    """The next one has a journal, which says nothing of what the machine before had started."""
    harness = Harness(tmp_path, FakeApi(duration=300, auto_save=False, request_ids="overwrite"))
    harness.write("content/blog.yaml", blog("first"))
    harness.apply()
    lock = harness.read("contentops.lock")
    harness.write("content/blog.yaml", blog("first", "p", "q", "r"))
    harness.apply(deadline=60)
    assert harness.api.credits == 16
    # Another machine, from the last lock that reached git.
    shutil.rmtree(tmp_path / ".contentops")
    harness.write("contentops.lock", lock)
    harness.edit("contentops.yaml", "api: {", "api: {max_in_flight: 1, ")
    harness.write("content/blog.yaml", blog("first", "new", "p", "q", "r"))
    harness.death = Death(at)
    with contextlib.suppress(Killed):
        harness.apply()
    harness.death = None
    harness.apply()
    assert harness.plan().empty
    assert harness.api.credits == 20
