"""What a ledger lets go of, what is told to it after it was restored, and how it stands.

Nothing that is open is ever touched, and no transaction holds more than a few rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from contentops.ledger.account import notice_restore
from contentops.ledger.rows import utc
from contentops.ledger.runner import ALIVE

if TYPE_CHECKING:
    import psycopg

    from contentops.ledger.session import LedgerSession, Row

    Rows = TypeVar("Rows", bound=Struct)

BATCH = 1_000
"""Rows that one transaction removes."""

# Each statement is given the days and the rows of a batch, and asks its condition again of every row.
_OLD = "now() - make_interval(days => %(days)s)"
_DONE = f"(taken OR (cancelled AND state = 'queued')) AND changed_at < {_OLD}"
_UNNAMED = (
    f"made_at < {_OLD} AND NOT EXISTS (SELECT FROM contentops.entry e WHERE e.request_id = contentops.text.request_id"
    f" AND NOT ({_DONE}))"
)
_DEAD = (
    "started_at < now() - interval '1 day'"
    f" AND number NOT IN {ALIVE}"
    f" AND NOT EXISTS (SELECT FROM contentops.entry e WHERE e.runner = number AND NOT ({_DONE}))"
)
_UNUSED = (
    f"seen_at < {_OLD}"
    f" AND NOT EXISTS (SELECT FROM contentops.entry e WHERE e.account = id AND NOT ({_DONE}))"
    " AND NOT EXISTS (SELECT FROM contentops.text t WHERE t.account = id AND t.made_at >= " + _OLD + ")"
)
_GONE = f"account NOT IN (SELECT id FROM contentops.account WHERE NOT ({_UNUSED}))"


class Collected(Struct, frozen=True, kw_only=True):
    """What a ledger lets go of."""

    entries: int = 0
    """Submits that a record in git carries, or that were cancelled before they were sent."""
    texts: int = 0
    bytes: int = 0
    """Of those texts, as they are stored."""
    runners: int = 0
    """That are dead, and named by no entry."""
    accounts: int = 0
    """That no one worked for."""
    facts: int = 0
    """Of accounts that are gone."""


class AccountRow(Struct, frozen=True, kw_only=True):
    """An account, and what is open and was spent on it."""

    id: str
    server: str
    restored_at: str
    seen_at: str
    queued: int
    in_flight: int
    unwritten: int
    failures: int
    oldest: int
    """Age in seconds of the oldest submit that waits or is in flight."""
    credits: int


class RunnerRow(Struct, frozen=True, kw_only=True):
    """A process that works now."""

    number: int
    kind: str
    who: str
    page: str
    started_at: str
    entries: int


class Overview(Struct, frozen=True, kw_only=True):
    """How a ledger stands. Times are UTC."""

    accounts: tuple[AccountRow, ...]
    runners: tuple[RunnerRow, ...]
    entries: int
    texts: int
    bytes: int
    """Of all its tables on disk."""


def superfluous(session: LedgerSession, days: int) -> Collected:
    """What `collect` would let go of."""
    counts = {
        "entries": f"SELECT count(*) FROM contentops.entry WHERE {_DONE}",
        "texts": f"SELECT count(*) FROM contentops.text WHERE {_UNNAMED}",
        "bytes": f"SELECT coalesce(sum(pg_column_size(value)), 0)::bigint FROM contentops.text WHERE {_UNNAMED}",
        "runners": f"SELECT count(*) FROM contentops.runner WHERE {_DEAD}",
        "accounts": f"SELECT count(*) FROM contentops.account WHERE {_UNUSED}",
        "facts": f"SELECT count(*) FROM contentops.fact WHERE {_GONE}",
    }
    return Collected(**{name: session.run(sql, {"days": days})[0][0] for name, sql in counts.items()})


def collect(session: LedgerSession, days: int, batch: int = BATCH) -> Collected:
    """Let go of what was done with `days` ago: taken entries and their texts, dead runners, accounts without use.

    Raises as `LedgerSession.run` does; what is gone by then is gone, and the next one goes on.
    """
    size = superfluous(session, days).bytes

    def remove(table: str, key: str, which: str) -> int:
        return _remove(session, (table, key), which, days, batch)

    return Collected(
        entries=remove("entry", "request_id", _DONE),
        texts=remove("text", "request_id", _UNNAMED),
        bytes=size,
        runners=remove("runner", "number", _DEAD),
        accounts=remove("account", "id", _UNUSED),
        facts=remove("fact", "account", _GONE),
    )


def restored(session: LedgerSession, *, nothing_lost: bool = False) -> tuple[str, ...]:
    """Say that the database was put back to an earlier time, or that this has lost nothing; the accounts."""
    notice_restore(session)
    when = "NULL" if nothing_lost else "now()"
    rows = session.run(f"UPDATE contentops.account SET restored_at = {when} RETURNING id")
    return tuple(sorted(row[0] for row in rows))


def overview(session: LedgerSession) -> Overview:
    """How a ledger stands."""
    return session.transaction(_overview)


def alive(cursor: psycopg.Cursor[Row]) -> tuple[RunnerRow, ...]:
    """Who works now."""
    cursor.execute(
        f"""
SELECT number, kind, who, page, {utc("started_at")}, entries FROM contentops.runner_alive ORDER BY number""".encode()
    )
    return tuple(_row(RunnerRow, row) for row in cursor.fetchall())


def _remove(session: LedgerSession, place: tuple[str, str], which: str, days: int, batch: int) -> int:
    table, key = f"contentops.{place[0]}", place[1]
    keys = [row[0] for row in session.run(f"SELECT DISTINCT {key} FROM {table} WHERE {which}", {"days": days})]
    removed = 0
    for start in range(0, len(keys), batch):
        values = {"days": days, "keys": keys[start : start + batch]}
        removed += len(session.run(f"DELETE FROM {table} WHERE {key} = ANY(%(keys)s) AND {which} RETURNING 1", values))
    return removed


def _overview(cursor: psycopg.Cursor[Row]) -> Overview:
    cursor.execute(
        f"""
SELECT a.id, a.server, coalesce({utc("a.restored_at")}, ''), {utc("a.seen_at")},
  coalesce(b.queued, 0)::bigint, coalesce(b.in_flight, 0)::bigint, coalesce(b.unwritten, 0)::bigint,
  coalesce(b.failures, 0)::bigint, coalesce(b.oldest, 0)::bigint, coalesce(s.credits, 0)::bigint
FROM contentops.account a
LEFT JOIN (SELECT account, sum(queued) AS queued, sum(in_flight) AS in_flight, sum(unwritten) AS unwritten,
    sum(failures) AS failures, max(greatest(oldest_queued, oldest_in_flight)) AS oldest
  FROM contentops.backlog GROUP BY account) b ON b.account = a.id
LEFT JOIN (SELECT account, sum(credits) AS credits FROM contentops.spend GROUP BY account) s ON s.account = a.id
ORDER BY a.id""".encode()
    )
    accounts = tuple(_row(AccountRow, row) for row in cursor.fetchall())
    runners = alive(cursor)
    cursor.execute("""
SELECT (SELECT count(*) FROM contentops.entry), (SELECT count(*) FROM contentops.text),
  (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = 'contentops'::regnamespace AND c.relkind = 'r')""")
    entries, texts, size = cursor.fetchone() or (0, 0, 0)
    return Overview(accounts=accounts, runners=runners, entries=entries, texts=texts, bytes=size)


def _row(kind: type[Rows], row: Row) -> Rows:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))
