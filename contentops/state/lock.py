"""The lock as text, back, and merged by ids: `contentops.lock`, the committed checkpoint of state.

Reading takes what git's union merge makes (lines in any order, one id twice, the header twice) and refuses what would
lose a fact: a damaged line, an empty file, conflict markers, two lineages. Rendering is byte-stable.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct, field, structs

from contentops.atomic_io import PUBLIC
from contentops.conflict_markers import MARKERS
from contentops.digest import DIGEST_VERSION, NOTHING, Digest, digest_json
from contentops.documents.clean import is_lfs_pointer
from contentops.errors import Diagnostic, Location, StateError, plural
from contentops.model import ItemId, JobState, OpenEntry, Record, RequestId
from contentops.model.stored import Packer
from contentops.state.codec import LOCK_VERSION, Header, line_digest, line_of, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from contentops.atomic_io import Disk
    from contentops.model import State


_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://contentops.invalid/lineage")

T = TypeVar("T", bound=Record | OpenEntry)


class DamagedState(StateError):
    """A state file that cannot be read; carries a finding per damaged line."""

    def __init__(self, findings: Iterable[Diagnostic]) -> None:
        self.findings = tuple(findings)
        first = self.findings[0]
        more = len(self.findings) - 1
        tail = "" if not more else f" (and {plural(more, 'more line')})"
        super().__init__(first.message + tail, code=first.code, hint=first.hint, location=first.location)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every damaged line."""
        return self.findings


class LockLine(Struct, Generic[T], frozen=True):
    """A value together with the line that said it; empty of a record that `read_plain` gave."""

    value: T
    text: str

    @property
    def digest(self) -> Digest:
        """The fingerprint of the line: what a journal entry started from."""
        return line_digest(self.text)


class Lock(Struct, frozen=True, kw_only=True):
    """What the file says. A key that a union merge left more than once has more than one line.

    `header` is None only where there is no lock at all.
    """

    header: Header | None = None
    records: Mapping[ItemId, tuple[LockLine[Record], ...]] = field(default_factory=dict)
    entries: Mapping[RequestId, tuple[LockLine[OpenEntry], ...]] = field(default_factory=dict)


def lineage_of(project: str, first_commit: str = "") -> str:
    """The lineage of a project that has no lock yet: from its name and its repository's first commit, if any."""
    return str(uuid.uuid5(_NAMESPACE, f"{project}\n{first_commit}" if first_commit else project))


def lineage_in(path: Path) -> str:
    """The lineage that the first line of a lock says; empty where there is none."""
    try:
        with path.open("rb") as file:
            found = parse_line(file.readline().decode().strip("\ufeff \t\r\n"))
    except (OSError, ValueError):
        return ""
    return found.lineage if isinstance(found, Header) else ""


def read(text: str, path: str, *, digest_version: int = DIGEST_VERSION) -> Lock:
    """What the lock `text` says; `path` names it in messages.

    A lock of an older digest version gets its record digests recomputed from the recorded requests.
    Raises StateError (DamagedState with every damaged line) if anything in it cannot be used.
    """
    if is_lfs_pointer(text):
        hint = f"fetch it with `git lfs pull`, and put `{OUT_OF_LFS}` at the end of `.gitattributes`"
        raise StateError(f"`{path}` is a pointer of Git LFS", code="lock-in-lfs", hint=hint, location=Location(path))
    restore = f"restore it with `git checkout -- {path}`"
    headers: dict[str, Header] = {}
    records: dict[ItemId, tuple[LockLine[Record], ...]] = {}
    entries: dict[RequestId, tuple[LockLine[OpenEntry], ...]] = {}
    findings = []
    for number, line in _numbered(text):
        try:
            found = parse_line(line)
        except ValueError as error:
            findings.append(_damaged(line, number, path, f"line {number} of `{path}` {error}", restore))
            continue
        if isinstance(found, Header):
            headers.setdefault(f"{found.version} {found.digest} {found.lineage}", found)
        elif isinstance(found, Record):
            records[found.id] = _add(records.get(found.id), LockLine(found, line))
        else:
            entries[found.request_id] = _add(entries.get(found.request_id), LockLine(found, line))
    refuse_newer(headers.values(), path, digest_version)
    if findings:
        raise DamagedState(findings)
    header = _one_header(list(headers.values()), path, restore)
    if header.digest < digest_version:
        records = {
            id_: tuple(LockLine(with_digest(line.value), line.text) for line in lines) for id_, lines in records.items()
        }
    return Lock(header=header, records=records, entries=entries)


