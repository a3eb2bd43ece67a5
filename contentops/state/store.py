"""The state on disk: read once, noted step by step, checkpointed into the lock.

The order of a checkpoint is what keeps a kill harmless: the journal is durable, then says which lock it is about to
become, then the lock is replaced in one step, then the journal is emptied. A kill before the replacement leaves the old
lock and a journal that folds into it; a kill after it leaves a lock that the journal's last line names as holding all.

The caller holds `state_dir.ApplyLock` while a store is open for writing, and calls it from one thread.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Self

from contentops.atomic_io import PUBLIC, Disk, opened
from contentops.collector import without_collection
from contentops.digest import NOTHING, Digest, digest_bytes
from contentops.errors import Location, NotShared, StateError
from contentops.state import journal as journals
from contentops.state import lock as locks
from contentops.state import state_dir
from contentops.state.codec import Drop, Fact, Header, line_of
from contentops.state.working_state import WorkingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from contentops.model import ItemId, OpenEntry, Record, RequestId, State
    from contentops.state.shared import OpenElsewhere, SharedEntries


class StateStore:
    """The state of one environment, open."""

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

        `lineage` gives that of a first lock. `body_on_disk` tells the body digest of the output file at a
        relative path; it is asked only where a merge left two records of one id. Without `write`, nothing is ever
        made or changed. Raises StateError for damaged, newer or unsafe files.
        """
        root, disk = Path(root), disk or Disk()
        self.lock_path = root / state_dir.named("contentops", environment, "lock")
        """The committed file."""
        self.journal_path = root / state_dir.FOLDER / state_dir.named("journal", environment, "jsonl")
        self._root, self._write, self._disk = root, write, disk
        self.looked_at_files = False
        """Whether outputs decided which of two records of one id counts."""
        self._shared: SharedEntries | None = None
        self._wrote = False
        """Whether this run made a checkpoint."""

        def asked(path: str) -> Digest:
            self.looked_at_files = True
            return body_on_disk(path)

        state_dir.inspect(root)
        name = self.lock_path.name
        with without_collection():
            # Only what writes, and what a journal says, is held against the lines.
            plain = None if write or disk.read(self.journal_path) else _plain_lock(self.lock_path)
            data = None if plain is not None else disk.read(self.lock_path)
            self._seen = _fingerprint(data) if write else NOTHING
            """The lock as we last read or wrote it."""
            text = None if data is None else _text(data, name)
            del data  # nothing is as large as the lock
            lock = plain or (locks.Lock() if text is None else locks.read(text, name))
            image = b"" if plain is not None else disk.read(self.journal_path) or b""
            journal = journals.parse(image, f"{state_dir.FOLDER}/{self.journal_path.name}")
            self._image = bytearray(image[: journal.good])
            """The bytes of the journal, as they are on disk."""
            facts = journal.facts
            if journal.marks and text is not None:
                facts = journal.since(journals.text_digest(text))
            known = lock.header.lineage if lock.header else journal.lineage
            self.is_first = not known
            """Whether neither lock nor journal says whose state this is."""
            self.lineage = known or lineage()
            """Whose state this is: part of every request id."""
            self.journal_was_empty = not facts
            """Whether the last checkpoint held everything when the store was opened."""
            self._working = WorkingState(
                lock, facts, lineage=self.lineage, environment=environment, body_on_disk=asked, announce=write
            )

    @property
    def state(self) -> State:
        """Lock, journal and everything noted since, as a snapshot."""
        return self._working.state

    def record(self, item: ItemId) -> Record | None:
        """The record of one item as it is now."""
        return self._working.records.get(item)

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """One open entry as it is now."""
        return self._working.entries.get(request_id)

    def share(self, shared: SharedEntries) -> None:
        """Share open entries with other checkouts from now on: theirs are taken in, ours are told them."""
        self._must_write()
        self._working.note("closed elsewhere", [Drop(request_id) for request_id in shared.closed])
        carried = self._working.take_in(shared.open_entries(), shared.closed)
        shared.note(carried)
        self._shared = shared

    def take_in(self, shared: OpenElsewhere) -> None:
        """Know what others did to open entries; in memory only."""
        self._working.take_in(shared.open_entries(), shared.closed)

    def leave_extra_attempts(self, declared: Iterable[Digest]) -> None:
        """Leave out extra attempts of others, but of requests that are `declared` here; in memory only."""
        self._working.leave_extra_attempts(declared)

    @property
    def left(self) -> tuple[OpenEntry, ...]:
        """What was left out so."""
        return self._working.left

    @property
    def unwritten(self) -> tuple[OpenEntry, ...]:
        """The paid entries that were closed since the store was opened and that no record took in."""
        return tuple(self._working.unwritten)

    def stop_sharing(self) -> None:
        """Share them no longer."""
        self._shared = None

    def repair_merge(self, requests: Mapping[ItemId, Digest], server: str) -> None:
        """Repair what a merge made of renames and paid texts, now that the declared `requests` are known, by item.

        The orphans that it brought back after a rename go; a text of `server` that answers a request is an open entry.
        In memory: the lock is written with the next real change.
        """
        self._working.repair_merge(requests, server)

    def note(self, step: str, *facts: Fact) -> None:
        """Take in what a step brought about. Durable only after `flush` or `checkpoint`.

        A fact that changes nothing is no fact. A record's `rev` is set here: one above the lock's, whatever was given.
        The facts of one call stand or fall together. Raises StateError for a fact that cannot be written down.
        """
        self._must_write()
        self._working.note(step, facts)
        if self._shared is not None:
            self._shared.note(facts)

    def flush(self) -> None:
        """Make everything noted durable: one write and one fsync, or nothing if there is nothing.

        Raises StateError if the disk refuses; what was noted is kept and tried again with the next flush.
        """
        self._must_write()
        try:
            if self._shared is not None:
                self._shared.flush()
        except NotShared:
            # It does not come back: from now on all is recorded here alone, and told the others by a later run.
            self._shared = None
            raise
        finally:
            # Answers that came in are kept here whatever becomes of the ledger.
            lines = self._working.waiting
            if lines:
                header = [] if self._image else [line_of(Header(lineage=self.lineage))]
                self._append("".join(f"{line}\n" for line in (*header, *lines)).encode())
                lines.clear()

    def checkpoint(self) -> bool:
        """Make the lock say everything that is known and empty the journal; returns whether the lock was written.

        Touches nothing if nothing happened. Raises StateError (code `lock-changed`) if someone else changed the lock
        meanwhile (a pull, a checkout): it stays as it is, and the journal holds what this run did.
        """
        self._must_write()
        self.flush()
        if not self._image and not self._wrote:
            return False
        data = self._disk.read(self.lock_path)
        if _fingerprint(data) != self._seen:
            self._working.keep_open()
            self.flush()
            raise self._lock_changed("removed" if data is None else "changed")
        if not self._image:
            return False
        target = self._working.lock_bytes()
        if target != data:
            locks.ensure(self._root, self._disk)
            fingerprint = digest_bytes(target)
            self._append(f"{line_of(journals.Mark(fingerprint))}\n".encode())
            self._disk.replace(self.lock_path, target, PUBLIC)
            self._seen = fingerprint
        self._wrote = True
        self._working.locked()
        self._disk.append(self.journal_path, b"", 0)
        self._image.clear()
        return target != data

    def begin(self) -> None:
        """Write a first lock that says whose state this is, and no more; nothing where that is known.

        Raises StateError if the disk refuses.
        """
        self._must_write()
        if not self.is_first:
            return
        locks.ensure(self._root, self._disk)
        target = self._working.lock_bytes()
        self._disk.replace(self.lock_path, target, PUBLIC)
        self._seen, self.is_first = digest_bytes(target), False

    def rehearse(self, submits: int) -> None:
        """Try all that a run with so many submits has to write, so that nothing is paid for that cannot be recorded.

        Raises StateError with what stands in the way; lock and journal stay as they are.
        """
        self._must_write()
        state_dir.make(self._root)
        try:
            self.try_room(submits)
            self._disk.append(self.journal_path, b"", len(self._image))
            locks.ensure(self._root, self._disk)
            data = self._disk.read(self.lock_path)
            if data is not None and _fingerprint(data) == self._seen:
                # A file that is mounted or held shows that it cannot be replaced only when it is.
                self._disk.replace(self.lock_path, data, PUBLIC)
        except StateError as error:
            message = f"nothing was submitted: {error.message}"
            raise StateError(message, code=error.code, hint=error.hint, location=error.location) from error

    def try_room(self, submits: int = 1) -> None:
        """Try to write what so many submits add to lock and journal; leaves nothing. Raises StateError likewise."""
        room = min(_ROOM * submits, _MOST)
        self._disk.try_room(self.lock_path, self._disk.size(self.lock_path) + room)
        if state_dir.inspect(self._root) is not None:
            self._disk.try_room(self.journal_path, room)

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

    def _must_write(self) -> None:
        if not self._write:
            message = "this store was opened for reading only"
            raise RuntimeError(message)

    def _append(self, data: bytes) -> None:
        start = len(self._image)
        if not start or self._disk.size(self.journal_path) < start:
            # It begins, or someone removed it under us, perhaps with its folder: it is written from the start.
            state_dir.make(self._root)
            self._disk.append(self.journal_path, bytes(self._image) + data, 0)
        else:
            self._disk.append(self.journal_path, data, start)
        self._image += data

    def _lock_changed(self, what: str) -> StateError:
        name = self.lock_path.name
        restore = f"restore it with `git checkout -- {name}`, or " if what == "removed" else ""
        return StateError(
            f"`{name}` was {what} while this apply ran; the journal still holds what it did",
            code="lock-changed",
            hint=f"{restore}run `contentops apply` again: it goes on from the lock that is there and the journal",
            location=Location(name),
        )


_ROOM, _MOST = 16 << 10, 16 << 20
"""Bytes that one submit may add to lock and journal, and the most that are tried."""


def _plain_lock(path: Path) -> locks.Lock | None:
    """The lock without its lines, if all is well with it."""
    with contextlib.suppress(OSError), opened(path, follow=False) as file:
        return locks.read_plain(file)
    return None


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
