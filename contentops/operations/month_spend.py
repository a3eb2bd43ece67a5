"""Count what all environments of a project have spent in the calendar month of the clock, each submit once.

It is counted from the locks and journals, what commits of this month changed in locks, this machine's runs and cache,
and the ledger. What is not known counts in full: open submits, lost answers, and earlier attempts that no one recorded.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from contentops.ci.month_history import committed_since, head_of
from contentops.execution.times import seconds_of
from contentops.model import ATTEMPTS, JobState, LockedLine, MonthSpend, OpenEntry, Record, RequestId, request_id
from contentops.operations.environments import locked_environments, other_states
from contentops.operations.kept_runs import all_reports
from contentops.operations.opening import HERE, has_ledger
from contentops.operations.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import ItemId, Project
    from contentops.operations.opening import Runtime
    from contentops.operations.workspace import Workspace

_LONGEST_RUN = timedelta(days=7)
_AHEAD = timedelta(days=1)
"""So much may the clocks of two machines differ."""
_LOST = frozenset({JobState.SUBMITTING, JobState.UNKNOWN})


def month_spend(workspace: Workspace) -> MonthSpend:
    """Count the month of the clock. Raises StateError."""
    project, cache, ledger = workspace.project, workspace.cache, workspace.ledger
    now = datetime.fromtimestamp(workspace.runtime.wall(), UTC)
    count = _MonthCount(now, workspace.store.lineage)
    names = {lock: name for name, lock in locked_environments(project).items()}
    states = {names[lock]: state for lock, state in other_states(project)} | {project.environment: workspace.state}
    for environment, state in states.items():
        lines: list[Record | OpenEntry] = [*state.records.values(), *state.entries.values()]
        count.see(LockedLine(environment, line) for line in lines)
        count.open(state.entries.values())
    if ledger is not None:
        shared = ledger.submits_since(count.start)
        count.see(shared.lines)
        count.open(entry for _, entry in shared.lines if isinstance(entry, OpenEntry))
        count.queue(shared.queued)
    for report in all_reports(project, f"{count.start - _LONGEST_RUN:%Y%m%d}"):
        count.see((LockedLine(report.environment, one) for one in report.generations), whole=True)
    for text in cache.paid_texts():
        about = text.about
        count.add(RequestId(about.request_id), about.credits, about.generated_at)
    committed = committed_since(project.root, count.start, cache.counted())
    count.see(committed.lines)
    gaps = () if ledger is not None else committed.gaps
    if ledger is None and has_ledger(project, workspace.runtime.environ):
        gaps = ("the ledger cannot be read", *gaps)
    return count.result(gaps)


def spent_this_month(project: Project, runtime: Runtime = HERE) -> MonthSpend | None:
    """Count the month of the clock; None where the settings have no budget for a month. Raises StateError."""
    if not project.budget.is_monthly:
        return None
    with open_workspace(project, runtime, parse_cache=False) as workspace:
        return month_spend(workspace)


def remember_counted(workspace: Workspace) -> None:
    """Remember which commit an apply has counted, so that the next one notices if git lacks it."""
    if workspace.project.budget.is_monthly:
        workspace.cache.put_counted(head_of(workspace.project.root))


class _MonthCount:
    """The submits of a month, each with its credits."""

    def __init__(self, now: datetime, lineage: str) -> None:
        self._lineage = lineage
        self.start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._end = (self.start + timedelta(days=32)).replace(day=1) + _AHEAD
        self._spent: dict[RequestId, int] = {}
        self._ahead: set[RequestId] = set()
        self._known: set[RequestId] = set()
        """Every submit that was seen, of any month and outcome."""
        self._whole: set[RequestId] = set()
        """Those whose earlier attempts are known too: of runs on this machine."""
        self._recorded: set[RequestId] = set()
        self._failed: set[RequestId] = set()
        self._open: dict[RequestId, OpenEntry] = {}
        self._queued: Mapping[RequestId, int] = {}
        self._again: list[LockedLine] = []
        """Those of an attempt after the first."""

    def add(self, name: RequestId, credits_: int, at: str) -> None:
        """Count a text, unless its time is before the month. A time that cannot be read counts."""
        if not name:
            return
        self._known.add(name)
        when = seconds_of(at)
        if when is None or when >= self.start.timestamp():
            self._spent[name] = max(credits_, self._spent.get(name, 0))
        if when is not None and when >= self._end.timestamp():
            self._ahead.add(name)

    def see(self, lines: Iterable[LockedLine], *, whole: bool = False) -> None:
        """Count lines of locks, of any time. `whole`: they name every attempt that was paid for."""
        for located in lines:
            line = located.line
            name = line.request_id
            if isinstance(line, Record):
                self._recorded.add(name)
                self.add(name, line.credits, line.generated_at)
            elif line.state is JobState.FAILED:
                self._known.add(name)
                self._failed.add(name)
            else:
                self.add(name, line.credits, line.generated_at or line.submitted_at)
            if name and line.attempt > 1:
                self._again.append(located)
            if whole:
                self._whole.add(name)

    def open(self, entries: Iterable[OpenEntry]) -> None:
        """Count what is open now: a text of it will be of this month, whenever it was submitted."""
        for entry in entries:
            if entry.state is not JobState.FAILED:
                self._open[entry.request_id] = entry
                if entry.state is not JobState.PAID:
                    self._spent[entry.request_id] = entry.credits

    def queue(self, queued: Mapping[RequestId, int]) -> None:
        """Count what waits for workers."""
        self._queued = queued

    def result(self, gaps: tuple[str, ...]) -> MonthSpend:
        """Return the sum."""
        free = self._failed - self._recorded
        spent = {**self._queued, **self._spent}
        counted = {name: number for name, number in spent.items() if name not in free}
        lost = {name: entry.credits for name, entry in self._open.items() if entry.state in _LOST}
        return MonthSpend(
            month=f"{self.start:%Y-%m}",
            credits=sum(counted.values()) + sum(self._unseen()),
            uncertain={name: number for name, number in {**self._queued, **lost}.items() if name in counted},
            ahead=len(self._ahead & counted.keys()),
            gaps=gaps,
        )

    def _unseen(self) -> Iterator[int]:
        """Yield the credits of earlier attempts of which no line is left: they may have been paid for."""
        unseen: dict[RequestId, int] = {}
        for environment, line in self._again:
            if line.request_id in self._whole or line.request_id not in self._spent:
                continue
            item = line.id if isinstance(line, Record) else line.item
            names = (item, *(line.former_ids if isinstance(line, Record) else ()))
            last = min(line.attempt, ATTEMPTS)
            attempts = [self._ids(environment, names, line.digest, one) for one in range(1, last + 1)]
            own = next((at for at, ids in enumerate(attempts) if line.request_id in ids), 0)
            unseen |= {ids[0]: line.credits for ids in attempts[:own] if self._known.isdisjoint(ids)}
        yield from unseen.values()

    def _ids(self, environment: str, names: Iterable[ItemId], digest: Digest, attempt: int) -> list[RequestId]:
        return [request_id(self._lineage, environment, name, digest, attempt) for name in names]
