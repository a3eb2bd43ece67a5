"""One PostgreSQL session, with transactions, locks that end with the session, and reconnects."""

from __future__ import annotations

import contextlib
import importlib.resources
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from msgspec import Struct
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from contentops.errors import ExitCode, NotShared, StateError
from contentops.loopback import is_loopback

if TYPE_CHECKING:
    from psycopg.abc import Params


# ---- The address of a ledger: its host and database, its form without a password, and what a file may state of it.

PORT = "5432"
_PLAIN = frozenset({"host", "hostaddr", "port", "dbname", "user", "service", "target_session_attrs"})
"""The settings that an address in a file may have. All others are about authentication, or name local files."""
STRICT = "verify-full"
REQUIRED = "scram-sha-256,none"
"""The ways in which a server may ask for a password. Clear text and MD5 are not among them."""
_KNOWS_REQUIRED = 160_000
"""The first version of libpq that knows `require_auth`."""
_UNREADABLE = "postgresql://..."


def _parts(url: str) -> dict[str, Any]:
    """Return the settings in a PostgreSQL address, or an empty map if the text is no address."""
    try:
        return conninfo_to_dict(url)
    except (UnicodeError, psycopg.ProgrammingError):
        return {}


def beyond_plain(url: str) -> tuple[str, ...]:
    """Return those settings in an address that must not be in a file of the repository."""
    parts = _parts(url)
    # The strictest `sslmode` weakens none of this machine.
    strict = {"sslmode"} if parts.get("sslmode") == STRICT else set()
    return tuple(sorted(parts.keys() - _PLAIN - strict))


def remote_servers(url: str) -> tuple[str, ...]:
    """Return the servers in an address, as `postgresql://HOST:PORT`. This machine is left out."""
    parts = _parts(url)
    named = [*str(parts.get("host") or "").split(","), *str(parts.get("hostaddr") or "").split(",")]
    ports = str(parts.get("port") or PORT).split(",")
    hosts = [host for host in named if host and not host.startswith(("/", "@")) and not is_loopback(host)]
    return tuple(dict.fromkeys(f"postgresql://{host.lower()}:{port or PORT}" for host in hosts for port in ports))


def with_safe_password(url: str) -> str:
    """Add `require_auth` to the address of a ledger, so that a password is sent only in a safe form.

    Nothing is added if libpq does not know the setting, or if it is set already. Raises psycopg.ProgrammingError if the
    text is no address.
    """
    if psycopg.pq.version() < _KNOWS_REQUIRED:
        return url
    stated = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.val}
    return url if "require_auth" in {*stated, *_parts(url)} else make_conninfo(url, require_auth=REQUIRED)


def shown(url: str) -> str:
    """Return an address without its password, for messages."""
    parts = _parts(url)
    if not parts or misread(url):
        return _UNREADABLE
    host, port = parts.get("host", ""), parts.get("port", "")
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{host}{f':{port}' if port else ''}/{parts.get('dbname', '')}"


def misread(url: str) -> bool:
    """Return whether PostgreSQL would read a part of the password as host, port or database.

    This happens if the password has an unescaped `@` or `/`.
    """
    parts = _parts(url)
    port = str(parts.get("port") or "")
    names = (parts.get("host"), parts.get("hostaddr"), parts.get("dbname"))
    return any("@" in str(name) for name in names) or bool(port.strip(",0123456789"))


def no_address(url: str) -> StateError:
    """Return the error for an address of a ledger that is invalid or would be misread."""
    base, _, _ = url.rpartition("?")
    if base and shown(base) != _UNREADABLE:
        hint = "after `?`, a name is not a parameter of PostgreSQL such as `sslmode`, or it has no value"
    else:
        hint = "postgresql://USER@HOST:PORT/DATABASE; in a password, `@` is written `%40` and `/` is written `%2F`"
    return StateError(f"`{shown(url)}` is not an address of a ledger", code="ledger-address", hint=hint)


# ---- What to do about an error of PostgreSQL, by its SQLSTATE: wait, or report it at once.


class Fault(Struct, frozen=True):
    """A kind of PostgreSQL error, and what to do about it."""

    passes: bool
    """Whether to wait, because the error may be over in a moment."""
    hint: str = ""
    """What a person can do about it. It is empty if the message of PostgreSQL says enough."""
    elsewhere: bool = False
    """Whether a new connection may reach a server that does not have this error."""


