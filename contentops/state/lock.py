"""Reads, writes and merges `contentops.lock`, the committed checkpoint of the state.

Reading accepts what git's union merge makes (lines in any order, one id twice, the header twice) and refuses what would
lose a fact: a damaged line, an empty file, conflict markers, two lineages. Rendering is byte-stable.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from contentops.atomic_io import PUBLIC
from contentops.conflict_markers import MARKERS
from contentops.digest import DIGEST_VERSION, NOTHING, Digest, digest_json, digest_text
from contentops.documents.clean import is_lfs_pointer
from contentops.errors import Diagnostic, Location, StateError, plural
from contentops.state.codec import LOCK_VERSION, Header, line_of, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from contentops.atomic_io import Disk
    from contentops.model import ItemId, Record, State


# ---- Reads, writes and merges `contentops.lock`, the committed checkpoint of the state.

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://contentops.invalid/lineage")


class DamagedState(StateError):
    """A state file that cannot be read, with a finding for each damaged line."""

    def __init__(self, findings: Iterable[Diagnostic]) -> None:
        self.findings = tuple(findings)
        first = self.findings[0]
        more = len(self.findings) - 1
        tail = "" if not more else f" (and {plural(more, 'more line')})"
        super().__init__(first.message + tail, code=first.code, hint=first.hint, location=first.location)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return every damaged line."""
        return self.findings


class LockLine(Struct, frozen=True, gc=False):
    """A record with its line."""

    value: Record
    text: str

    @property
    def digest(self) -> Digest:
        """The digest of the line: the base of a journal fact."""
        return digest_text(self.text)


class Lock(Struct, frozen=True, kw_only=True):
    """The lock file. A key that a union merge left more than once has more than one line.

    `header` is None only where there is no lock.
    """

    header: Header | None = None
    records: Mapping[ItemId, tuple[LockLine, ...]] = field(default_factory=dict)


def lineage_of(project: str, first_commit: str = "", folder: str = "") -> str:
    """Return the lineage of a project without a lock, from its name, the first commit, and its folder in git."""
    parts = (project, first_commit, folder) if folder else (project, first_commit)
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts) if any(parts[1:]) else project))


def lineage_in(path: Path) -> str:
    """Return the lineage in the first line of a lock; empty where there is none."""
    try:
        with path.open("rb") as file:
            header = parse_line(file.readline().decode().strip("\ufeff \t\r\n"))
    except (OSError, ValueError):
        return ""
    return header.lineage if isinstance(header, Header) else ""


def read(text: str, path: str, *, digest_version: int = DIGEST_VERSION) -> Lock:
    """Return the lock in `text`; `path` names it in messages.

    For an older digest version, the digests of records are recomputed from their requests.
    Raises StateError (DamagedState with every damaged line) if anything in it cannot be used.
    """
    if is_lfs_pointer(text):
        hint = f"run `git lfs pull`, and add `{OUT_OF_LFS}` at the end of `.gitattributes`"
        raise StateError(f"`{path}` is a Git LFS pointer", code="lock-in-lfs", hint=hint, location=Location(path))
    restore = f"restore it with `git checkout -- {path}`"
    headers: dict[str, Header] = {}
    records: dict[ItemId, tuple[LockLine, ...]] = {}
    findings = []
    for number, line in numbered(text):
        try:
            value = parse_line(line)
        except ValueError as error:
            findings.append(damaged(line, number, path, f"line {number} of `{path}` {error}", restore))
            continue
        if isinstance(value, Header):
            headers.setdefault(f"{value.version} {value.digest} {value.lineage}", value)
        else:
            records[value.id] = _add(records.get(value.id), LockLine(value, line))
    refuse_others(headers.values(), path, digest_version)
    if findings:
        raise DamagedState(findings)
    header = _one_header(list(headers.values()), path, restore)
    if header.digest < digest_version:
        records = {
            id_: tuple(LockLine(with_digest(line.value), line.text) for line in lines) for id_, lines in records.items()
        }
    return Lock(header=header, records=records)


def with_digest(record: Record) -> Record:
    """`record` with the digest of its request as this version computes it."""
    return structs.replace(record, digest=digest_json(record.request))


def resolve_conflict(records: Sequence[Record], body_on_disk: Callable[[str], Digest]) -> Record:
    """Of an id's records, the one that counts: whose body is on disk, else with the higher `rev`, else saved later.

    Content ids of the same server that only another record names still exist there: they are kept as superseded.
    """
    if len(records) == 1:
        return records[0]

    def rank(record: Record) -> tuple[bool, int, str, str]:
        body = body_on_disk(record.output)
        bodies = {record.generated, record.promoted, record.saved.body if record.saved else NOTHING} - {NOTHING}
        return body in bodies, record.rev, record.saved_at, line_of(record)

    winner, *losers = sorted(records, key=rank, reverse=True)
    ids = dict.fromkeys(winner.superseded)
    for loser in sorted(losers, key=line_of):
        if loser.server == winner.server:
            ids.update(dict.fromkeys((*loser.superseded, loser.content_id)))
    superseded = tuple(id_ for id_ in ids if id_ and id_ != winner.content_id)
    return winner if superseded == winner.superseded else structs.replace(winner, superseded=superseded)


