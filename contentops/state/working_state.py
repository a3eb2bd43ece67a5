"""The state in memory during one run: pure; `store` writes it to disk.

Invariant: after any sequence of notes, it equals what `journal.fold` makes of the lock and the noted facts. The cost of
a note depends on its facts, that of a checkpoint on its bytes, never on the number of records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import DIGEST_VERSION
from contentops.errors import StateError
from contentops.model import ItemId, JobState, OpenEntry, Record, RequestId, State
from contentops.state import journal as journals
from contentops.state import lock as locks
from contentops.state import merge_repair
from contentops.state.codec import Drop, Fact, Forget, line_of, parse_as
from contentops.state.lock import LockLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.state.journal import Base, JournalFact

_NO_REQUEST = RequestId("")
_NewLine = tuple[str, "Base", RequestId]
"""A fact as text, the digests of the lock lines it started from, and the paid result it used."""


class WorkingState:
    """Records and open entries, the lock they started from, and the journal lines that are not durable yet.

    With `announce`, a result that is reopened because the lock overruled its record becomes a fact too.
    """

    def __init__(
        self,
        lock: locks.Lock,
        facts: Sequence[JournalFact],
        *,
        lineage: str,
        body_on_disk: Callable[[str], Digest],
        announce: bool,
        environment: str = "",
    ) -> None:
        folded = journals.fold(lock, facts, lineage=lineage, body_on_disk=body_on_disk)
        self.lineage = lineage
        self.records: dict[ItemId, Record] = dict(folded.state.records)
        self.entries: dict[RequestId, OpenEntry] = dict(folded.state.entries)
        self._extra_attempts: set[RequestId] = set()
        """Entries of other checkouts for a further attempt at a request."""
        self.left_out: tuple[OpenEntry, ...] = ()
        """The extra attempts that were removed."""
        self.unwritten: list[OpenEntry] = []
        """Paid entries that were closed without a record: their texts are in no file."""
        self.waiting: list[str] = []
        """Lines for the journal."""
        self._snapshot: State | None = None
        self._announce, self._environment = announce, environment
        self._lost = [record for record in folded.lost if merge_repair.is_paid_answer(record, lineage, environment)]
        """Records that lost in a merge, until it is known whether they answer a declared request."""
        self._shared: dict[ItemId, Record] = dict(folded.shared)
        """Records as in their lock lines, where another record owns their content."""
        self._locked = dict(lock.records) if announce else {}
        self._locked_entries = dict(lock.entries) if announce else {}
        """The lines of the lock on disk, where this run may write."""
        self._texts: dict[ItemId, str] = {}
        """Lines of records that were rendered."""
        self._keeps_lines = lock.header is None or lock.header.digest == DIGEST_VERSION
        self._changed: set[ItemId] | None = None
        """The items whose lines the lock on disk does not have yet; None: unknown."""
        self._own = {line.took for line in facts}
        self._own.update(line.fact.request_id for line in facts if isinstance(line.fact, OpenEntry))
        """The requests that the lock on disk may have only from this run."""
        if announce:
            # Repeated after the fact they came from, so that a later fact of that item does not hide them.
            self.waiting += [self._line("reopen", self._open(entry, line_of(entry))) for entry in folded.reopened]

    @property
    def state(self) -> State:
        """A snapshot of all records and entries."""
        if self._snapshot is None:
            self._snapshot = State(lineage=self.lineage, records=dict(self.records), entries=dict(self.entries))
        return self._snapshot

    def repair_merge(self, requests: Mapping[ItemId, Digest], server: str) -> None:
        """Repair renames and paid texts after a merge, once the declared `requests` are known."""
        before = {**self.records, **self._shared}
        kept = merge_repair.without_renamed(before, requests)
        lost = [*self._lost, *(before[id_] for id_ in before.keys() - kept.keys())]
        declared = merge_repair.DeclaredRequests(
            requests=requests, server=server, lineage=self.lineage, environment=self._environment
        )
        reopened = list(merge_repair.texts_to_reopen(kept, self.entries.values(), lost, declared))
        self._lost = []
        if not reopened and kept.keys() == self.records.keys():
            return
        again = {entry.request_id for entry in reopened}
        kept = {id_: record for id_, record in kept.items() if record.request_id not in again}
        changed = merge_repair.with_one_owner(kept)
        self.records, self._shared = {**kept, **changed}, {id_: kept[id_] for id_ in changed}
        self._texts, self._changed, self._snapshot = {}, None, None
        for entry in reopened:
            new = self._open(entry, line_of(entry))
            if self._announce:
                self.waiting.append(self._line("reopen", new))

    def add_shared(self, entries: Iterable[OpenEntry], closed: Iterable[RequestId]) -> list[Record]:
        """Add open entries of other checkouts that no record here carries; returns the records that carry others.

        Entries that others have `closed` are removed. A section of a text without a record here is left out, as there
        is no text to insert it into.
        """
        entries = tuple(entries)
        carriers = {record.request_id: record for record in self.records.values()}
        recorded = {record.digest for record in self.records.values()}
        first_attempts = {entry.digest for entry in (*self.entries.values(), *entries) if entry.attempt == 1}
        carrying: list[Record] = []
        for entry in entries:
            if entry.request_id in carriers:
                carrying.append(carriers[entry.request_id])
                continue
            current = self.entries.get(entry.request_id)
            if current is None and entry.section and entry.digest not in recorded:
                continue
            if current is None and entry.digest not in first_attempts:
                self._extra_attempts.add(entry.request_id)
            self.entries[entry.request_id] = entry if current is None else locks.furthest((entry, current))
        for request_id in closed:
            self.entries.pop(request_id, None)
        self._snapshot = None
        return carrying

    def leave_extra_attempts(self, declared: Iterable[Digest]) -> None:
        """Ignore the extra attempts of other checkouts, except at requests that are `declared` here.

        Collecting one would take it from those who asked for it; paying for a declared one again would pay twice.
        """
        if not self._extra_attempts:
            return
        wanted = set(declared)
        extra = (self.entries[request_id] for request_id in self._extra_attempts & self.entries.keys())
        self.left_out = tuple(locks.in_order(entry for entry in extra if entry.digest not in wanted))
        for entry in self.left_out:
            del self.entries[entry.request_id]
        self._snapshot = None

    def note(self, step: str, facts: Sequence[Fact]) -> None:
        """Apply facts that belong together. Raises StateError, and applies none, if one cannot be written."""
        facts = [self._with_rev(fact) if isinstance(fact, Record) else fact for fact in facts]
        lines = [_written(fact) for fact in facts]
        new = [line for line in map(self._apply, facts, lines) if line is not None]
        self.waiting += [self._line(step, line, more=index < len(new)) for index, line in enumerate(new, start=1)]
        self._snapshot = None

    def keep_open(self) -> None:
        """Record every request of this run as open, whatever lock the next run reads.

        Where that lock carries the request, or the journal's record of it still counts, the next fold closes it again.
        """
        carried = [record for record in self.records.values() if record.request_id in self._own - {_NO_REQUEST}]
        entries = [*map(merge_repair.reopen, carried), *(self.entries[id_] for id_ in self._own & self.entries.keys())]
        self.waiting += [
            self._line("reopen", (line_of(entry), self._entry_base(entry), _NO_REQUEST))
            for entry in locks.in_order(entries)
        ]
        self._own.clear()

    def lock_bytes(self) -> bytes:
        """The bytes of the lock. The line of an unchanged record stays the same, byte by byte.

        A text that lost in a merge stays open if `repair_merge` did not ask the manifests for it.
        """
        if self._lost:
            reopened = (merge_repair.reopen(record) for record in self._lost if record.request_id)
            self.entries |= {entry.request_id: entry for entry in reopened}
            self._lost, self._snapshot = [], None
        for id_ in self.records.keys() - self._texts.keys():
            self._texts[id_] = self._text_of(id_)
        records = map(self._texts.__getitem__, sorted(self.records))
        entries = map(self._entry_text, locks.in_order(self.entries.values()))
        return locks.join(self.lineage, records, entries)

    def locked(self) -> None:
        """Take `lock_bytes` as what is in the lock on disk from now on."""
        changed = self.records.keys() | self._locked.keys() if self._changed is None else self._changed
        for id_ in changed:
            record = self.records.get(id_)
            if record is None:
                self._locked.pop(id_, None)
            else:
                self._locked[id_] = (LockLine(record, self._texts[id_]),)
        self._locked_entries = {id_: (LockLine(entry, self._entry_text(entry)),) for id_, entry in self.entries.items()}
        self._changed, self._keeps_lines = set(), True

    # --- one fact ------------------------------------------------------------------------------------------

    def _apply(self, fact: Fact, text: str) -> _NewLine | None:
        """Apply one fact, whose line is `text`; None where it changes nothing."""
        if self._lost:
            self._lost = [record for record in self._lost if not _replaces(fact, record)]
        match fact:
            case Record():
                return self._put_record(fact, text)
            case OpenEntry():
                return self._put_entry(fact, text)
            case Drop(request_id):
                entry = self.entries.pop(request_id, None)
                if entry is not None and (entry.state is JobState.PAID or entry.tokens is not None):
                    self.unwritten.append(entry)
                return None if entry is None else (text, (), _NO_REQUEST)
            case Forget(item):
                if self.records.pop(item, None) is None:
                    return None
                self._texts.pop(item, None)
                self._shared.pop(item, None)
                self._touch(item)
                return text, self._base(item), _NO_REQUEST

    def _with_rev(self, record: Record) -> Record:
        """The record with its `rev`: one above every line of the lock, however often it is noted."""
        before, current = self._locked.get(record.id, ()), self.records.get(record.id)
        top = max((line.value.rev for line in before), default=0)
        rev = (top if before or current is not None else record.rev) + 1
        return structs.replace(record, rev=current.rev if current is not None and current.rev > top else rev)

    def _put_record(self, record: Record, text: str) -> _NewLine | None:
        self.entries.pop(record.request_id, None)
        current = self.records.get(record.id)
        if current is not None and _line_at(current.rev, record, text) == line_of(current):
            return None
        before = self._locked.get(record.id, ())
        carried = bool(before) and all(line.value.request_id == record.request_id for line in before)
        took = _NO_REQUEST if carried else record.request_id
        self._own.add(took)
        self.records[record.id] = record
        self._shared.pop(record.id, None)
        self._texts[record.id] = text
        self._touch(record.id)
        return text, self._base(record.id), took

    def _put_entry(self, entry: OpenEntry, text: str) -> _NewLine | None:
        carrier = self.records.get(entry.item)
        if carrier is not None and carrier.request_id == entry.request_id:
            return None
        # Also where the lock has the entry already: a lock that replaces it may not.
        self._own.add(entry.request_id)
        return None if self.entries.get(entry.request_id) == entry else self._open(entry, text)

    def _open(self, entry: OpenEntry, text: str) -> _NewLine:
        self._own.add(entry.request_id)
        self.entries[entry.request_id] = entry
        return text, self._entry_base(entry), _NO_REQUEST

    def _touch(self, item: ItemId) -> None:
        if self._changed is not None:
            self._changed.add(item)

    def _base(self, item: ItemId) -> Base:
        return tuple(line.digest for line in self._locked.get(item, ()))

    def _entry_base(self, entry: OpenEntry) -> Base:
        return tuple(line.digest for line in self._locked_entries.get(entry.request_id, ()))

    @staticmethod
    def _line(step: str, new: _NewLine, *, more: bool = False) -> str:
        text, base, took = new
        return journals.journal_line(text, step=step, base=base, took=took, more=more)

    # --- lines of the lock ---------------------------------------------------------------------------------

    def _text_of(self, item: ItemId) -> str:
        record = self.records[item]
        lines = self._locked.get(item, ()) if self._keeps_lines else ()
        return next((line.text for line in lines if line.value is record), "") or line_of(record)

    def _entry_text(self, entry: OpenEntry) -> str:
        lines = self._locked_entries.get(entry.request_id, ())
        return next((line.text for line in lines if line.value is entry), "") or line_of(entry)


def _replaces(fact: Fact, lost: Record) -> bool:
    """Whether a fact is about the item or the request of a record that lost in a merge."""
    match fact:
        case Record(id=id_, request_id=request_id):
            return lost.id == id_ or lost.request_id == request_id
        case Forget(id_):
            return lost.id == id_
        case OpenEntry(request_id=request_id) | Drop(request_id):
            return lost.request_id == request_id


def _line_at(rev: int, record: Record, text: str) -> str:
    """The line of a record with another `rev`; `text` is its line now."""
    return text if record.rev == rev else line_of(structs.replace(record, rev=rev))


def _written(fact: Fact) -> str:
    """The line of a fact. Raises StateError if it cannot be written or cannot be read again."""
    try:
        text = line_of(fact)
        data = text.encode()
        if isinstance(fact, Record | OpenEntry):
            parse_as(data, type(fact))  # a line that cannot be read again would make the whole lock unreadable
    except (ValueError, TypeError) as error:
        name = fact.item if isinstance(fact, OpenEntry) else fact.request_id if isinstance(fact, Drop) else fact.id
        message = f"what is known of item {name!a} cannot be written down: {error}"
        raise StateError(message, code="unwritable-fact") from error
    return text
