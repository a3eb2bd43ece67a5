"""Let one command at a time change the state of an environment."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.ci.runner import run_page
from contentops.errors import LockHeld
from contentops.execution.times import iso
from contentops.state.state_dir import ApplyLock, user_at_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Project
    from contentops.operations.opening import Runtime


@contextlib.contextmanager
def hold_lock(project: Project, runtime: Runtime) -> Iterator[None]:
    """Hold the apply lock of this environment while the block runs. Raises LockHeld where another command has it."""
    who, where = user_at_host(), run_page(runtime.environ)
    with contextlib.ExitStack() as closing:
        while True:
            lock = ApplyLock(
                Path(project.root), environment=project.environment, who=who, now=iso(runtime.wall()), where=where
            )
            try:
                closing.enter_context(lock)
            except LockHeld as error:
                if not runtime.wait(error):
                    raise
            else:
                break
        yield
