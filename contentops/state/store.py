"""The state on disk: read once, noted step by step, checkpointed into the lock.

The order of a checkpoint makes a kill harmless: the journal becomes durable, a mark with the digest of the new lock is
added to it, the lock is replaced in one step, and the journal is emptied. A kill before the replacement leaves the old
lock and a journal that folds into it; a kill after it leaves a lock that the journal's mark names.

The caller holds `state_dir.ApplyLock` while a store is open for writing, and calls it from one thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from contentops.atomic_io import PUBLIC, Disk
from contentops.digest import NOTHING, Digest, digest_bytes
from contentops.errors import Location, NotShared, StateError
from contentops.model import OpenEntry, Record, State
from contentops.state import jobs_store, state_dir
from contentops.state import journal as journals
from contentops.state import lock as locks
from contentops.state.codec import Fact, Forget, Header, checked_line, line_of
from contentops.state.working_state import WorkingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from contentops.model import ItemId, RequestId
    from contentops.model.jobs import OrderEnd


class SharedJobs(Protocol):
    """The jobs in a ledger, which every checkout writes.

    Records are not shared: they say which body is in one checkout.
    """

    def note(self, jobs: Sequence[OpenEntry]) -> None:
        """Collect jobs that changed."""

    def flush(self) -> None:
        """Make the collected jobs durable for every checkout. Raises StateError."""


class StateStore:
    """The open state of one environment."""

    def __init__(
        self,
        root: Path | str,
        *,
        environment: str,
        lineage: Callable[[], str],
        write: bool,
        body_on_disk: Callable[[str], Digest] = journals.nothing_on_disk,
        disk: Disk | None = None,
    ) -> None:
        """Read lock and journal of `environment` (empty: the default one) below the absolute folder `root`.

        `lineage` gives that of a first lock. `body_on_disk` gives the body digest of the output file at a relative
        path; it is called only where a merge left two records of one id. Without `write`, nothing is made or changed.
        Raises StateError for damaged, newer or unsafe files.
        """
        root, disk = Path(root), disk or Disk()
        self.lock_path = root / state_dir.named("contentops", environment, "lock")
        """The committed file."""
        self.journal_path = root / state_dir.FOLDER / state_dir.named("journal", environment, "jsonl")
        self._root, self._write, self._disk = root, write, disk
        self.looked_at_files = False
        """Whether an output decided which of two records of one id counts."""
        self._shared: SharedJobs | None = None
        self._has_noted = False
        """Whether this run has anything to write, or wrote it already."""
        self._snapshot: State | None = None

        def body_at(path: str) -> Digest:
            self.looked_at_files = True
            return body_on_disk(path)

        state_dir.inspect(root)
        name = self.lock_path.name
        data = disk.read(self.lock_path)
        self._seen = _fingerprint(data) if write else NOTHING
        """The digest of the lock as this process last read or wrote it."""
        text = None if data is None else _text(data, name)
        lock = locks.Lock() if text is None else locks.read(text, name)
        image = disk.read(self.journal_path) or b""
        journal = journals.parse(image, f"{state_dir.FOLDER}/{self.journal_path.name}")
        self._image = bytearray(image[: journal.good])
        """The bytes of the journal on disk."""
        facts = journal.facts
        if journal.marks and text is not None:
            facts = journal.since(journals.text_digest(text))
        recorded = (
            lock.header.lineage if lock.header else journal.lineage or jobs_store.lineage_in(root, environment, disk)
        )
        self.is_first = not recorded
        """Whether the lock and the journal have no lineage yet."""
        self.lineage = recorded or lineage()
        """The project's lineage: part of every request id."""
        self._working = WorkingState(lock, facts, lineage=self.lineage, body_on_disk=body_at, write=write)
        self._jobs = jobs_store.JobsStore(root, environment, self.lineage, disk)
        self._jobs.known.note(list(self._working.records.values()))
        self._has_noted = self.was_interrupted = bool(facts)
        """Whether the last run ended before its checkpoint."""

    @property
    def state(self) -> State:
        """A snapshot of lock, jobs, journal and everything noted since."""
        if self._snapshot is None:
            self._snapshot = State(
                lineage=self.lineage,
                records=dict(self._working.records),
                entries=dict(self._jobs.known.entries),
                jobs=self._jobs.known.jobs,
            )
        return self._snapshot

    def record(self, item: ItemId) -> Record | None:
        """The current record of one item."""
        return self._working.records.get(item)

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """The open job of a request."""
        return self._jobs.known.entries.get(request_id)

    def made_by(self, record: Record) -> OpenEntry | None:
        """The job of this environment that made the text of a record."""
        return self._jobs.known.made_by(record)

    def jobs_of(self, server: str, digest: Digest) -> list[OpenEntry]:
        """Every order of a request for a whole text on a server, in this environment."""
        return self._jobs.known.jobs_of(server, digest)

    def see_jobs(self, lines: Iterable[OpenEntry]) -> None:
        """Add jobs of another file or a ledger; the next checkpoint writes those that the committed file lacks.

        A job whose text a record has is settled.
        """
        self._jobs.see(lines)
        self._jobs.known.note(list(self._working.records.values()))
        self._snapshot = None

    def share(self, shared: SharedJobs) -> None:
        """Share every job that changes with other checkouts from now on."""
        self._must_write()
        self._shared = shared

    def move_server(self, old: str, new: str) -> None:
        """Name a server by its new address in every job."""
        self._must_write()
        self._changed(self._jobs.known.move(old, new))

    def _changed(self, jobs: Sequence[OpenEntry]) -> None:
        self._snapshot = None
        if self._shared is not None:
            self._shared.note(jobs)

    def stop_sharing(self) -> None:
        """Stop sharing open jobs."""
        self._shared = None

    def note(self, step: str, *facts: Fact | OrderEnd) -> None:
        """Collect the facts of a step; they are durable only after `flush` or `checkpoint`.

        A fact that changes nothing is ignored. A record's `rev` is set here: one above the lock's. Either all facts of
        one call count or none. Raises StateError for a fact that cannot be written.
        """
        self._must_write()
        for fact in facts:
            if isinstance(fact, OpenEntry):
                checked_line(fact)
        self._working.note(step, [fact for fact in facts if isinstance(fact, Record | Forget)])
        self._has_noted = True
        self._changed(self._jobs.known.note(facts))

    def flush(self) -> None:
        """Write the collected facts with one write and one fsync; does nothing if there are none.

        Raises StateError if the disk refuses; the next flush tries again.
        """
        self._must_write()
        try:
            if self._shared is not None:
                self._shared.flush()
        except NotShared:
            # It does not come back: this run records here alone, and a later run shares what it recorded.
            self._shared = None
            raise
        finally:
            # Answers of the server are recorded here even if the ledger fails. A record comes after the text of its
            # job, and before the end of it: after a kill between them, neither the text nor its file is no one's.
            lines = self._working.waiting
            if lines:
                self._jobs.flush(settled=False)
                header = [] if self._image else [line_of(Header(lineage=self.lineage))]
                self._append("".join(f"{line}\n" for line in (*header, *lines)).encode())
                lines.clear()
            self._jobs.flush()

    def checkpoint(self) -> bool:
        """Write jobs and lock and empty the journal, where there is something new; returns whether a file was written.

        Raises StateError (code `lock-changed`) if a pull or a checkout changed the lock meanwhile: the lock stays
        unchanged, the journal has what this run recorded, and the jobs have what it paid for.
        """
        self._must_write()
        self.flush()
        wrote = self._jobs.checkpoint()
        if not self._image and not self._has_noted:
            return wrote
        data = self._disk.read(self.lock_path)
        if _fingerprint(data) != self._seen:
            raise self._lock_changed("removed" if data is None else "changed")
        if not self._image:
            return wrote
        target = self._working.lock_bytes()
        if target != data:
            locks.add_rule(self._root, self._disk)
            fingerprint = digest_bytes(target)
            self._append(f"{line_of(journals.Mark(fingerprint))}\n".encode())
            self._disk.replace(self.lock_path, target, PUBLIC)
            self._seen = fingerprint
        self._working.locked()
        self._disk.append(self.journal_path, b"", 0)
        self._image.clear()
        return wrote or target != data

    def begin(self) -> None:
        """Write a first lock with only a lineage, unless there is a lock. Raises StateError if the disk refuses."""
        self._must_write()
        if not self.is_first:
            return
        locks.add_rule(self._root, self._disk)
        target = self._working.lock_bytes()
        self._disk.replace(self.lock_path, target, PUBLIC)
        self._seen, self.is_first = digest_bytes(target), False

    def rehearse(self, submits: int) -> None:
        """Test that a run with so many submits can write everything, so that nothing is paid for and not recorded.

        Raises StateError with the reason; lock and journal stay unchanged.
        """
        self._must_write()
        state_dir.make(self._root)
        try:
            self.try_room(submits)
            self._disk.append(self.journal_path, b"", len(self._image))
            self._jobs.rehearse(min(_ROOM * submits, _MOST))
            locks.add_rule(self._root, self._disk)
            data = self._disk.read(self.lock_path)
            if data is not None and _fingerprint(data) == self._seen:
                # Only a try shows that a file that is mounted or open elsewhere cannot be replaced.
                self._disk.replace(self.lock_path, data, PUBLIC)
        except StateError as error:
            message = f"nothing was submitted: {error.message}"
            raise StateError(message, code=error.code, hint=error.hint, location=error.location) from error

    def try_room(self, submits: int = 1) -> None:
        """Test that the disk has room for what so many submits add to lock and journal. Raises StateError."""
        room = min(_ROOM * submits, _MOST)
        self._disk.try_room(self.lock_path, self._disk.size(self.lock_path) + room)
        if state_dir.inspect(self._root) is not None:
            self._disk.try_room(self.journal_path, room)

    def close(self) -> None:
        """Make everything noted durable."""
        if self._write:
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _must_write(self) -> None:
        if not self._write:
            message = "this store was opened for reading only"
            raise RuntimeError(message)

    def _append(self, data: bytes) -> None:
        start = len(self._image)
        if not start or self._disk.size(self.journal_path) < start:
            # It is new, or someone deleted it meanwhile, perhaps with its folder: write it from the start.
            state_dir.make(self._root)
            self._disk.append(self.journal_path, bytes(self._image) + data, 0)
        else:
            self._disk.append(self.journal_path, data, start)
        self._image += data

    def _lock_changed(self, what: str) -> StateError:
        name = self.lock_path.name
        restore = f"restore it with `git checkout -- {name}`, or " if what == "removed" else ""
        return StateError(
            f"`{name}` was {what} during this apply; nothing that it paid for is lost",
            code="lock-changed",
            hint=f"{restore}run `contentops apply` again: it continues from the present lock",
            location=Location(name),
        )


_ROOM, _MOST = 16 << 10, 16 << 20
"""Bytes that one submit may add to lock and journal, and the most that are tried."""


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
