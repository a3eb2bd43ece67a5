"""What is queued: deposited by an `apply` that does not wait, claimed by workers, listed and cancelled by people.

`FOR UPDATE SKIP LOCKED` is the queue. Ranks let projects take turns: those of a deposit begin above those of its own
project that are queued still, and not below the lowest one that anyone has queued.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct, structs

from contentops.digest import Digest
from contentops.errors import Refused, plural
from contentops.ledger.entries import QUEUED, EntryOwner, entry_in
from contentops.ledger.rows import read_json
from contentops.ledger.runner import ALIVE
from contentops.model import (
    Cancelled,
    ItemId,
    JobState,
    OpenEntry,
    Queue,
    QueuedShare,
    QueuedSubmit,
    QueueTotal,
    Request,
    RequestId,
    request_id,
)
from contentops.pricing import CREDITS
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import psycopg

    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession, Row

_DEPOSIT = f"""
WITH above AS (SELECT greatest(
  (SELECT max(rank) + 1 FROM contentops.entry WHERE lineage = %(lineage)s AND environment = %(environment)s
     AND priority = %(priority)s AND state = 'queued'),
  (SELECT min(rank) FROM contentops.entry WHERE account = %(account)s AND priority = %(priority)s AND state = 'queued'
     AND runner IS NULL AND NOT (cancelled OR taken) AND error = ''), 0) AS rank)
INSERT INTO contentops.entry AS e
  (request_id, account, lineage, environment, project, item, digest, state, work, credits, plan_id, who, priority, rank)
SELECT r.request_id, %(account)s, %(lineage)s, %(environment)s, %(project)s, r.item, r.digest, 'queued', r.work,
  r.credits, r.plan_id, %(who)s, %(priority)s, above.rank + r.place
FROM above, jsonb_to_recordset(%(rows)s::jsonb)
  AS r(request_id text, item text, digest text, work jsonb, credits int, plan_id text, place int)
ON CONFLICT (request_id) DO UPDATE SET account = excluded.account, work = excluded.work,
  priority = excluded.priority, rank = excluded.rank, who = excluded.who, state = 'queued', line = '', taken = false,
  dropped = false, cancelled = false, error = '', made_at = now(), changed_at = now()
WHERE (e.dropped AND e.state <> 'paid') OR (e.state = 'queued' AND (e.cancelled OR e.error <> ''))
  OR (e.state = 'queued' AND e.account <> excluded.account AND (e.runner IS NULL OR e.runner NOT IN {ALIVE}))
RETURNING request_id"""
"""What was paid for is never queued again under its name, also where its text was let go of: the plan is too old.

What waits for another account, such as that of a key which was rotated, waits for the account of today from then on.
"""
_WITHDRAW = f"""
WITH gone AS (
  DELETE FROM contentops.entry WHERE request_id = ANY(%(gone)s) AND state = 'queued'
    AND (runner IS NULL OR runner NOT IN {ALIVE}) RETURNING request_id)
SELECT request_id FROM contentops.entry WHERE request_id = ANY(%(gone)s) AND NOT (taken OR dropped)
  AND request_id NOT IN (SELECT request_id FROM gone)"""
_OPEN = (
    "account = %(account)s AND state IN ('queued', 'submitting', 'running') AND NOT (cancelled OR taken) AND error = ''"
)
# Who held what is unknown had not looked for it for the last time.
_HELD = _OPEN.replace("'running'", "'running', 'unknown'")
_HOLDER = f"SELECT runner FROM contentops.entry WHERE {_HELD} AND runner {{}} ORDER BY runner LIMIT 1"
_CLAIM = f"""
WITH RECURSIVE holder(number) AS (
  ({_HOLDER.format("IS NOT NULL")})
  UNION ALL SELECT ({_HOLDER.format("> holder.number")}) FROM holder WHERE holder.number IS NOT NULL),
orphan AS (
  SELECT request_id FROM contentops.entry WHERE {_HELD}
    AND runner IN (SELECT number FROM holder WHERE number IS NOT NULL AND number NOT IN {ALIVE})
  LIMIT %(most)s FOR UPDATE SKIP LOCKED),
free AS (
  SELECT request_id FROM contentops.entry
  WHERE {_OPEN} AND runner IS NULL AND (work IS NOT NULL OR state <> 'queued')
  ORDER BY priority DESC, rank LIMIT %(most)s - (SELECT count(*) FROM orphan) FOR UPDATE SKIP LOCKED)
