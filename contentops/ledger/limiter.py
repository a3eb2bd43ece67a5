"""Limits the requests of all processes of an account together. A row of the ledger keeps the state.

Every decision is one transaction that locks the row and uses the clock of the database. The decision is on disk before
a request is sent, so that a crash of the database forgets no request.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from contentops.execution.limiter import LONGEST_PAUSE, WINDOW, Limiter, LimiterState
from contentops.json_reader import decode_json
from contentops.ledger.session import LedgerSession, Row
from contentops.model import ApiSettings

if TYPE_CHECKING:
    import psycopg


# ---- One limiter for all processes of an account: a row keeps its state, and its rules are those of `Limiter`.

T = TypeVar("T")

SLOW = 0.02
"""A request that is sent more than this many seconds after its time was recorded gets a new time."""
SPREAD = 0.5
"""Requests of several processes may arrive this many seconds later than their recorded times."""
MOST = 100_000
"""The most requests of the last minute that a row may list."""
HELD = 86_400.0
"""A row may stop all processes for at most this many seconds."""
CLOCK = "extract(epoch FROM clock_timestamp())::float8"
"""SQL: seconds since 1970, by the clock of the database."""
_MAKE = "INSERT INTO contentops.limiter (account) VALUES (%s) ON CONFLICT DO NOTHING"


class SharedLimiter:
    """The request limiter of an account, shared through a ledger.

    Times are those of the event loop. Times in the row are seconds since 1970.
    """

    def __init__(self, session: LedgerSession, account: str, per_minute: int, *, clock: str = CLOCK) -> None:
        """Create the limiter. `clock` is an SQL expression."""
        self.limit = per_minute
        self._session, self._account = session, account
        self._ready_at = -math.inf
        self._stamped_at = -math.inf
        self._taken = 0.0
        """When this process last reserved requests, by the clock of the row."""
        self._read = f"SELECT state::text, {clock} FROM contentops.limiter WHERE account = %s"
        # The time is read once the row is locked.
        self._hold = (
            "WITH held AS MATERIALIZED (SELECT state FROM contentops.limiter WHERE account = %s FOR UPDATE)"
            f" SELECT state::text, {clock} FROM held"
        )
        session.run(_MAKE, (account,))

    def ready_at(self, now: float) -> float:
        """Return when the next request may be possible, as far as this process knows. `take` asks the ledger."""
        return max(self._ready_at, now - WINDOW)

    def take(self, most: int, now: float) -> int:
        """Reserve as many requests as the limit allows now, at most `most`. Return their number."""

        def taken(limiter: Limiter, clock: float) -> tuple[int, float]:
            count = limiter.take(most, clock)
            self._taken = clock
            return count, limiter.ready_at(clock) - clock

        count, wait = self._change(taken) if self.limit else taken(*self._look())
        self._ready_at = now + wait if wait > 0 else -math.inf
        self._stamped_at = now
        return count

    def leaving(self, count: int, now: float) -> None:
        """Set the time of the last reserved requests to now, if they are sent much later than they were reserved."""

        def late(limiter: Limiter, clock: float) -> float:
            limiter.leaving(count, clock, taken=self._taken)
            return clock

        if self.limit and now - self._stamped_at > SLOW:
            self._taken = self._change(late)

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Lower the request rate of all processes of the account after an HTTP 429."""

        def throttle(limiter: Limiter, clock: float) -> float:
            limiter.throttled(clock, retry_after)
            return limiter.ready_at(clock) - clock

        self._ready_at = now + self._change(throttle)

    def _look(self) -> tuple[Limiter, float]:
        """Read the state of the limiter and the time from the ledger. Without a row, the limiter is new."""
        rows = self._session.run(self._read, (self._account,))
        return self._of(rows[0]) if rows else (Limiter(self.limit), 0.0)

    def _change(self, change: Callable[[Limiter, float], T]) -> T:
        def work(cursor: psycopg.Cursor[Row]) -> T:
            cursor.execute(self._hold.encode(), (self._account,))
            while (row := cursor.fetchone()) is None:
                # Someone has deleted it meanwhile.
                cursor.execute(_MAKE, (self._account,))
                cursor.execute(self._hold.encode(), (self._account,))
            limiter, clock = self._of(row)
            answer = change(limiter, clock)
            after = msgspec.json.encode(limiter.state).decode()
            cursor.execute("UPDATE contentops.limiter SET state = %s WHERE account = %s", (after, self._account))
            return answer

        return self._session.transaction(work)

    def _of(self, row: Row) -> tuple[Limiter, float]:
        text, clock = row
        # In whole milliseconds, rounded up: a short number in the row.
        clock = math.ceil(clock * 1000) / 1000
        return Limiter(self.limit, _state(text, clock), spread=SPREAD), clock


def _state(text: str, clock: float) -> LimiterState:
    """Return the state of the limiter from a row of the ledger.

    An unusable row counts as empty, and times in the future are limited.
    """
    try:
        row = decode_json(text, LimiterState)
    except (msgspec.MsgspecError, ValueError):
        row = LimiterState()
    return LimiterState(
        sent=sorted(min(each, clock) for each in row.sent if each > clock - 2 * WINDOW)[-MOST:],
        allowed=row.allowed,
        open_at=min(row.open_at, clock + HELD),
        shrunk_at=min(row.shrunk_at, clock),
        pause=min(max(0.0, row.pause), LONGEST_PAUSE),
    )


# ---- The accounts of a ledger, known by their name or by a fingerprint of their key, which is never stored.

_SALT = b"contentops account\n"


def account_of(api: ApiSettings, key: str) -> str:
    """Return the name of an account. It is the server, and `api.account` or a digest that does not reveal the key."""
    return f"{api.server} {api.account or hashlib.sha256(_SALT + key.encode()).hexdigest()[:16]}"
