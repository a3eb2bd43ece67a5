"""The SQLite file behind the embedded server: opening it, its tables, its transactions; and the clock.

`jobs`, `contents` and `accounts` hold the statements. Several processes may have the file open: writes are short
immediate transactions that wait for each other. One store belongs to one thread at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from contentops.server import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    Values = Sequence[Any] | Mapping[str, Any]

APPLICATION = 0x636F7073
"""Marks the file as ours, so that another program's database is never written to."""

VERSION = 3
"""Of the tables; a higher one in the file means a newer release made it, a lower one is brought up to date."""

BUSY_SECONDS = 10.0
"""How long a write waits for another process."""

_JOBS = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL, key_id TEXT NOT NULL,
    request TEXT NOT NULL, fingerprint TEXT NOT NULL, idempotency_key TEXT,
    status TEXT NOT NULL, stage TEXT NOT NULL DEFAULT '', progress INTEGER NOT NULL DEFAULT 0,
    runner TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '', body TEXT NOT NULL DEFAULT '', content_id TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL, finished_at REAL, credits INTEGER NOT NULL DEFAULT 0,
    UNIQUE (key_id, id), UNIQUE (key_id, owner, idempotency_key)
);
CREATE INDEX jobs_under_way ON jobs (key_id, credits) WHERE finished_at IS NULL;
CREATE TABLE charges (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, key_id TEXT NOT NULL,
    mode TEXT NOT NULL, credits INTEGER NOT NULL, charged_at REAL NOT NULL, UNIQUE (key_id, job_id)
);
CREATE INDEX charges_by_key ON charges (key_id);
"""

# Counting rows would cost more with every row there ever was: `Store.tally` counts as they come and go.
_INDEXES = """
CREATE INDEX contents_newest ON contents (key_id, created_at DESC, number DESC);
CREATE INDEX contents_changed ON contents (key_id, updated_at DESC, number DESC);
CREATE TABLE tallies (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (key_id, kind, name, owner)
) WITHOUT ROWID;
"""

_TABLES = f"""{_JOBS}
CREATE TABLE contents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    title TEXT NOT NULL, body TEXT NOT NULL, html TEXT, status TEXT NOT NULL, type TEXT NOT NULL,
    metadata TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, created_at REAL NOT NULL, updated_at REAL NOT NULL,
    key_id TEXT NOT NULL DEFAULT ''
);
CREATE TABLE versions (
    content_id TEXT NOT NULL, version INTEGER NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, html TEXT,
    status TEXT NOT NULL, metadata TEXT NOT NULL, replaced_at REAL NOT NULL,
    PRIMARY KEY (content_id, version)
);
CREATE TABLE keys (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, created_at REAL NOT NULL, revoked_at REAL,
    credits INTEGER, modes TEXT NOT NULL DEFAULT ''
);
{_INDEXES}"""

_FROM_1_TO_2 = """
ALTER TABLE jobs ADD COLUMN credits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN credits INTEGER;
ALTER TABLE keys ADD COLUMN modes TEXT NOT NULL DEFAULT '';
CREATE INDEX charges_by_key ON charges (key_id);
"""

# Contents had no key. The job that made one says whose it is; where there is a single key, all is its own; the rest
# stays with no key, which no other key can read.
_GIVE_KEYS = """
ALTER TABLE contents ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
UPDATE contents SET key_id = jobs.key_id FROM jobs WHERE jobs.content_id = contents.id;
UPDATE contents SET key_id = jobs.key_id FROM jobs
    WHERE contents.key_id = '' AND jobs.id = json_extract(contents.metadata, '$.request_id');
UPDATE contents SET key_id = (SELECT id FROM keys) WHERE key_id = '' AND (SELECT count(*) FROM keys) = 1;
UPDATE OR IGNORE jobs SET key_id = (SELECT id FROM keys) WHERE key_id = '' AND (SELECT count(*) FROM keys) = 1;
DROP INDEX IF EXISTS jobs_unfinished;
DROP INDEX IF EXISTS contents_newest;
DROP INDEX charges_by_key;
ALTER TABLE jobs RENAME TO old_jobs;
ALTER TABLE charges RENAME TO old_charges;
"""
_MOVE_ROWS = """
INSERT INTO jobs SELECT NULL, * FROM old_jobs ORDER BY old_jobs.rowid;
INSERT INTO charges SELECT * FROM old_charges;
DROP TABLE old_jobs;
DROP TABLE old_charges;
"""
_COUNT_ROWS = """
INSERT INTO tallies SELECT key_id, 'content', status, owner, count(*) FROM contents GROUP BY key_id, status, owner;
INSERT INTO tallies SELECT key_id, 'job', status, owner, count(*) FROM jobs WHERE finished_at IS NOT NULL
    GROUP BY key_id, status, owner;
