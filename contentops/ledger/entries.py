"""Open entries and paid texts that all machines see: what a run notes here is durable before anything leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from contentops.documents.clean import body_digest
from contentops.ledger.account import place_fact
from contentops.ledger.runner import ALIVE
from contentops.ledger.session import taken
from contentops.model import JobState, OpenEntry, Record, RequestId
from contentops.state.cache import StoredText
from contentops.state.codec import Drop, line_of, parse_line
from contentops.state.lock import furthest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import psycopg

    from contentops.digest import Digest
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession, Row
    from contentops.state.codec import Fact

FENCE = 5.0
"""Seconds after its record in which a request that pays may still leave: less than a successor waits before it takes
the server's silence for proof."""
ASSURED = 1.0
"""Seconds for which a session that was heard of counts as alive."""
QUEUED = "queued"
"""The state of a row of which nothing was sent yet; the others are those of open entries."""

_COLUMNS = (
    "request_id text, account text, lineage text, environment text, project text, item text, digest text,"
    " state text, line text, credits int, plan_id text"
)
_NAMES = ", ".join(column.split()[0] for column in _COLUMNS.split(","))
_ROWS = f"FROM jsonb_to_recordset(%(rows)s::jsonb) AS r({_COLUMNS})"
_WRITE = f"""
INSERT INTO contentops.entry AS e ({_NAMES}, who, runner) SELECT r.*, %(who)s, %(runner)s {_ROWS}
ON CONFLICT (request_id) DO UPDATE SET state = excluded.state, line = excluded.line, credits = excluded.credits,
  account = CASE WHEN excluded.account = '' THEN e.account ELSE excluded.account END, taken = false, changed_at = now()
WHERE e.runner = excluded.runner
RETURNING request_id"""
_CLAIM = f"""
WITH ours AS (
  INSERT INTO contentops.entry AS e ({_NAMES}, who, runner)
  SELECT r.*, %(who)s, %(runner)s {_ROWS} WHERE r.line <> ''
  ON CONFLICT (request_id) DO UPDATE SET runner = excluded.runner
  WHERE e.runner IS NULL OR e.runner = excluded.runner OR e.runner NOT IN {ALIVE}
  RETURNING request_id, line),
queued AS (
  UPDATE contentops.entry e SET runner = %(runner)s {_ROWS} WHERE r.line = '' AND e.request_id = r.request_id
  AND e.state = '{QUEUED}' AND (e.runner IS NULL OR e.runner = %(runner)s OR e.runner NOT IN {ALIVE})
  RETURNING e.request_id, e.line)
SELECT request_id FROM ours UNION ALL SELECT request_id FROM queued"""
_KEEP = """
INSERT INTO contentops.text (request_id, account, lineage, server, digest, item, title, body, value)
SELECT r.* FROM jsonb_to_recordset(%s::jsonb) AS r(request_id text, account text, lineage text, server text,
  digest text, item text, title text, body text, value text)
ON CONFLICT (request_id) DO UPDATE SET title = excluded.title, body = excluded.body, value = excluded.value"""

_LEAVE = """
UPDATE contentops.entry e SET runner = NULL, error = CASE WHEN e.state = 'queued' THEN r.error ELSE '' END
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(request_id text, error text)
WHERE e.request_id = r.request_id AND e.runner = %(runner)s"""


class EntryOwner(Struct, frozen=True, kw_only=True):
    """Whose entries these are: of a project's environment, on an account (empty: not known yet)."""

    lineage: str
    environment: str
    project: str
    account: str = ""


class EntryRow(Struct, frozen=True, kw_only=True):
    """A row of an open entry as it is written."""

    request_id: str
    account: str
    lineage: str
    environment: str
    project: str
    item: str
    digest: str
    state: str
    line: str
    credits: int
    plan_id: str

    @staticmethod
    def of(owner: EntryOwner, entry: OpenEntry) -> EntryRow:
        """The row of an entry."""
        return EntryRow(
            **structs.asdict(owner),
            request_id=entry.request_id,
            item=entry.item,
            digest=entry.digest,
            state=entry.state.value,
            line=line_of(entry),
            credits=entry.credits,
            plan_id=entry.plan_id,
        )

    @staticmethod
    def queued(owner: EntryOwner, request_id: RequestId, item: str) -> EntryRow:
        """The row of a submit that may be queued, by its name alone."""
        return EntryRow(
            **structs.asdict(owner),
            request_id=request_id,
            item=item,
            digest="",
            state=QUEUED,
            line="",
            credits=0,
            plan_id="",
        )


