"""Repairs renames and paid texts after a merge in git: pure, over records and open entries.

A merge keeps the lines of both sides. So two records may name one content, a renamed item may be back under its old id,
and a paid text may be in a record that does not count any more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.model import JobState, OpenEntry, cost_of, is_answer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import ItemId, Record, RequestId


def reopen(record: Record) -> OpenEntry:
    """The open entry for the paid result that `record` had used."""
    return OpenEntry(
        request_id=record.request_id,
        item=record.id,
        digest=record.digest,
        attempt=record.attempt,
        state=JobState.PAID if record.generated else JobState.RUNNING,
        server=record.server,
        dialect=record.dialect,
        **cost_of(record),
        model=record.model,
        job_id=record.job_id,
        plan_id=record.plan_id,
        submitted_at=record.generated_at,
        title=record.title,
        body=record.generated,
        generated_at=record.generated_at,
        content_id=record.content_id,
    )


class DeclaredRequests(Struct, frozen=True, kw_only=True):
    """The requests that the manifests declare, and their server: decides whether a paid text is still wanted."""

    requests: Mapping[ItemId, Digest]
    """The digest of each declared item's request."""
    server: str
    environment: str
    lineage: str


def with_one_owner(records: Mapping[ItemId, Record]) -> dict[ItemId, Record]:
    """The records that have to change so that each stored content has one owner.

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


def without_renamed(records: Mapping[ItemId, Record], declared: Collection[ItemId]) -> dict[ItemId, Record]:
    """`records` without the orphans that a merge brought back after a rename.

    An orphan (its id is not `declared`) goes if a declared record of the same server has its job id or content id.
    """
    declared = set(declared)
    if records.keys() <= declared:
        return dict(records)
    claimed = {name for id_, record in records.items() if id_ in declared for name in _server_ids(record)}
    return {
        id_: record for id_, record in records.items() if id_ in declared or claimed.isdisjoint(_server_ids(record))
    }


def _server_ids(record: Record) -> set[tuple[str, str, str]]:
    """The ids by which the server knows the job and the content of a record."""
    ids = (("job", record.job_id), ("content", record.content_id))
    return {(record.server, kind, id_) for kind, id_ in ids if id_}


def is_paid_answer(record: Record, lineage: str, environment: str) -> bool:
    """Whether the record's text is the result of a job for the record's own request."""
    return bool(record.generated and record.request_id) and is_answer(record, lineage, environment)


def texts_to_reopen(
    records: Mapping[ItemId, Record], entries: Iterable[OpenEntry], lost: Iterable[Record], declared: DeclaredRequests
) -> Iterator[OpenEntry]:
    """Open entries for paid texts that answer a declared request and would be paid for again.

    `records` and open `entries` are those that count; `lost` are records that a merge overruled. The text of an orphan
    counts too where the item that asks for it was that orphan before.
    """
    lost = list(lost)
    gone: defaultdict[Digest, list[Record]] = defaultdict(list)
    for id_, record in records.items():
        if id_ not in declared.requests:
            gone[record.digest].append(record)
    wanted = _unanswered(records, entries, declared) if lost or gone else {}
    # An item without a record is renamed from the orphan, which then keeps its text.
    asking = [(records[id_], gone[digest]) for id_, digest in wanted.items() if id_ in records and digest in gone]
    candidates = [*lost, *(orphan for own, orphans in asking for orphan in orphans if _is_one_item(own, orphan))]
    if not candidates:
        return
    wanted = _without_heirs(wanted, records, gone)
    carried: set[RequestId] = {record.request_id for id_, record in records.items() if id_ in declared.requests}
    owned = {(record.server, record.content_id): record.request_id for record in records.values()}
    candidates.sort(key=lambda record: (record.attempt, record.generated_at, record.request_id), reverse=True)
    for record in candidates:
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
            # That content may have the text of the record that owns it.
            entry = structs.replace(entry, content_id="")
        yield entry


def _is_one_item(record: Record, orphan: Record) -> bool:
    """Whether both records belong to one item, by an id that either has or had."""
    return not {record.id, *record.former_ids}.isdisjoint((orphan.id, *orphan.former_ids))


def _without_heirs(
    wanted: Mapping[ItemId, Digest], records: Mapping[ItemId, Record], gone: Mapping[Digest, Sequence[Record]]
) -> dict[ItemId, Digest]:
    """The `wanted` requests without those of new items that take over an orphan and its text."""
    free = {digest: len(orphans) for digest, orphans in gone.items()}
    left: dict[ItemId, Digest] = {}
    for id_, digest in wanted.items():
        if id_ not in records and free.get(digest):
            free[digest] -= 1
        else:
            left[id_] = digest
    return left


def _unanswered(
    records: Mapping[ItemId, Record], entries: Iterable[OpenEntry], declared: DeclaredRequests
) -> dict[ItemId, Digest]:
    """The declared requests without a record or an open entry that answers them, by item."""
    wanted: dict[ItemId, Digest] = {}
    for id_, digest in declared.requests.items():
        record = records.get(id_)
        if record is None or record.digest != digest or record.server != declared.server:
            wanted[id_] = digest
    if not wanted:
        return {}
    server = declared.server
    pending = {entry.digest for entry in entries if entry.server == server and entry.state is not JobState.FAILED}
    return {id_: digest for id_, digest in wanted.items() if digest not in pending}