UPDATE contentops.entry e SET runner = %(runner)s
WHERE e.request_id = ANY(ARRAY(SELECT request_id FROM orphan UNION ALL SELECT request_id FROM free))
RETURNING -e.priority, e.rank, e.request_id, e.lineage, e.environment, e.project, e.item, e.digest, e.state, e.line,
  e.work::text, e.plan_id"""
"""The holders are found one by one in the index: few runners hold many rows."""
_UNTOLD = f"""
UPDATE contentops.entry SET runner = NULL
WHERE {_HELD} AND runner = %(runner)s AND NOT request_id = ANY(%(known)s)"""

_DEPTH = """
SELECT (SELECT count(*) FROM contentops.entry WHERE account = %(account)s AND state = 'queued' AND runner IS NULL
    AND NOT (cancelled OR taken) AND error = ''),
  (SELECT count(*) FROM contentops.entry WHERE request_id = ANY(%(requests)s))"""
_OTHERS = f"SELECT EXISTS (SELECT FROM contentops.entry WHERE {_HELD} AND runner IS NOT NULL AND runner <> %(runner)s)"

CHUNK = 1_000
"""Submits that one statement queues."""
DEPOSITED = "contentops_deposited"
"""The channel on which workers hear that something was queued."""
_LOST = frozenset({JobState.SUBMITTING, JobState.UNKNOWN})


class QueuedWork(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker needs to know of a submit beside what its row says."""

    request: Request
    attempt: int
    credits: int
    retry: int = 0
    output: str = ""
    job_timeout: float

    @property
    def usable(self) -> bool:
        """Whether it can have been deposited."""
        return self.attempt > 0 and self.job_timeout > 0 and self.request.mode in CREDITS


class Deposited(Struct, frozen=True, kw_only=True):
    """A submit to be queued."""

    request_id: RequestId
    item: ItemId
    digest: Digest
    work: QueuedWork
    credits: int
    plan_id: str
    place: int
    """Its place among those that are deposited together."""


class ClaimedSubmit(Struct, frozen=True, kw_only=True):
    """A submit that this runner has claimed: its row, as far as a worker goes by it."""

    owner: EntryOwner
    request_id: RequestId
    item: ItemId
    digest: Digest
    plan_id: str
    entry: OpenEntry | None
    """How far it has come; None: nothing was sent yet."""
    work: QueuedWork | None
    """What to submit; None: only a checkout may, since an `apply` began it."""


class UnusableRow(Struct, frozen=True):
    """A row that says what cannot be."""

    request_id: RequestId


def deposit(
    runner: Runner, owner: EntryOwner, submits: Iterable[Deposited], *, priority: int = 0
) -> frozenset[RequestId]:
    """Queue submits, and return those that are new: no one asked for them before. A higher priority goes first.

    They go in chunks, each whole: where one is missing, the same deposit again adds it.
    """
    values = {
        "account": owner.account,
        "lineage": owner.lineage,
        "environment": owner.environment,
        "project": owner.project,
        "who": runner.who,
        "priority": priority,
    }
    left, queued = iter(submits), set[RequestId]()
    while chunk := list(itertools.islice(left, CHUNK)):
        # The ranks of each chunk begin above those of the one before.
        rows = [structs.replace(one, place=place) for place, one in enumerate(chunk)]
        asked = {**values, "rows": msgspec.json.encode(rows, enc_hook=dict).decode()}
        queued |= {RequestId(row[0]) for row in runner.session.run(_DEPOSIT, asked)}
    if queued:
        runner.session.run("SELECT pg_notify(%s, '')", (DEPOSITED,))
    return frozenset(queued)


def check_depth(session: LedgerSession, account: str, requests: Collection[RequestId], most: int) -> None:
    """Raises Refused where more than `most` submits of an account would wait with those of these that are new."""
    waiting, known = session.run(_DEPTH, {"account": account, "requests": list(requests)})[0]
    more = len(requests) - known
    if more and waiting + more > most:
        raise Refused(
            f"{plural(waiting, 'submit')} of account `{visible(account)}` wait already, and with"
            f" {more:,} more it would be more than `api.max_queued`, {most:,}",
            code="queue-full",
            hint="start workers, queue a part with `--select`, or raise `api.max_queued`; nothing was queued",
        )


