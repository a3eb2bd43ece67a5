"""The queue: `apply --detach` deposits submits, workers claim them, people list and cancel them.

`FOR UPDATE SKIP LOCKED` makes it a queue. Ranks let projects take turns: the ranks of a deposit begin above those that
its own project has queued, and not below the lowest that anyone has queued.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct, structs

from contentops.digest import Digest
from contentops.errors import Refused, plural
from contentops.ledger.entries import QUEUED, EntryOwner, entry_in
from contentops.ledger.live_runners import ALIVE
from contentops.ledger.rows import read_json, struct_of
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
"""What was paid for is never queued again under its name, also where its entry was dropped: the plan is too old.

What is queued for another account, such as that of a rotated key, is queued for the present account from then on.
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
# The runner of an unknown submit may look for it once more.
_CLAIMED = _OPEN.replace("'running'", "'running', 'unknown'")
_HOLDER = f"SELECT runner FROM contentops.entry WHERE {_CLAIMED} AND runner {{}} ORDER BY runner LIMIT 1"
_CLAIM = f"""
WITH RECURSIVE holder(number) AS (
  ({_HOLDER.format("IS NOT NULL")})
  UNION ALL SELECT ({_HOLDER.format("> holder.number")}) FROM holder WHERE holder.number IS NOT NULL),
orphan AS (
  SELECT request_id FROM contentops.entry WHERE {_CLAIMED}
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
"""The holders are read one by one from the index: few runners have many rows."""
_RELEASE_LOST = f"""
UPDATE contentops.entry SET runner = NULL
WHERE {_CLAIMED} AND runner = %(runner)s AND NOT request_id = ANY(%(known)s)"""

_DEPTH = """
SELECT (SELECT count(*) FROM contentops.entry WHERE account = %(account)s AND state = 'queued' AND runner IS NULL
    AND NOT (cancelled OR taken) AND error = ''),
  (SELECT count(*) FROM contentops.entry WHERE request_id = ANY(%(requests)s))"""
_OTHERS = (
    f"SELECT EXISTS (SELECT FROM contentops.entry WHERE {_CLAIMED} AND runner IS NOT NULL AND runner <> %(runner)s)"
)

CHUNK = 1_000
"""Submits that one statement queues."""
DEPOSITED = "contentops_deposited"
"""The channel that notifies workers of a deposit."""
_LOST = frozenset({JobState.SUBMITTING, JobState.UNKNOWN})


class QueuedWork(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data that a worker needs for a submit, besides the columns of its row."""

    request: Request
    attempt: int
    credits: int
    retry: int = 0
    output: str = ""
    job_timeout: float

    @property
    def usable(self) -> bool:
        """Whether `deposit` could have written this."""
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
    """Its position in its chunk."""


class ClaimedSubmit(Struct, frozen=True, kw_only=True):
    """A submit that this runner has claimed, with the columns that a worker uses."""

    owner: EntryOwner
    request_id: RequestId
    item: ItemId
    digest: Digest
    plan_id: str
    entry: OpenEntry | None
    """None: nothing was sent yet."""
    work: QueuedWork | None
    """What to submit; None: an `apply` began it, so only a checkout may submit it again."""


class UnusableRow(Struct, frozen=True):
    """A row that contradicts itself."""

    request_id: RequestId


def deposit(
    runner: Runner, owner: EntryOwner, submits: Iterable[Deposited], *, priority: int = 0
) -> frozenset[RequestId]:
    """Queue submits in chunks, and return those that were not queued before. A higher priority is submitted first.

    Each chunk is one transaction; after a failure, the same deposit adds those that are missing.
    """
    values = {
        "account": owner.account,
        "lineage": owner.lineage,
        "environment": owner.environment,
        "project": owner.project,
        "who": runner.who,
        "priority": priority,
    }
    remaining, queued = iter(submits), set[RequestId]()
    while chunk := list(itertools.islice(remaining, CHUNK)):
        # The ranks of each chunk begin above those of the one before.
        rows = [structs.replace(one, place=place) for place, one in enumerate(chunk)]
        asked = {**values, "rows": msgspec.json.encode(rows, enc_hook=dict).decode()}
        queued |= {RequestId(row[0]) for row in runner.session.run(_DEPOSIT, asked)}
    if queued:
        runner.session.run("SELECT pg_notify(%s, '')", (DEPOSITED,))
    return frozenset(queued)


