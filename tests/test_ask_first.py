"""What a lost machine may have started is asked for before it is paid, whatever became of the runs since."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fakes.api import FakeApi, Killed
from tests.fakes.death import Death
from tests.fakes.scene import Scene, blog

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("at", range(1, 24, 2))
def test_a_run_that_was_killed_while_it_asked(tmp_path: Path, at: int) -> None:
    """The next one has a journal, which says nothing of what the machine before had started."""
    scene = Scene(tmp_path, FakeApi(duration=300, auto_save=False, request_ids="overwrite"))
    scene.write("content/blog.yaml", blog("first"))
    scene.apply()
    lock = scene.read("contentops.lock")
    scene.write("content/blog.yaml", blog("first", "p", "q", "r"))
    scene.apply(deadline=60)
    assert scene.api.credits == 16
    # Another machine, from the last lock that reached git.
    shutil.rmtree(tmp_path / ".contentops")
    scene.write("contentops.lock", lock)
    scene.edit("contentops.yaml", "api: {", "api: {max_in_flight: 1, ")
    scene.write("content/blog.yaml", blog("first", "new", "p", "q", "r"))
    scene.death = Death(at)
    with contextlib.suppress(Killed):
        scene.apply()
    scene.death = None
    scene.apply()
    assert scene.plan().empty
    assert scene.api.credits == 20