def read_plain(lines: Iterable[bytes]) -> Lock | None:
    """What a lock says, in little memory: without the lines of records, and with their requests packed.

    None where it is not as this version writes it: `read` tells what it says, or what is wrong.
    """
    packer = Packer()
    header: Header | None = None
    records: dict[ItemId, tuple[LockLine[Record], ...]] = {}
    entries: dict[RequestId, tuple[LockLine[OpenEntry], ...]] = {}
    for line in lines:
        try:
            text = line.decode().strip(" \t\r\n")
            found = parse_line(text, packer)
        except ValueError:
            return None
        if isinstance(found, Header):
            if header is not None or (found.version, found.digest) != (LOCK_VERSION, DIGEST_VERSION):
                return None
            header = found
        elif isinstance(found, Record):
            if found.id in records:
                return None
            records[found.id] = (LockLine(found, ""),)
        else:
            entries[found.request_id] = _add(entries.get(found.request_id), LockLine(found, text))
    packer.close()
    return None if header is None else Lock(header=header, records=records, entries=entries)


def with_digest(record: Record) -> Record:
    """`record` with the digest of its request as this version computes it."""
    return structs.replace(record, digest=digest_json(record.request))


def resolve_conflict(records: Sequence[Record], body_on_disk: Callable[[str], Digest]) -> Record:
    """The one of several records of an id that counts: whose body is on disk, else the higher `rev`, else the later.

    Content ids of the same server that only a losing record names still exist there: they are kept as superseded.
    """
    if len(records) == 1:
        return records[0]

    def rank(record: Record) -> tuple[bool, int, str, str]:
        body = body_on_disk(record.output)
        bodies = {record.generated, record.promoted, record.saved.body if record.saved else NOTHING} - {NOTHING}
        return body in bodies, record.rev, max(record.generated_at, record.saved_at), line_of(record)

    winner, *losers = sorted(records, key=rank, reverse=True)
    known = dict.fromkeys(winner.superseded)
    for loser in sorted(losers, key=line_of):
        if loser.server == winner.server:
            known.update(dict.fromkeys((*loser.superseded, loser.content_id)))
    kept = tuple(id_ for id_ in known if id_ and id_ != winner.content_id)
    return winner if kept == winner.superseded else structs.replace(winner, superseded=kept)


_PROGRESS = {
    JobState.SUBMITTING: 0,
    JobState.UNKNOWN: 1,
    JobState.RUNNING: 2,
    JobState.FAILED: 3,
    JobState.PAID: 4,
}


def furthest(entries: Iterable[OpenEntry]) -> OpenEntry:
    """The one of several entries of a request id that knows most; the last of equals."""
    return max(reversed(tuple(entries)), key=lambda entry: _PROGRESS[entry.state])


def render(state: State) -> bytes:
    """The bytes of the lock for `state`: header, records by id, open entries by item, attempt and request id."""
    records = (line_of(state.records[id_]) for id_ in sorted(state.records))
    return join(state.lineage, records, map(line_of, in_order(state.entries.values())))


def in_order(entries: Iterable[OpenEntry]) -> list[OpenEntry]:
    """Open entries in the order of their lines in a lock: by item, attempt and request id."""
    return sorted(entries, key=lambda entry: (entry.item, entry.attempt, entry.request_id))


def join(lineage: str, records: Iterable[str], entries: Iterable[str]) -> bytes:
    """The bytes of a lock of these lines, which are in order."""
    return "\n".join((line_of(Header(lineage=lineage)), *records, *entries, "")).encode()


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their 1-based numbers; tolerates a BOM, CRLF and blank lines."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        stripped = line.strip(" \t\r")
        if stripped:
            yield number, stripped


