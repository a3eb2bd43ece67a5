"""One session with PostgreSQL: transactions, locks that end with it, and new connections after a break."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from msgspec import Struct

from contentops.errors import ExitCode, NotShared, StateError
from contentops.ledger.address import misread, no_address, shown, with_safe_password
from contentops.ledger.faults import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.abc import Params

Row = tuple[Any, ...]
T = TypeVar("T")

_UNREACHED = "then run it again; nothing was paid"
_GONE = "nothing was paid since; jobs stay open: run it again when the ledger is back"

PATIENCE = 60.0
"""Seconds for which a ledger may be away before the run ends, by default."""
OVERDUE = 5.0
"""Seconds of waiting after which a stop counts; also what a client waits beyond the time limit of a statement."""
WATCH = 0.5
"""Seconds between two looks at how long an answer takes."""
UNFINISHED = 5
"""Seconds after which PostgreSQL ends an idle transaction."""
OLDEST = 14
"""The first PostgreSQL that ends silent sessions."""
UNHEARD = 10
"""Seconds after which a host that acknowledges nothing counts as gone, also within a statement."""
LETTING_GO = 2
"""Seconds within which the server ends our earlier session."""
RETRY = 0.2
"""Seconds between two tries to connect again."""


_LOCK = ("SELECT pg_try_advisory_lock(%s, %s)", "SELECT pg_try_advisory_lock_shared(%s, %s)")
_UNLOCK = ("SELECT pg_advisory_unlock(%s, %s)", "SELECT pg_advisory_unlock_shared(%s, %s)")
"""By whether a lock is shared."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds after which PostgreSQL ends a statement, and a silent session with its locks."""

    statement: int = 30
    silence: int = 15


class LedgerAway(NotShared):
    """The ledger cannot be reached."""

    code = "ledger-away"


class LedgerDenied(LedgerAway):
    """The ledger refuses this address or role, and waiting does not help."""

    code = "ledger-denied"
    exit_code = ExitCode.ERROR


class WorkTaken(NotShared):
    """This process was silent for so long that another one has its work."""

    code = "work-taken"