def withdraw(session: LedgerSession, requests: Collection[RequestId]) -> frozenset[RequestId]:
    """Take submits out of the queue; returns those that others have begun to work on, which stay."""
    rows = session.run(_WITHDRAW, {"gone": list(requests)}) if requests else ()
    return frozenset(RequestId(name) for (name,) in rows)


def claim_work(
    runner: Runner, account: str, server: str, most: int, known: Collection[RequestId] = ()
) -> tuple[ClaimedSubmit | UnusableRow, ...]:
    """Claim at most so many submits that no one works on, in the order of their ranks; `known`: what it has already."""
    values = {"account": account, "most": most, "runner": runner.number}
    tries = itertools.count()

    def work(cursor: psycopg.Cursor[Row]) -> list[Row]:
        if next(tries):
            # The answer to an earlier try may be lost, and no one works on what it claimed.
            cursor.execute(_UNTOLD.encode(), {**values, "known": list(known)})
        cursor.execute(_CLAIM.encode(), values)
        return cursor.fetchall()

    rows = runner.session.transaction(work)
    names = ("request_id", "lineage", "environment", "project", "item", "digest", "state", "line", "work", "plan_id")
    found = (
        dict(zip(names, row[2:], strict=True)) for row in sorted(rows, key=lambda row: cast("tuple[int, int]", row[:2]))
    )
    return tuple(_claimed(row, account, server) for row in found)


def others_work(runner: Runner, account: str) -> bool:
    """Whether other runners hold work of an account, which may be taken over should they die."""
    return bool(runner.session.run(_OTHERS, {"account": account, "runner": runner.number})[0][0])


def _claimed(row: Mapping[str, str], account: str, server: str) -> ClaimedSubmit | UnusableRow:
    """The submit of a row, if all that the row says fits together."""
    name, digest = RequestId(row["request_id"]), Digest(row["digest"])
    work, entry = _work_in(row["work"]), entry_in(row["line"]) if row["line"] else None
    attempt = work.attempt if work is not None else entry.attempt if entry is not None else 0
    # What runs is only polled, whatever its item was called when it was submitted.
    runs = entry is not None and entry.state is JobState.RUNNING
    fits = runs or name == _name(row, attempt)
    if work is not None:
        fits &= work.usable and work.request.digest == digest
    if entry is None:
        fits &= row["state"] == QUEUED and work is not None
    else:
        fits &= (entry.request_id, entry.item, entry.digest, entry.server) == (name, row["item"], digest, server)
        fits &= entry.state in _LOST or (entry.state is JobState.RUNNING and bool(entry.job_id))
    if not fits:
        return UnusableRow(name)
    return ClaimedSubmit(
        owner=EntryOwner(
            lineage=row["lineage"], environment=row["environment"], project=row["project"], account=account
        ),
        request_id=name,
        item=ItemId(row["item"]),
        digest=digest,
        plan_id=row["plan_id"],
        entry=entry,
        work=work,
    )


def _name(row: Mapping[str, str], attempt: int) -> RequestId | None:
    """The request that a row is about, by all that names one; None where its lineage cannot be used."""
    try:
        return request_id(row["lineage"], row["environment"], ItemId(row["item"]), Digest(row["digest"]), attempt)
    except ValueError:
        return None


def _work_in(text: str | None) -> QueuedWork | None:
    return None if text is None else read_json(text, QueuedWork)


def drop_cancelled(session: LedgerSession, claimed: Iterable[RequestId]) -> tuple[RequestId, ...]:
    """Take out what was cancelled of what is claimed and queued still; returns it."""
    rows = session.run(
        "DELETE FROM contentops.entry WHERE request_id = ANY(%s) AND state = 'queued' AND cancelled"
        " RETURNING request_id",
        (list(claimed),),
    )
    return tuple(RequestId(row[0]) for row in rows)


# --- for people --------------------------------------------------------------------------------------------

_SHOWN = "state IN ('queued', 'submitting', 'running', 'unknown') AND NOT taken"
_STATE = (
    "CASE WHEN e.state <> 'queued' THEN e.state WHEN e.cancelled THEN 'cancelled'"
    " WHEN e.error <> '' THEN 'refused' ELSE 'queued' END"
)
_TOTALS = f"""
SELECT e.project, e.environment, {_STATE}, count(*), sum(e.credits)::bigint FROM contentops.entry e
WHERE {_SHOWN} AND (%(project)s = '' OR e.project = %(project)s) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
_LIST = f"""
SELECT e.request_id, e.project, e.environment, e.item, {_STATE}, e.credits,
  extract(epoch FROM now() - e.made_at)::bigint, e.who, coalesce(r.who, ''), coalesce(r.kind, ''), e.error, e.line