def _damaged(line: str, number: int, path: str, message: str, restore: str) -> Diagnostic:
    code, hint = "damaged-lock", restore
    if line.startswith(MARKERS):
        code = "conflict-markers"
        message = f"line {number} of `{path}` is a conflict marker of git"
        hint = (
            f"put `{LINE}` into `.gitattributes`, undo the merge with "
            "`git merge --abort` and merge again; or delete only the marker lines and keep the lines of both sides"
        )
    return Diagnostic(code=code, message=message, hint=hint, location=Location(path, number))


def _add(known: tuple[LockLine[T], ...] | None, line: LockLine[T]) -> tuple[LockLine[T], ...]:
    if known is None:
        return (line,)
    return known if any(other.text == line.text for other in known) else (*known, line)


def refuse_newer(headers: Iterable[Header], path: str, digest_version: int) -> None:
    """Raises StateError where a file named `path` was written by a version that knows more than this one."""
    if any(header.version > LOCK_VERSION or header.digest > digest_version for header in headers):
        message = f"`{path}` was written by a newer contentops"
        raise StateError(message, code="newer-state", hint="upgrade contentops", location=Location(path))


def _one_header(headers: list[Header], path: str, restore: str) -> Header:
    lineages = sorted({header.lineage for header in headers})
    if not lineages:
        message = f"`{path}` has no header line, so it is empty or cut off"
        raise StateError(
            message,
            code="damaged-lock",
            hint=f"{restore}; deleting it instead would make every item new and paid for again",
            location=Location(path),
        )
    if len(lineages) > 1:
        names = " and ".join(f"`{lineage}`" for lineage in lineages)
        message = f"`{path}` mixes the state of different projects, lineages {names}"
        raise StateError(
            message,
            code="mixed-lineages",
            hint="keep the header and the lines of one project; a project keeps its `project` name for life",
            location=Location(path),
        )
    return min(headers, key=lambda header: header.digest)


_Lines = dict[tuple[str, ...], set[str]]


def merge(base: Lock, ours: Lock, theirs: Lock) -> bytes:
    """The lock of both: `theirs` with what changed between `base` and `ours`; empty where nothing is left of it.

    Two headers are both kept; whoever reads the result refuses them where they differ in lineage.
    """
    then, here, there = _lines(base), _lines(ours), _lines(theirs)
    kept: list[str] = []
    for key in sorted(here.keys() | there.keys()):
        before, mine, other = (lines.get(key, set()) for lines in (then, here, there))
        kept += sorted(other if mine == before else mine if other <= before else mine | other)
    heads = {line_of(lock.header) for lock in (ours, theirs) if lock.header is not None}
    if not kept and theirs.header is None:
        # Someone took the whole lock away, and nothing came after that.
        return b""
    return "\n".join([*sorted(heads), *kept, ""]).encode()


def _lines(lock: Lock) -> _Lines:
    """The lines by what they are about; keys sort as the lines stand in a lock."""
    found: _Lines = {}
    for id_, records in lock.records.items():
        found["0", id_] = {one.text for one in records}
    for request_id, entries in lock.entries.items():
        for one in entries:
            key = ("1", one.value.item, f"{one.value.attempt:09}", request_id)
            found.setdefault(key, set()).add(one.text)
    return found


PATTERN = "contentops*.lock"
LINE = f"{PATTERN} text eol=lf merge=union"
OUT_OF_LFS = f"{LINE} -filter"
"""The line for a project where another one gives locks to Git LFS, which would keep only a pointer in git."""


def with_line(data: bytes) -> bytes:
    """`data` with the line at its end, unless a line for that pattern is there: then someone chose otherwise."""
    pattern = PATTERN.encode()
    if any(line.split(maxsplit=1)[:1] == [pattern] for line in data.splitlines()):
        return data
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    gap = newline if data and not data.endswith(b"\n") else b""
    return data + gap + LINE.encode() + newline


def ensure(root: Path, disk: Disk) -> None:
    """Put the line into `.gitattributes` below `root`. A symbolic link there is left alone: git does not follow it.

    Raises StateError if the file cannot be read or written.
    """
    path = root / ".gitattributes"
    if path.is_symlink():
        return
    data = disk.read(path) or b""
    wanted = with_line(data)
    if wanted != data:
        # Applies of several environments may find at the same time that it is missing.
        disk.replace(path, wanted, PUBLIC, shared=True)
