"""What a command sees of one environment of a project: what is open, who works on it, which texts are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field, structs

from contentops.digest import Digest
from contentops.documents.clean import clean_body, clean_title
from contentops.errors import StateError
from contentops.ledger import schema
from contentops.ledger.entries import entry_in
from contentops.ledger.rows import read_json, utc
from contentops.ledger.runner import ALIVE
from contentops.model import HeldEntry, ItemId, RequestId
from contentops.state.lock import furthest
from contentops.state.paid_texts import StoredText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from contentops.ledger.entries import EntryOwner
    from contentops.ledger.session import LedgerSession
    from contentops.model import OpenEntry

_UNDER_WAY = frozenset({"queued", "submitting", "running", "unknown"})
"""States in which a runner that lives has more to do; what is paid for or failed is anyone's."""
DAMAGED = "a row of the ledger that cannot be used"
"""What holds an item of which no one can say how far it has come."""
_OPEN = f"""
SELECT v.number, e.request_id, e.item, e.digest, e.state, e.line, e.dropped, e.cancelled OR e.error <> '',
  coalesce(r.kind, ''),
  coalesce(r.who, ''), e.who, {utc("e.made_at")}
FROM (SELECT max(number) AS number FROM contentops.version) v
LEFT JOIN contentops.entry e
  ON (e.lineage = %s AND e.environment = %s AND NOT e.taken) OR e.request_id = ANY(%s)
LEFT JOIN contentops.runner r ON r.number = e.runner AND r.number <> %s AND r.number IN {ALIVE}"""
_TEXTS = """
SELECT DISTINCT ON (digest) digest, request_id, item, title, body FROM contentops.text
WHERE lineage = %s AND server = %s AND digest = ANY(%s) AND value NOT LIKE '%%"given_up":true%%'
ORDER BY digest, made_at DESC"""
_TEXT = """
SELECT value FROM contentops.text WHERE lineage = %s AND digest = %s
  AND CASE WHEN %s = '' THEN server = %s AND value NOT LIKE '%%"given_up":true%%' ELSE request_id = %s END
ORDER BY made_at DESC LIMIT 1"""


class OpenRows(Struct, frozen=True, kw_only=True):
    """What is open of a project's environment, whoever did it."""

    entries: tuple[OpenEntry, ...] = ()
    """What was submitted and no record in git carries yet; of those that were asked for by name, also others."""
    held: Mapping[RequestId, HeldEntry] = field(default_factory=dict)
    """What others work on, and what waits in the queue."""
    dropped: Mapping[RequestId, OpenEntry] = field(default_factory=dict)
    """What was let go of since, as far as it had come."""


class TextSummary(Struct, frozen=True):
    """What a plan needs to know of a paid text."""

    request_id: str
    item: ItemId
    title: str
    body: Digest


def read_rows(session: LedgerSession, owner: EntryOwner, known: Iterable[RequestId] = (), *, but: int = 0) -> OpenRows:
    """What is open, with the rows of `known` requests whatever became of them. Work of runner `but` is not another's.

    Rows that cannot be used are left out; a database without tables has none. Raises StateError.
    """
    try:
        rows = session.run(_OPEN, (owner.lineage, owner.environment, list(known), but))
    except StateError as error:
        if error.code == "ledger-empty":
            return OpenRows()
        if error.code == "ledger-refused":
            schema.prepare(session)  # says so where the tables are those of another version
        raise
    if rows[0][0] != schema.newest():
        schema.prepare(session)
    entries: list[OpenEntry] = []
    held: dict[RequestId, HeldEntry] = {}
    dropped: dict[RequestId, OpenEntry] = {}
    for row in (_OpenRow(*each) for each in rows if each[1] is not None):
        entry = entry_in(row.line) if row.line else None
        if entry is not None and entry.request_id == row.request_id:
            if row.dropped:
                dropped[entry.request_id] = entry
            else:
                entries.append(entry)
        damaged = row.line_is_needed and (entry is None or entry.request_id != row.request_id)
        if row.is_held or damaged:
            held[row.request_id] = HeldEntry(
                request_id=row.request_id,
                item=row.item,
                digest=row.digest,
                state=row.state,
                kind=DAMAGED if damaged else row.kind,
                who="" if damaged else row.who,
                depositor=row.depositor,
                since=row.since,
            )
    return OpenRows(entries=tuple(entries), held=held, dropped=dropped)


class _OpenRow(NamedTuple):
    version: int
    request_id: RequestId
    item: ItemId
    digest: Digest
    state: str
    line: str
    dropped: bool
    stopped: bool
    kind: str
    who: str
    depositor: str
    since: str

    @property
    def line_is_needed(self) -> bool:
        """Whether something was sent, of which the line alone says what."""
        return self.state != "queued" and not self.dropped

    @property
    def is_held(self) -> bool:
        """Whether a runner that lives has more to do for it, or it waits for one."""
        waits = self.state == "queued" and not self.stopped
        return not self.dropped and (waits or (bool(self.kind) and self.state in _UNDER_WAY))


def is_dropped(entry: OpenEntry, rows: OpenRows) -> bool:
    """Whether an entry was let go of elsewhere; one that has come further here was not."""
    there = rows.dropped.get(entry.request_id)
    return there is not None and (there.state is entry.state or furthest((entry, there)) is there)


def read_texts(
    session: LedgerSession, lineage: str, server: str, digests: Collection[Digest]
) -> dict[Digest, TextSummary]:
    """The last paid text of each request that has one, whoever paid for it."""
    if not digests:
        return {}
    try:
        rows = session.run(_TEXTS, (lineage, server, list(digests)))
    except StateError as error:
        if error.code == "ledger-empty":
            return {}
        raise
    return {digest: TextSummary(*about) for digest, *about in rows}


def read_text(
    session: LedgerSession, lineage: str, server: str, digest: Digest, request_id: str = ""
) -> StoredText | None:
    """The last paid text for a request, or that of one submit, whatever its server was called when it was paid for.

    A row that cannot be used counts as none.
    """
    rows = session.run(_TEXT, (lineage, digest, request_id, server, request_id))
    found = read_json(rows[0][0], StoredText) if rows else None
    if found is None:
        return None
    return structs.replace(found, title=clean_title(found.title), body=clean_body(found.body))