class LedgerSession:
    """A connection with its advisory locks, kept alive by a ping. For one thread.

    A broken connection is made again with the same locks, at the next ping or use. A fault that may pass is waited
    for: for `patience` seconds, not beyond `until`, and not once `stopped` is true.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "contentops",
        patience: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
        until: float = math.inf,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Connect; `until` is a time of `time.monotonic`.

        Raises LedgerAway, StateError where the server is too old or a pooler is in front of it.
        """
        self.url, self._name = url, name
        self._patience, self.stopped, self._until = PATIENCE if patience is None else patience, stopped, until
        timeouts = timeouts or Timeouts()
        self._statement, self._silence = timeouts.statement, timeouts.silence
        self._locks: list[tuple[int, int, bool]] = []
        """Kind, number, and whether others may share it."""
        self._gone: StateError | None = None
        self._asked: tuple[psycopg.Connection[Row], float] | None = None
        """The connection whose answer is awaited, and since when."""
        self._guard = threading.RLock()
        self._closed = threading.Event()
        try:
            self._connection, self._backend = self._connect()
        except psycopg.OperationalError as error:
            raise self._away(error, _UNREACHED) from None
        except psycopg.Error as error:
            raise self._refused(error) from None
        self._spoke = time.monotonic()
        for title, task in (("ledger-ping", self._ping), ("ledger-watch", self._watch)):
            threading.Thread(target=task, name=title, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and release its locks."""
        self._closed.set()
        with self._guard, contextlib.suppress(psycopg.Error):
            if self._locks:
                # PostgreSQL itself releases them only a moment after the connection is closed.
                self._connection.execute("SELECT pg_advisory_unlock_all()")
            self._connection.close()

    def run(self, statement: str, values: Params = ()) -> list[Row]:
        """Run one statement in its own transaction and return its rows. Raises as `transaction` does."""

        def once(connection: psycopg.Connection[Row]) -> list[Row]:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

        return self._tried(once)

    def transaction(self, work: Callable[[psycopg.Cursor[Row]], T]) -> T:
        """Run `work` in a transaction; it must do no harm when it runs twice, since a commit's answer may be lost.

        Raises LedgerAway after `patience`, WorkTaken where another session has one of the locks, StateError for
        whatever else PostgreSQL refuses.
        """

        def once(connection: psycopg.Connection[Row]) -> T:
            with connection.transaction(), connection.cursor() as cursor:
                return work(cursor)

        return self._tried(once)

    def lock(self, kind: int, number: int, *, shared: bool = False) -> bool:
        """Take an advisory lock for as long as the session lives; False where another one has it.

        A `shared` one excludes only those who want it alone.
        """
        locked = bool(self.run(_LOCK[shared], (kind, number))[0][0])
        if locked:
            self._locks.append((kind, number, shared))
        return locked

    def unlock(self, kind: int, number: int, *, shared: bool = False) -> None:
        """Release an advisory lock."""
        self._locks.remove((kind, number, shared))
        self.run(_UNLOCK[shared], (kind, number))

    def _tried(self, once: Callable[[psycopg.Connection[Row]], T]) -> T:
        """Return what `once` returns; if the connection breaks, run it again on a new one."""
        began = time.monotonic()
        with self._guard:
            while True:
                if self._gone is not None:
                    raise self._gone
                try:
                    with self._asking(self._connection):
                        answer = once(self._connection)
                    self._spoke = time.monotonic()
                    return answer
                except psycopg.Error as error:
                    fault = fault_of(error)
                    if not (fault.passes or self._connection.closed):
                        raise self._refused(error) from None
                    if fault.elsewhere:
                        self._connection.close()
                    if self._connection.closed:
                        self._again(began, error)
                    else:
                        self._bear(began, error)
                        if not isinstance(error, psycopg.errors.TransactionRollback):
                            self._closed.wait(RETRY)

    @contextlib.contextmanager
    def _asking(self, connection: psycopg.Connection[Row]) -> Iterator[None]:
        self._asked = connection, time.monotonic()
        try:
            yield
        finally:
            self._asked = None

    def _connect(self) -> tuple[psycopg.Connection[Row], Row]:
        """Return a connection, and its server process: the number, which may recur, and when it started."""
        if misread(self.url):
            raise no_address(self.url)
        try:
            connection: psycopg.Connection[Row] = psycopg.connect(
                with_safe_password(self.url),
                autocommit=True,
                client_encoding="utf8",
                connect_timeout=5,
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=1000 * UNHEARD,
                application_name=self._name,
            )
        except psycopg.ProgrammingError:
            raise no_address(self.url) from None
        with _closed_unless_well(connection), self._asking(connection):
            if (version := connection.info.server_version // 10_000) < OLDEST:
                message = f"`{shown(self.url)}` is PostgreSQL {version}, and a ledger needs {OLDEST} or newer"
                raise StateError(message, code="ledger-server-old", hint="older versions do not end silent sessions")
            if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
                message = f"the database of the ledger `{shown(self.url)}` stores text as {encoding}"
                raise StateError(message, code="ledger-encoding", hint="create one with `ENCODING 'UTF8'`")
            (row,) = connection.execute(
                "SELECT pg_backend_pid(), (SELECT backend_start::text FROM pg_stat_activity"
                " WHERE pid = pg_backend_pid()), set_config('idle_session_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false),"
                " set_config('statement_timeout', %s, false), set_config('lock_timeout', '0', false),"
                " set_config('synchronous_commit', 'on', false)",
                (f"{self._silence}s", f"{UNFINISHED}s", f"{self._statement}s"),
            )
            if row[0] != connection.info.backend_pid:
                # A pooler names another process at the start than the one that answers.
                raise _pooled(self.url)
        return connection, row[:2]

    def _again(self, began: float, error: psycopg.Error) -> None:
        """Make a new connection with the same locks."""
        while True:
            self._bear(began, error)
            try:
                self._renew()
            except psycopg.Error as latest:
                error = latest
                if not fault_of(error).passes:
                    self._gone = self._away(error, _GONE)
                    raise self._gone from None
                self._closed.wait(RETRY)
            else:
                return

    def _bear(self, began: float, error: psycopg.Error) -> None:
        """Raise LedgerAway if a fault has lasted too long, or waiting is not wanted."""
        now = time.monotonic()
        if now - began > self._patience or now > self._until or self._closed.is_set() or self.stopped():
            self._gone = self._away(error, _GONE)
            if self.stopped():
                self._gone.exit_code = ExitCode.INTERRUPTED
            raise self._gone from None

    def _renew(self) -> None:
        """Connect once with the same locks. Raises psycopg.Error, WorkTaken where someone else has one of the locks."""
        fresh, backend = self._connect()
        with _closed_unless_well(fresh), self._asking(fresh):
            # The server may still have the session of a connection that was cut, with our locks.
            fresh.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity"
                " WHERE pid = %s AND backend_start::text = %s",
                (1000 * LETTING_GO, *self._backend),
            )
            for *lock, shared in self._locks:
                row = fresh.execute(_LOCK[shared].encode(), lock).fetchone()
                if row is None or not row[0]:
                    self._gone = taken()
                    raise self._gone
        self._connection.close()
        self._connection, self._backend, self._spoke = fresh, backend, time.monotonic()

    def _ping(self) -> None:
        often = self._silence / 6
        while not self._closed.wait(often):
            with self._guard:
                if self._gone is None and time.monotonic() - self._spoke > often:
                    self._speak()

    def _speak(self) -> None:
        """Ping the server; a failure is reported by the next use of the session."""
        with contextlib.suppress(psycopg.Error, StateError):
            if self._connection.closed:
                self._renew()
            with self._asking(self._connection):
                self._connection.execute("SELECT 1")
            self._spoke = time.monotonic()

    def _watch(self) -> None:
        """Close a connection whose database hangs: it gives no answer and no error."""
        while not self._closed.wait(WATCH):
            if (asked := self._asked) is None:
                continue
            connection, since = asked
            waited, now = time.monotonic() - since, time.monotonic()
            if waited > self._statement + OVERDUE or (waited > OVERDUE and (now > self._until or self.stopped())):
                with contextlib.suppress(psycopg.Error, OSError):
                    _hang_up(connection)

    def _away(self, error: psycopg.Error, then: str) -> LedgerAway:
        fault = fault_of(error)
        words = f"{'cannot be reached' if fault.passes else 'lets no one in like this'}: {_words(error)}"
        hint = f"{fault.hint}; {then}" if fault.hint else then
        return (LedgerAway if fault.passes else LedgerDenied)(f"the ledger `{shown(self.url)}` {words}", hint=hint)

    def _refused(self, error: psycopg.Error) -> StateError:
        hint = fault_of(error).hint
        if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
            return StateError(f"`{shown(self.url)}` is not a ledger yet", code="ledger-empty", hint=hint)
        message = f"the ledger `{shown(self.url)}` refuses: {_words(error)}"
        return StateError(message, code="ledger-refused", hint=hint)


def taken() -> WorkTaken:
    """Return the error of a process whose work another one has."""
    return WorkTaken(
        "this process did not respond for so long that another one took over its work; nothing more was submitted",
        hint="run `contentops apply` again; it continues where this run stopped",
    )


def _pooled(url: str) -> StateError:
    message = f"`{shown(url)}` is a pooler: it may share sessions, and then two runs pay for the same work"
    return StateError(message, code="ledger-pooler", hint="use the address of PostgreSQL itself")


def _words(error: psycopg.Error) -> str:
    return " ".join((error.diag.message_primary or str(error)).split()) or type(error).__name__


def _hang_up(connection: psycopg.Connection[Row]) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _closed_unless_well(connection: psycopg.Connection[Row]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
