"""Reads the state from disk once, records each change in the journal, and writes the lock at checkpoints.

The order of a checkpoint makes a kill harmless. First the journal becomes durable, then the lock is replaced in one
step, then the journal is emptied. After a kill before the replacement there is the old lock and a journal that applies
to it. After a kill later, the lock has no line any more that the changes in the journal started from, so no change
counts twice.

The caller holds `state_dir.apply_lock` while a store is open for writing, and calls it from one thread.

A journal line is a line of the lock with more keys:

    step   the step that made it, for a person who reads the file
    base   the digests of the lock lines of that key at that time, with spaces between; empty if there was none

`{"forget": id}` removes a record. Changes that belong together are a list in one line. Lines are only appended; a torn
last line is ignored.

Invariant: after any sequence of notes, the records equal the result of `fold` on the lock and the noted facts. The cost
of a note depends on its facts, and the cost of a checkpoint on its bytes. Neither depends on the number of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from msgspec import Raw, Struct, structs

from contentops.atomic_io import PUBLIC, Disk
from contentops.digest import NOTHING, Digest, canonical, digest_bytes
from contentops.errors import Location, NotShared, StateError
from contentops.model import ItemId, Job, Record, RequestId, State
from contentops.state import jobs, state_dir
from contentops.state import lock as locks
from contentops.state.codec import (
    KINDS,
    Fact,
    Forget,
    Format,
    Header,
    add_rules,
    checked_line,
    kind_of,
    line_of,
    parse_as,
    read_lines,
)
from contentops.state.lock import Lock, LockLine, resolve_conflict, with_one_owner

# ---- The journal: what happened since the checkpoint, and how lock and journal become the records that count.

FORMAT: Final = Format(pattern="", code="damaged-journal")
Base = tuple[Digest, ...]
"""The digests of the lock lines of one key, usually one; empty if the lock had none."""


class JournalFact(Struct, frozen=True, kw_only=True):
    """One change in the journal: a new record, or a record that was deleted.

    `base` has the digests of the lock lines that it started from.
    """

    fact: Record | Forget
    base: Base = ()


class _Extra(Struct, frozen=True):
    """The key that only the lines of a journal have, and the lines of a lock do not have."""

    base: str = ""


def journal_line(text: str, *, step: str, base: Base) -> str:
    """Return the journal line of a change. `text` is its line for the lock, or a `forget` object."""
    return f"{canonical({'base': ' '.join(base), 'step': step})[:-1]},{text[1:]}"


def parse(data: bytes, path: str) -> tuple[str, list[JournalFact]]:
    """Return the lineage (the project's UUID) and the changes in a journal. The lineage is empty without a header.

    `path` names the journal in messages. A torn last line is ignored, because it never became durable. Raises
    StateError (DamagedState with every damaged line) if a line cannot be used.
    """
    lineage, lines = read_lines(data, path, FORMAT, _parse, torn=True)
    return lineage, [fact for _, facts in lines for fact in facts]


def nothing_on_disk(_path: str) -> Digest:
    """Return an empty digest for every path.

    Use it as `body_on_disk` if no output file should decide between two records.
    """
    return NOTHING


def fold(
    lock: Lock, facts: Sequence[JournalFact] = (), *, body_on_disk: Callable[[str], Digest] = nothing_on_disk
) -> dict[ItemId, Record]:
    """Return the current record of each item, from the lock and the journal.

    A change in the journal counts only if the lock still has the line that it started from, or still has no line.
    Otherwise the lock counts. If an id has several lines, `resolve_conflict` chooses one.
    """
    last = {line.fact.id: line for line in facts if _is_unchanged(lock.records.get(line.fact.id), line.base)}
    records: dict[ItemId, Record] = {}
    for id_ in dict.fromkeys((*lock.records, *last)):
        fact = last.get(id_)
        # A merge may have brought other lines of this id since: they compete with the fact as they would in the file.
        base = fact.base if fact is not None else ()
        rivals = [line.value for line in lock.records.get(id_, ()) if not base or line.digest not in base]
        rivals += [fact.fact] if fact is not None and isinstance(fact.fact, Record) else []
        if rivals:
            records[id_] = resolve_conflict(rivals, body_on_disk)
    return {**records, **with_one_owner(records)}


def _is_unchanged(lines: tuple[LockLine, ...] | None, base: Base) -> bool:
    """Return whether the lock still has the line on which a change in the journal is based.

    A change that is based on no line needs a lock without lines of that id.
    """
    if lines is None:
        return not base
    return any(line.digest in base for line in lines)


def _parse(text: str) -> tuple[JournalFact, ...] | Header:
    """Return the changes in one line of the journal, or the header if the line is the header.

    Raises ValueError with a message for people.
    """
    if text.startswith("["):
        return tuple(_fact(bytes(part).decode()) for part in parse_as(text, list[Raw]))
    if kind_of(text, {**_FACTS, **KINDS}) is Header:
        return parse_as(text, Header)
    return (_fact(text),)


def _fact(text: str) -> JournalFact:
    base = parse_as(text, _Extra).base.split()
    return JournalFact(fact=parse_as(text, kind_of(text, _FACTS)), base=tuple(map(Digest, base)))


_FACTS: Final[Mapping[str, type[Record | Forget]]] = {"id": Record, "forget": Forget}
"""The type of a change, by the first of these keys that it has."""


# ---- The records in memory during one run: pure; `StateStore` writes them to disk.


class WorkingState:
    """The records in memory, with the lock that they came from and the journal lines that are not on disk yet."""

    def __init__(
        self,
        lock: locks.Lock,
        facts: Sequence[JournalFact],
        *,
        lineage: str,
        body_on_disk: Callable[[str], Digest],
        write: bool,
    ) -> None:
        """Start with the records of a lock and a journal. If `write` is true, changes can be noted."""
        self.lineage = lineage
        self.records: dict[ItemId, Record] = fold(lock, facts, body_on_disk=body_on_disk)
        self.waiting: list[str] = []
        """Lines for the journal."""
        self._locked = dict(lock.records) if write else {}
        """The lines of the lock on disk."""
        self._texts: dict[ItemId, str] = {}
        """The text of the lines of records that were rendered."""

    def note(self, step: str, facts: Sequence[Record | Forget]) -> None:
        """Apply changes that belong together. If one of them cannot be written, raise StateError and apply none."""
        facts = [self._with_rev(fact) if isinstance(fact, Record) else fact for fact in facts]
        lines = [checked_line(fact) for fact in facts]
        new = [line for line in map(self._apply, facts, lines) if line is not None]
        noted = [journal_line(text, step=step, base=base) for text, base in new]
        if noted:
            self.waiting.append(noted[0] if len(noted) == 1 else f"[{','.join(noted)}]")

    def lock_bytes(self) -> bytes:
        """Return the new content of the lock file as bytes.

        The line of an unchanged record stays the same, byte by byte.
        """
        for id_ in self.records.keys() - self._texts.keys():
            self._texts[id_] = self._text_of(id_)
        return locks.join(self.lineage, map(self._texts.__getitem__, sorted(self.records)))

    def locked(self) -> None:
        """Remember that the lock file on disk now has the result of `lock_bytes`."""
        self._locked = {id_: (LockLine(record, self._texts[id_]),) for id_, record in self.records.items()}

    def _apply(self, fact: Record | Forget, text: str) -> tuple[str, Base] | None:
        """Apply one change to the records. Return its line and its base, or None if it changes nothing."""
        current = self.records.get(fact.id)
        if isinstance(fact, Forget):
            if current is None:
                return None
            del self.records[fact.id]
            self._texts.pop(fact.id, None)
        elif current is not None and line_of(structs.replace(fact, rev=current.rev)) == line_of(current):
            return None
        else:
            self.records[fact.id] = fact
            self._texts[fact.id] = text
        return text, tuple(line.digest for line in self._locked.get(fact.id, ()))

    def _with_rev(self, record: Record) -> Record:
        """Return a record with a revision number that is higher than in all of its lines in the lock."""
        before, current = self._locked.get(record.id, ()), self.records.get(record.id)
        top = max((line.value.rev for line in before), default=0)
        rev = (top if before or current is not None else record.rev) + 1
        return structs.replace(record, rev=current.rev if current is not None and current.rev > top else rev)

    def _text_of(self, item: ItemId) -> str:
        record = self.records[item]
        return next((line.text for line in self._locked.get(item, ()) if line.value is record), "") or line_of(record)


# ---- The state on disk: read once, noted step by step, checkpointed into the lock.


class SharedJobs(Protocol):
    """The jobs in a ledger, a database that several checkouts share.

    Records are not shared, because they say which text is in one checkout.
    """

    def note(self, jobs: Sequence[Job]) -> None:
        """Collect changed jobs, so that `flush` writes them."""

    def flush(self) -> None:
        """Write the collected jobs to the ledger, for all checkouts. Raises StateError."""


class StateStore:
    """The recorded state of one environment, open for reading or writing."""

    def __init__(
        self,
        root: Path | str,
        *,
        environment: str,
        lineage: Callable[[], str],
        write: bool,
        body_on_disk: Callable[[str], Digest] = nothing_on_disk,
        disk: Disk | None = None,
    ) -> None:
        """Read the lock and the journal of an environment. An empty `environment` is the default one.

        `root` is the absolute path of the project's folder. `lineage` returns the lineage for a first lock.
        `body_on_disk` returns the body digest of the output file at a relative path; it is called only if a merge left
        two records of one id. Without `write`, nothing is created or changed. Raises StateError for damaged, newer or
        unsafe files.
        """
        root, disk = Path(root), disk or Disk()
        self.lock_path = root / state_dir.lock_name(environment)
        """The committed file."""
        self.journal_path = root / state_dir.FOLDER / state_dir.named("journal", environment, "jsonl")
        self._root, self._write, self._disk = root, write, disk
        self.looked_at_files = False
        """Whether an output file decided which of two records of one id counts."""
        self.shared: SharedJobs | None = None
        """The ledger that gets every job that changes; None if none is shared."""
        self._has_noted = False
        """Whether this run noted facts, or found some in the journal. If so, a checkpoint has to look at the lock."""
        self._snapshot: State | None = None

        def body_at(path: str) -> Digest:
            self.looked_at_files = True
            return body_on_disk(path)

        state_dir.inspect(root)
        data = disk.read(self.lock_path)
        self._seen = _fingerprint(data) if write else NOTHING
        """The digest of the lock as this process last read or wrote it."""
        lock = Lock() if data is None else locks.read(data, self.lock_path.name)
        image = disk.read(self.journal_path) or b""
        journal_lineage, noted = parse(image, f"{state_dir.FOLDER}/{self.journal_path.name}")
        self._image = bytearray(image[: image.rfind(b"\n") + 1])
        """The bytes of the journal on disk, up to the last whole line."""
        facts = [each for each in noted if _is_unchanged(lock.records.get(each.fact.id), each.base)]
        recorded = lock.lineage or journal_lineage or jobs.lineage_in(root, environment, disk)
        self.is_first = not recorded
        """Whether none of lock, journal and jobs has a lineage yet."""
        self.lineage = recorded or lineage()
        """The project's lineage, which is part of every request id."""
        self._working = WorkingState(lock, facts, lineage=self.lineage, body_on_disk=body_at, write=write)
        self.jobs = jobs.JobsStore(root, environment, self.lineage, disk)
        """The jobs of the environment. Only this store's methods change them, since these also share and write them."""
        self.jobs.known.note(list(self._working.records.values()))
        self._has_noted = self.was_interrupted = bool(facts)
        """Whether the last run stopped before its checkpoint."""

    @property
    def state(self) -> State:
        """Return a snapshot of the state, with all changes that were noted so far."""
        if self._snapshot is None:
            self._snapshot = State(
                lineage=self.lineage,
                records=dict(self._working.records),
                open_jobs=dict(self.jobs.known.open_jobs),
                jobs=self.jobs.known.jobs,
            )
        return self._snapshot

    def record(self, item: ItemId) -> Record | None:
        """Return the current record of an item, or None."""
        return self._working.records.get(item)

    def open_job(self, request_id: RequestId) -> Job | None:
        """Return the open job of a request, or None."""
        return self.jobs.known.open_jobs.get(request_id)

    def see_jobs(self, lines: Iterable[Job]) -> None:
        """Add jobs from another file or a ledger. The next checkpoint writes those that the committed file lacks.

        If a record has the text of a job, the job becomes `settled`.
        """
        self.jobs.see(lines)
        self.jobs.known.note(list(self._working.records.values()))
        self._snapshot = None

    def move_server(self, old: str, new: str) -> None:
        """Give each job of the server `old` the server's new address."""
        self._must_write()
        self._changed(self.jobs.known.move(old, new))

    def _changed(self, jobs: Sequence[Job]) -> None:
        self._snapshot = None
        if self.shared is not None:
            self.shared.note(jobs)

    def note(self, step: str, *facts: Fact) -> None:
        """Add the changes of a step to the state in memory. They become durable with the next `flush` or `checkpoint`.

        A change without effect is ignored. The `rev` of a record is set here: one above the lock's. Either all changes
        of one call count or none. Raises StateError if one cannot be written.
        """
        self._must_write()
        for fact in facts:
            if isinstance(fact, Job):
                checked_line(fact)
        self._working.note(step, [fact for fact in facts if isinstance(fact, Record | Forget)])
        self._has_noted = True
        self._changed(self.jobs.known.note(facts))

    def flush(self) -> None:
        """Write the collected changes to the ledger, the jobs and the journal, so that they survive a crash.

        Raises StateError if the disk refuses, and the errors of the ledger. The next flush tries again. After
        NotShared, changes are recorded only on this machine.
        """
        self._must_write()
        try:
            if self.shared is not None:
                self.shared.flush()
        except NotShared:
            # It does not come back: this run records here alone, and a later run shares what it recorded.
            self.shared = None
            raise
        finally:
            # Answers of the server are recorded here even if the ledger fails. A record comes after the text of its
            # job, and before the end of it: after a kill between them, neither the text nor its file is no one's.
            lines = self._working.waiting
            if lines:
                self.jobs.flush(settled=False)
                header = [] if self._image else [line_of(Header(lineage=self.lineage))]
                self._append("".join(f"{line}\n" for line in (*header, *lines)).encode())
                lines.clear()
            self.jobs.flush()

    def checkpoint(self) -> bool:
        """Write the jobs and the lock if anything is new, and empty the journal. Return whether a file was written.

        Raises StateError (code `lock-changed`) if a pull or a checkout changed the lock in the meantime. Then the lock
        stays unchanged, the journal has the changes of this run, and the jobs have what it paid for.
        """
        self._must_write()
        self.flush()
        wrote = self.jobs.checkpoint()
        if not self._image and not self._has_noted:
            return wrote  # a run that records nothing may be overtaken by a pull
        data = self._disk.read(self.lock_path)
        if _fingerprint(data) != self._seen:
            raise self._lock_changed("removed" if data is None else "changed")
        if not self._image:
            return wrote  # what was noted is in the lock already
        target = self._working.lock_bytes()
        if target != data:
            add_rules(self._root, self._disk, jobs.RULED)
            self._disk.replace(self.lock_path, target, PUBLIC)
            self._seen = digest_bytes(target)
        self._working.locked()
        self._disk.append(self.journal_path, b"", 0)
        self._image.clear()
        return wrote or target != data

    def begin(self) -> None:
        """Write the first lock of a project, with its lineage, if there is no lineage yet.

        Raises StateError if the disk refuses.
        """
        self._must_write()
        if not self.is_first:
            return
        add_rules(self._root, self._disk, jobs.RULED)
        target = self._working.lock_bytes()
        self._disk.replace(self.lock_path, target, PUBLIC)
        self._seen, self.is_first = digest_bytes(target), False

    def rehearse(self, submits: int) -> None:
        """Test that a run can record `submits` new jobs, before it pays for any of them.

        Raises StateError with the reason; lock and journal stay unchanged.
        """
        self._must_write()
        state_dir.make(self._root)
        try:
            self.try_room(submits)
            self._disk.append(self.journal_path, b"", len(self._image))
            self.jobs.rehearse(min(_ROOM * submits, _MOST))
            add_rules(self._root, self._disk, jobs.RULED)
            data = self._disk.read(self.lock_path)
            if data is not None and _fingerprint(data) == self._seen:
                # Only a try shows that a file that is mounted or open elsewhere cannot be replaced.
                self._disk.replace(self.lock_path, data, PUBLIC)
        except StateError as error:
            message = f"nothing was submitted: {error.message}"
            raise StateError(message, code=error.code, hint=error.hint, location=error.location) from error

    def try_room(self, submits: int = 1) -> None:
        """Test that the disk has enough free space to record `submits` new jobs. Raises StateError."""
        room = min(_ROOM * submits, _MOST)
        self._disk.try_room(self.lock_path, self._disk.size(self.lock_path) + room)
        if state_dir.inspect(self._root) is not None:
            self._disk.try_room(self.journal_path, room)

    def close(self) -> None:
        """Write all collected changes to disk, if this store may write."""
        if self._write:
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _must_write(self) -> None:
        if not self._write:
            raise RuntimeError("this store was opened for reading only")

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
"""The bytes that one submit may add to lock and journal, and the most bytes that are tested."""


def _fingerprint(data: bytes | None) -> Digest:
    return NOTHING if data is None else digest_bytes(data)
