"""A store in a PostgreSQL database, which several servers may share, each over its own session.

A server's transaction and its advisory lock, which shows that it is alive, end with its session. The database ends a
silent session, so that a frozen server counts as dead like a killed one. Each write of a job checks the job's row
(`jobs`), so that a server that wakes up changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from contentops.server.database import Store, StoreError, StoreUnavailableError
from contentops.server.postgres_schema import ACCOUNTS, RUNNERS, DatabaseAddress, connect, summary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from psycopg import Connection, Cursor

    from contentops.server.database import RunnerLock, StoredRow, Values

SILENT_SECONDS = 5.0
"""Seconds of silence after which the database ends a session; a live server sends a statement twice a second."""
ANSWER_SECONDS = 6.0
"""The longest duration of one statement in seconds; the database's own limit is a little shorter."""

_LOG = logging.getLogger(__name__)

_LIVING = f"""
SELECT objid::bigint::text FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND classid = {RUNNERS}
    AND objsubid = 2 AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
"""
_ALIVE = f"SELECT 1 WHERE %s IN ({_LIVING})"
_BE_ALIVE = f"""
SELECT number, pg_advisory_lock({RUNNERS}, number::integer), set_config('idle_session_timeout', %s, false)
    FROM (SELECT nextval('runners') AS number OFFSET 0) AS mine
"""
_ADOPT = f"""
WITH living (runner) AS MATERIALIZED ({_LIVING}), free AS (
    SELECT number FROM jobs WHERE finished_at IS NULL AND number <> ALL(%(at_work)s)
        AND (runner IN ('', %(runner)s) OR runner NOT IN (SELECT runner FROM living))
    ORDER BY created_at, number LIMIT %(slots)s FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET runner = %(runner)s, status = 'processing' FROM free WHERE jobs.number = free.number
    RETURNING jobs.number
"""
# The row is locked before its new values are computed, so that two servers count one after the other, by one clock.
_COUNT = """
INSERT INTO requests AS known (account, taken, wait)
    VALUES (%(account)s, ARRAY[extract(epoch FROM clock_timestamp())::double precision], 0)
ON CONFLICT (account) DO UPDATE SET (taken, wait) = (
    SELECT CASE WHEN cardinality(young) < %(most)s THEN young || now ELSE young END,
        CASE WHEN cardinality(young) < %(most)s THEN 0
            ELSE young[cardinality(young) - %(most)s::integer + 1] + %(seconds)s - now END
    FROM (SELECT now, ARRAY(
        SELECT at FROM unnest(known.taken) AS at WHERE at > now - %(seconds)s AND at <= now ORDER BY at
    ) AS young FROM (SELECT extract(epoch FROM clock_timestamp())::double precision AS now OFFSET 0) AS clock
    ) AS counted
) RETURNING wait
"""


