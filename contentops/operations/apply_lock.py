"""Let one command at a time change the state of an environment."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.ci.runner import run_page
from contentops.execution.times import iso
from contentops.state.state_dir import ApplyLock, user_at_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from contentops.model import Project
    from contentops.operations.opening import Runtime
    from contentops.operations.workspace import Workspace


@contextlib.contextmanager
def hold_lock(project: Project, runtime: Runtime, *, spends: bool = False) -> Iterator[None]:
    """Hold the apply lock of this environment while the block runs.

    `spends`: those of all environments, if a budget limits what they spend in a month: two applies at once would each
    see the same rest of it. Raises LockHeld where another command has one.
    """
    who, where = user_at_host(), run_page(runtime.environ)
    with contextlib.ExitStack() as closing:
        for environment in _environments(project) if spends and project.budget.is_monthly else (project.environment,):
            now = iso(runtime.wall())
            lock = ApplyLock(Path(project.root), environment=environment, who=who, now=now, where=where)
            closing.enter_context(lock)
        yield


def _environments(project: Project) -> list[str]:
    """Return all environments."""
    return sorted({"", project.environment, *(project.settings.get("environments") or {})})


def spending(workspace: Workspace) -> AbstractContextManager[None]:
    """Return a block in which no other machine with the ledger spends from the budget of the month.

    Entering it raises LockHeld where one does.
    """
    if workspace.ledger is None or not workspace.project.budget.is_monthly:
        return contextlib.nullcontext()
    return workspace.ledger.spending()
