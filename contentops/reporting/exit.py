"""The exit code a run deserves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import ExitCode, worst
from contentops.model import Action, Result

if TYPE_CHECKING:
    from contentops.model import Plan, Run

_STOPPED = {
    "": ExitCode.DONE,
    "interrupted": ExitCode.INTERRUPTED,
    "deadline": ExitCode.PAUSED,
    "credits": ExitCode.PAUSED,
    "throttled": ExitCode.PAUSED,
    "unauthorized": ExitCode.INCOMPLETE,
    "first-contact": ExitCode.INCOMPLETE,
    "refused-submits": ExitCode.INCOMPLETE,
}


def exit_code_of(run: Run) -> ExitCode:
    """Done only if every item is; a reason to stop that is not known counts as incomplete."""
    codes = {_STOPPED.get(run.stopped, ExitCode.INCOMPLETE)}
    if any(outcome.result not in {Result.DONE, Result.PENDING} for outcome in run.outcomes):
        codes.add(ExitCode.INCOMPLETE)
    if not run.stopped and run.count(Result.PENDING):
        codes.add(ExitCode.INCOMPLETE)
    return worst(codes)


def exit_code_without_run(plan: Plan) -> ExitCode:
    """Where nothing was carried out: done, unless the plan holds items back."""
    held = any(change.action is Action.BLOCKED for change in plan.changes)
    return ExitCode.INCOMPLETE if held else ExitCode.DONE