class LeftRow(Struct, frozen=True, kw_only=True):
    """A row that its runner lets go of; `error`: why no worker can submit it, or empty."""

    request_id: RequestId
    error: str


class TextRow(Struct, frozen=True, kw_only=True):
    """A row of a paid text."""

    request_id: str
    account: str
    lineage: str
    server: str
    digest: str
    item: str
    title: str
    body: str
    value: str


class HeldEntry(Struct, frozen=True, kw_only=True):
    """A submit that a live runner works on."""

    request_id: RequestId
    item: str
    kind: str
    """What holds it: apply or worker."""
    who: str
    state: str


class EntryWriter:
    """What one runner notes of entries and texts; `flush` writes it, in one transaction.

    Every row is asked whether it is still this runner's: WorkTaken where it is not.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._entries: dict[RequestId, EntryRow | None] = {}
        self._taken: dict[RequestId, None] = {}
        self._texts: dict[str, TextRow] = {}
        self._left: dict[RequestId, LeftRow] = {}
        self._proven: dict[tuple[str, str], bool] = {}
        """By account and fact, where texts were paid for, and whether the ledger knows."""
        self.flushed = runner.clock()
        """When the last flush began."""

    def note(self, owner: EntryOwner, facts: Sequence[Fact]) -> None:
        """Take in facts of a state, as far as they concern what was paid for."""
        for fact in facts:
            match fact:
                case OpenEntry():
                    self._entries[fact.request_id] = EntryRow.of(owner, fact)
                    if fact.state is JobState.PAID and owner.account:
                        self._proven.setdefault((owner.account, place_fact(fact.server, fact.dialect)), False)
                case Drop(request_id):
                    self._entries[request_id] = None
                case Record(request_id=request_id) if request_id:
                    self._taken[request_id] = None
                case _:
                    pass

    def keep_text(self, owner: EntryOwner, server: str, digest: Digest, text: StoredText) -> None:
        """Take in a paid text."""
        if not text.request_id:
            return
        value = msgspec.json.encode(text).decode()
        self._texts[text.request_id] = TextRow(
            request_id=text.request_id,
            account=owner.account,
            lineage=owner.lineage,
            server=server,
            digest=digest,
            item=text.item,
            title=text.title,
            body=body_digest(text.body),
            value=value,
        )

    def unsend(self, owner: EntryOwner, entry: OpenEntry) -> None:
        """Take in that a submit from the queue never arrived: it is queued as before."""
        row = EntryRow.of(owner, entry)
        self._entries[entry.request_id] = structs.replace(row, state=QUEUED, line="")

    def leave(self, request_id: RequestId, error: str = "") -> None:
        """Let others work on it; where it is queued, `error` says why no worker can."""
        self._left[request_id] = LeftRow(request_id=request_id, error=error)

    def flush(self) -> None:
        """Make everything noted durable; with nothing noted, find out from time to time that the session lives.

        Raises WorkTaken, LedgerAway, StateError; what was noted is kept for the next flush then.
        """
        began = self._runner.clock()
        if not (self._entries or self._taken or self._texts or self._left):
            if began - self.flushed > ASSURED:
                self._runner.session.run("SELECT 1")
                self.flushed = began
            return
        self._runner.session.transaction(self._write)
        self._entries, self._taken, self._texts, self._left, self.flushed = {}, {}, {}, {}, began
        self._proven = dict.fromkeys(self._proven, True)

    def fence(self) -> Callable[[], bool]:
        """What tells directly before bytes leave whether what was flushed last may still do so."""
        flushed = self.flushed
        return lambda: self._runner.clock() - flushed <= FENCE

    def _write(self, cursor: psycopg.Cursor[Row]) -> None:
        if self._texts:
            cursor.execute(_KEEP, (_json(self._texts.values()),))
        rows = [row for row in self._entries.values() if row is not None]
        if rows:
            cursor.execute(_WRITE, {"rows": _json(rows), "who": self._runner.who, "runner": self._runner.number})
            if len(cursor.fetchall()) != len(rows):
                raise taken()
        if gone := [request_id for request_id, row in self._entries.items() if row is None]:
            cursor.execute(
                "DELETE FROM contentops.entry WHERE request_id = ANY(%s) AND (runner = %s OR runner IS NULL)",
                (gone, self._runner.number),
            )
        for place in [place for place, known in self._proven.items() if not known]:
            cursor.execute(
                "INSERT INTO contentops.fact (account, name, value) VALUES (%s, %s, 'true') ON CONFLICT DO NOTHING",
                place,
            )
        if self._left:
            cursor.execute(_LEAVE, {"rows": _json(self._left.values()), "runner": self._runner.number})
        if self._taken:
            cursor.execute(
                "UPDATE contentops.entry SET taken = true, changed_at = now() WHERE request_id = ANY(%s) AND NOT taken",
                (list(self._taken),),
            )


def claim(
    runner: Runner, owner: EntryOwner, entries: Iterable[OpenEntry], submits: Mapping[RequestId, str]
) -> tuple[str, ...]:
    """Take over what a run works on: open `entries`, and `submits` (their items) that may be queued.

    Returns the items that a live runner has, or that have gone on since they were read.
    """
    known = {entry.request_id: EntryRow.of(owner, entry) for entry in entries}
    queued = {id_: EntryRow.queued(owner, id_, item) for id_, item in submits.items() if id_ not in known}
    rows = {**known, **queued}
    if not rows:
        return ()
    values = {"rows": _json(rows.values()), "who": runner.who, "runner": runner.number}

    def work(cursor: psycopg.Cursor[Row]) -> tuple[str, ...]:
        cursor.execute(_CLAIM, values)
        claimed = {row[0] for row in cursor.fetchall()}
        cursor.execute("SELECT request_id, item, line FROM contentops.entry WHERE request_id = ANY(%s)", (list(rows),))
        found = cursor.fetchall()
        return tuple(
            item for id_, item, line in found if id_ not in claimed or is_further(line, rows[RequestId(id_)].line)
        )

    return runner.session.transaction(work)


def release(runner: Runner) -> None:
    """Let others work on what is still open."""
    runner.session.run("UPDATE contentops.entry SET runner = NULL WHERE runner = %s AND NOT taken", (runner.number,))


def read_open(session: LedgerSession, owner: EntryOwner) -> tuple[OpenEntry, ...]:
    """The open entries of a project's environment; rows that cannot be used are left out."""
    rows = session.run(
        "SELECT request_id, line FROM contentops.entry"
        " WHERE lineage = %s AND environment = %s AND NOT taken AND line <> ''",
        (owner.lineage, owner.environment),
    )
    found = ((request_id, entry_in(line)) for request_id, line in rows)
    return tuple(entry for request_id, entry in found if entry is not None and entry.request_id == request_id)


