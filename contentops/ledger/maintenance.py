"""Deletes what a ledger no longer needs, marks it as restored, and reads its overview.

Nothing that is open is deleted, and each transaction locks few rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ledger.account import notice_restore
from contentops.ledger.live_runners import ALIVE, RunnerRow, live_runners
from contentops.ledger.rows import struct_of, utc

if TYPE_CHECKING:
    import psycopg

    from contentops.ledger.session import LedgerSession, Row

BATCH = 1_000
"""Rows that one transaction removes."""

# Each statement gets the days and the rows of a batch, and tests its condition again for every row.
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
    """How many rows `ledger gc` deletes."""

    entries: int = 0
    """Submits that a record in git has, or that were cancelled before they were sent."""
    texts: int = 0
    bytes: int = 0
    """Of those texts, as they are stored."""
    runners: int = 0
    """Dead ones that no entry names."""
    accounts: int = 0
    facts: int = 0


class AccountRow(Struct, frozen=True, kw_only=True):
    """An account, with its open submits and its credits."""

    id: str
    server: str
    restored_at: str
    seen_at: str
    queued: int
    in_flight: int
    unwritten: int
    failures: int
    oldest: int
    """Age in seconds of the oldest submit that is queued or in flight."""
    credits: int


class Overview(Struct, frozen=True, kw_only=True):
    """What `ledger status` shows. Times are UTC."""

    accounts: tuple[AccountRow, ...]
    runners: tuple[RunnerRow, ...]
    entries: int
    texts: int
    bytes: int
    """Of all its tables on disk."""


def superfluous(session: LedgerSession, days: int) -> Collected:
    """Count what `collect` would delete."""
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
    """Delete what was last used `days` ago: taken entries and their texts, dead runners, unused accounts.

    Where it raises as `LedgerSession.run` does, a part may be deleted; the next call deletes the rest.
    """
    size = superfluous(session, days).bytes

    def remove(table: str, key: str, which: str) -> int:
        rows = session.run(f"SELECT DISTINCT {key} FROM contentops.{table} WHERE {which}", {"days": days})
        statement = f"DELETE FROM contentops.{table} WHERE {key} = ANY(%(keys)s) AND {which} RETURNING 1"
        keys = [row[0] for row in rows]
        batches = (keys[start : start + batch] for start in range(0, len(keys), batch))
        return sum(len(session.run(statement, {"days": days, "keys": some})) for some in batches)

    return Collected(
        entries=remove("entry", "request_id", _DONE),
        texts=remove("text", "request_id", _UNNAMED),
        bytes=size,
        runners=remove("runner", "number", _DEAD),
        accounts=remove("account", "id", _UNUSED),
        facts=remove("fact", "account", _GONE),
    )


def restored(session: LedgerSession, *, nothing_lost: bool = False) -> tuple[str, ...]:
    """Mark all accounts as restored from a backup, or as complete after one; return their names."""
    notice_restore(session)
    when = "NULL" if nothing_lost else "now()"
    rows = session.run(f"UPDATE contentops.account SET restored_at = {when} RETURNING id")
    return tuple(sorted(row[0] for row in rows))


def overview(session: LedgerSession) -> Overview:
    """Return the overview of a ledger."""
    return session.transaction(_overview)


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
    accounts = tuple(struct_of(AccountRow, row) for row in cursor.fetchall())
    runners = live_runners(cursor)
    cursor.execute("""
SELECT (SELECT count(*) FROM contentops.entry), (SELECT count(*) FROM contentops.text),
  (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = 'contentops'::regnamespace AND c.relkind = 'r')""")
    entries, texts, size = cursor.fetchone() or (0, 0, 0)
    return Overview(accounts=accounts, runners=runners, entries=entries, texts=texts, bytes=size)
