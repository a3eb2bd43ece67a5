"""The records in memory during one run: pure; `store` writes them to disk.

Invariant: after any sequence of notes, they equal what `journal.fold` makes of the lock and the noted facts. The cost
of a note depends on its facts, that of a checkpoint on its bytes, never on the number of records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import DIGEST_VERSION
from contentops.model import Record
from contentops.state import journal as journals
from contentops.state import lock as locks
from contentops.state.codec import Forget, checked_line, line_of
from contentops.state.lock import LockLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contentops.digest import Digest
    from contentops.model import ItemId
    from contentops.state.journal import Base, JournalFact


class WorkingState:
    """Records, the lock they started from, and the journal lines that are not durable yet."""

    def __init__(
        self,
        lock: locks.Lock,
        facts: Sequence[JournalFact],
        *,
        lineage: str,
        body_on_disk: Callable[[str], Digest],
        write: bool,
    ) -> None:
        """`write`: facts may be noted."""
        self.lineage = lineage
        self.records: dict[ItemId, Record] = journals.fold(lock, facts, body_on_disk=body_on_disk)
        self.waiting: list[str] = []
        """Lines for the journal."""
        self._locked = dict(lock.records) if write else {}
        """The lines of the lock on disk."""
        self._texts: dict[ItemId, str] = {}
        """Lines of records that were rendered."""
        self._keeps_lines = lock.header is None or lock.header.digest == DIGEST_VERSION
        self._changed: set[ItemId] | None = None
        """The items whose lines the lock on disk does not have yet; None: unknown."""

    def note(self, step: str, facts: Sequence[Record | Forget]) -> None:
        """Apply facts that belong together. Raises StateError, and applies none, if one cannot be written."""
        facts = [self._with_rev(fact) if isinstance(fact, Record) else fact for fact in facts]
        lines = [checked_line(fact) for fact in facts]
        new = [line for line in map(self._apply, facts, lines) if line is not None]
        for index, (text, base) in enumerate(new, start=1):
            self.waiting.append(journals.journal_line(text, step=step, base=base, more=index < len(new)))

    def lock_bytes(self) -> bytes:
        """The bytes of the lock. The line of an unchanged record stays the same, byte by byte."""
        for id_ in self.records.keys() - self._texts.keys():
            self._texts[id_] = self._text_of(id_)
        return locks.join(self.lineage, map(self._texts.__getitem__, sorted(self.records)))

    def locked(self) -> None:
        """Take `lock_bytes` as what is in the lock on disk from now on."""
        changed = self.records.keys() | self._locked.keys() if self._changed is None else self._changed
        for id_ in changed:
            record = self.records.get(id_)
            if record is None:
                self._locked.pop(id_, None)
            else:
                self._locked[id_] = (LockLine(record, self._texts[id_]),)
        self._changed, self._keeps_lines = set(), True

    def _apply(self, fact: Record | Forget, text: str) -> tuple[str, Base] | None:
        """Apply one fact, whose line is `text`, and return it with its base; None where it changes nothing."""
        current = self.records.get(fact.id)
        if isinstance(fact, Forget):
            if current is None:
                return None
            del self.records[fact.id]
            self._texts.pop(fact.id, None)
        else:
            if current is not None and _line_at(current.rev, fact, text) == line_of(current):
                return None
            self.records[fact.id] = fact
            self._texts[fact.id] = text
        if self._changed is not None:
            self._changed.add(fact.id)
        return text, tuple(line.digest for line in self._locked.get(fact.id, ()))

    def _with_rev(self, record: Record) -> Record:
        """The record with its `rev`: one above every line of the lock, however often it is noted."""
        before, current = self._locked.get(record.id, ()), self.records.get(record.id)
        top = max((line.value.rev for line in before), default=0)
        rev = (top if before or current is not None else record.rev) + 1
        return structs.replace(record, rev=current.rev if current is not None and current.rev > top else rev)

    def _text_of(self, item: ItemId) -> str:
        record = self.records[item]
        lines = self._locked.get(item, ()) if self._keeps_lines else ()
        return next((line.text for line in lines if line.value is record), "") or line_of(record)


def _line_at(rev: int, record: Record, text: str) -> str:
    """The line of a record with another `rev`; `text` is its line now."""
    return text if record.rev == rev else line_of(structs.replace(record, rev=rev))
