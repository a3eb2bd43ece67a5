"""Open entries and paid texts that all machines see, durable before a request that pays is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from contentops.documents.clean import body_digest
from contentops.ledger.account import proven_fact
from contentops.ledger.live_runners import ALIVE
from contentops.ledger.session import taken
from contentops.model import JobState, OpenEntry, Record, RequestId
from contentops.state.codec import Drop, line_of, parse_line
from contentops.state.lock import furthest
from contentops.state.paid_texts import StoredText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import psycopg

    from contentops.digest import Digest
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import Row
    from contentops.state.codec import Fact

FENCE = 5.0
"""Seconds after its record in which a request that pays may be sent: less than a successor waits for an answer."""
ASSURED = 1.0
"""Seconds after an answer in which a session counts as alive."""

_COLUMNS = "request_id text, lineage text, environment text, item text, state text, line text"
_NAMES = ", ".join(column.split()[0] for column in _COLUMNS.split(","))
_ROWS = f"FROM jsonb_to_recordset(%(rows)s::jsonb) AS r({_COLUMNS})"
# A row that was dropped before this runner began may be written again; one that was dropped since was continued by
# another while this runner stood still.
_WRITE = f"""
INSERT INTO contentops.entry AS e ({_NAMES}, runner) SELECT r.*, %(runner)s {_ROWS}
ON CONFLICT (request_id) DO UPDATE SET item = excluded.item, state = excluded.state, line = excluded.line,
  taken = false, dropped = false, changed_at = now(), runner = excluded.runner
WHERE e.runner = excluded.runner OR (e.dropped AND (e.runner IS NULL OR e.runner NOT IN {ALIVE})
  AND e.changed_at < (SELECT started_at FROM contentops.runner WHERE number = excluded.runner))
RETURNING request_id"""
_CLAIM = f"""
WITH ours AS (
  INSERT INTO contentops.entry AS e ({_NAMES}, runner) SELECT r.*, %(runner)s {_ROWS}
  ON CONFLICT (request_id) DO UPDATE SET runner = excluded.runner
  WHERE e.runner IS NULL OR e.runner = excluded.runner OR e.state IN ('paid', 'failed') OR e.runner NOT IN {ALIVE}
  RETURNING request_id),
dropped AS (
  UPDATE contentops.entry SET runner = %(runner)s WHERE request_id = ANY(%(submits)s) AND dropped
  AND (runner IS NULL OR runner = %(runner)s OR runner NOT IN {ALIVE}) RETURNING request_id)
SELECT request_id FROM ours UNION ALL SELECT request_id FROM dropped"""
_CLAIMED = """
SELECT request_id, CASE WHEN dropped THEN '' ELSE line END,
  taken AND NOT (dropped AND NOT EXISTS (SELECT 1 FROM contentops.text t WHERE t.request_id = e.request_id))
FROM contentops.entry e WHERE request_id = ANY(%s)"""
_KEEP = """
INSERT INTO contentops.text (request_id, lineage, server, digest, item, title, body, value)
SELECT r.* FROM jsonb_to_recordset(%s::jsonb) AS r(request_id text, lineage text, server text,
  digest text, item text, title text, body text, value text)
ON CONFLICT (request_id) DO UPDATE SET title = excluded.title, body = excluded.body, value = excluded.value"""

# The row stays for a while, so that a checkout which still has the entry drops it as well. A row that this runner had
# and that no one has now was continued and released by another runner.
_DROP = """
UPDATE contentops.entry SET taken = true, dropped = true, changed_at = now() WHERE request_id = ANY(%(gone)s)
AND (runner = %(runner)s OR (runner IS NULL AND NOT request_id = ANY(%(ours)s)))"""
_LOST = """
SELECT 1 FROM contentops.entry WHERE request_id = ANY(%s) AND runner IS DISTINCT FROM %s AND NOT taken LIMIT 1"""


class EntryOwner(Struct, frozen=True, kw_only=True):
    """The owner of entries: a project's environment, on an account (empty: not known yet)."""

    lineage: str
    environment: str
    account: str = ""


class EntryRow(Struct, frozen=True, kw_only=True):
    """The row of an open entry."""

    request_id: str
    lineage: str
    environment: str
    item: str
    state: str
    line: str

    @staticmethod
    def of(owner: EntryOwner, entry: OpenEntry) -> EntryRow:
        """Return the row of an entry."""
        return EntryRow(
            request_id=entry.request_id,
            lineage=owner.lineage,
            environment=owner.environment,
            item=entry.item,
            state=entry.state.value,
            line=line_of(entry),
        )


class TextRow(Struct, frozen=True, kw_only=True):
    """A row of a paid text."""

    request_id: str
    lineage: str
    server: str
    digest: str
    item: str
    title: str
    body: str
    value: str


class Unclaimed(NamedTuple):
    """What a run could not claim."""

    lost: frozenset[RequestId] = frozenset()
    """What a live runner has, or what changed since it was read."""
    recorded: frozenset[RequestId] = frozenset()
    """Submits that a record in git has."""


