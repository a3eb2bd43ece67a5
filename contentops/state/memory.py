"""The state as it changes during one run: pure, in memory; `store` puts it on disk.

Invariant: after any sequence of notes, what is here equals what `journal.fold` makes of the lock and the noted facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import StateError
from contentops.model import ItemId, OpenEntry, Record, RequestId, State
from contentops.state import journal as journals
from contentops.state import lock as locks
from contentops.state.journal import Base, Noted
from contentops.state.lines import Drop, Fact, Forget, Header, entry_line, parse_line, record_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from contentops.digest import Digest

NO_REQUEST = RequestId("")


@dataclass(slots=True)
class Waiting:
    """A fact that is not in the journal yet, its line, and whether the next one belongs to it.

    `base` is None where the lock as it is when the line is made says it: a checkpoint may come in between.
    """

    noted: Noted
    text: str
    base: Base | None = None
    more: bool = False


class Memory:
    """Records and open entries, the lock they started from, and the facts that wait to be made durable.

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
    ) -> None:
        self.lineage = lineage
        self.lock = lock
        """The lock as it is on disk."""
        self.records: dict[ItemId, Record] = {}
        self.entries: dict[RequestId, OpenEntry] = {}
        self.set_aside: list[Noted] = []
        self.waiting: list[Waiting] = []
        self._body_on_disk = body_on_disk
        self._announce = announce
        self._pinned: dict[ItemId, Base] = {}
        self._texts: dict[ItemId, tuple[Record, str]] = {}
        self._snapshot: State | None = None
        self._involved = {noted.took for noted in facts}
        self._involved.update(noted.fact.request_id for noted in facts if isinstance(noted.fact, OpenEntry))
        self._fold(facts)

    @property
    def state(self) -> State:
        """Everything known, as a snapshot."""
        if self._snapshot is None:
            self._snapshot = State(lineage=self.lineage, records=dict(self.records), entries=dict(self.entries))
        return self._snapshot

    def heal(self, living: Collection[ItemId]) -> tuple[ItemId, ...]:
        """Leave out the orphans of `lock.heal`; returns their ids, sorted."""
        healed = locks.heal(self.records, living)
        gone = tuple(sorted(self.records.keys() - healed.keys()))
        self.records, self._snapshot = healed, None
        return gone

    def note(self, step: str, facts: Sequence[Fact]) -> None:
        """Take in facts that stand or fall together. Raises StateError, and takes in none, if one is unwritable."""
        for fact in facts:
            _check_writable(fact)
        start = len(self.waiting)
        for fact in facts:
            self._note(step, fact)
        for waiting in self.waiting[start:-1]:
            waiting.more = True
        self._snapshot = None

    def journal_lines(self) -> list[str]:
        """The lines of all waiting facts."""
        return [self._journal_line(waiting) for waiting in self.waiting]

    def written(self) -> tuple[bytes, locks.Lock]:
        """The bytes of the lock for what is known, and the lock as it is once they are on disk."""
        data = locks.join(self.lineage, self.records, self.entries, self._text_of)
        lock = locks.Lock(
            header=Header(lineage=self.lineage),
            records={id_: (locks.Written(record, self._text_of(record)),) for id_, record in self.records.items()},
            entries={id_: (locks.Written(entry, entry_line(entry)),) for id_, entry in self.entries.items()},
        )
        return data, lock

    def meet(self, theirs: locks.Lock, facts: Sequence[Noted]) -> None:
        """Fold what this run did since the last checkpoint into a lock that somebody else put there meanwhile.

        Items that are no longer what the run took them for keep the base they had: what the run still notes of them
        started from there, so the lock wins where that line is gone, and what was paid for stays open.
        """
        before, records, entries = self.lock, self.records, self.entries
        self.lock = theirs
        self._fold(facts)
        known = {id_: entry for id_, entry in entries.items() if id_ in self._involved}
        for item in records.keys() | self.records.keys():
            record = records.get(item)
            if self.records.get(item) == record:
                continue
            self._pinned.setdefault(item, tuple(line.digest for line in before.records.get(item, ())))
            if record is not None and record.request_id in self._involved:
                known[record.request_id] = journals.reopen(record)
        carried = {record.request_id for record in self.records.values()}
        for id_ in sorted(known.keys() - carried - self.entries.keys() - {NO_REQUEST}):
            self._reopen(known[id_])

    def _fold(self, facts: Sequence[Noted]) -> None:
        folded = journals.fold(self.lock, facts, lineage=self.lineage, body_on_disk=self._body_on_disk)
        self.records, self.entries = dict(folded.state.records), dict(folded.state.entries)
        self.set_aside, self._snapshot = list(folded.set_aside), None
        if self._announce:
            # Said again after the fact they came from, so that a later fact of that item does not hide them.
            for entry in folded.reopened:
                self._reopen(entry)

    def _note(self, step: str, fact: Fact) -> None:
        match fact:
            case Record():
                self._note_record(step, fact)
            case OpenEntry():
                self._note_entry(step, fact)
            case Drop(request_id):
                if self.entries.pop(request_id, None) is not None:
                    self._wait(step, fact, journals.drop_line(fact))
            case Forget(item):
                if item in self._pinned:
                    self._weigh(fact, self._wait(step, fact, journals.forget_line(fact)))
                elif self.records.pop(item, None) is not None:
                    self._wait(step, fact, journals.forget_line(fact))

    def _note_entry(self, step: str, entry: OpenEntry) -> None:
        carrier = self.records.get(entry.item)
        if carrier is not None and carrier.request_id == entry.request_id:
            return
        # Also where the lock says the same already: a lock pulled later may no longer say it.
        self._involved.add(entry.request_id)
        text = entry_line(entry)
        known = self.entries.get(entry.request_id)
        if known is None or entry_line(known) != text:
            self.entries[entry.request_id] = entry
            self._wait(step, entry, text)

    def _note_record(self, step: str, record: Record) -> None:
        self.entries.pop(record.request_id, None)
        known = self.records.get(record.id)
        if known is not None and record_line(structs.replace(record, rev=known.rev)) == self._text_of(known):
            return
        base = self._base(record)
        before = [line.value for line in self.lock.records.get(record.id, ()) if line.digest in base]
        record = structs.replace(record, rev=_next_rev(record, known, before))
        text = record_line(record)
        carried = bool(before) and all(other.request_id == record.request_id for other in before)
        took = NO_REQUEST if carried else record.request_id
        self._involved.add(took)
        noted = self._wait(step, record, text, took)
        if record.id in self._pinned:
            self._weigh(record, noted)
            return
        self.records[record.id] = record
        self._texts[record.id] = (record, text)

    def _weigh(self, fact: Record | Forget, noted: Noted) -> None:
        """A fact of an item whose lines changed under this run: the same rules as in a fold decide."""
        base, lines = self._pinned[fact.id], self.lock.records.get(fact.id)
        if not journals.holds(lines, base):
            self.set_aside.append(noted)
        else:
            chosen = journals.weigh(lines, base, fact, self._body_on_disk)
            if chosen is None:
                self.records.pop(fact.id, None)
            else:
                self.records[fact.id] = chosen
            if chosen is None or (
                isinstance(fact, Record) and structs.replace(chosen, superseded=fact.superseded) == fact
            ):
                del self._pinned[fact.id]
        lost = noted.took and all(other.request_id != noted.took for other in self.records.values())
        if isinstance(fact, Record) and lost:
            self._reopen(journals.reopen(fact))

    def _reopen(self, entry: OpenEntry) -> None:
        self.entries[entry.request_id] = entry
        self._wait("reopen", entry, entry_line(entry))

    def _wait(self, step: str, fact: Fact, text: str, took: RequestId = NO_REQUEST) -> Noted:
        noted = Noted(fact=fact, step=step, took=took)
        pinned = self._pinned.get(fact.id) if isinstance(fact, Record | Forget) else None
        self.waiting.append(Waiting(noted, text, pinned))
        return noted

    def _journal_line(self, waiting: Waiting) -> str:
        noted = waiting.noted
        base = self._base(noted.fact) if waiting.base is None else waiting.base
        return journals.journal_line(waiting.text, step=noted.step, base=base, took=noted.took, more=waiting.more)

    def _base(self, fact: Fact) -> Base:
        match fact:
            case Record() | Forget():
                lines = self.lock.records.get(fact.id, ())
                return self._pinned.get(fact.id, tuple(line.digest for line in lines))
            case OpenEntry():
                return tuple(line.digest for line in self.lock.entries.get(fact.request_id, ()))
            case Drop():
                return ()

    def _text_of(self, record: Record) -> str:
        cached = self._texts.get(record.id)
        if cached is not None and cached[0] is record:
            return cached[1]
        text = record_line(record)
        self._texts[record.id] = (record, text)
        return text


def _next_rev(record: Record, known: Record | None, before: Sequence[Record]) -> int:
    """One above every line of the lock, however often the record is noted until the next checkpoint."""
    top = max((other.rev for other in before), default=0)
    if known is not None and known.rev > top:
        return known.rev
    return (top if before or known is not None else record.rev) + 1


def _check_writable(fact: Fact) -> None:
    try:
        text = _line_of(fact)
        text.encode()
        if isinstance(fact, Record | OpenEntry):
            parse_line(text)  # a line that cannot be read again would take the whole lock with it
    except (ValueError, TypeError) as error:
        message = f"what is known of item {_name_of(fact)!a} cannot be written down: {error}"
        raise StateError(message, code="unwritable-fact") from error


def _line_of(fact: Fact) -> str:
    match fact:
        case Record():
            return record_line(fact)
        case OpenEntry():
            return entry_line(fact)
        case Forget():
            return journals.forget_line(fact)
        case Drop():
            return journals.drop_line(fact)


def _name_of(fact: Fact) -> str:
    match fact:
        case Record() | Forget():
            return fact.id
        case OpenEntry():
            return fact.item
        case Drop():
            return fact.request_id
