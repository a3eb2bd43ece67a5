"""The state on disk: read once, noted step by step, checkpointed into the lock.

The order of a checkpoint is what keeps a kill harmless: the journal is durable, then says which lock it is about to
become, then the lock is replaced in one step, then the journal is emptied. A kill before the replacement leaves the old
lock and a journal that folds into it; a kill after it leaves a lock that the journal's last line names as holding all.

The caller holds `exclusive.ApplyLock` while a store is open for writing. Several threads may call the methods.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from contentops.digest import NOTHING, Digest, digest_bytes
from contentops.errors import Location, StateError
from contentops.state import attributes
from contentops.state import folder as place
from contentops.state import journal as journals
from contentops.state import lock as locks
from contentops.state.durable import Disk
from contentops.state.lines import Fact, Header, header_line
from contentops.state.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from contentops.model import ItemId, OpenEntry, Record, RequestId, State
    from contentops.state.journal import Noted

_LOCK_MODE = 0o666


class StateStore:
    """The state of one environment, open. Make one with `StateStore.open`."""

    def __init__(
        self,
        root: Path,
        *,
        environment: str,
        project: str,
        write: bool,
        body_on_disk: Callable[[str], Digest],
        disk: Disk,
    ) -> None:
        self.lock_path = root / place.named("contentops", environment, "lock")
        """The committed file."""
        self.journal_path = root / place.FOLDER / place.named("journal", environment, "jsonl")
        self._root, self._write, self._disk = root, write, disk
        self._guard = threading.RLock()
        """Around memory; held for moments."""
        self._files = threading.RLock()
        """Around the files; taken before `_guard`, never after."""

        place.inspect(root)
        data = disk.read(self.lock_path)
        lock = self._parse(data)
        image = disk.read(self.journal_path) or b""
        journal = journals.parse(image, self._journal_name)
        self._image = bytearray(image[: journal.good])
        """The bytes of the journal, as they are on disk."""
        self._seen = _fingerprint(data) if write else NOTHING
        """The lock as we last read or wrote it."""
        facts = journal.facts
        if journal.marks and data is not None:
            facts = journal.since(journals.text_digest(_text(data, self.lock_path.name)))
        self._wrote = False
        """Whether this run made a checkpoint."""
        self._count = len(journal.facts)
        self._done = self._count - len(facts)
        """How many facts the journal holds, and how many of them the lock holds as well."""
        self.lineage = (lock.header.lineage if lock.header else journal.lineage) or locks.lineage_of(project)
        """Whose state this is: part of every request id."""
        self.exists = data is not None
        """Whether there is a lock."""
        self.journal_was_empty = not facts
        """Whether the last checkpoint held everything when the store was opened."""
        self._memory = Memory(lock, facts, lineage=self.lineage, body_on_disk=body_on_disk, announce=write)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        environment: str,
        project: str,
        write: bool,
        body_on_disk: Callable[[str], Digest] = journals.nothing_on_disk,
        disk: Disk | None = None,
    ) -> StateStore:
        """Read lock and journal of `environment` (empty: the default one) below the absolute folder `root`.

        `project` names the lineage of a first lock. `body_on_disk` tells the body digest of the output file at a
        relative path; it is asked only where a merge left two records of one id. Without `write`, nothing is ever
        made or changed. Raises StateError for damaged, newer or unsafe files.
        """
        return cls(
            Path(root),
            environment=environment,
            project=project,
            write=write,
            body_on_disk=body_on_disk,
            disk=disk or Disk(),
        )

    @property
    def state(self) -> State:
        """Lock, journal and everything noted since, as a snapshot."""
        with self._guard:
            return self._memory.state

    def record(self, item: ItemId) -> Record | None:
        """The record of one item as it is now."""
        return self._memory.records.get(item)

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """One open entry as it is now."""
        return self._memory.entries.get(request_id)

    @property
    def set_aside(self) -> tuple[Noted, ...]:
        """Facts that the lock overruled, because it changed under the journal."""
        return tuple(self._memory.set_aside)

    def heal(self, living: Collection[ItemId]) -> tuple[ItemId, ...]:
        """Leave out the orphans that a merge brought back after a rename; returns their ids, sorted.

        `living` are the desired ids. Memory only: the lock is written with the next real change.
        """
        with self._guard:
            return self._memory.heal(living)

    def note(self, step: str, *facts: Fact) -> None:
        """Take in what a step brought about. Durable only after `flush` or `checkpoint`.

        A fact that changes nothing is no fact. A record's `rev` is set here: one above the lock's, whatever was given.
        The facts of one call stand or fall together. Raises StateError for a fact that cannot be written down.
        """
        self._must_write()
        with self._guard:
            self._memory.note(step, facts)

    def flush(self) -> None:
        """Make everything noted durable: one write and one fsync, or nothing if there is nothing.

        Raises StateError if the disk refuses; what was noted is kept and tried again with the next flush.
        """
        self._must_write()
        with self._files:
            with self._guard:
                lines = self._memory.journal_lines()
            if not lines:
                return
            header = [] if self._image else [header_line(Header(lineage=self.lineage))]
            self._append("".join(f"{line}\n" for line in (*header, *lines)).encode())
            with self._guard:
                del self._memory.waiting[: len(lines)]
                self._count += len(lines)

    def checkpoint(self) -> bool:
        """Make the lock say everything that is known and empty the journal; returns whether the lock was written.

        Touches nothing if nothing happened. If the lock was changed by somebody else meanwhile (a pull), what was
        done is folded into it as after a restart. Raises StateError if it was removed or damaged: the journal then
        still holds everything.
        """
        self._must_write()
        with self._files:
            self.flush()
            if not self._image and not self._wrote:
                return False
            data = self._disk.read(self.lock_path)
            if _fingerprint(data) != self._seen:
                self._meet(data)
            if not self._image:
                return False
            with self._guard:
                target, lock = self._memory.written()
            if target != data:
                attributes.ensure(self._root, self._disk)
                self._append(f"{journals.mark_line(digest_bytes(target))}\n".encode())
                temporary = place.make(self._root) / f"{self.lock_path.name}.tmp"
                self._disk.replace(self.lock_path, target, temporary, _LOCK_MODE)
            self.exists = self._wrote = True
            with self._guard:
                self._memory.lock, self._seen, self._done = lock, _fingerprint(target), self._count
            self._disk.append(self.journal_path, b"", 0)
            self._image, self._count, self._done = bytearray(), 0, 0
            return target != data

    def close(self) -> None:
        """Make what was noted durable and let go."""
        if self._write:
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _journal_name(self) -> str:
        return f"{place.FOLDER}/{self.journal_path.name}"

    def _must_write(self) -> None:
        if not self._write:
            message = "this store was opened for reading only"
            raise RuntimeError(message)

    def _parse(self, data: bytes | None) -> locks.Lock:
        name = self.lock_path.name
        return locks.Lock() if data is None else locks.read(_text(data, name), name)

    def _append(self, data: bytes) -> None:
        place.make(self._root)
        start = len(self._image)
        if self._disk.size(self.journal_path) < start:
            # Somebody removed the journal under us: it is written again from the start.
            self._disk.append(self.journal_path, bytes(self._image) + data, 0)
        else:
            self._disk.append(self.journal_path, data, start)
        self._image += data

    def _meet(self, data: bytes | None) -> None:
        """Fold what this run did into a lock that somebody else put there meanwhile."""
        name = self.lock_path.name
        if data is None:
            raise self._gone("removed", "or run `contentops apply` again to write a new one")
        theirs = self._parse(data)
        if theirs.header is not None and theirs.header.lineage != self.lineage:
            raise self._gone("replaced by the lock of another project", f"and find out what wrote `{name}`")
        with self._guard:
            self.flush()
            facts = journals.parse(bytes(self._image), self._journal_name).facts[self._done :]
            self._seen = _fingerprint(data)
            self._memory.meet(theirs, facts)
            self.flush()

    def _gone(self, what: str, otherwise: str) -> StateError:
        name = self.lock_path.name
        return StateError(
            f"`{name}` was {what} while this apply ran; the journal still holds what it did",
            code="lock-changed",
            hint=f"restore it with `git checkout -- {name}`, {otherwise}",
            location=Location(name),
        )


def _fingerprint(data: bytes | None) -> Digest:
    return NOTHING if data is None else digest_bytes(data)


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = f"`{name}` is not UTF-8 (byte {error.start + 1})"
        raise StateError(
            message, code="damaged-lock", hint=f"restore it with `git checkout -- {name}`", location=Location(name)
        ) from None
