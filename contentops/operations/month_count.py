"""The submits of a calendar month, each counted once, by what any source says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING
from contentops.execution.times import seconds_of
from contentops.model import ATTEMPTS, JobState, LockedLine, MonthSpend, OpenEntry, Record, RequestId, request_id
from contentops.model.limits import in_units
from contentops.tokens import add_money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from contentops.digest import Digest
    from contentops.model import ItemId
    from contentops.tokens import PaidTokens, TokenPrice

_AHEAD = timedelta(days=1)
"""So much may the clocks of two machines differ."""
_LOST = frozenset({JobState.SUBMITTING, JobState.UNKNOWN})


class SubmitCost(Struct, frozen=True, kw_only=True):
    """What one submit cost. `has_model`: a model here wrote or writes it, for money if its tokens are not known."""

    credits: int
    tokens: PaidTokens | None = None
    digest: Digest = NOTHING
    has_model: bool = False

    @staticmethod
    def of(line: Record | OpenEntry) -> SubmitCost:
        """What a line of a lock says."""
        has_model = bool(line.model) or (isinstance(line, OpenEntry) and line.server == "local")
        return SubmitCost(credits=line.credits, tokens=line.tokens, digest=line.digest, has_model=has_model)


class MoneyOfTokens(Struct, frozen=True):
    """The price of tokens today, and the most money that an unknown number of them costs for a request."""

    price: TokenPrice
    at_most: Callable[[Digest], int]

    def of(self, cost: SubmitCost) -> dict[str, int]:
        """What a submit cost, or the most that it may have cost."""
        if cost.tokens is not None:
            price = cost.tokens.price or self.price
            return {price.currency: price.of(cost.tokens)}
        return {self.price.currency: self.at_most(cost.digest)} if cost.has_model else {}


def _known_most(cost: SubmitCost) -> tuple[bool, int, bool]:
    return (cost.tokens is not None, cost.credits, cost.has_model)


class MonthCount:
    """The submits of the month of a moment. What is not known counts in full."""

    def __init__(self, now: datetime, lineage: str) -> None:
        self._lineage = lineage
        self.start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self.month = f"{self.start:%Y-%m}"
        self._end = (self.start + timedelta(days=32)).replace(day=1) + _AHEAD
        self._spent: dict[RequestId, SubmitCost] = {}
        self._ahead: set[RequestId] = set()
        self._known: set[RequestId] = set()
        """Every submit that was seen, of any month and outcome."""
        self._whole: set[RequestId] = set()
        """Those whose earlier attempts are known too: of runs on this machine."""
        self._recorded: set[RequestId] = set()
        self._failed: dict[RequestId, SubmitCost] = {}
        """Those of the month; they cost no credits, and the tokens of their models."""
        self._free: set[RequestId] = set()
        """Those that failed in any month."""
        self._open: dict[RequestId, OpenEntry] = {}
        self._again: list[LockedLine] = []
        """Those of an attempt after the first."""

    def add(self, name: RequestId, cost: SubmitCost, at: str) -> None:
        """Count a text, unless its time is before the month."""
        if name and self._is_of_month(name, at):
            self._spent[name] = max((cost, self._spent.get(name, cost)), key=_known_most)

    def _is_of_month(self, name: RequestId, at: str) -> bool:
        """Tell whether a submit is of the month or later. A time that cannot be read counts."""
        self._known.add(name)
        when = seconds_of(at)
        if when is not None and when >= self._end.timestamp():
            self._ahead.add(name)
        return when is None or when >= self.start.timestamp()

    def fail(self, name: RequestId, cost: SubmitCost, at: str) -> None:
        """Count a job that failed: only the tokens of its model."""
        self._free.add(name)
        if self._is_of_month(name, at):
            self._failed[name] = cost

    def see(self, lines: Iterable[LockedLine], *, whole: bool = False) -> None:
        """Count lines of locks, of any time. `whole`: they name every attempt that was paid for."""
        for located in lines:
            line = located.line
            name = line.request_id
            if isinstance(line, Record):
                self._recorded.add(name)
                self.add(name, SubmitCost.of(line), line.generated_at)
            else:
                count = self.fail if line.state is JobState.FAILED else self.add
                count(name, SubmitCost.of(line), line.generated_at or line.submitted_at)
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
                    self._spent[entry.request_id] = SubmitCost.of(entry)

    def result(self, gaps: tuple[str, ...], money: MoneyOfTokens | None) -> MonthSpend:
        """Return the sum; `money`: how tokens are priced, None where no one asks."""
        free = self._free - self._recorded
        counted = {name: cost for name, cost in self._spent.items() if name not in free}
        failed = [cost for name, cost in self._failed.items() if name in free]
        lost = {name: SubmitCost.of(entry) for name, entry in self._open.items() if entry.state in _LOST}
        uncertain = {name: cost for name, cost in lost.items() if name in counted}
        unseen = [*self._unseen()]
        paid = [] if money is None else [money.of(cost) for cost in (*counted.values(), *failed, *unseen)]
        at_most = {} if money is None else {name: money.of(cost) for name, cost in uncertain.items()}
        return MonthSpend(
            month=self.month,
            credits=sum(cost.credits for cost in (*counted.values(), *unseen)),
            money={currency: in_units(amount) for currency, amount in add_money(paid).items()},
            uncertain={name: cost.credits for name, cost in uncertain.items()},
            uncertain_money={name: sum(amounts.values()) for name, amounts in at_most.items()},
            ahead=len(self._ahead & counted.keys()),
            gaps=gaps,
        )

    def _unseen(self) -> Iterator[SubmitCost]:
        """Yield the costs of earlier attempts of which no line is left: they may have been paid for."""
        unseen: dict[RequestId, SubmitCost] = {}
        for environment, line in self._again:
            if line.request_id in self._whole or line.request_id not in self._spent:
                continue
            item = line.id if isinstance(line, Record) else line.item
            names = (item, *(line.former_ids if isinstance(line, Record) else ()))
            last = min(line.attempt, ATTEMPTS)
            attempts = [self._ids(environment, names, line.digest, one) for one in range(1, last + 1)]
            own = next((at for at, ids in enumerate(attempts) if line.request_id in ids), 0)
            cost = SubmitCost.of(line)
            one = SubmitCost(credits=cost.credits, digest=cost.digest, has_model=cost.has_model)
            unseen |= {ids[0]: one for ids in attempts[:own] if self._known.isdisjoint(ids)}
        yield from unseen.values()

    def _ids(self, environment: str, names: Iterable[ItemId], digest: Digest, attempt: int) -> list[RequestId]:
        return [request_id(self._lineage, environment, name, digest, attempt) for name in names]
