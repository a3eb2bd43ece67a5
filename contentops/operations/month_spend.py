"""Count what all environments of a project have spent in the calendar month of the clock: a sum over their jobs.

Orders whose answer was lost count in each month in which they may have been accepted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from contentops.execution.records import CLOCKS
from contentops.execution.times import seconds_of
from contentops.model import JobState, MonthSpend
from contentops.model.jobs import fold_jobs
from contentops.model.limits import in_units
from contentops.model.records import UNDECIDED
from contentops.operations.opening import HERE, has_ledger
from contentops.operations.paid import jobs_by_environment
from contentops.operations.workspace import open_workspace
from contentops.tokens import add_money

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from contentops.model import OpenEntry, Project
    from contentops.operations.opening import Runtime
    from contentops.operations.workspace import Workspace
    from contentops.tokens import TokenPrice

_AHEAD = timedelta(days=1)
"""So much may the clocks of two machines differ."""


def month_spend(workspace: Workspace) -> MonthSpend:
    """Count the month of the clock. Raises StateError."""
    project, ledger = workspace.project, workspace.ledger
    jobs = [job for each in jobs_by_environment(project, workspace.state).values() for job in each]
    gaps: tuple[str, ...] = ()
    if ledger is not None:
        jobs = fold_jobs((*jobs, *ledger.jobs()))
    elif has_ledger(project, workspace.runtime.environ):
        gaps = ("the ledger cannot be read",)
    now = datetime.fromtimestamp(workspace.runtime.wall(), UTC)
    return count_month(jobs, now, project.api.job_timeout, project.price, gaps)


def count_month(
    jobs: Iterable[OpenEntry], now: datetime, timeout: float, price: TokenPrice | None, gaps: tuple[str, ...] = ()
) -> MonthSpend:
    """Sum the jobs of the month of `now`.

    `timeout`: seconds in which a lost order may have been accepted; `price`: of tokens that came without one.
    """
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    counted = [job for job in jobs if _is_of_month(job, start.timestamp(), end.timestamp(), timeout)]
    # A plan that goes on with them has their price as well.
    unclear = [job for job in counted if job.state in UNDECIDED or job.state is JobState.RUNNING]
    late = (end + _AHEAD).timestamp()
    return MonthSpend(
        month=f"{start:%Y-%m}",
        credits=sum(job.cost for job in counted),
        credits_unsure=sum(job.cost for job in counted if job.may_be_paid),
        money=_sum(counted, price),
        money_unsure=_sum((job for job in counted if not _is_exact(job)), price),
        uncertain={job.request_id: job.cost for job in unclear},
        uncertain_money={job.request_id: sum(_money(job, price).values()) for job in unclear},
        ahead=sum((seconds_of(job.since) or 0) >= late for job in counted),
        gaps=gaps,
    )


def _sum(jobs: Iterable[OpenEntry], price: TokenPrice | None) -> dict[str, Decimal]:
    amounts = add_money(_money(job, price) for job in jobs)
    return {currency: in_units(amount) for currency, amount in amounts.items()}


def _is_of_month(job: OpenEntry, start: float, end: float, timeout: float) -> bool:
    """Tell whether a job was accepted in a month, or may have been. A time that cannot be read, or is later, counts."""
    if job.state is JobState.NEVER:
        return False
    when = seconds_of(job.since)
    if when is None:
        return True
    return when + timeout >= start and when - CLOCKS < end if job.may_be_paid else when >= start


def _is_exact(job: OpenEntry) -> bool:
    """Tell whether a report counts the same money for a job."""
    return not job.may_be_paid and job.tokens is not None and job.tokens.price is not None


def _money(job: OpenEntry, price: TokenPrice | None) -> dict[str, int]:
    """Return what the tokens of a job cost, or the most that they may have cost; at `price` where it names none."""
    tokens = job.tokens or job.bound
    price = (tokens.price if tokens is not None else None) or price
    return {price.currency: price.of(tokens)} if tokens is not None and price is not None else {}


def spent_this_month(project: Project, runtime: Runtime = HERE) -> MonthSpend | None:
    """Count the month of the clock; None where the settings have no budget for a month. Raises StateError."""
    if not project.budget.is_monthly:
        return None
    with open_workspace(project, runtime) as workspace:
        return month_spend(workspace)
