"""Count what all environments of a project have spent in the calendar month of the clock, each submit once.

It is counted from the locks and journals, what commits of this month changed in locks, this machine's runs and cache,
and the ledger. What is not known counts in full: open submits, lost answers, and earlier attempts that no one recorded.
"""

from __future__ import annotations

import contextlib
import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from contentops.ci.month_history import committed_since, head_of
from contentops.errors import InputError
from contentops.model import LockedLine, OpenEntry, RequestId
from contentops.operations.environments import locked_environments, other_states
from contentops.operations.kept_runs import all_reports
from contentops.operations.month_count import MoneyOfTokens, MonthCount, SubmitCost
from contentops.operations.opening import HERE, has_ledger
from contentops.operations.workspace import open_workspace
from contentops.planning.model_price import tokens_at_most

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.model import MonthSpend, Project, Record, Spec
    from contentops.operations.opening import Runtime
    from contentops.operations.workspace import Workspace

_LONGEST_RUN = timedelta(days=7)


def month_spend(workspace: Workspace) -> MonthSpend:
    """Count the month of the clock. Raises StateError."""
    project, cache, ledger = workspace.project, workspace.cache, workspace.ledger
    now = datetime.fromtimestamp(workspace.runtime.wall(), UTC)
    count = MonthCount(now, workspace.store.lineage)
    names = {lock: name for name, lock in locked_environments(project).items()}
    states = {names[lock]: state for lock, state in other_states(project)} | {project.environment: workspace.state}
    for environment, state in states.items():
        lines: list[Record | OpenEntry] = [*state.records.values(), *state.entries.values()]
        count.see(LockedLine(environment, line) for line in lines)
        count.open(state.entries.values())
    if ledger is not None:
        shared = ledger.submits_since(count.start)
        count.see(shared)
        count.open(entry for _, entry in shared if isinstance(entry, OpenEntry))
    for report in all_reports(project, f"{count.start - _LONGEST_RUN:%Y%m%d}"):
        count.see((LockedLine(report.environment, one) for one in report.generations), whole=True)
        for one in report.failed:
            count.fail(one.request_id, SubmitCost.of(one), one.generated_at)
    for text in cache.paid_texts():
        about = text.about
        cost = SubmitCost(credits=about.credits, tokens=about.tokens, digest=text.digest, has_model=bool(about.model))
        count.add(RequestId(about.request_id), cost, about.generated_at)
    month, _, last = cache.counted().partition(" ")
    committed = committed_since(project.root, count.start, last if month == count.month else "")
    count.see(committed.lines)
    gaps = () if ledger is not None else committed.gaps
    if ledger is None and has_ledger(project, workspace.runtime.environ):
        gaps = ("the ledger cannot be read", *gaps)
    return count.result(gaps, _money(workspace))


def _money(workspace: Workspace) -> MoneyOfTokens | None:
    """Return how tokens are priced; None where no budget asks for money."""
    project = workspace.project
    price = project.price
    if price is None or project.budget.money_per_month is None:
        return None

    def bound(spec: Spec) -> int:
        tokens = tokens_at_most(spec, project)
        return price.of(tokens) if tokens is not None else 0

    @functools.cache
    def specs() -> dict[Digest, Spec]:
        with contextlib.suppress(InputError):
            return {spec.digest: spec for spec in workspace.desired.specs}
        return {}

    @functools.cache
    def highest() -> int:
        return max(map(bound, specs().values()), default=0)

    def at_most(digest: Digest) -> int:
        """The bound of the item that asks for it, else the highest of all."""
        return bound(specs()[digest]) if digest in specs() else highest()

    return MoneyOfTokens(price, at_most)


def spent_this_month(project: Project, runtime: Runtime = HERE) -> MonthSpend | None:
    """Count the month of the clock; None where the settings have no budget for a month. Raises StateError."""
    if not project.budget.is_monthly:
        return None
    with open_workspace(project, runtime, keep_stamps=False) as workspace:
        return month_spend(workspace)


def remember_counted(workspace: Workspace) -> None:
    """Remember which commit an apply has counted, so that the next one of the month notices if git lacks it."""
    if workspace.project.budget.is_monthly and (commit := head_of(workspace.project.root)):
        month = datetime.fromtimestamp(workspace.runtime.wall(), UTC).strftime("%Y-%m")
        workspace.cache.put_counted(f"{month} {commit}")
