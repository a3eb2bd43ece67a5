"""The ledger as one command of a project uses it: jobs, claims, locks and the request limit."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from contentops.errors import LockHeld
from contentops.ledger.jobs import (
    ALIVE,
    RUNNER,
    WORKING,
    JobKey,
    JobStage,
    LedgerScope,
    Runner,
    fill,
    is_further,
    json_of,
    key_of,
    put,
    read,
    row_of,
    stage_of,
)
from contentops.ledger.limiter import SharedLimiter, account_of
from contentops.ledger.session import LedgerSession, Row, taken, utc
from contentops.model import ApiSettings, Job, JobState, RequestId

if TYPE_CHECKING:
    import psycopg


# ---- The lock under which one process at a time applies an environment or a shard of it; it ends with its session.

APPLYING = 0x636F7232
"""The class of the advisory locks of applies."""

_HOLDER = f"""
SELECT r.who, r.page, {utc("r.started_at")} FROM pg_locks a JOIN pg_locks n USING (locktype, database, pid, granted)
JOIN contentops.runner r ON r.number = n.objid::int WHERE locktype = 'advisory' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.classid = {APPLYING} AND a.objid::int = %s AND n.classid = {RUNNER}"""


def lock_apply(runner: Runner, scope: LedgerScope, shard: str = "") -> None:
    """Take a lock that prevents other applies until the runner's session ends.

    Applies of different shards can run at the same time; an apply of all items runs alone. Raises LockHeld, whose
    message says who has the lock, where and since when.
    """
    whose = (scope.lineage, scope.environment)
    locks = [(_number(*whose), bool(shard)), *([(_number(*whose, shard), False)] if shard else [])]
    for number, shared in locks:
        if not runner.session.lock(APPLYING, number, shared=shared):
            raise _lock_held(runner.session.run(_HOLDER, (number,)), scope)


def _lock_held(rows: list[Row], scope: LedgerScope) -> LockHeld:
    who = "".join(f": {name}{f' ({page})' if page else ''}, since {since}" for name, page, since in rows[:1])
    named = f" for environment `{scope.environment}`" if scope.environment else ""
    return LockHeld(
        f"another `contentops` command works on this project{named}, on another machine or in another folder{who}",
        hint="wait for it to end, or end that process: the lock ends with the process",
    )


def _number(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:4], "big", signed=True)


# ---- Claims requests for one runner, and writes its jobs: durable before a request that pays is sent.

FENCE = 5.0
"""A request that pays may be sent at most this many seconds after its record. A successor waits longer than that."""
ASSURED = 1.0
"""A session counts as alive for this many seconds after a reply."""

_REQUESTS = "jsonb_to_recordset(%(rows)s::jsonb) AS r(server text, request_id text)"
_CLAIM = f"""
INSERT INTO contentops.claim AS c (lineage, server, request_id, runner)
SELECT %(lineage)s, server, request_id, %(runner)s FROM {_REQUESTS} ORDER BY server, request_id
ON CONFLICT (lineage, server, request_id) DO UPDATE SET runner = excluded.runner, since = now()
WHERE c.runner IS NULL OR c.runner = excluded.runner OR c.runner NOT IN {ALIVE}
RETURNING server, request_id"""
# A successor that wants a claim waits until this transaction has written what it says.
_HELD = f"""
SELECT c.server, c.request_id FROM contentops.claim c JOIN {_REQUESTS} USING (server, request_id)
WHERE c.lineage = %(lineage)s AND c.runner = %(runner)s ORDER BY 1, 2 FOR SHARE OF c"""
_RELEASE = f"""
UPDATE contentops.claim c SET runner = NULL FROM {_REQUESTS}
WHERE c.lineage = %(lineage)s AND (c.server, c.request_id) = (r.server, r.request_id)"""
_STATES = f"""
SELECT server, request_id, at, job, stage, rev FROM contentops.job j JOIN {_REQUESTS} USING (server, request_id)
WHERE j.lineage = %(lineage)s"""


Claim = tuple[str, RequestId]
"""What is claimed: a request id at a server."""


class JobWriter:
    """Collects the changed jobs of one runner and writes them to the ledger.

    `flush` writes in one transaction, if the runner still has the claims of the jobs.
    """

    def __init__(self, runner: Runner, scope: LedgerScope, known: dict[JobKey, JobStage] | None = None) -> None:
        """Create the writer. `known` has the progress of each job that this checkout knows, and is kept up to date."""
        self._runner, self._scope = runner, scope
        self._seen = {} if known is None else known
        self._jobs: dict[JobKey, Job] = {}
        self._ours: set[Claim] = set()
        """What this run has claimed."""
        self.flushed = runner.clock()
        """When the last flush began."""

    def claim(self, requests: Iterable[Claim]) -> frozenset[RequestId]:
        """Claim requests, so that no other runner submits them.

        Return those that another runner has claimed or changed.
        """
        wanted = {*requests}
        if not wanted:
            return frozenset()
        lost = self._runner.session.transaction(lambda cursor: self._claim(cursor, wanted))
        self._ours |= wanted - lost
        return frozenset(request_id for _, request_id in lost)

    def note(self, jobs: Iterable[Job]) -> None:
        """Collect jobs that this run has changed. The next `flush` writes them."""
        self._jobs.update((key_of(job), job) for job in jobs)

    def flush(self) -> None:
        """Write all jobs that this run has changed to the database, in one transaction.

        If there are none, check from time to time that the session works. Raises WorkTaken, LedgerAway or StateError.
        The jobs are then kept for the next flush.
        """
        began = self._runner.clock()
        if not self._jobs:
            if began - self.flushed > ASSURED:
                self._runner.session.run("SELECT 1")
                self.flushed = began
            return
        self._ours |= self._runner.session.transaction(self._write)
        stages = {key: stage_of(job) for key, job in self._jobs.items()}
        self._seen |= {key: reached for key, reached in stages.items() if is_further(key, reached, self._seen)}
        self._jobs = {}
        self.flushed = began

    def fence(self) -> Callable[[], bool]:
        """Return a function that says whether the last contact with the ledger is recent enough to send a request."""
        flushed = self.flushed
        return lambda: self._runner.clock() - flushed <= FENCE

    def close(self) -> None:
        """Release the claims of this run, so that other runners can submit these requests."""
        number = self._runner.number
        self._runner.session.run("UPDATE contentops.claim SET runner = NULL WHERE runner = %s", (number,))

    def _write(self, cursor: psycopg.Cursor[Row]) -> set[Claim]:
        """Write all collected jobs, and return the requests that had to be claimed first.

        Raises WorkTaken if another runner has a claim.
        """
        fresh = {key[:2] for key, job in self._jobs.items() if job.state in WORKING} - self._ours
        if fresh and self._claim(cursor, fresh):
            raise taken()
        ours = {key[:2] for key in self._jobs} & self._ours
        if ours and self._held(cursor, ours) != ours:
            raise taken()
        rows = [row_of(job, self._scope.environment) for job in self._jobs.values()]
        written = put(cursor, self._scope, rows)
        if any(job.state is JobState.SUBMITTING and key not in written for key, job in self._jobs.items()):
            raise taken()
        return fresh

    def _claim(self, cursor: psycopg.Cursor[Row], wanted: set[Claim]) -> set[Claim]:
        """Claim requests within a transaction, and return those that this run must not submit.

        Another live runner has claimed these, or their job has reached a later stage.
        """
        # A transaction may run twice: what it claimed the first time, it may have written too.
        fresh = wanted - self._held(cursor, wanted)
        cursor.execute(_CLAIM, self._values(fresh))
        claimed: set[Claim] = {(server, request_id) for server, request_id in cursor.fetchall()}
        cursor.execute(_STATES, self._values(claimed))
        stages = {JobKey(*key): (number, rev) for *key, number, rev in cursor.fetchall()}
        went_on = {key[:2] for key, reached in stages.items() if is_further(key, reached, self._seen)}
        if went_on:
            cursor.execute(_RELEASE, self._values(went_on))
        return fresh - claimed | went_on

    def _held(self, cursor: psycopg.Cursor[Row], requests: Iterable[Claim]) -> set[Claim]:
        """Return which of these requests are claimed by this runner. They stay locked until the transaction ends."""
        cursor.execute(_HELD, self._values(requests))
        return {(server, request_id) for server, request_id in cursor.fetchall()}

    def _values(self, requests: Iterable[Claim]) -> dict[str, object]:
        rows = json_of({"server": server, "request_id": request_id} for server, request_id in requests)
        return {"lineage": self._scope.lineage, "runner": self._runner.number, "rows": rows}


# ---- The ledger as one command of a project sees it: jobs, claims, the limiter of the account.


class ReadLedger:
    """The ledger of a project's environment, for a command that only reads it."""

    def __init__(
        self, session: LedgerSession, scope: LedgerScope, known: Iterable[Job] = (), *, runner: int = 0
    ) -> None:
        """Read the ledger. `known` are the jobs of this checkout, and `runner` is the number of this process.

        Raises StateError.
        """
        self._session, self._scope, self._number = session, scope, runner
        known = list(known)
        self._known: dict[JobKey, JobStage] = {key_of(job): stage_of(job) for job in known}
        found = read(session, scope, self._known, but=runner)
        self._rows = found.stages
        texts = (job for jobs in (known, *found.jobs.values()) for job in jobs if job.has_text)
        self.has_texts = any(key_of(job) in self._rows for job in texts)
        """Whether the ledger knows paid texts of the project."""
        self.lacking: Sequence[Job] = found.jobs.pop(scope.environment, [])
        """The jobs of this environment that are missing or older in this checkout."""
        self.elsewhere: Sequence[Job] = [job for jobs in found.jobs.values() for job in jobs]
        """The same kind of jobs in other environments."""
        self.pending: Mapping[RequestId, str] = found.pending
        """The requests that other processes work on, with the name of the process."""

    def limiter(self, api: ApiSettings, key: str) -> SharedLimiter:
        """Return the request limiter of the account that the key belongs to."""
        return SharedLimiter(self._session, account_of(api, key), api.requests_per_minute)

    def jobs(self) -> list[Job]:
        """Return the jobs of all environments that are missing or older in this checkout."""
        found = read(self._session, self._scope, self._known, but=self._number)
        return [job for jobs in found.jobs.values() for job in jobs]

    @contextlib.contextmanager
    def spending(self) -> Iterator[None]:
        """Lock the budget, so that only one command of the project plans and pays at a time.

        The lock is one for all environments. Raises LockHeld if another command has it.
        """
        number = _number(self._scope.lineage, "/")  # no environment has this name
        if not self._session.lock(APPLYING, number):
            raise LockHeld(
                "another `contentops` command of this project spends from the budget of the month",
                hint="wait for it to end: the budget is one for all environments",
            )
        try:
            yield
        finally:
            self._session.unlock(APPLYING, number)


class ProjectLedger(JobWriter, ReadLedger):
    """The ledger of a project, for a command that applies and writes jobs."""

    def __init__(self, runner: Runner, scope: LedgerScope, known: Iterable[Job] = ()) -> None:
        ReadLedger.__init__(self, runner.session, scope, known, runner=runner.number)
        lacked = {key_of(job): stage_of(job) for job in (*self.lacking, *self.elsewhere)}
        JobWriter.__init__(self, runner, scope, self._known | lacked)

    def fill(self, known: Mapping[str, Sequence[Job]]) -> None:
        """Store the checkout's jobs in the ledger, unless the ledger has the same or a later stage of a job.

        `known` has the jobs of each environment. Raises StateError.
        """
        fill(self._session, self._scope, self._rows, known)