_WHO = (
    "check user, password and database in the address and that `pg_hba.conf` allows them; "
    "passwords are sent only with `scram-sha-256`"
)
_FAULTS: Mapping[str, Fault] = {
    "08": Fault(passes=True, hint="check the address and that PostgreSQL is running"),  # no connection, or it broke
    "25006": Fault(
        passes=True, hint="the database is read-only: use the address of the primary, or allow writes", elsewhere=True
    ),
    "25P": Fault(passes=True),  # a transaction took too long
    "28": Fault(passes=False, hint=_WHO),
    "3D": Fault(passes=False, hint=_WHO),
    "3F": Fault(passes=False, hint="create its tables with `contentops ledger migrate`"),
    "40": Fault(passes=True),  # others were in the way
    "42501": Fault(
        passes=False,
        hint="run `contentops ledger migrate` as the owner to create the tables, and grant the role access to them",
    ),
    "42P01": Fault(passes=False, hint="create its tables with `contentops ledger migrate`"),
    "53": Fault(passes=True, hint="PostgreSQL is out of memory or disk space: give it more"),
    "53100": Fault(passes=True, hint="the disk of PostgreSQL is full: free some space"),
    "53300": Fault(passes=True, hint="end sessions of PostgreSQL, or raise `max_connections`: each apply needs one"),
    "55": Fault(passes=True),  # something is in use, or locked
    "57": Fault(passes=True, elsewhere=True),  # shut down, or starting
    "57014": Fault(passes=True, hint="a statement took too long: check the load and the locks of PostgreSQL"),
    "57P04": Fault(passes=False, hint="the database was dropped"),
    "58": Fault(passes=True, hint="PostgreSQL cannot read or write its files: see its log"),
    "TLS": Fault(passes=False, hint="`sslmode` and `sslrootcert` of the address define how the server is verified"),
}
"""The faults by the beginning of a SQLSTATE; the longest beginning counts. Other errors are reported at once."""
_UNKNOWN = Fault(passes=False)

_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (state, re.compile(words))
    for state, words in (
        ("53300", r"too many (clients|connections)|remaining connection slots"),
        ("28P01", r"password authentication failed|no password supplied|authentication failed for user"),
        ("28000", r"role \".*\" does not exist|pg_hba\.conf|is not permitted to log in|authentication method"),
        ("3D000", r"database \".*\" does not exist"),
        ("42501", r"permission denied for database"),
        ("TLS", r"does not support SSL|certificate verify failed|root certificate file|server certificate for"),
    )
)
"""The words for a failed connection, for which libpq has no code. Words in other languages count as unreachable."""


def fault_of(error: psycopg.Error) -> Fault:
    """Return what a command should do about an error of PostgreSQL: wait, connect again, or stop."""
    words = str(error)
    state = error.sqlstate or next((state for state, known in _WORDS if known.search(words)), "08")
    known = (state[:length] for length in range(len(state), 1, -1))
    return next((_FAULTS[part] for part in known if part in _FAULTS), _UNKNOWN)


# ---- One session with PostgreSQL: transactions, locks that end with it, and new connections after a break.

Row = tuple[Any, ...]
T = TypeVar("T")

_UNREACHED = "then run it again; nothing was paid"
_GONE = "nothing was paid since; jobs stay open: run it again when the ledger is back"

PATIENCE = 60.0
"""Seconds for which a ledger may be away before the run ends, by default."""
OVERDUE = 5.0
"""Seconds after which a waiting session obeys a stop. It also waits so long beyond the limit of a statement."""
WATCH = 0.5
"""Seconds between two checks of how long a reply takes."""
STATEMENT = 30
"""Seconds after which PostgreSQL ends a statement."""
SILENCE = 15
"""Seconds after which PostgreSQL ends a silent session with its locks."""
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
"""SQL that takes a lock alone, and SQL that shares it."""


class LedgerAway(NotShared):
    """The error for a ledger that cannot be reached."""

    code = "ledger-away"


class LedgerDenied(LedgerAway):
    """The error for a ledger that refuses this address or role. Waiting does not help."""

    code = "ledger-denied"
    exit_code = ExitCode.ERROR


class WorkTaken(NotShared):
    """The error for a process that was silent for so long that another process took over its work."""

    code = "work-taken"