def check_depth(session: LedgerSession, account: str, requests: Collection[RequestId], most: int) -> None:
    """Raise Refused if these submits would bring an account above `most` queued ones."""
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
    """Remove submits from the queue; return those that others have begun to work on, which stay."""
    rows = session.run(_WITHDRAW, {"gone": list(requests)}) if requests else ()
    return frozenset(RequestId(name) for (name,) in rows)


def claim_work(
    runner: Runner, account: str, server: str, most: int, known: Collection[RequestId] = ()
) -> tuple[ClaimedSubmit | UnusableRow, ...]:
    """Claim at most `most` free submits in the order of their ranks; `known`: those that the runner already has."""
    values = {"account": account, "most": most, "runner": runner.number}
    tries = itertools.count()

    def work(cursor: psycopg.Cursor[Row]) -> list[Row]:
        if next(tries):
            # The answer to an earlier try may be lost, and no one works on what it claimed.
            cursor.execute(_RELEASE_LOST.encode(), {**values, "known": list(known)})
        cursor.execute(_CLAIM.encode(), values)
        return cursor.fetchall()

    rows = runner.session.transaction(work)
    names = ("request_id", "lineage", "environment", "project", "item", "digest", "state", "line", "work", "plan_id")
    in_order = sorted(rows, key=lambda row: cast("tuple[int, int]", row[:2]))
    return tuple(_claimed(dict(zip(names, row[2:], strict=True)), account, server) for row in in_order)


def others_work(runner: Runner, account: str) -> bool:
    """Whether other runners have claimed work of an account, which this runner may get if they die."""
    return bool(runner.session.run(_OTHERS, {"account": account, "runner": runner.number})[0][0])


def _claimed(row: Mapping[str, str], account: str, server: str) -> ClaimedSubmit | UnusableRow:
    """Return the submit of a row, if its columns agree."""
    name, digest = RequestId(row["request_id"]), Digest(row["digest"])
    work = read_json(row["work"], QueuedWork) if row["work"] else None
    entry = entry_in(row["line"]) if row["line"] else None
    attempt = work.attempt if work is not None else entry.attempt if entry is not None else 0
    # A running job is only polled, whatever its item was called when it was submitted.
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
    """Return the request id that follows from the columns of a row; None where its lineage cannot be used."""
    try:
        return request_id(row["lineage"], row["environment"], ItemId(row["item"]), Digest(row["digest"]), attempt)
    except ValueError:
        return None


def drop_cancelled(session: LedgerSession, claimed: Iterable[RequestId]) -> tuple[RequestId, ...]:
    """Delete the cancelled ones of the claimed submits that were not sent yet; return them."""
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
    """Return what is queued or under way in one project or in all; lists at most `most` submits."""
    values = {"project": project, "most": most}
    return Queue(
        totals=tuple(struct_of(QueueTotal, row) for row in session.run(_TOTALS, values)),
        submits=tuple(map(_queued, session.run(_LIST, values))),
        workers=tuple(who for (who,) in session.run(_WORKERS)),
        paid=session.run(_PAID, values)[0][0],
    )


def _queued(row: Row) -> QueuedSubmit:
    *values, line = row
    submit = struct_of(QueuedSubmit, values)
    entry = entry_in(line) if line else None
    return submit if entry is None or submit.error else structs.replace(submit, error=entry.error)


def read_shares(session: LedgerSession, *, project: str, environment: str | None) -> tuple[QueuedShare, ...]:
    """Count what is queued by project, environment and who queued it; of one environment, or of all."""
    rows = session.run(_SHARES, {"project": project, "environment": environment})
    return tuple(struct_of(QueuedShare, row) for row in rows)


def cancel(
    session: LedgerSession,
    names: Iterable[str],
    *,
    project: str = "",
    environment: str | None = None,
    everything: bool = False,
) -> Cancelled:
    """Cancel submits that were not sent yet: those of named items or requests, or all.

    Of one environment (empty: the default one) or of all.
    """
    statement = _CANCEL.format(meant="true" if everything else _NAMED, named="false" if everything else _NAMED)
    rows = session.run(statement, {"names": list(names), "project": project, "environment": environment})
    kinds = ("removed", "told", "under_way")
    return Cancelled(**{kind: tuple(item for one, item in rows if one == kind) for kind in kinds})