def render(state: State) -> bytes:
    """Return the bytes of the lock for `state`: header, then records by id."""
    return join(state.lineage, (line_of(state.records[id_]) for id_ in sorted(state.records)))


def join(lineage: str, records: Iterable[str]) -> bytes:
    """Return the bytes of a lock from its lines, which are sorted already."""
    return "\n".join((line_of(Header(lineage=lineage)), *records, "")).encode()


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their 1-based numbers; tolerates a BOM and CRLF."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        stripped = line.strip(" \t\r")
        if stripped:
            yield number, stripped


def damaged(line: str, number: int, path: str, message: str, restore: str, code: str = "damaged-lock") -> Diagnostic:
    """The finding about a line that cannot be used; `restore` says what to do, unless a conflict left the line."""
    hint = restore
    if line.startswith(MARKERS):
        code = "conflict-markers"
        message = f"line {number} of `{path}` is a git conflict marker"
        hint = (
            f"add `{LINE}` to `.gitattributes`, undo the merge with "
            "`git merge --abort` and merge again; or delete only the marker lines and keep the lines of both sides"
        )
    return Diagnostic(code=code, message=message, hint=hint, location=Location(path, number))


def _add(lines: tuple[LockLine, ...] | None, line: LockLine) -> tuple[LockLine, ...]:
    if lines is None:
        return (line,)
    return lines if any(other.text == line.text for other in lines) else (*lines, line)


def refuse_others(headers: Iterable[Header], path: str, digest_version: int) -> None:
    """Raises StateError where a newer version wrote the file named `path`, or one from before `contentops.jobs`."""
    if any(header.version < LOCK_VERSION for header in headers):
        message = f"`{path}` was written before there was `contentops.jobs`"
        raise StateError(message, code="old-state", hint="run `contentops state upgrade`", location=Location(path))
    if any(header.version > LOCK_VERSION or header.digest > digest_version for header in headers):
        message = f"`{path}` was written by a newer version of contentops"
        raise StateError(message, code="newer-state", hint="upgrade contentops", location=Location(path))


def _one_header(headers: list[Header], path: str, restore: str) -> Header:
    lineages = sorted({header.lineage for header in headers})
    if not lineages:
        message = f"`{path}` has no header line, so it is empty or cut off"
        raise StateError(
            message,
            code="damaged-lock",
            hint=f"{restore}; if you delete it, every item is generated and paid for again",
            location=Location(path),
        )
    if len(lineages) > 1:
        names = " and ".join(f"`{lineage}`" for lineage in lineages)
        message = f"`{path}` has lines of different projects, lineages {names}"
        raise StateError(
            message,
            code="mixed-lineages",
            hint="keep the header and the lines of one project; never change the `project` name of a project",
            location=Location(path),
        )
    return min(headers, key=lambda header: header.digest)


PATTERN = "contentops*.lock"
LINE = f"{PATTERN} text eol=lf merge=union"
OUT_OF_LFS = f"{LINE} -filter"
"""The line for a project where another line puts locks into Git LFS, which would keep only a pointer in git."""


def with_line(data: bytes, pattern: str = PATTERN, rule: str = LINE) -> bytes:
    """`data` with the merge rule at its end, unless a line for this pattern is there, which someone chose."""
    if any(line.split(maxsplit=1)[:1] == [pattern.encode()] for line in data.splitlines()):
        return data
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    gap = newline if data and not data.endswith(b"\n") else b""
    return data + gap + rule.encode() + newline


def add_rule(root: Path, disk: Disk, pattern: str = PATTERN, rule: str = LINE) -> None:
    """Add a merge rule, by default that of locks, to `.gitattributes` below `root`.

    A symbolic link stays unchanged, as git does not follow it.
    Raises StateError if the file cannot be read or written.
    """
    path = root / ".gitattributes"
    if path.is_symlink():
        return
    data = disk.read(path) or b""
    wanted = with_line(data, pattern, rule)
    if wanted != data:
        # Applies of several environments may add the line at the same time.
        disk.replace(path, wanted, PUBLIC, shared=True)


# ---- Repairs records after a merge in git: one stored content belongs to one record.


def with_one_owner(records: Mapping[ItemId, Record]) -> dict[ItemId, Record]:
    """Return the records that have to change so that each stored content has one owner.

    The record that was saved last keeps the content, since the server has its text; else the one with the higher `rev`,
    else the first by id. The others count as never saved. A content that one owns is not a superseded one of another.
    """
    owners: dict[tuple[str, str], Record] = {}
    changed: dict[ItemId, Record] = {}
    for record in records.values():
        if not record.content_id:
            continue
        other = owners.setdefault((record.server, record.content_id), record)
        if other is not record:
            by_id = sorted((record, other), key=lambda rival: rival.id, reverse=True)
            loser, owner = sorted(by_id, key=lambda rival: (rival.saved_at, rival.rev))
            owners[record.server, record.content_id] = owner
            changed[loser.id] = structs.replace(loser, content_id="", saved=None, saved_at="")
    for record in records.values():
        if record.superseded:
            free = tuple(
                content for content in record.superseded if owners.get((record.server, content), record).id == record.id
            )
            if free != record.superseded:
                changed[record.id] = structs.replace(changed.get(record.id, record), superseded=free)
    return changed
