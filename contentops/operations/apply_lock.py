"""Let one command at a time change the state of a project."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.ci.runner import run_page
from contentops.execution.times import iso
from contentops.state.state_dir import ApplyLock, user_at_host

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from contentops.model import Project
    from contentops.operations.opening import Runtime
    from contentops.operations.workspace import Workspace


def hold_lock(project: Project, runtime: Runtime) -> AbstractContextManager[object]:
    """Return a block in which no other command changes a state of this project, of any environment or work tree.

    Entering it raises LockHeld where one does.
    """
    return ApplyLock(
        Path(project.root),
        environment=project.environment,
        who=user_at_host(),
        now=iso(runtime.wall()),
        where=run_page(runtime.environ),
    )


def spending(workspace: Workspace) -> AbstractContextManager[None]:
    """Return a block in which no other machine with the ledger spends from the budget of the month.

    Entering it raises LockHeld where one does.
    """
    if workspace.ledger is None or not workspace.project.budget.is_monthly:
        return contextlib.nullcontext()
    return workspace.ledger.spending()
