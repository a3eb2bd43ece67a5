"""A store in a SQLite file.

Several processes may have the file open: writes are short immediate transactions that wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from contentops.server.database import FORMAT, TABLES, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentops.server.database import RunnerLock, StoredRow, Values

APPLICATION = 0x636F7073
"""Marks the file as ours, so that another program's database is never changed."""

_MARK = slice(68, 72)
"""The position of that mark in a file of SQLite."""

BUSY_SECONDS = 10.0
"""Seconds that a write waits for another process."""


class SqliteFile(Store):
    """An open file. `path` None keeps everything in memory; folder and file are made owner-only.

    Raises StoreError.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            if self.path is not None:
                _prepare(self.path)
            # An app may be created in one thread and run in another.
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the store `{self.path}` cannot be opened: {error}; choose another path") from error
        try:
            self._set_up()
        except sqlite3.Error as error:
            self._db.close()
            advice = "check its permissions, move it away or choose another path"
            raise StoreError(f"the store `{self.path}` cannot be used: {error}; {advice}") from error
        except StoreError:
            self._db.close()
            raise

    def _set_up(self) -> None:
        self._db.row_factory = sqlite3.Row
        # Checked before anything is changed, so that another program's file stays unchanged. In one transaction, since
        # another process may be making the tables.
        self._db.execute("BEGIN")
        try:
            self._has_tables()
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._use_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self.write(""):
            if self._has_tables():
                return
            # executescript would end the transaction, which keeps a second process from making the tables.
            for statement in TABLES.split(";"):
                self.run(statement)
            self.run(f"PRAGMA application_id = {APPLICATION}")
            self.run(f"PRAGMA user_version = {FORMAT}")

    def _use_wal(self) -> None:
        # SQLite does not wait here: of two processes that change the mode at once, one gets an error.
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
            else:
                return

    def _has_tables(self) -> bool:
        """Whether the file has the tables; False for an empty file. Raises StoreError for another format."""
        ours, version = self._pragma("application_id") == APPLICATION, self._pragma("user_version")
        if ours and version != FORMAT:
            made = f"the store `{self.path}` has format {version}, and this release knows {FORMAT}"
            advice = "upgrade contentops" if version > FORMAT else "move it away or choose another path"
            age = "a newer release" if version > FORMAT else "an earlier commit"
            raise StoreError(f"{made}: it was made by {age}; {advice}")
        if not ours and self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            raise StoreError(f"`{self.path}` is a database of another program; choose another path")
        return ours

    def _pragma(self, name: str) -> int:
        return int(self.rows(f"PRAGMA {name}")[0][0])

    @contextlib.contextmanager
    def write(self, _account: str = "", /) -> Iterator[None]:
        """One transaction with the write lock of the whole file from its start; rolled back on any exception."""
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
        """Run a statement; gives the number of rows it changed."""
        return self._db.execute(statement, values).rowcount

    def rows(self, statement: str, values: Values = ()) -> list[StoredRow]:
        """Every row a statement gives."""
        return self._db.execute(statement, values).fetchall()

    def runner_lock(self) -> RunnerLock:
        """A lock in a folder next to the file."""
        return FileRunnerLock(self.path)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._db.close()


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


class FileRunnerLock:
    """A lock next to the store's file that shows that a runner is alive; the end of its process frees it.

    A store in memory has only its own runner.
    """

    def __init__(self, path: Path | None) -> None:
        self.id = uuid.uuid4().hex
        self._folder = None if path is None else path.with_name(f"{path.name}.runners")
        self._lock: FileLock | None = None

    def acquire(self) -> None:
        """Count as alive until `release` or the end of the process; a second call does nothing."""
        if self._folder is None or self._lock is not None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = _lock(self._folder / self.id)
        lock.acquire(blocking=False)
        self._lock = lock

    def alive(self, runner: str) -> bool:
        """Whether the runner of that id is alive."""
        if runner == self.id or self._folder is None:
            return runner == self.id
        path = self._folder / runner
        if not path.exists():
            return False
        lock = _lock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        _free(lock, path)
        return False

    def release(self) -> None:
        """Count as dead; a second call does nothing."""
        if self._lock is not None and self._folder is not None:
            _free(self._lock, self._folder / self.id)
            self._lock = None


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=0o600, thread_local=False)


def _free(lock: FileLock, path: Path) -> None:
    lock.release()
    # Another process may have removed it, or may have it open where open files cannot be removed.
    with contextlib.suppress(OSError):
        path.unlink()
