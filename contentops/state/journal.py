"""The journal: what happened since the checkpoint, and how lock and journal become one state.

A journal line is a line of the lock with more keys:

    step   the step that made it, for a person who reads the file
    base   the digests of the lock lines of that key when it was made, with spaces between; empty: there was none
    took   the request id that this record carries and its base does not: a paid result that this line used
    more   true where the next line belongs to the same fact: both count or none

`{"forget": id}` and `{"drop": request id}` remove a record or an entry; `{"checkpoint": digest}` says that the lock of
that digest has every line before it. Lines are only appended; a torn last line is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field, structs

from contentops.digest import DIGEST_VERSION, NOTHING, Digest, canonical, digest_text
from contentops.errors import Diagnostic, Location
from contentops.model import ItemId, OpenEntry, Record, RequestId, State
from contentops.state.codec import KINDS, Drop, Fact, Forget, Header, kind_of, parse_as
from contentops.state.lock import (
    DamagedState,
    Lock,
    LockLine,
    T,
    furthest,
    refuse_newer,
    resolve_conflict,
    with_digest,
)
from contentops.state.merge_repair import reopen, with_one_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.model import Json
    from contentops.state.codec import Line

Base = tuple[Digest, ...]
"""The digests of the lock lines of one key, usually one; empty where the lock had none."""


class Mark(Struct, frozen=True):
    """The line of a checkpoint: everything so far is in the lock of this digest."""

    lock: Digest = field(name="checkpoint")


class JournalFact(Struct, frozen=True, kw_only=True):
    """One fact of the journal, with the lock lines it started from and the paid result it used."""

    fact: Fact
    base: Base = ()
    took: RequestId = RequestId("")


class Journal(Struct, frozen=True, kw_only=True):
    """The journal file.

    `lineage` is empty where no header was written. `good` is the length of the whole lines in bytes. `marks` are the
    checkpoints that began: how many facts came before each, and the digest of the lock it was to write.
    """

    lineage: str = ""
    facts: tuple[JournalFact, ...] = ()
    marks: tuple[tuple[int, Digest], ...] = ()
    good: int = 0

    def since(self, lock: Digest) -> tuple[JournalFact, ...]:
        """The facts that, by the marks, are not in the lock of this digest yet."""
        done = max((count for count, written in self.marks if written == lock), default=0)
        return self.facts[done:]


class _Extra(Struct, frozen=True):
    """The keys that a fact has only in the journal."""

    base: str = ""
    took: RequestId = RequestId("")
    more: bool = False


class Folded(Struct, frozen=True, kw_only=True):
    """Lock and journal as one state."""

    state: State
    reopened: tuple[OpenEntry, ...] = ()
    """Paid results of records that the lock overruled, since it changed: to be finished or collected."""
    lost: tuple[Record, ...] = ()
    """Records that lost to another line of their id after a merge, and whose text no other record has."""
    shared: Mapping[ItemId, Record] = field(default_factory=dict)
    """Records as in their lock lines, where another record owns their content."""


def text_digest(text: str) -> Digest:
    """The digest of a lock for a mark; line ends and a BOM do not count, since a checkout may change them."""
    return digest_text(text.removeprefix("\ufeff").replace("\r\n", "\n"))


def journal_line(text: str, *, step: str, base: Base, took: RequestId, more: bool = False) -> str:
    """A line of the journal from the lock line (or `forget` / `drop` object) `text`."""
    extra: dict[str, Json] = {"base": " ".join(base), "step": step}
    if took:
        extra["took"] = took
    if more:
        extra["more"] = True
    return f"{canonical(extra)[:-1]},{text[1:]}"


def parse(data: bytes, path: str, *, digest_version: int = DIGEST_VERSION) -> Journal:
    """The journal in `data`; `path` names it in messages.

    A torn last line, and a group of lines that lacks its end, is ignored: it never became durable.
    Raises StateError (DamagedState with every damaged line) for a line that cannot be used.
    """
    good, whole = data.rfind(b"\n") + 1, 0
    lineage, version = "", digest_version
    facts: list[JournalFact] = []
    ends: list[int] = []
    marks: list[tuple[int, Digest]] = []
    findings: list[Diagnostic] = []
    for number, end, line in _numbered(data[:good]):
        try:
            value, more = _read(line)
        except ValueError as error:
            findings.append(_damaged(number, path, error))
            continue
        whole = whole if more else end
        match value:
            case Mark(lock):
                marks.append((len(facts), lock))
            case Header():
                refuse_newer((value,), path, digest_version)
                lineage, version = value.lineage, value.digest
            case JournalFact():
                facts.append(_recompute(value) if version < digest_version else value)
                ends.append(end)
    if findings:
        raise DamagedState(findings)
    kept = tuple(fact for fact, end in zip(facts, ends, strict=True) if end <= whole)
    return Journal(lineage=lineage, facts=kept, marks=tuple(marks), good=whole)


def nothing_on_disk(path: str) -> Digest:
    """Stands in for `body_on_disk` and reads nothing, so that no file decides between two records."""
    del path
    return NOTHING


def fold(
    lock: Lock,
    facts: Sequence[JournalFact],
    *,
    lineage: str,
    body_on_disk: Callable[[str], Digest] = nothing_on_disk,
) -> Folded:
    """Lock and journal as one state.

    A Record or Forget counts only if the lock still has the line it started from, or still has none; otherwise the
    lock wins, and a paid result that the record had used is open again. Entries stay open until a record carries them
    or a later fact drops them.
    """
    folding = _Folding(lock, body_on_disk)
    last = {line.fact.id: index for index, line in enumerate(facts) if isinstance(line.fact, Record | Forget)}
    for index, line in enumerate(facts):
        match line.fact:
            case OpenEntry() as entry:
                folding.open(entry, line.base)
            case Drop(request_id):
                folding.close(request_id)
            case Record() | Forget() as fact:
                folding.change(fact, line, is_last=last[fact.id] == index)
    return folding.done(lineage)


class _Folding:
    """The intermediate state of one `fold`."""

    def __init__(self, lock: Lock, body_on_disk: Callable[[str], Digest]) -> None:
        self.lock, self.body_on_disk = lock, body_on_disk
        self.lost: dict[ItemId, list[Record]] = {}
        """Records that lost to another line of their id."""
        self.records = {
            id_: lines[0].value if len(lines) == 1 else self._resolve(id_, [line.value for line in lines])
            for id_, lines in lock.records.items()
        }
        carried = {record.request_id for record in self.records.values()} if lock.entries else ()
        self.entries = {id_: furthest(_sorted(lines)) for id_, lines in lock.entries.items() if id_ not in carried}
        self.ours: dict[ItemId, tuple[Record | Forget, JournalFact]] = {}
        self.reopened: dict[RequestId, OpenEntry] = {}
        self.closed: set[RequestId] = set()

    def _resolve(self, id_: ItemId, rivals: list[Record]) -> Record:
        """The one record of an id that counts, of several that a merge left."""
        winner = resolve_conflict(rivals, self.body_on_disk)
        if len(rivals) > 1:
            self.lost[id_] = [record for record in rivals if record.request_id != winner.request_id]
        else:
            self.lost.pop(id_, None)
        return winner

    def open(self, entry: OpenEntry, base: Base) -> None:
        """Open an entry of the journal, unless the lock changed and has it in a later state."""
        current = self.entries.get(entry.request_id)
        if current is not None and not _is_unchanged(self.lock.entries.get(entry.request_id), base):
            entry = furthest((current, entry))
        self.entries[entry.request_id] = entry
        self.reopened.pop(entry.request_id, None)

    def close(self, request_id: RequestId) -> None:
        """Close an entry."""
        self.closed.add(request_id)
        self.entries.pop(request_id, None)

    def change(self, fact: Record | Forget, line: JournalFact, *, is_last: bool) -> None:
        """Keep a record or its removal if the lock is unchanged; otherwise the lock wins."""
        if _is_unchanged(self.lock.records.get(fact.id), line.base):
            self.ours[fact.id] = fact, line
            if isinstance(fact, Record):
                self.close(fact.request_id)
        elif line.took and not is_last:
            # A later fact of this item already replaced that result: it was used, not lost.
            self.close(line.took)
        elif line.took and isinstance(fact, Record):
            again = self.reopened[line.took] = reopen(fact)
            current = self.entries.get(line.took)
            self.entries[line.took] = furthest((current, again)) if current else again

    def done(self, lineage: str) -> Folded:
        """The result after every fact."""
        for id_, (fact, line) in self.ours.items():
            # A merge brought other lines of this id since: they compete with the fact as they would in the file.
            rivals = [other.value for other in self.lock.records.get(id_, ()) if other.digest not in line.base]
            rivals += [fact] if isinstance(fact, Record) else []
            if rivals:
                self.records[id_] = self._resolve(id_, rivals)
            else:
                self.records.pop(id_, None)
                self.lost.pop(id_, None)
        carried = {record.request_id for record in self.records.values()} if self.entries or self.ours else ()
        for fact, line in self.ours.values():
            if isinstance(fact, Record) and line.took and line.took not in carried:
                self.entries[line.took] = self.reopened[line.took] = reopen(fact)
        entries = {id_: entry for id_, entry in self.entries.items() if id_ not in carried}
        changed = with_one_owner(self.records)
        lost = [record for records in self.lost.values() for record in records]
        final = {*self.closed, *entries, *(record.request_id for record in self.records.values())} if lost else ()
        return Folded(
            state=State(lineage=lineage, records={**self.records, **changed}, entries=entries),
            reopened=tuple(entries[id_] for id_ in self.reopened if id_ in entries),
            lost=tuple(record for record in lost if record.request_id not in final),
            shared={id_: self.records[id_] for id_ in changed},
        )


def _sorted(lines: tuple[LockLine[OpenEntry], ...]) -> Iterator[OpenEntry]:
    """The entries in an order that does not depend on the direction of the merge."""
    return (line.value for line in sorted(lines, key=lambda line: line.text))


def _is_unchanged(lines: tuple[LockLine[T], ...] | None, base: Base) -> bool:
    """Whether the lock still has the line the fact started from, or still has none."""
    if lines is None:
        return not base
    return any(line.digest in base for line in lines)


def _numbered(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The lines that are not blank: 1-based number, offset of their end, bytes."""
    end = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        end += len(line) + 1
        if line.strip():
            yield number, end, line


def _read(line: bytes) -> tuple[Header | Mark | JournalFact, bool]:
    """The value in a line, and whether the next line belongs to the same fact."""
    text = line.decode()
    value = parse_as(text, kind_of(text, _KINDS))
    if isinstance(value, Header | Mark):
        return value, False
    extra = parse_as(text, _Extra)
    return JournalFact(fact=value, base=tuple(map(Digest, extra.base.split())), took=extra.took), extra.more


_KINDS: Final[Mapping[str, type[Line | Mark | Forget | Drop]]] = {
    "checkpoint": Mark,
    "forget": Forget,
    "drop": Drop,
    **KINDS,
}
"""The type of a line of the journal, by the first of these keys that it has."""


def _damaged(number: int, path: str, error: ValueError) -> Diagnostic:
    problem = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
    return Diagnostic(
        code="damaged-journal",
        message=f"line {number} of `{path}` {problem}",
        hint=f"delete line {number} of it: each line is independent, so only its content is lost",
        location=Location(path, number),
    )


def _recompute(line: JournalFact) -> JournalFact:
    fact = line.fact
    return structs.replace(line, fact=with_digest(fact)) if isinstance(fact, Record) else line
