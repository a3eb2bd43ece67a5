"""Repairs what a merge in git does to renames and paid texts: pure, over records and open entries.

A merge keeps the lines of both sides. So two records may name one content, a renamed item may be there under its old id
again, and a text that was paid for may be in a record that does not count any more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.model import JobState, OpenEntry, is_answer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import ItemId, Record, RequestId


def reopen(record: Record) -> OpenEntry:
    """The open entry for the paid result that `record` had taken in."""
    return OpenEntry(
        request_id=record.request_id,
        item=record.id,
        digest=record.digest,
        attempt=record.attempt,
        state=JobState.PAID if record.generated else JobState.RUNNING,
        server=record.server,
        dialect=record.dialect,
        credits=record.credits,
        job_id=record.job_id,
        plan_id=record.plan_id,
        submitted_at=record.generated_at,
        title=record.title,
        body=record.generated,
        generated_at=record.generated_at,
        content_id=record.content_id,
    )


class DeclaredRequests(Struct, frozen=True, kw_only=True):
    """What the manifests ask for, and of whom: what decides whether a paid text is still wanted."""

    requests: Mapping[ItemId, Digest]
    """The digest of each declared item's request."""
    server: str
    environment: str
    lineage: str


def with_one_owner(records: Mapping[ItemId, Record]) -> dict[ItemId, Record]:
    """The records that change where several name one content of a server, as they count then.

    The one that was saved last keeps it, since the server has its text; else the one that changed more often, else the
    first by id. The others count as never saved. What one owns is no superseded content of another.
    """
    owners: dict[tuple[str, str], Record] = {}
    found: dict[ItemId, Record] = {}
    for record in records.values():
        if not record.content_id:
            continue
        other = owners.setdefault((record.server, record.content_id), record)
        if other is not record:
            lost, last = sorted(sorted((record, other), key=lambda one: one.id, reverse=True), key=_last_saved)
            owners[record.server, record.content_id] = last
            found[lost.id] = structs.replace(lost, content_id="", saved=None, saved_at="")
    for record in records.values():
        if record.superseded:
            free = tuple(one for one in record.superseded if _is_free(owners.get((record.server, one)), record))
            if free != record.superseded:
                found[record.id] = structs.replace(found.get(record.id, record), superseded=free)
    return found


def _last_saved(record: Record) -> tuple[str, int]:
    return record.saved_at, record.rev


def _is_free(owner: Record | None, record: Record) -> bool:
    return owner is None or owner.id == record.id


def without_renamed(records: Mapping[ItemId, Record], living: Collection[ItemId]) -> dict[ItemId, Record]:
    """`records` without the orphans that a merge brought back after a rename.

    An orphan (its id is not in `living`) goes if a living record of the same server carries its job id or content id.
    """
    alive = set(living)
    if records.keys() <= alive:
        return dict(records)
    claimed = {name for id_, record in records.items() if id_ in alive for name in _names(record)}
    return {id_: record for id_, record in records.items() if id_ in alive or claimed.isdisjoint(_names(record))}


def _names(record: Record) -> set[tuple[str, str, str]]:
    """What the server calls the job and the content of a record."""
    named = (("job", record.job_id), ("content", record.content_id))
    return {(record.server, kind, name) for kind, name in named if name}


def is_paid_answer(record: Record, lineage: str, environment: str) -> bool:
    """Whether it names a text that a job made for the very request that it names."""
    return bool(record.generated and record.request_id) and is_answer(record, lineage, environment)


def texts_to_reopen(
    records: Mapping[ItemId, Record], entries: Iterable[OpenEntry], left: Iterable[Record], declared: DeclaredRequests
) -> Iterator[OpenEntry]:
    """Open entries for the texts that are there, answer a declared request, and would be paid for again.

    `records` and open `entries` are those that count; `left` are records that do not count, as a merge went against
    them. The text of an orphan counts too where the item that asks for it was that orphan once.
    """
    left = list(left)
    gone: defaultdict[Digest, list[Record]] = defaultdict(list)
    for id_, record in records.items():
        if id_ not in declared.requests:
            gone[record.digest].append(record)
    wanted = _unanswered(records, entries, declared) if left or gone else {}
    # An item without a record takes an orphan over as a whole.
    asking = [(records[id_], gone[digest]) for id_, digest in wanted.items() if id_ in records and digest in gone]
    found = [*left, *(one for own, orphans in asking for one in orphans if _is_one_item(own, one))]
    if not found:
        return
    carried: set[RequestId] = {record.request_id for id_, record in records.items() if id_ in declared.requests}
    owned = {(record.server, record.content_id): record.request_id for record in records.values()}
    for record in sorted(found, key=lambda one: (one.attempt, one.generated_at, one.request_id), reverse=True):
        if record.digest not in wanted.values():
            continue
        if declared.requests.get(record.id, record.digest) != record.digest:
            continue
        if record.server != declared.server or record.request_id in carried:
            continue
        if not is_paid_answer(record, declared.lineage, declared.environment):
            continue
        wanted = {id_: digest for id_, digest in wanted.items() if digest != record.digest}
        entry = structs.replace(reopen(record), output=record.output)
        if owned.get((record.server, record.content_id), record.request_id) != record.request_id:
            # That content may hold the text of the record it belongs to.
            entry = structs.replace(entry, content_id="")
        yield entry


def _is_one_item(record: Record, orphan: Record) -> bool:
    """Whether two records are of what was one item once."""
    return not {record.id, *record.former_ids}.isdisjoint((orphan.id, *orphan.former_ids))


def _unanswered(
    records: Mapping[ItemId, Record], entries: Iterable[OpenEntry], declared: DeclaredRequests
) -> dict[ItemId, Digest]:
    """The declared requests that neither a record nor anything open answers, by item."""
    found: dict[ItemId, Digest] = {}
    for id_, digest in declared.requests.items():
        record = records.get(id_)
        if record is None or record.digest != digest or record.server != declared.server:
            found[id_] = digest
    if found:
        known = {
            entry.digest for entry in entries if entry.server == declared.server and entry.state is not JobState.FAILED
        }
        found = {id_: digest for id_, digest in found.items() if digest not in known}
    return found