class LedgerSession:
    """One thread's connection to a ledger, and the locks that the connection holds. A regular ping keeps it alive.

    A broken connection is made again with the same locks, at the next ping or use. A fault that may pass is waited for,
    up to `patience` seconds, but not beyond `until` and not once `stopped` is true.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "contentops",
        patience: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
        until: float = math.inf,
    ) -> None:
        """Connect to the database. No try begins after `until`, a time of `time.monotonic`.

        Raises LedgerAway, or StateError if the server is too old or a pooler is in front of it.
        """
        self.url, self._name = url, name
        self._patience, self.stopped, self._until = PATIENCE if patience is None else patience, stopped, until
        self._locks: list[tuple[int, int, bool]] = []
        """The locks: kind, number, and whether others may share it."""
        self._gone: StateError | None = None
        self._asked: tuple[psycopg.Connection[Row], float] | None = None
        """The connection that waits for a reply, and since when it waits."""
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
        """End the session, which releases its locks."""
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
        """Run `work` in a transaction. It may run twice, because the answer to a commit can be lost.

        Raises LedgerAway after `patience`, WorkTaken if another session has one of the locks, and StateError for
        anything else that PostgreSQL refuses.
        """

        def once(connection: psycopg.Connection[Row]) -> T:
            with connection.transaction(), connection.cursor() as cursor:
                return work(cursor)

        return self._tried(once)

    def lock(self, kind: int, number: int, *, shared: bool = False) -> bool:
        """Take an advisory lock for the rest of the session. Return False if another session has it.

        A `shared` lock excludes only sessions that want the lock alone.
        """
        locked = bool(self.run(_LOCK[shared], (kind, number))[0][0])
        if locked:
            self._locks.append((kind, number, shared))
        return locked

    def unlock(self, kind: int, number: int) -> None:
        """Release an advisory lock that is not shared. An error of the session is ignored."""
        self._locks.remove((kind, number, False))
        with contextlib.suppress(StateError):
            self.run("SELECT pg_advisory_unlock(%s, %s)", (kind, number))

    def _tried(self, once: Callable[[psycopg.Connection[Row]], T]) -> T:
        """Call `once` with the connection to the database, and return its result.

        If the connection breaks, reconnect and call it again.
        """
        began = time.monotonic()
        with self._guard:
            while True:
                if self._gone is not None:
                    raise self._gone
                was_closed = self._connection.closed
                try:
                    if was_closed:
                        self._renew()
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
                    self._bear(began, error, is_lost=was_closed and not fault.passes)
                    has_broken = self._connection.closed and not was_closed
                    if not (has_broken or isinstance(error, psycopg.errors.TransactionRollback)):
                        self._closed.wait(RETRY)

    @contextlib.contextmanager
    def _asking(self, connection: psycopg.Connection[Row]) -> Iterator[None]:
        self._asked = connection, time.monotonic()
        try:
            yield
        finally:
            self._asked = None

    def _connect(self) -> tuple[psycopg.Connection[Row], Row]:
        """Connect to the database. Return the connection, and the process id and start time of its server process."""
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
        except (psycopg.ProgrammingError, UnicodeError):
            raise no_address(self.url) from None
        with _closed_unless_well(connection), self._asking(connection):
            if (version := connection.info.server_version // 10_000) < OLDEST:
                message = f"`{shown(self.url)}` is PostgreSQL {version}, and a ledger needs {OLDEST} or newer"
                raise StateError(message, code="ledger-server-old", hint="older versions do not end silent sessions")
            (row,) = connection.execute(
                "SELECT pg_backend_pid(), (SELECT backend_start::text FROM pg_stat_activity"
                " WHERE pid = pg_backend_pid()), set_config('idle_session_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false),"
                " set_config('statement_timeout', %s, false), set_config('lock_timeout', '0', false),"
                " set_config('synchronous_commit', 'on', false)",
                (f"{SILENCE}s", f"{UNFINISHED}s", f"{STATEMENT}s"),
            )
            if row[0] != connection.info.backend_pid:
                # A pooler names another process at the start than the one that answers.
                message = (
                    f"`{shown(self.url)}` is a pooler: it may share sessions, and then two runs pay for the same work"
                )
                raise StateError(message, code="ledger-pooler", hint="use the address of PostgreSQL itself")
        return connection, row[:2]

    def _bear(self, began: float, error: psycopg.Error, *, is_lost: bool) -> None:
        """Raise LedgerAway if the session must not try to reach the ledger again.

        `is_lost` says that another try cannot help.
        """
        now = time.monotonic()
        is_over = now - began > self._patience or now > self._until or self._closed.is_set()
        if is_lost or is_over or self.stopped():
            self._gone = self._away(error, _GONE)
            if self.stopped():
                self._gone.exit_code = ExitCode.INTERRUPTED
            raise self._gone from None

    def _renew(self) -> None:
        """Connect again, and take the same locks. Raises psycopg.Error, or WorkTaken if another session has a lock."""
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
        often = SILENCE / 6
        while not self._closed.wait(often):
            with self._guard:
                if self._gone is None and time.monotonic() - self._spoke > often:
                    self._speak()

    def _speak(self) -> None:
        """Ping the server. A failure is reported at the next use of the session."""
        with contextlib.suppress(psycopg.Error, StateError):
            if self._connection.closed:
                self._renew()
            with self._asking(self._connection):
                self._connection.execute("SELECT 1")
            self._spoke = time.monotonic()

    def _watch(self) -> None:
        """Close the connection if the database gives no reply and no error for too long."""
        while not self._closed.wait(WATCH):
            if (asked := self._asked) is None:
                continue
            connection, since = asked
            waited, now = time.monotonic() - since, time.monotonic()
            if waited > STATEMENT + OVERDUE or (waited > OVERDUE and (now > self._until or self.stopped())):
                with (
                    contextlib.suppress(psycopg.Error, OSError),
                    socket.socket(fileno=os.dup(connection.fileno())) as line,
                ):
                    line.shutdown(socket.SHUT_RDWR)

    def _away(self, error: psycopg.Error, then: str) -> LedgerAway:
        fault = fault_of(error)
        words = f"{'cannot be reached' if fault.passes else 'lets no one in like this'}: {_words(error)}"
        hint = f"{fault.hint}; {then}" if fault.hint else then
        return (LedgerAway if fault.passes else LedgerDenied)(f"the ledger `{shown(self.url)}` {words}", hint=hint)

    def _refused(self, error: psycopg.Error) -> StateError:
        message = f"the ledger `{shown(self.url)}` refuses: {_words(error)}"
        return StateError(message, code="ledger-refused", hint=fault_of(error).hint)


def taken() -> WorkTaken:
    """Return the error for a process whose work another process has taken over."""
    return WorkTaken(
        "this process did not respond for so long that another one took over its work; nothing more was submitted",
        hint="run `contentops apply` again; it continues where this run stopped",
    )


def _words(error: psycopg.Error) -> str:
    return " ".join((error.diag.message_primary or str(error)).split()) or type(error).__name__


@contextlib.contextmanager
def _closed_unless_well(connection: psycopg.Connection[Row]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


# ---- The tables of a ledger; those of a newer version are refused.

VERSION = 1
"""The version of the tables that this program uses."""
_SCHEMA_LOCK = 0x636F6E74
"""The advisory lock under which one process at a time creates the tables."""


def version(session: LedgerSession) -> int:
    """Return the version of a ledger's tables, or 0 if it has no tables. Raises StateError for a newer version."""
    return session.transaction(_version)