def read_held(session: LedgerSession, owner: EntryOwner, *, but: int = 0) -> dict[RequestId, HeldEntry]:
    """What live runners other than number `but` work on, in a project's environment."""
    rows = session.run(
        "SELECT e.request_id, e.item, r.kind, r.who, e.state FROM contentops.entry e"
        " JOIN contentops.runner r ON r.number = e.runner"
        f" WHERE e.lineage = %s AND e.environment = %s AND NOT e.taken AND e.runner <> %s AND e.runner IN {ALIVE}"
        " AND e.state IN ('queued', 'submitting', 'running')",
        (owner.lineage, owner.environment, but),
    )
    names = HeldEntry.__struct_fields__
    return {row[0]: HeldEntry(**dict(zip(names, row, strict=True))) for row in rows}


def known_texts(session: LedgerSession, lineage: str, server: str) -> frozenset[str]:
    """The digests of the requests that texts are there for."""
    rows = session.run(
        "SELECT DISTINCT digest FROM contentops.text WHERE lineage = %s AND server = %s", (lineage, server)
    )
    return frozenset(digest for (digest,) in rows)


def read_text(session: LedgerSession, lineage: str, server: str, digest: Digest) -> StoredText | None:
    """The last paid text for a request, whoever paid for it; a row that cannot be used counts as none."""
    rows = session.run(
        "SELECT value FROM contentops.text WHERE lineage = %s AND server = %s AND digest = %s"
        " ORDER BY made_at DESC LIMIT 1",
        (lineage, server, digest),
    )
    try:
        return msgspec.json.decode(rows[0][0], type=StoredText) if rows else None
    except msgspec.MsgspecError:
        return None


def entry_in(line: str) -> OpenEntry | None:
    """The entry of a line of the ledger; None for a line that cannot be used."""
    try:
        found = parse_line(line)
    except ValueError:
        return None
    return found if isinstance(found, OpenEntry) else None


def is_further(line: str, known: str) -> bool:
    """Whether a line of the ledger knows more of its submit than a known one."""
    there, here = entry_in(line), entry_in(known)
    if there is None:
        return False
    return here is None or (there.state is not here.state and furthest((here, there)) is there)


def _json(rows: Iterable[Struct]) -> str:
    return msgspec.json.encode(list(rows)).decode()
