"""The store of the embedded server, whichever database it is in; and the clock.

It is a SQLite file (`sqlite`), or a database of a PostgreSQL server (`postgres`), which several servers may share.
`jobs`, `contents` and `accounts` hold the statements. One store belongs to one thread at a time.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from contentops.server.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from contentops.server.database import Database, Replicas, RunnerLock, StoredRow, Values

_LAST_SECOND = 253_402_300_799.0


class Clock(Struct, frozen=True):
    """`now` gives seconds since 1970 (UTC); `sleep` waits that many seconds on the running loop."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def iso(at: float) -> str:
    """A time as the API writes it: ISO 8601, UTC, with microseconds so that two saves keep their order."""
    # No clock gives what lies outside; a row that another program wrote may hold it.
    return (
        datetime.fromtimestamp(at if 0 <= at <= _LAST_SECOND else 0, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def is_address(place: str) -> bool:
    """Whether a store is named by the address of a database, and not by a path."""
    return place.startswith(("postgresql://", "postgres://"))


class Store:
    """An open store: of a path or the address of a database; None keeps everything in memory.

    Raises StoreError, and ImportError without what an address needs. Close it, or use it as a context manager.
    """

    def __init__(self, place: Path | str | None = None) -> None:
        self._db = _opened(place)

    @property
    def path(self) -> Path | None:
        """Its file, or None."""
        return self._db.path

    @property
    def replicas(self) -> Replicas | None:
        """What servers on several machines ask of it; None where it is this machine's alone."""
        return self._db.replicas

    def write(self, account: str = "") -> AbstractContextManager[None]:
        """One transaction, rolled back on any exception; no other one writes to the account meanwhile."""
        return self._db.write(account)

    def run(self, statement: str, values: Values = ()) -> int:
        """Carry out a statement, outside `write` in a transaction of its own; gives the number of rows it changed."""
        return self._db.run(statement, values)

    def rows(self, statement: str, values: Values = ()) -> list[StoredRow]:
        """Every row a statement gives."""
        return self._db.rows(statement, values)

    def row(self, statement: str, values: Values = ()) -> StoredRow | None:
        """The first row a SELECT gives, or None."""
        return next(iter(self.rows(statement, values)), None)

    def number(self, statement: str, values: Values = ()) -> int:
        """The one number a statement gives, 0 for NULL."""
        return int(self.rows(statement, values)[0][0] or 0)

    def tally(self, key_id: str, kind: str, name: str, change: int, owner: str = "") -> None:
        """Count `change` more of a kind under `name`, inside the caller's transaction for that account."""
        self.run(
            "INSERT INTO tallies (key_id, kind, name, owner, number) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key_id, kind, name, owner) DO UPDATE SET number = tallies.number + excluded.number",
            (key_id, kind, name, owner, change),
        )

    def tallied(self, key_id: str, kind: str, owner: str = "") -> dict[str, int]:
        """What was counted of a kind, by name; with an owner, only theirs and what has none."""
        rows = self.rows(
            "SELECT name, sum(number) FROM tallies WHERE key_id = ? AND kind = ? AND (? = '' OR owner IN ('', ?))"
            " GROUP BY name ORDER BY name",
            (key_id, kind, owner, owner),
        )
        return {name: int(number) for name, number in rows if number}

    def runner_lock(self) -> RunnerLock:
        """The sign of life of one more runner, not acquired yet."""
        return self._db.runner_lock()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(place: Path | str | None) -> Database:
    if isinstance(place, str) and is_address(place):
        from contentops.server.postgres import PostgresSession

        return PostgresSession(place)
    return SqliteFile(None if place is None else Path(place).absolute())
