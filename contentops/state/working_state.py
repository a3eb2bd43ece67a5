"""The state as it changes during one run: pure, in memory; `store` puts it on disk.

Invariant: after any sequence of notes, what is here equals what `journal.fold` makes of the lock and the noted facts.
A note costs what its facts cost and a checkpoint costs what its bytes cost, however many records there are.
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
    from contentops.state.journal import Base, Noted

_NO_REQUEST = RequestId("")
_Said = tuple[str, "Base", RequestId]
"""A fact as text, the digests of the lock lines it started from, and the paid result it took in."""


class WorkingState:
    """Records and open entries, the lock they started from, and the journal lines that wait to be made durable.

    With `announce`, a result reopened because the lock overruled its record becomes a fact of its own.
    """

    def __init__(
        self,
        lock: locks.Lock,
        facts: Sequence[Noted],
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
        """Extra attempts of others."""
        self.left: tuple[OpenEntry, ...] = ()
        """Those of them that were left out."""
        self.unwritten: list[OpenEntry] = []
        """Paid entries that were closed and that no record took in: their texts stand in no file."""
        self.waiting: list[str] = []
        """Lines for the journal."""
        self._snapshot: State | None = None
        self._announce, self._environment = announce, environment
        self._left = [one for one in folded.left if merge_repair.is_paid_answer(one, lineage, environment)]
        """What lost in a merge, until it is known whether it answers what is declared."""
        self._shared: dict[ItemId, Record] = dict(folded.shared)
        """Records as their lock lines have them, where another record owns their content."""
        self._locked = dict(lock.records) if announce else {}
        self._locked_entries = dict(lock.entries) if announce else {}
        """The lines of the lock as it is on disk, for what writes."""
        self._texts: dict[ItemId, str] = {}
        """The lines of records, as far as they were needed."""
        self._keeps_lines = lock.header is None or lock.header.digest == DIGEST_VERSION
        self._changed: set[ItemId] | None = None
        """Whose lines the lock on disk does not have yet; None: not looked at."""
        self._own = {noted.took for noted in facts}
        self._own.update(noted.fact.request_id for noted in facts if isinstance(noted.fact, OpenEntry))
        """The requests that the lock on disk may know of only through this run."""
        if announce:
            # Said again after the fact they came from, so that a later fact of that item does not hide them.
            self.waiting += [self._line("reopen", self._take_entry(entry, line_of(entry))) for entry in folded.reopened]

    @property
    def state(self) -> State:
        """Everything known, as a snapshot."""
        if self._snapshot is None:
            self._snapshot = State(lineage=self.lineage, records=dict(self.records), entries=dict(self.entries))
        return self._snapshot

    def repair_merge(self, requests: Mapping[ItemId, Digest], server: str) -> None:
        """Repair what a merge made of renames and paid texts, as far as that depends on what is declared."""
        before = {**self.records, **self._shared}
        kept = merge_repair.without_renamed(before, requests)
        left = [*self._left, *(before[id_] for id_ in before.keys() - kept.keys())]
        declared = merge_repair.DeclaredRequests(
            requests=requests, server=server, lineage=self.lineage, environment=self._environment
        )
        found = list(merge_repair.texts_to_reopen(kept, self.entries.values(), left, declared))
        self._left = []
        if not found and kept.keys() == self.records.keys():
            return
        again = {entry.request_id for entry in found}
        kept = {id_: record for id_, record in kept.items() if record.request_id not in again}
        changed = merge_repair.with_one_owner(kept)
        self.records, self._shared = {**kept, **changed}, {id_: kept[id_] for id_ in changed}
        self._texts, self._changed, self._snapshot = {}, None, None
        for entry in found:
            said = self._take_entry(entry, line_of(entry))
            if self._announce:
                self.waiting.append(self._line("reopen", said))

    def take_in(self, entries: Iterable[OpenEntry], closed: Iterable[RequestId]) -> list[Record]:
        """Take in open entries that others recorded, where they know more and no record here carries them.

        What others have `closed` is left out, and so is a section of a text that is not on record here: there is
        nothing to put it into. Returns the records that carry some of the entries.
        """
        entries = tuple(entries)
        carried = {record.request_id: record for record in self.records.values()}
        recorded = {record.digest for record in self.records.values()}
        asked = {entry.digest for entry in (*self.entries.values(), *entries) if entry.attempt == 1}
        found: list[Record] = []
        for entry in entries:
            if entry.request_id in carried:
                found.append(carried[entry.request_id])
                continue
            known = self.entries.get(entry.request_id)
            if known is None and entry.section and entry.digest not in recorded:
                continue
            if known is None and entry.digest not in asked:
                self._extra_attempts.add(entry.request_id)
            self.entries[entry.request_id] = entry if known is None else locks.furthest((entry, known))
        for request_id in closed:
            self.entries.pop(request_id, None)
        self._snapshot = None
        return found

    def leave_extra_attempts(self, declared: Iterable[Digest]) -> None:
        """Leave out extra attempts of others, but of requests that are `declared` here.

        To drain one would take it from those who asked for it; to pay for a declared one beside it would be twice.
        """
        if not self._extra_attempts:
            return
        asked = set(declared)
        found = (self.entries[request_id] for request_id in self._extra_attempts & self.entries.keys())
        self.left = tuple(locks.in_order(entry for entry in found if entry.digest not in asked))
        for entry in self.left:
            del self.entries[entry.request_id]
        self._snapshot = None

    def note(self, step: str, facts: Sequence[Fact]) -> None:
        """Take in facts that stand or fall together. Raises StateError, and takes in none, if one is unwritable."""
        facts = [self._counted(fact) if isinstance(fact, Record) else fact for fact in facts]
        lines = [_written(fact) for fact in facts]
        taken = map(self._take, facts, lines)
        said = [one for one in taken if one is not None]
        self.waiting += [self._line(step, one, more=index < len(said)) for index, one in enumerate(said, start=1)]
        self._snapshot = None

    def keep_open(self) -> None:
        """Say of every request of this run that it is open, whatever lock the next run finds.

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
        """The lock for what is known. A line that still says what is known stands as it was, byte by byte.

        A text that lost in a merge stays open where no one has asked the manifests whether they want it.
        """
        if self._left:
            self.entries |= {one.request_id: merge_repair.reopen(one) for one in self._left if one.request_id}
            self._left, self._snapshot = [], None
        for id_ in self.records.keys() - self._texts.keys():
            self._texts[id_] = self._text_of(id_)
        records = map(self._texts.__getitem__, sorted(self.records))
        entries = map(self._entry_text, locks.in_order(self.entries.values()))
        return locks.join(self.lineage, records, entries)

    def locked(self) -> None:
        """The lock on disk now holds `lock_bytes`."""
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

    def _take(self, fact: Fact, text: str) -> _Said | None:
        """Take in one fact, which is this line; None where it says nothing new."""
        if self._left:
            self._left = [one for one in self._left if not _settles(fact, one)]
        match fact:
            case Record():
                return self._take_record(fact, text)
            case OpenEntry():
                return self._take_entry_once(fact, text)
            case Drop(request_id):
                known = self.entries.pop(request_id, None)
                if known is not None and known.state is JobState.PAID:
                    self.unwritten.append(known)
                return None if known is None else (text, (), _NO_REQUEST)
            case Forget(item):
                if self.records.pop(item, None) is None:
                    return None
                self._texts.pop(item, None)
                self._shared.pop(item, None)
                self._touch(item)
                return text, self._base(item), _NO_REQUEST

    def _counted(self, record: Record) -> Record:
        """The record with its `rev`: one above every line of the lock, however often it is noted until it is there."""
        before, known = self._locked.get(record.id, ()), self.records.get(record.id)
        top = max((line.value.rev for line in before), default=0)
        rev = (top if before or known is not None else record.rev) + 1
        return structs.replace(record, rev=known.rev if known is not None and known.rev > top else rev)

    def _take_record(self, record: Record, text: str) -> _Said | None:
        self.entries.pop(record.request_id, None)
        known = self.records.get(record.id)
        if known is not None and _line_at(known.rev, record, text) == line_of(known):
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

    def _take_entry_once(self, entry: OpenEntry, text: str) -> _Said | None:
        carrier = self.records.get(entry.item)
        if carrier is not None and carrier.request_id == entry.request_id:
            return None
        # Also where the lock says the same already: a lock that takes its place may no longer say it.
        self._own.add(entry.request_id)
        known = self.entries.get(entry.request_id)
        if known == entry:
            return None
        return self._take_entry(entry, text)

    def _take_entry(self, entry: OpenEntry, text: str) -> _Said:
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
    def _line(step: str, said: _Said, *, more: bool = False) -> str:
        text, base, took = said
        return journals.journal_line(text, step=step, base=base, took=took, more=more)

    # --- lines as they stand -------------------------------------------------------------------------------

    def _text_of(self, item: ItemId) -> str:
        record = self.records[item]
        lines = self._locked.get(item, ()) if self._keeps_lines else ()
        return next((line.text for line in lines if line.value is record), "") or line_of(record)

    def _entry_text(self, entry: OpenEntry) -> str:
        lines = self._locked_entries.get(entry.request_id, ())
        return next((line.text for line in lines if line.value is entry), "") or line_of(entry)


def _settles(fact: Fact, left: Record) -> bool:
    """Whether a fact says what becomes of a record that lost in a merge, or of its text."""
    match fact:
        case Record(id=id_, request_id=request_id):
            return left.id == id_ or left.request_id == request_id
        case Forget(id_):
            return left.id == id_
        case OpenEntry(request_id=request_id) | Drop(request_id):
            return left.request_id == request_id


def _line_at(rev: int, record: Record, text: str) -> str:
    """The line of a record, which is `text` as it was given, with another `rev`."""
    return text if record.rev == rev else line_of(structs.replace(record, rev=rev))


def _written(fact: Fact) -> str:
    """A fact as its line. Raises StateError where that cannot be written, or not be read again."""
    try:
        text = line_of(fact)
        data = text.encode()
        if isinstance(fact, Record | OpenEntry):
            parse_as(data, type(fact))  # a line that cannot be read again would take the whole lock with it
    except (ValueError, TypeError) as error:
        name = fact.item if isinstance(fact, OpenEntry) else fact.request_id if isinstance(fact, Drop) else fact.id
        message = f"what is known of item {name!a} cannot be written down: {error}"
        raise StateError(message, code="unwritable-fact") from error
    return text
