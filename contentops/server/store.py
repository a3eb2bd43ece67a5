"""Opens the SQLite file of the bundled server, and defines the server's clock.

Several processes may have the file open: writes are short immediate transactions that wait for each other.
`jobs` and `contents` have the statements.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from msgspec import Struct

from contentops.server import EmbeddedServerError

Values = Sequence[Any] | Mapping[str, Any]

FORMAT = 4
"""The version of the tables: stores of another format are not opened."""
TABLES = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL, fingerprint TEXT NOT NULL, idempotency_key TEXT UNIQUE,
    status TEXT NOT NULL, stage TEXT NOT NULL DEFAULT '', progress INTEGER NOT NULL DEFAULT 0,
    runner TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '', body TEXT NOT NULL DEFAULT '', content_id TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL, finished_at REAL, mode TEXT NOT NULL, credits INTEGER NOT NULL
);
CREATE INDEX jobs_under_way ON jobs (created_at, number) WHERE finished_at IS NULL;
CREATE INDEX jobs_by_status ON jobs (status, finished_at DESC, number DESC);
CREATE INDEX jobs_charged ON jobs (mode, credits) WHERE status = 'completed';
CREATE TABLE contents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL, body TEXT NOT NULL, html TEXT, status TEXT NOT NULL, type TEXT NOT NULL,
    metadata TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, created_at REAL NOT NULL, updated_at REAL NOT NULL
);
CREATE INDEX contents_newest ON contents (created_at DESC, number DESC);
CREATE INDEX contents_changed ON contents (updated_at DESC, number DESC);
CREATE INDEX contents_by_status ON contents (status);
"""

APPLICATION = 0x636F7073
"""Marks the file as ours, so that another program's database is never changed."""

_MARK = slice(68, 72)
"""The position of that mark in a file of SQLite."""

BUSY_SECONDS = 10.0
"""Seconds that a write waits for another process."""


class StoreError(EmbeddedServerError):
    """The store cannot be opened. The message says which store, why, and what to do."""


class Clock(Struct, frozen=True):
    """The clock of the server: `now` returns seconds since 1970 (UTC), and `sleep` waits asynchronously."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def iso(at: float) -> str:
    """Return a time in ISO 8601 and UTC, as the API writes it, with microseconds.

    The microseconds show the order of saves within a second.
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Store(contextlib.AbstractContextManager["Store"]):
    """An open store, for one thread at a time. Close it after use, or use it as a context manager.

    With `path` None, the store is in memory. A new folder and a new file are private to their owner. Raises StoreError.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = None if path is None else Path(path).absolute()
        try:
            if self.path is not None:
                _prepare(self.path)
            # An app may be created in one thread and run in another.
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up()
            except BaseException:
                self._db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            advice = "check its permissions, move it away or choose another path"
            raise StoreError(f"the store `{self.path}` cannot be used: {error}; {advice}") from error

    def _set_up(self) -> None:
        self._db.row_factory = sqlite3.Row
        # Checked before anything is changed, so that another program's file stays unchanged. In one transaction, since
        # another process may be making the tables; executescript would end it.
        with self.write():
            if not self._has_tables():
                for statement in TABLES.split(";"):
                    self.run(statement)
                self.run(f"PRAGMA application_id = {APPLICATION}")
                self.run(f"PRAGMA user_version = {FORMAT}")
            # A job of one file is no job of another, though both may have its id.
            self.run("CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)")
            self.run("INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", (uuid.uuid4().hex,))
            [(self.id,)] = self.rows("SELECT id FROM identity")
        # SQLite does not wait here: while another process uses a new file, the older mode is good enough.
        with contextlib.suppress(sqlite3.OperationalError):
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = NORMAL")

    def _has_tables(self) -> bool:
        """Return whether the file has the store's tables. An empty file has none.

        Raises StoreError for another format.
        """
        [(application,)], [(version,)] = self.rows("PRAGMA application_id"), self.rows("PRAGMA user_version")
        ours = bool(application == APPLICATION)
        if ours and version != FORMAT:
            made = f"the store `{self.path}` has format {version}, and this release knows {FORMAT}"
            advice = "upgrade contentops" if version > FORMAT else "move it away or choose another path"
            age = "a newer release" if version > FORMAT else "an earlier commit"
            raise StoreError(f"{made}: it was made by {age}; {advice}")
        if not ours and self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            raise StoreError(f"`{self.path}` is a database of another program; choose another path")
        return ours

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Run the block in a write transaction, which locks the whole file. An exception rolls the transaction back."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite may have rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def run(self, statement: str, values: Values = ()) -> int:
        """Run an SQL statement, and return the number of rows that it changed."""
        return self._db.execute(statement, values).rowcount

    def rows(self, statement: str, values: Values = ()) -> list[sqlite3.Row]:
        """Run an SQL statement, and return all its rows."""
        return self._db.execute(statement, values).fetchall()

    def row(self, statement: str, values: Values = ()) -> sqlite3.Row | None:
        """Run a SELECT statement, and return its first row, or None if there is none."""
        return next(iter(self.rows(statement, values)), None)

    def runner_lock(self) -> RunnerLock:
        """Return a new runner lock, which is not acquired yet. Its file is in a folder next to the store."""
        return RunnerLock(self.path)

    def close(self) -> None:
        """Close the store. Further calls of this method do nothing."""
        self._db.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _prepare(path: Path) -> None:
    if not path.parent.exists():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
    # SQLite gives its side files the mode of the main file, so create that with the right mode first.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if not path.is_file():
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        head = file.read(_MARK.stop)
    if not head or head[_MARK] == APPLICATION.to_bytes(4):
        with contextlib.suppress(PermissionError):
            path.chmod(0o600)


class RunnerLock:
    """A lock file that shows other processes that a runner is alive. When its process ends, the lock is released.

    A store in memory has only its own runner, so it needs no file.
    """

    def __init__(self, path: Path | None) -> None:
        self.id = uuid.uuid4().hex
        self._folder = None if path is None else path.with_name(f"{path.name}.runners")
        self._own = self._lock_of(self.id)

    def _lock_of(self, runner: str) -> FileLock | None:
        if self._folder is None:
            return None
        return FileLock(self._folder / runner, mode=0o600, thread_local=False, blocking=False)

    def acquire(self) -> None:
        """Take the lock, so that this runner counts as alive. If the runner has the lock already, do nothing."""
        if self._own is not None and not self._own.is_locked:
            Path(self._own.lock_file).parent.mkdir(mode=0o700, exist_ok=True)
            self._own.acquire()

    def alive(self, runner: str) -> bool:
        """Return whether the runner with this id is alive."""
        lock = self._lock_of(runner)
        if runner == self.id or lock is None:
            return runner == self.id
        if not Path(lock.lock_file).exists():
            return False
        try:
            lock.acquire()
        except Timeout:
            return True
        _free(lock)
        return False

    def release(self) -> None:
        """Release the lock, so that this runner no longer counts as alive. Further calls do nothing."""
        if self._own is not None and self._own.is_locked:
            _free(self._own)


def _free(lock: FileLock) -> None:
    lock.release()
    # Another process may have removed it, or may have it open where open files cannot be removed.
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink()
