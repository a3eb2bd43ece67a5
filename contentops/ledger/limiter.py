"""One limiter for all processes of an account: its knowledge is a row, its rules are those of any limiter.

Every decision is one transaction that holds the row, by the clock of the database. The row needs not survive a crash
of the database, so it does not wait for the disk: the less time between a stamp and its request, the better.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import msgspec

from contentops.execution.limiter import WINDOW, Limiter, LimiterState

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from contentops.ledger.session import LedgerSession, Row

T = TypeVar("T")

SLOW = 0.02
"""Seconds between the stamp of a request and its leaving, from which on it is stamped again."""
_READ = "SELECT state::text, extract(epoch FROM clock_timestamp())::float8 FROM contentops.limiter WHERE account = %s"
_decode = msgspec.json.Decoder(LimiterState).decode


class SharedLimiter:
    """The `AccountLimiter` of an account of a ledger. Times are loop times; the row's are seconds since 1970."""

    def __init__(self, session: LedgerSession, account: str, per_minute: int) -> None:
        """`session` is the limiter's own, not durable."""
        self.limit = per_minute
        self._session, self._account = session, account
        self._ready_at = -math.inf
        self._stamped_at = -math.inf
        session.run("INSERT INTO contentops.limiter (account) VALUES (%s) ON CONFLICT DO NOTHING", (account,))

    def ready_at(self, now: float) -> float:
        """When a further send may go out, as far as is known: others may have sent since, which `take` sees."""
        return max(self._ready_at, now - WINDOW)

    def take(self, most: int, now: float) -> int:
        """Count as many sends as may go out at once, at most `most`, and return how many."""

        def taken(limiter: Limiter, clock: float) -> tuple[int, float]:
            count = limiter.take(most, clock)
            return count, limiter.ready_at(clock) - clock

        count, wait = self._change(taken) if self.limit else taken(*self._look())
        self._ready_at = now + wait if wait > 0 else -math.inf
        self._stamped_at = now
        return count

    def leaving(self, count: int, now: float) -> None:
        """The last sends that were counted go out only now."""
        if self.limit and now - self._stamped_at > SLOW:
            self._change(lambda limiter, clock: limiter.leaving(count, clock))

    def sent(self, now: float) -> None:
        """Count one send that did not wait for its turn."""
        self._stamped_at = now
        if self.limit:
            self._change(lambda limiter, clock: limiter.sent(clock))

    def throttled(self, now: float, retry_after: float | None) -> None:
        """A 429 holds everybody back, not only who got it."""

        def held(limiter: Limiter, clock: float) -> float:
            limiter.throttled(clock, retry_after)
            return limiter.ready_at(clock) - clock

        self._ready_at = now + self._change(held)

    def _look(self) -> tuple[Limiter, float]:
        """The limiter as the row has it now, and the time: where nothing is counted, nothing is written."""
        rows = self._session.run(_READ, (self._account,))
        return self._of(rows[0] if rows else None)

    def _change(self, change: Callable[[Limiter, float], T]) -> T:
        def work(cursor: psycopg.Cursor[Row]) -> T:
            cursor.execute(f"{_READ} FOR UPDATE", (self._account,))
            limiter, clock = self._of(cursor.fetchone())
            answer = change(limiter, clock)
            after = msgspec.json.encode(limiter.state()).decode()
            cursor.execute("UPDATE contentops.limiter SET state = %s WHERE account = %s", (after, self._account))
            return answer

        return self._session.transaction(work)

    def _of(self, row: Row | None) -> tuple[Limiter, float]:
        text, clock = row if row is not None else ("{}", 0.0)
        return Limiter(self.limit, _state(text)), clock


def _state(text: str) -> LimiterState:
    """What the row says; a row that cannot be used counts as empty."""
    try:
        return _decode(text)
    except msgspec.MsgspecError:
        return LimiterState()
