"""The journal: what happened since the checkpoint, and how it becomes one state with the lock.

A journal line is a line of the lock with a few more keys:

    step   the step that made it, for a person who reads the file
    base   the digests of the lock lines of that key when it was made, with spaces between; empty: there was none
    took   the request id that this record carries and its base does not: a paid result this line took in
    more   true where the next line belongs to the same fact: together or not at all

`{"forget": id}` and `{"drop": request id}` take a record or an entry away; `{"checkpoint": digest}` says that what
stands before it is in the lock of that digest. Lines are only ever appended; a torn last line never happened.
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
    """The line that says: everything so far is in the lock of this digest."""

    lock: Digest = field(name="checkpoint")


class Noted(Struct, frozen=True, kw_only=True):
    """One fact as the journal holds it."""

    fact: Fact
    base: Base = ()
    took: RequestId = RequestId("")


class Journal(Struct, frozen=True, kw_only=True):
    """What the file says.

    `lineage` is empty where no header was written. `good` is the length in bytes up to which the lines are whole.
    `marks` are the checkpoints begun: how many facts stood before each, and the digest of the lock it was to write.
    """

    lineage: str = ""
    facts: tuple[Noted, ...] = ()
    marks: tuple[tuple[int, Digest], ...] = ()
    good: int = 0

    def since(self, lock: Digest) -> tuple[Noted, ...]:
        """The facts that the lock of this digest does not hold yet, as far as the marks tell."""
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
    """Paid results of records that the lock overruled, as it changed under them: to be finished or drained."""
    left: tuple[Record, ...] = ()
    """Records that lost to another line of their id after a merge, and whose text no other record has."""
    shared: Mapping[ItemId, Record] = field(default_factory=dict)
    """Records as their lock lines have them, where another record owns their content."""


def text_digest(text: str) -> Digest:
    """The digest of a lock for a mark: the same after a checkout that changed line ends."""
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
    """What the journal's bytes say; `path` names it in messages.

    What follows the last newline, and a group of lines that lacks its end, is ignored: it was never made durable, so
    nothing depends on it.
    Raises StateError (DamagedState with every damaged line) for a line that cannot be used.
    """
    good, whole = data.rfind(b"\n") + 1, 0
    lineage, version = "", digest_version
    facts: list[Noted] = []
    ends: list[int] = []
    marks: list[tuple[int, Digest]] = []
    findings: list[Diagnostic] = []
    for number, end, line in _numbered(data[:good]):
        try:
            found, more = _read(line)
        except ValueError as error:
            findings.append(_damaged(number, path, error))
            continue
        whole = whole if more else end
        match found:
            case Mark(lock):
                marks.append((len(facts), lock))
            case Header():
                refuse_newer((found,), path, digest_version)
                lineage, version = found.lineage, found.digest
            case Noted():
                facts.append(_recompute(found) if version < digest_version else found)
                ends.append(end)
    if findings:
        raise DamagedState(findings)
    kept = tuple(fact for fact, end in zip(facts, ends, strict=True) if end <= whole)
    return Journal(lineage=lineage, facts=kept, marks=tuple(marks), good=whole)


def nothing_on_disk(path: str) -> Digest:
    """The answer where files were not looked at: which body is on disk decides nothing then."""
    del path
    return NOTHING


def fold(
    lock: Lock,
    facts: Sequence[Noted],
    *,
    lineage: str,
    body_on_disk: Callable[[str], Digest] = nothing_on_disk,
) -> Folded:
    """Lock and journal as one state.

    A record (or its forgetting) is folded in only if the lock still has the line it started from, or still has none;
    otherwise the lock wins, and a paid result that the record had taken in is open again. Entries stay open until a
    record carries them or a later fact drops them.
    """
    folding = _Folding(lock, body_on_disk)
    last = {noted.fact.id: index for index, noted in enumerate(facts) if isinstance(noted.fact, Record | Forget)}
    for index, noted in enumerate(facts):
        match noted.fact:
            case OpenEntry() as entry:
                folding.open(entry, noted.base)
            case Drop(request_id):
                folding.close(request_id)
            case Record() | Forget() as fact:
                folding.change(fact, noted, is_last=last[fact.id] == index)
    return folding.done(lineage)


class _Folding:
    """The work in progress of one `fold`."""

    def __init__(self, lock: Lock, body_on_disk: Callable[[str], Digest]) -> None:
        self.lock, self.body_on_disk = lock, body_on_disk
        self.left: dict[ItemId, list[Record]] = {}
        """Records that lost, by id."""
        self.records = {id_: self._resolve(id_, [line.value for line in lines]) for id_, lines in lock.records.items()}
        carried = {record.request_id for record in self.records.values()} if lock.entries else ()
        self.entries = {id_: furthest(_sorted(lines)) for id_, lines in lock.entries.items() if id_ not in carried}
        self.ours: dict[ItemId, tuple[Record | Forget, Noted]] = {}
        self.reopened: dict[RequestId, OpenEntry] = {}
        self.closed: set[RequestId] = set()

    def _resolve(self, id_: ItemId, rivals: list[Record]) -> Record:
        """The one of them that counts."""
        winner = resolve_conflict(rivals, self.body_on_disk)
        if len(rivals) > 1:
            self.left[id_] = [one for one in rivals if one.request_id != winner.request_id]
        else:
            self.left.pop(id_, None)
        return winner

    def open(self, entry: OpenEntry, base: Base) -> None:
        """An entry of the journal: newer than the one it started from, else whichever knows more."""
        known = self.entries.get(entry.request_id)
        if known is not None and not _holds(self.lock.entries.get(entry.request_id), base):
            entry = furthest((known, entry))
        self.entries[entry.request_id] = entry
        self.reopened.pop(entry.request_id, None)

    def close(self, request_id: RequestId) -> None:
        """An entry that is over."""
        self.closed.add(request_id)
        self.entries.pop(request_id, None)
        self.reopened.pop(request_id, None)

    def change(self, fact: Record | Forget, noted: Noted, *, is_last: bool) -> None:
        """A record or its forgetting: ours if the lock stayed as it was, else the lock wins."""
        if _holds(self.lock.records.get(fact.id), noted.base):
            self.ours[fact.id] = fact, noted
            if isinstance(fact, Record):
                self.close(fact.request_id)
        elif noted.took and not is_last:
            # A later fact of this item already replaced that result: it was used, not lost.
            self.close(noted.took)
        elif noted.took and isinstance(fact, Record):
            again = self.reopened[noted.took] = reopen(fact)
            known = self.entries.get(noted.took)
            self.entries[noted.took] = furthest((known, again)) if known else again

    def done(self, lineage: str) -> Folded:
        """The outcome, once every fact is taken in."""
        for id_, (fact, noted) in self.ours.items():
            # Lines that the fact did not know of came by a merge since: they compete with it as they would in the file.
            rivals = [line.value for line in self.lock.records.get(id_, ()) if line.digest not in noted.base]
            rivals += [fact] if isinstance(fact, Record) else []
            if rivals:
                self.records[id_] = self._resolve(id_, rivals)
            else:
                self.records.pop(id_, None)
                self.left.pop(id_, None)
        carried = {record.request_id for record in self.records.values()} if self.entries or self.ours else ()
        for fact, noted in self.ours.values():
            if isinstance(fact, Record) and noted.took and noted.took not in carried:
                self.entries[noted.took] = self.reopened[noted.took] = reopen(fact)
        entries = {id_: entry for id_, entry in self.entries.items() if id_ not in carried}
        changed = with_one_owner(self.records)
        over = {*self.closed, *entries, *(record.request_id for record in self.records.values())} if self.left else ()
        return Folded(
            state=State(lineage=lineage, records={**self.records, **changed}, entries=entries),
            reopened=tuple(entries[id_] for id_ in self.reopened if id_ in entries),
            left=tuple(one for found in self.left.values() for one in found if one.request_id not in over),
            shared={id_: self.records[id_] for id_ in changed},
        )


def _sorted(lines: tuple[LockLine[OpenEntry], ...]) -> Iterator[OpenEntry]:
    """In an order that does not depend on which branch was merged into which."""
    return (line.value for line in sorted(lines, key=lambda line: line.text))


def _holds(lines: tuple[LockLine[T], ...] | None, base: Base) -> bool:
    """Whether the lock still has the line the fact started from, or still has none."""
    if lines is None:
        return not base
    return any(line.digest in base for line in lines)


def _numbered(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The lines that say something: 1-based number, offset of their end, bytes."""
    end = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        end += len(line) + 1
        if line.strip():
            yield number, end, line


def _read(line: bytes) -> tuple[Header | Mark | Noted, bool]:
    """What a line says, and whether the next one belongs to it."""
    text = line.decode()
    said = parse_as(text, kind_of(text, _KINDS))
    if isinstance(said, Header | Mark):
        return said, False
    extra = parse_as(text, _Extra)
    return Noted(fact=said, base=tuple(map(Digest, extra.base.split())), took=extra.took), extra.more


_KINDS: Final[Mapping[str, type[Line | Mark | Forget | Drop]]] = {
    "checkpoint": Mark,
    "forget": Forget,
    "drop": Drop,
    **KINDS,
}
"""What a line of the journal is, by the first of these keys that it has."""


def _damaged(number: int, path: str, error: ValueError) -> Diagnostic:
    what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
    return Diagnostic(
        code="damaged-journal",
        message=f"line {number} of `{path}` {what}",
        hint=f"delete line {number} of it: every line stands for itself, so only what that line says is lost",
        location=Location(path, number),
    )


def _recompute(noted: Noted) -> Noted:
    fact = noted.fact
    return structs.replace(noted, fact=with_digest(fact)) if isinstance(fact, Record) else noted