class PostgresSession(Store):
    """The store at an address, over one session; makes the tables if there are none.

    Raises StoreError, and ImportError without psycopg. An address with a password is refused, as the list of processes
    would show it.
    """

    def __init__(self, address: str) -> None:
        self._address = DatabaseAddress.of(address)
        self._db: Connection[StoredRow] | None = connect(self._address)
        self._closed = threading.Event()
        self._watch = StatementWatch()

    @property
    def replicas(self) -> PostgresSession:
        """Itself."""
        return self

    @property
    def connection(self) -> object:
        """The session; another object after a reconnect."""
        return self._db

    # --- statements ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def write(self, account: str = "", /) -> Iterator[None]:
        """One transaction; servers that write to the same account wait for each other."""
        number = int.from_bytes(hashlib.sha256(account.encode()).digest()[:4], signed=True)
        try:
            self._execute(f"BEGIN; SELECT pg_advisory_xact_lock({ACCOUNTS}, {number})", None)
            yield
            self._execute("COMMIT", None)
        except BaseException:
            with contextlib.suppress(StoreUnavailableError):
                self._execute("ROLLBACK", None)
            raise

    def run(self, statement: str, values: Values = ()) -> int:
        """Run a statement; gives the number of rows it changed."""
        return self._execute(translated(statement), values).rowcount

    def rows(self, statement: str, values: Values = ()) -> list[StoredRow]:
        """Every row a statement gives."""
        return self._execute(translated(statement), values).fetchall()

    def _execute(self, statement: str, values: Values | None) -> Cursor[StoredRow]:
        import psycopg

        db = self._db
        if db is None:
            raise StoreUnavailableError("the database does not answer")
        try:
            with self._watch.over(db.fileno()):
                if values is None:
                    # Several statements, which cannot be prepared.
                    return db.execute(statement, prepare=False)
                return db.execute(statement, storable(values))
        except psycopg.Error as error:
            # The driver may name hosts and users, so its message goes to the log, not into the reply.
            _LOG.warning("the database at %s: %s", self._address, summary(error))
            if db.closed or db.broken:
                db.close()
                self._db = None
                raise StoreUnavailableError("the connection to the database is lost") from error
            raise StoreUnavailableError("the database refused a statement") from error

    def close(self) -> None:
        """End the session; a second call does nothing."""
        self._closed.set()
        self._watch.stop()
        if self._db is not None:
            self._db.close()
            self._db = None

    # --- for servers that share the store --------------------------------------------------------------------

    def runner_lock(self) -> RunnerLock:
        """A lock that ends with the session."""
        return SessionLock(self)

    async def reconnect(self) -> None:
        """Open a new session if the last one ended. Raises StoreUnavailableError."""
        if self._db is None:
            await asyncio.to_thread(self._connect_again)

    def _connect_again(self) -> None:
        try:
            db = connect(self._address)
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error
        if self._closed.is_set():
            db.close()
            return
        _LOG.warning("the database at %s answers again", self._address)
        self._db = db

    def adopt(self, runner: str, at_work: Collection[int], slots: int) -> list[int]:
        """Give `runner` open jobs without a living runner; skips rows that another server has locked."""
        values = {"runner": runner, "at_work": list(at_work), "slots": max(0, slots)}
        return sorted(row[0] for row in self._execute(_ADOPT, values).fetchall())

    def count_request(self, account: str, most: int, seconds: float) -> float:
        """Count a request by the clock of the database, or return the seconds to wait."""
        values = {"account": account, "most": most, "seconds": seconds}
        return float(self._execute(_COUNT, values).fetchall()[0][0])

    def ask(self, statement: str, *values: str) -> list[StoredRow]:
        """The rows of a statement in PostgreSQL's SQL."""
        return self._execute(statement, values).fetchall()


class SessionLock:
    """An advisory lock and the number of the runner; both end with their session."""

    def __init__(self, session: PostgresSession, silent_seconds: float = SILENT_SECONDS) -> None:
        self._session = session
        self._silent = f"{silent_seconds * 1000:.0f}"
        self._of: object = None
        self.id = ""

    def acquire(self) -> None:
        """Count as alive; in a new session with another number."""
        if self._of is None or self._of is not self._session.connection:
            number = self._session.ask(_BE_ALIVE, self._silent)[0][0]
            self.id, self._of = str(number), self._session.connection

    def alive(self, runner: str) -> bool:
        """Whether the session of that runner is still open."""
        return bool(self._session.ask(_ALIVE, runner))

    def release(self) -> None:
        """Count as dead, though the session stays open."""
        if self._of is not None and self._of is self._session.connection:
            with contextlib.suppress(StoreUnavailableError):
                self._session.ask(f"SELECT pg_advisory_unlock({RUNNERS}, %s::integer)", self.id)
        self._of = None


class StatementWatch:
    """Ends a connection whose statement takes too long, as a frozen database would block its client."""

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        self._seconds = seconds
        self._over: tuple[float, int] | None = None
        self._lock = threading.Lock()  # while it is locked, the socket belongs to the statement
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, file: int) -> Iterator[None]:
        """Watch the statement that the block runs over that socket."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        self._over = (time.monotonic(), file)
        try:
            yield
        finally:
            with self._lock:
                self._over = None

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()

    def _look(self) -> None:
        while not self._stopped.wait(self._seconds / 10):
            with self._lock:
                if self._over is None or time.monotonic() - self._over[0] <= self._seconds:
                    continue
                # The driver sees the end of the connection.
                with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._over[1])) as end:
                    end.shutdown(socket.SHUT_RDWR)


@functools.cache
def translated(statement: str) -> str:
    """A statement of the store with the placeholders of PostgreSQL's driver."""
    return re.sub(r"\?|:(\w+)", lambda match: f"%({match[1]})s" if match[1] else "%s", statement.replace("%", "%%"))


def storable(values: Values) -> Sequence[Any] | dict[str, Any]:
    """The values for PostgreSQL, whose texts cannot have a NUL."""
    if isinstance(values, dict):
        return {name: _storable(value) for name, value in values.items()}
    return [_storable(value) for value in cast("Sequence[Any]", values)]


def _storable(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
