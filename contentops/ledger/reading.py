"""Reads what a ledger has of one environment of a project: what is open, who works on it, which texts there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from contentops.digest import Digest
from contentops.documents.clean import clean_body, clean_title
from contentops.errors import StateError
from contentops.ledger import schema
from contentops.ledger.entries import entry_in
from contentops.ledger.live_runners import ALIVE
from contentops.ledger.rows import read_json, utc
from contentops.model import ItemId, LockedLine, PendingSubmit, RequestId
from contentops.state.lock import furthest
from contentops.state.paid_texts import StoredText

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping

    from contentops.ledger.entries import EntryOwner
    from contentops.ledger.session import LedgerSession
    from contentops.model import OpenEntry

_UNDER_WAY = frozenset({"submitting", "running", "unknown"})
"""States in which a live runner has more to do; what is paid for or failed is free for anyone."""
DAMAGED = "a row of the ledger that cannot be used"
"""The holder of an item whose row cannot be used."""
_OPEN = f"""
SELECT v.number, e.request_id, e.state, e.line, e.dropped, coalesce(r.who, ''), {utc("e.made_at")}
FROM (SELECT max(number) AS number FROM contentops.version) v
LEFT JOIN contentops.entry e
  ON (e.lineage = %s AND e.environment = %s AND NOT e.taken) OR e.request_id = ANY(%s)
LEFT JOIN contentops.runner r ON r.number = e.runner AND r.number <> %s AND r.number IN {ALIVE}"""
_SINCE = """
SELECT environment, line FROM contentops.entry
WHERE lineage = %s AND (NOT taken OR changed_at >= %s) AND (state = 'paid' OR NOT dropped)"""
_TEXTS = """
SELECT DISTINCT ON (digest) digest, request_id, item, title, body FROM contentops.text
WHERE lineage = %s AND server = %s AND digest = ANY(%s) AND value NOT LIKE '%%"given_up":true%%'
ORDER BY digest, made_at DESC"""
_TEXT = """
SELECT value FROM contentops.text WHERE lineage = %s AND digest = %s
  AND CASE WHEN %s = '' THEN server = %s AND value NOT LIKE '%%"given_up":true%%' ELSE request_id = %s END
ORDER BY made_at DESC LIMIT 1"""


class OpenRows(Struct, frozen=True, kw_only=True):
    """What is open of a project's environment, whoever submitted it."""

    entries: tuple[OpenEntry, ...] = ()
    """What was submitted and has no record in git yet, and what was asked for by name."""
    pending: Mapping[RequestId, PendingSubmit] = field(default_factory=dict)
    """What others work on."""
    dropped: Mapping[RequestId, OpenEntry] = field(default_factory=dict)
    """What was dropped, with its last entry."""


class TextSummary(Struct, frozen=True):
    """What a plan needs of a paid text."""

    request_id: str
    item: ItemId
    title: str
    body: Digest


def read_rows(session: LedgerSession, owner: EntryOwner, known: Iterable[RequestId] = (), *, but: int = 0) -> OpenRows:
    """Return what is open, and the rows of `known` requests in any state; the runner `but` is no other runner.

    Rows that cannot be used are left out; a database without tables has none. Raises StateError.
    """
    try:
        rows = session.run(_OPEN, (owner.lineage, owner.environment, list(known), but))
    except StateError as error:
        if error.code == "ledger-empty":
            return OpenRows()
        if error.code == "ledger-refused":
            schema.prepare(session)  # raises where the tables are of a newer version
        raise
    schema.refuse_newer(rows[0][0])
    entries: list[OpenEntry] = []
    pending: dict[RequestId, PendingSubmit] = {}
    dropped: dict[RequestId, OpenEntry] = {}
    for _, request_id, state, line, is_dropped, who, since in (row for row in rows if row[1] is not None):
        entry = entry_in(line)
        if entry is not None and entry.request_id != request_id:
            entry = None
        holder = DAMAGED if entry is None else f"apply on {who.rpartition('@')[2]}"
        submit = PendingSubmit(state=state, since=since, holder=holder)
        # Of a row without a usable line no one knows what was sent.
        if not is_dropped and (entry is None or (who and state in _UNDER_WAY)):
            pending[request_id] = submit
        if entry is not None and is_dropped:
            dropped[entry.request_id] = entry
        elif entry is not None:
            entries.append(entry)
    return OpenRows(entries=tuple(entries), pending=pending, dropped=dropped)


def read_recent(session: LedgerSession, lineage: str, start: dt.datetime) -> tuple[LockedLine, ...]:
    """Return the submits of a project that are open or were paid for since a moment. Raises StateError."""
    try:
        rows = session.run(_SINCE, (lineage, start))
    except StateError as error:
        if error.code == "ledger-empty":
            return ()
        raise
    entries = ((environment, entry_in(line)) for environment, line in rows)
    return tuple(LockedLine(environment, entry) for environment, entry in entries if entry is not None)


def is_closed(entry: OpenEntry, rows: OpenRows) -> bool:
    """Whether another checkout dropped an entry that has no later state here."""
    other = rows.dropped.get(entry.request_id)
    return other is not None and (other.state is entry.state or furthest((entry, other)) is other)


def read_texts(
    session: LedgerSession, lineage: str, server: str, digests: Collection[Digest]
) -> dict[Digest, TextSummary]:
    """Return the last paid text of each request that has one, whoever paid for it."""
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
    """Return the last paid text for a request, or that of one submit at any server; None where no row can be used."""
    rows = session.run(_TEXT, (lineage, digest, request_id, server, request_id))
    text = read_json(rows[0][0], StoredText) if rows else None
    if text is None:
        return None
    return structs.replace(text, title=clean_title(text.title), body=clean_body(text.body))
