"""Opens the store of the bundled server: a SQLite file, or a PostgreSQL database that several servers share.

Also the clock.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.server.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from contentops.server.database import Store

_LAST_SECOND = 253_402_300_799.0


class Clock(Struct, frozen=True):
    """`now` gives seconds since 1970 (UTC); `sleep` waits that many seconds on the running loop."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def iso(at: float) -> str:
    """A time in the API's form: ISO 8601, UTC, with microseconds so that two saves keep their order."""
    # A row that another program wrote may have a time outside the range of dates.
    return (
        datetime.fromtimestamp(at if 0 <= at <= _LAST_SECOND else 0, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def is_address(name: str) -> bool:
    """Whether the name of a store is the address of a database, not a path."""
    return name.startswith(("postgresql://", "postgres://"))


def open_store(where: Path | str | None = None) -> Store:
    """The store at a path or at the address of a database; None keeps everything in memory.

    Raises StoreError, and ImportError for an address without psycopg.
    """
    if isinstance(where, str) and is_address(where):
        from contentops.server.postgres import PostgresSession

        return PostgresSession(where)
    return SqliteFile(None if where is None else Path(where).absolute())
