"""The seam between the embedded server's statements and the database that carries them out.

`jobs`, `contents` and `accounts` hold the statements once, in the SQL that SQLite (`sqlite`) and PostgreSQL
(`postgres`) share, with `?` or `:name` where a value goes.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Protocol

from contentops.server import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    Values = Sequence[Any] | Mapping[str, Any]

EVERY_ROW = 2**63 - 1
"""The `LIMIT` that sets none."""


class StoreError(EmbeddedServerError):
    """The store cannot be opened: the message says which one, why, and what to do."""


class StoreUnavailableError(EmbeddedServerError):
    """The database does not answer, or refused a statement: what was asked may be asked again in a moment."""


class RowRefusedError(EmbeddedServerError):
    """A row holds what this program never writes; the message says which one."""


FAILURES = (sqlite3.Error, StoreUnavailableError)
"""What a statement raises where the store cannot carry it out."""


class StoredRow(Protocol):
    """One row: its values by name or position, and in the order of the statement."""

    def __getitem__(self, column: str | int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def keys(self) -> Iterable[str]:
        """The names of its columns."""


class RunnerLock(Protocol):
    """One runner's sign of life, which ends with its process.

    A job names the runner that works on it; once that one is gone, another may go on.
    """

    @property
    def id(self) -> str:
        """The runner's name in a job."""

    def acquire(self) -> None:
        """Be seen as alive, until `release` or the end of the process; a second call does nothing."""

    def alive(self, runner: str) -> bool:
        """Whether the runner of that id is still at work."""

    def release(self) -> None:
        """Be gone; a second call does nothing."""


class Replicas(Protocol):
    """What servers that share one store, each for itself, ask of it beyond statements."""

    async def reconnect(self) -> None:
        """Open the connection again where it is lost. Raises StoreUnavailableError."""

    def take_up(self, runner: str, at_work: Collection[int], room: int) -> list[int]:
        """Give `runner` up to `room` open jobs that no living runner has, oldest first; their numbers.

        Its own, but for those `at_work`, are among them. It is a sign of life too, and to be called with no `room` as
        well.
        """

    def count_request(self, account: str, most: int, seconds: float) -> float:
        """Count a request of an account and give 0; after `most` in `seconds`, how long to wait, uncounted."""


class Database(Protocol):
    """An open database with the tables of a store. It belongs to one thread at a time."""

    @property
    def path(self) -> Path | None:
        """Its file, or None."""

    @property
    def replicas(self) -> Replicas | None:
        """None where only processes of this machine share it."""

    def write(self, account: str, /) -> AbstractContextManager[None]:
        """One transaction, rolled back on any exception; no other one writes to the account meanwhile."""

    def run(self, statement: str, values: Values) -> int:
        """Carry out a statement, outside `write` in a transaction of its own; the number of rows it changed."""

    def rows(self, statement: str, values: Values) -> list[StoredRow]:
        """Every row a statement gives."""

    def runner_lock(self) -> RunnerLock:
        """The sign of life of one more runner, not acquired yet."""

    def close(self) -> None:
        """Close it; a second call does nothing."""