class EntryWriter:
    """Collects entries and texts of one runner; `flush` writes them in one transaction, if all rows are its own."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._entries: dict[RequestId, EntryRow] = {}
        self._dropped: dict[RequestId, None] = {}
        self._taken: dict[RequestId, None] = {}
        self._texts: dict[str, TextRow] = {}
        self._ours: set[RequestId] = set()
        self._proven: dict[tuple[str, str], bool] = {}
        """Accounts and the names of their facts that texts were paid for, each with whether the ledger knows it."""
        self.flushed = runner.clock()
        """When the last flush began."""

    def own(self, claimed: Iterable[RequestId]) -> None:
        """Remember claimed submits as this run's own."""
        self._ours.update(claimed)

    def note(self, owner: EntryOwner, facts: Sequence[Fact]) -> None:
        """Collect facts about submits: open entries, dropped ones, and those that a record now has."""
        for fact in facts:
            match fact:
                case OpenEntry():
                    self._entries[fact.request_id] = EntryRow.of(owner, fact)
                    self._dropped.pop(fact.request_id, None)
                    if fact.state is JobState.PAID and owner.account:
                        self._proven.setdefault((owner.account, proven_fact(fact.server, fact.dialect)), False)
                case Drop(request_id):
                    self._dropped[request_id] = None
                case Record(request_id=request_id) if request_id:
                    self._taken[request_id] = None
                case _:
                    pass

    def keep_text(self, owner: EntryOwner, server: str, digest: Digest, text: StoredText) -> None:
        """Collect a paid text; one that names no submit has no row."""
        if not text.request_id:
            return
        self._texts[text.request_id] = TextRow(
            request_id=text.request_id,
            lineage=owner.lineage,
            server=server,
            digest=digest,
            item=text.item,
            title=text.title,
            body=body_digest(text.body),
            value=msgspec.json.encode(text).decode(),
        )

    def flush(self) -> None:
        """Write what was collected in one transaction; if there is nothing, check now and then that the session lives.

        Raises WorkTaken, LedgerAway, StateError, and keeps what was collected for the next flush.
        """
        began = self._runner.clock()
        if not (self._entries or self._dropped or self._taken or self._texts):
            if began - self.flushed > ASSURED:
                self._runner.session.run("SELECT 1")
                self.flushed = began
            return
        self._runner.session.transaction(self._write)
        self._ours.update(self._entries)
        self._ours.difference_update(self._dropped)
        self._entries, self._dropped, self._taken, self._texts = {}, {}, {}, {}
        self.flushed = began
        self._proven = dict.fromkeys(self._proven, True)

    def fence(self) -> Callable[[], bool]:
        """Return a check to call directly before bytes are sent: whether what was flushed last may still be sent."""
        flushed = self.flushed
        return lambda: self._runner.clock() - flushed <= FENCE

    def _write(self, cursor: psycopg.Cursor[Row]) -> None:
        if self._texts:
            cursor.execute(_KEEP, (_json(self._texts.values()),))
        rows = list(self._entries.values())
        if rows:
            cursor.execute(_WRITE, {"rows": _json(rows), "runner": self._runner.number})
            if len(cursor.fetchall()) != len(rows):
                raise taken()
        if gone := [request_id for request_id in self._dropped if request_id not in self._taken]:
            cursor.execute(_DROP, {"gone": gone, "ours": list(self._ours), "runner": self._runner.number})
            cursor.execute(_LOST, (gone, self._runner.number))
            if cursor.fetchone() is not None:
                raise taken()
        for fact in [fact for fact, known in self._proven.items() if not known]:
            cursor.execute(
                "INSERT INTO contentops.fact (account, name, value) VALUES (%s, %s, 'true') ON CONFLICT DO NOTHING",
                fact,
            )
        if self._taken:
            cursor.execute(
                "UPDATE contentops.entry SET taken = true, changed_at = now() WHERE request_id = ANY(%s) AND NOT taken",
                (list(self._taken),),
            )


def claim(runner: Runner, owner: EntryOwner, entries: Iterable[OpenEntry], submits: Iterable[RequestId]) -> Unclaimed:
    """Claim open `entries`, and new `submits`; return what could not be claimed."""
    known = {entry.request_id: EntryRow.of(owner, entry) for entry in entries}
    new = [id_ for id_ in submits if id_ not in known]
    if not (known or new):
        return Unclaimed()
    values = {"rows": _json(known.values()), "submits": new, "runner": runner.number}

    def work(cursor: psycopg.Cursor[Row]) -> Unclaimed:
        cursor.execute(_CLAIM, values)
        claimed = {row[0] for row in cursor.fetchall()}
        cursor.execute(_CLAIMED, ([*known, *new],))
        stored = cursor.fetchall()
        # What this checkout learned while the ledger was away is written now.
        ahead = [
            known[id_]
            for id_, line, taken in stored
            if id_ in claimed and id_ in known and not taken and line and is_further(known[id_].line, line)
        ]
        if ahead:
            cursor.execute(_WRITE, {**values, "rows": _json(ahead)})
        recorded = frozenset(id_ for id_, _, taken in stored if taken and id_ not in known)
        lost = frozenset(
            id_
            for id_, line, _ in stored
            if id_ not in recorded and (id_ not in claimed or is_further(line, known[id_].line if id_ in known else ""))
        )
        return Unclaimed(lost, recorded)

    return runner.session.transaction(work)


def release(runner: Runner) -> None:
    """Release the open entries of a runner; an unknown submit stays with it until it dies."""
    runner.session.run(
        "UPDATE contentops.entry SET runner = NULL WHERE runner = %s AND NOT taken AND state <> 'unknown'",
        (runner.number,),
    )


def entry_in(line: str) -> OpenEntry | None:
    """Return the open entry in a line of the ledger; None for a line that cannot be used."""
    try:
        entry = parse_line(line)
    except ValueError:
        return None
    return entry if isinstance(entry, OpenEntry) else None


def is_further(line: str, known: str) -> bool:
    """Whether a line of the ledger is a later state of its submit than the line `known`."""
    entry, other = entry_in(line), entry_in(known)
    if entry is None:
        return False
    return other is None or (entry.state is not other.state and furthest((other, entry)) is entry)


def _json(rows: Iterable[Struct]) -> str:
    return msgspec.json.encode(list(rows)).decode()