INSERT INTO tallies SELECT key_id, 'generations', mode, '', count(*) FROM charges GROUP BY key_id, mode;
INSERT INTO tallies SELECT key_id, 'credits', mode, '', sum(credits) FROM charges GROUP BY key_id, mode;
"""

_UPGRADES = ((_FROM_1_TO_2,), (_GIVE_KEYS, _JOBS, _MOVE_ROWS, _INDEXES, _COUNT_ROWS))
"""What brings a file of version 1, 2, ... to the next one."""


class Clock(Struct, frozen=True):
    """`now` gives seconds since 1970 (UTC); `sleep` waits that many seconds on the running loop."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def iso(at: float) -> str:
    """A time as the API writes it: ISO 8601, UTC, with microseconds so that two saves keep their order."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class StoreError(EmbeddedServerError):
    """The store cannot be opened: the message says which file, why, and what to do."""


class Store:
    """An open store. `path` None keeps everything in memory; folder and file are made for the owner alone.

    Raises StoreError. Close it, or use it as a context manager.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = None if path is None else Path(path).absolute()
        try:
            if self.path is not None:
                _prepare(self.path)
            # An app may be made in one thread and run in another.
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the store `{self.path}` cannot be opened: {error}; choose another path") from error
        try:
            self._set_up()
        except sqlite3.Error as error:
            self._db.close()
            message = f"the store `{self.path}` cannot be used: {error}; move it away or choose another path"
            raise StoreError(message) from error
        except StoreError:
            self._db.close()
            raise

    def _set_up(self) -> None:
        self._db.row_factory = sqlite3.Row
        # Looked at before anything is changed: another program's file stays as it is. In one transaction, since another
        # process may be making the tables.
        self._db.execute("BEGIN")
        try:
            self._version()
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._use_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self.write():
            version = self._version()
            if version == VERSION:
                return
            # executescript would end the transaction that keeps a second process out.
            for scripts in _UPGRADES[version - 1 :] if version else ((_TABLES,),):
                for statement in "".join(scripts).split(";"):
                    self.run(statement)
            self.run(f"PRAGMA application_id = {APPLICATION}")
            self.run(f"PRAGMA user_version = {VERSION}")

    def _use_wal(self) -> None:
        # SQLite does not wait here as it does elsewhere: of two that change the mode at once, one is refused.
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

    def _version(self) -> int:
        """The version of the tables there are, 0 for an empty file."""
        ours, version = self.number("PRAGMA application_id") == APPLICATION, self.number("PRAGMA user_version")
        if ours and version > VERSION:
            message = f"the store `{self.path}` was made by a newer release (format {version}); upgrade contentops"
            raise StoreError(message)
        if not ours and self.row("SELECT 1 FROM sqlite_master LIMIT 1"):
            raise StoreError(f"`{self.path}` is the database of another program; choose another path")
        return version if ours else 0

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """One transaction that holds the write lock from its start; rolled back on any exception."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # Where the disk is full, SQLite may have rolled back by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def run(self, statement: str, values: Values = ()) -> int:
        """Carry out a statement inside `write`; gives the number of rows it changed."""
        return self._db.execute(statement, values).rowcount

    def rows(self, statement: str, values: Values = ()) -> list[sqlite3.Row]:
        """Every row a SELECT gives."""
        return self._db.execute(statement, values).fetchall()

    def row(self, statement: str, values: Values = ()) -> sqlite3.Row | None:
        """The first row a SELECT gives, or None."""
        return next(iter(self.rows(statement, values)), None)

    def number(self, statement: str, values: Values = ()) -> int:
        """The one number a SELECT gives, 0 for NULL."""
        return int(self.rows(statement, values)[0][0] or 0)

    def tally(self, key_id: str, kind: str, name: str, change: int, owner: str = "") -> None:
        """Count `change` more of a kind under `name`, inside the caller's transaction."""
        self.run(
            "INSERT INTO tallies (key_id, kind, name, owner, number) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET number = number + excluded.number",
            (key_id, kind, name, owner, change),
        )

    def tallied(self, key_id: str, kind: str, owner: str = "") -> dict[str, int]:
        """What was counted of a kind, by name; with an owner, only theirs and what has none."""
        rows = self.rows(
            "SELECT name, sum(number) FROM tallies WHERE key_id = ? AND kind = ? AND (? = '' OR owner IN ('', ?))"
            " GROUP BY name ORDER BY name",
            (key_id, kind, owner, owner),
        )
        return {name: number for name, number in rows if number}

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _prepare(path: Path) -> None:
    if not path.parent.exists():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
    # SQLite gives its side files the mode of the main one, so this has to exist with the right one first.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with contextlib.suppress(PermissionError):
        path.chmod(0o600)