def migrate(session: LedgerSession) -> int:
    """Create the tables of a ledger if it has none. Return the earlier version, or 0 if there were no tables.

    All tables are created in one transaction. Raises StateError for a newer ledger, or for a role without the right.
    """
    tables = (importlib.resources.files("contentops.ledger") / "sql" / f"{VERSION:04}.sql").read_text(encoding="utf-8")

    def work(cursor: psycopg.Cursor[Row]) -> int:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        before = _version(cursor)
        if before == 0:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS contentops")
            cursor.execute("CREATE TABLE contentops.version (number int NOT NULL)")
            cursor.execute("INSERT INTO contentops.version VALUES (%s)", (VERSION,))
            cursor.execute(tables.encode())
        return before

    return session.transaction(work)


def _version(cursor: psycopg.Cursor[Row]) -> int:
    cursor.execute("SELECT to_regclass('contentops.version') IS NOT NULL")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    cursor.execute("SELECT max(number) FROM contentops.version")
    number = int((cursor.fetchone() or (0,))[0] or 0)
    if number > VERSION:
        message = f"the ledger has the tables of a newer version ({number}; this program knows {VERSION})"
        raise StateError(message, code="ledger-newer", hint="update contentops on this machine")
    return number


def utc(column: str) -> str:
    """Return an SQL expression that gives a column's time as ISO 8601."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
