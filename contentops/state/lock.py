"""Reads, writes and merges `contentops.lock`, the committed state.

Git's union merge may leave lines in any order, and one id twice. The same records always give the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field, structs

from contentops.digest import NOTHING, Digest, digest_text
from contentops.model import ItemId, Record
from contentops.state.codec import Format, Header, line_of, parse_line, read_lines

# ---- Reads, writes and merges `contentops.lock`, the committed checkpoint of the state.

FORMAT: Final = Format(pattern="contentops*.lock", code="damaged-lock")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://contentops.invalid/lineage")


class LockLine(Struct, frozen=True, gc=False):
    """One record in the lock, with the line that contains it."""

    value: Record
    text: str

    @property
    def digest(self) -> Digest:
        """Return the digest of the line. A change in the journal names its starting line by this digest."""
        return digest_text(self.text)


class Lock(Struct, frozen=True, kw_only=True):
    """The content of a lock file: the project's lineage and the records.

    An id has more than one line if a union merge left it more than once. `lineage` is empty only if there is no lock.
    """

    lineage: str = ""
    records: Mapping[ItemId, tuple[LockLine, ...]] = field(default_factory=dict)


def lineage_of(project: str, first_commit: str = "", folder: str = "") -> str:
    """Return the lineage (a UUID) for a project that has no lock yet.

    It is made from the project's name, the first commit, and the project's folder in git.
    """
    parts = (project, first_commit, folder) if folder else (project, first_commit)
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts) if any(parts[1:]) else project))


def lineage_in(path: Path) -> str:
    """Return the lineage (the project's UUID) in the first line of a lock file. It is empty if there is none."""
    try:
        with path.open("rb") as file:
            header = parse_line(file.readline().decode().strip("\ufeff \t\r\n"))
    except (OSError, ValueError):
        return ""
    return header.lineage if isinstance(header, Header) else ""


def read(data: bytes | str, path: str) -> Lock:
    """Return the lock that a file contains. `path` names it in messages.

    Raises StateError (DamagedState with every damaged line).
    """
    records: dict[ItemId, tuple[LockLine, ...]] = {}
    lineage, lines = read_lines(data, path, FORMAT, parse_line)
    for text, record in lines:
        others = records.get(record.id, ())
        if all(other.text != text for other in others):
            records[record.id] = (*others, LockLine(record, text))
    return Lock(lineage=lineage, records=records)


def resolve_conflict(records: Sequence[Record], body_on_disk: Callable[[str], Digest]) -> Record:
    """Return the record that counts if a merge left several records for one id.

    The record whose body is on disk counts. Otherwise it is the one with the higher `rev`, and then the one that was
    saved later.

    Content ids of the same server that only another record names still exist on the server. They are kept as
    superseded.
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


def join(lineage: str, records: Iterable[str]) -> bytes:
    """Return the content of a lock file as bytes. `records` are its lines, sorted already."""
    return "\n".join((line_of(Header(lineage=lineage)), *records, "")).encode()


# ---- Repairs records after a merge in git: one stored content belongs to one record.


def with_one_owner(records: Mapping[ItemId, Record]) -> dict[ItemId, Record]:
    """Return the records to change if several items have the same stored content.

    After the change, each stored content belongs to one item. The record that was saved last keeps the content, since
    the server has its text. Otherwise it is the record with the higher `rev`, and then the first by id. The other
    records count as never saved. A content that one record owns is removed from the superseded contents of the others.
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
