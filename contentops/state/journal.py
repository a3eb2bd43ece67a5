"""The journal: what happened since the checkpoint, and how lock and journal become the records that count.

A journal line is a line of the lock with more keys:

    step   the step that made it, for a person who reads the file
    base   the digests of the lock lines of that key when it was made, with spaces between; empty: there was none
    more   true where the next line belongs to the same fact: both count or none

`{"forget": id}` removes a record; `{"checkpoint": digest}` says that the lock of that digest has every line before it.
Lines are only appended; a torn last line is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field, structs

from contentops.digest import DIGEST_VERSION, NOTHING, Digest, canonical, digest_text
from contentops.errors import Diagnostic, Location
from contentops.model import ItemId, Record
from contentops.state.codec import KINDS, Forget, Header, kind_of, parse_as
from contentops.state.lock import DamagedState, Lock, LockLine, refuse_others, resolve_conflict, with_digest
from contentops.state.merge_repair import with_one_owner

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
    """One fact of the journal, with the lock lines it started from."""

    fact: Record | Forget
    base: Base = ()


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
    more: bool = False


def text_digest(text: str) -> Digest:
    """The digest of a lock for a mark; line ends and a BOM do not count, since a checkout may change them."""
    return digest_text(text.removeprefix("\ufeff").replace("\r\n", "\n"))


def journal_line(text: str, *, step: str, base: Base, more: bool = False) -> str:
    """A line of the journal from the lock line (or `forget` object) `text`."""
    extra: dict[str, Json] = {"base": " ".join(base), "step": step}
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
                refuse_others((value,), path, digest_version)
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
    lock: Lock, facts: Sequence[JournalFact] = (), *, body_on_disk: Callable[[str], Digest] = nothing_on_disk
) -> dict[ItemId, Record]:
    """The records of lock and journal that count, by id.

    A fact of the journal counts only if the lock still has the line it started from, or still has none; otherwise the
    lock wins. Of several lines of one id, `resolve_conflict` chooses.
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
    return JournalFact(fact=value, base=tuple(map(Digest, extra.base.split()))), extra.more


_KINDS: Final[Mapping[str, type[Line | Mark | Forget]]] = {
    "checkpoint": Mark,
    "forget": Forget,
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
