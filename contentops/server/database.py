"""The interface of a store of the bundled server, in any database.

`jobs`, `contents` and `accounts` have the statements, in the SQL that SQLite (`sqlite`) and PostgreSQL (`postgres`)
share, with `?` or `:name` for values.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, Self

from contentops.server import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    Values = Sequence[Any] | Mapping[str, Any]

FORMAT = 3
"""The version of the tables: stores of another format are not opened."""
# Counting rows becomes slow with their number, so `Store.tally` keeps the counts.
TABLES = """
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
CREATE INDEX contents_newest ON contents (key_id, created_at DESC, number DESC);
CREATE INDEX contents_changed ON contents (key_id, updated_at DESC, number DESC);
CREATE TABLE tallies (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (key_id, kind, name, owner)
) WITHOUT ROWID;
"""
"""The tables of a store in the SQL of SQLite; `postgres_schema` translates the names of types."""

EVERY_ROW = 2**63 - 1
"""The `LIMIT` that sets none."""


class StoreError(EmbeddedServerError):
    """The store cannot be opened: the message says which one, why, and what to do."""


class StoreUnavailableError(EmbeddedServerError):
    """The database does not answer, or refused a statement: try again in a moment."""


class RowRefusedError(EmbeddedServerError):
    """A row has values that this program never writes; the message says which one."""


FAILURES = (sqlite3.Error, StoreUnavailableError)
"""The errors of a statement that the store cannot run."""


class StoredRow(Protocol):
    """One row: its values by name or position, and in the order of the statement."""

    def __getitem__(self, column: str | int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def keys(self) -> Iterable[str]:
        """The names of its columns."""


class RunnerLock(Protocol):
    """The sign of life of one runner, which ends with its process.

    A job names its runner; once that one is dead, another may claim the job.
    """

    @property
    def id(self) -> str:
        """The runner's name in a job."""

    def acquire(self) -> None:
        """Count as alive until `release` or the end of the process; a second call does nothing."""

    def alive(self, runner: str) -> bool:
        """Whether the runner of that id is alive."""

    def release(self) -> None:
        """Count as dead; a second call does nothing."""


class Replicas(Protocol):
    """What servers that share one store need beyond statements."""

    async def reconnect(self) -> None:
        """Open the connection again where it is lost. Raises StoreUnavailableError."""

    def adopt(self, runner: str, at_work: Collection[int], slots: int) -> list[int]:
        """Give `runner` up to `slots` open jobs without a living runner, oldest first; their numbers.

        Its own that are not `at_work` are among them. Call it with 0 slots too: it is the sign of life.
        """

    def count_request(self, account: str, most: int, seconds: float) -> float:
        """Count a request of an account and give 0; after `most` in `seconds`, how long to wait, uncounted."""


class Store(ABC):
    """An open store, whichever database it is in. It belongs to one thread at a time.

    Close it, or use it as a context manager.
    """

    path: Path | None = None
    """Its file, or None."""

    @property
    def replicas(self) -> Replicas | None:
        """For servers on several machines; None where only processes of this machine share the store."""
        return None

    @abstractmethod
    def write(self, account: str = "", /) -> AbstractContextManager[None]:
        """One transaction, rolled back on any exception; no other one writes to the account meanwhile."""

    @abstractmethod
    def run(self, statement: str, values: Values = ()) -> int:
        """Run a statement, outside `write` in a transaction of its own; gives the number of rows it changed."""

    @abstractmethod
    def rows(self, statement: str, values: Values = ()) -> list[StoredRow]:
        """Every row a statement gives."""

    @abstractmethod
    def runner_lock(self) -> RunnerLock:
        """The sign of life of one more runner, not acquired yet."""

    @abstractmethod
    def close(self) -> None:
        """Close it; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def row(self, statement: str, values: Values = ()) -> StoredRow | None:
        """The first row a SELECT gives, or None."""
        return next(iter(self.rows(statement, values)), None)

    def number(self, statement: str, values: Values = ()) -> int:
        """The one number a statement gives, 0 for NULL."""
        return int(self.rows(statement, values)[0][0] or 0)

    def tally(self, key_id: str, kind: str, name: str, change: int, owner: str = "") -> None:
        """Add `change` to the count of a kind under `name`, inside the caller's transaction for that account."""
        self.run(
            "INSERT INTO tallies (key_id, kind, name, owner, number) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key_id, kind, name, owner) DO UPDATE SET number = tallies.number + excluded.number",
            (key_id, kind, name, owner, change),
        )

    def tallied(self, key_id: str, kind: str, owner: str = "") -> dict[str, int]:
        """The counts of a kind, by name; with an owner, only theirs and those without one."""
        rows = self.rows(
            "SELECT name, sum(number) FROM tallies WHERE key_id = ? AND kind = ? AND (? = '' OR owner IN ('', ?))"
            " GROUP BY name ORDER BY name",
            (key_id, kind, owner, owner),
        )
        return {name: int(number) for name, number in rows if number}