FROM contentops.entry e LEFT JOIN contentops.runner r ON r.number = e.runner AND r.number IN {ALIVE}
WHERE {_SHOWN} AND (%(project)s = '' OR e.project = %(project)s)
ORDER BY e.state = 'queued', e.cancelled OR e.error <> '', e.priority DESC, e.rank, e.request_id LIMIT %(most)s"""
_PAID = """
SELECT count(*) FROM contentops.entry
WHERE state = 'paid' AND NOT taken AND (%(project)s = '' OR project = %(project)s)"""
_WORKERS = f"SELECT who FROM contentops.runner WHERE kind = 'worker' AND number IN {ALIVE} ORDER BY number"
_MEANT = (
    "(%(project)s = '' OR project = %(project)s) AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
)
_CANCEL = f"""
WITH meant AS (
  SELECT request_id, runner IS NOT NULL AND runner IN {ALIVE} AS held FROM contentops.entry e
  WHERE state = 'queued' AND NOT taken AND {_MEANT} AND {{meant}} FOR UPDATE),
told AS (UPDATE contentops.entry e SET cancelled = true, changed_at = now() FROM meant
  WHERE meant.held AND e.request_id = meant.request_id RETURNING e.item),
removed AS (DELETE FROM contentops.entry e USING meant
  WHERE NOT meant.held AND e.request_id = meant.request_id RETURNING e.item)
SELECT 'told', item FROM told UNION ALL SELECT 'removed', item FROM removed
UNION ALL SELECT 'under_way', item FROM contentops.entry
  WHERE state IN ('submitting', 'running') AND NOT taken AND {_MEANT} AND {{named}}
ORDER BY 1, 2"""
_SHARES = f"""
SELECT project, environment, who, count(*), coalesce(sum(credits), 0)::bigint FROM contentops.entry
WHERE state = 'queued' AND NOT taken AND NOT cancelled AND {_MEANT}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
_NAMED = "(item = ANY(%(names)s) OR request_id = ANY(%(names)s))"


def read_queue(session: LedgerSession, *, project: str = "", most: int = 100) -> Queue:
    """All that is queued or under way, of a project by its name or of all; at most so many submits one by one."""
    values = {"project": project, "most": most}
    names = QueueTotal.__struct_fields__
    totals = tuple(QueueTotal(**dict(zip(names, row, strict=True))) for row in session.run(_TOTALS, values))
    return Queue(
        totals=totals,
        submits=tuple(map(_queued, session.run(_LIST, values))),
        workers=tuple(who for (who,) in session.run(_WORKERS)),
        paid=session.run(_PAID, values)[0][0],
    )


def _queued(row: Row) -> QueuedSubmit:
    *values, line = row
    found = QueuedSubmit(**dict(zip(QueuedSubmit.__struct_fields__, values, strict=True)))
    entry = entry_in(line) if line else None
    return found if entry is None or found.error else structs.replace(found, error=entry.error)


def read_shares(
    session: LedgerSession, *, project: str = "", environment: str | None = None
) -> tuple[QueuedShare, ...]:
    """Whose submits wait, by project, environment and who queued them; of one environment, or of all."""
    names = QueuedShare.__struct_fields__
    rows = session.run(_SHARES, {"project": project, "environment": environment})
    return tuple(QueuedShare(**dict(zip(names, row, strict=True))) for row in rows)


def cancel(
    session: LedgerSession,
    names: Iterable[str],
    *,
    project: str = "",
    environment: str | None = None,
    everything: bool = False,
) -> Cancelled:
    """Take out of the queue what nothing was sent of yet: items or requests by their names, or everything.

    Of one environment (empty: the default one) or of all.
    """
    statement = _CANCEL.format(meant="true" if everything else _NAMED, named="false" if everything else _NAMED)
    rows = session.run(statement, {"names": list(names), "project": project, "environment": environment})
    found: dict[str, list[str]] = {}
    for kind, item in rows:
        found.setdefault(kind, []).append(item)
    return Cancelled(**{kind: tuple(items) for kind, items in found.items()})
