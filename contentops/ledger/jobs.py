"""Reads and writes a project's jobs in a ledger, for all environments. Each job is a line as in `contentops.jobs`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from contentops.ledger import session as schema
from contentops.ledger.session import LedgerSession, Row, utc
from contentops.model import Job, JobState, RequestId
from contentops.model.jobs import stage
from contentops.state.codec import line_of, parse_as
from contentops.state.state_dir import user_at_host

if TYPE_CHECKING:
    import psycopg


# ---- The live processes of a ledger: each holds the advisory lock of its number as long as its session lives.

RUNNER = 0x636F7231
"""The class of the advisory locks that show which runners are alive."""
COMING_BACK = 5
"""Earlier runners count as alive for this many seconds after a start of the database. They take their locks again."""
ALIVE = f"""(SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND classid = {RUNNER} AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT number FROM contentops.runner WHERE started_at < pg_postmaster_start_time()
  AND pg_postmaster_start_time() > now() - interval '{COMING_BACK} s')"""
"""SQL: the numbers of the runners that are alive."""


class RunnerRow(Struct, frozen=True):
    """A runner (an apply that uses the ledger) whose process is alive."""

    number: int
    who: str
    page: str
    started_at: str
    entries: int


def live_runners(session: LedgerSession) -> tuple[RunnerRow, ...]:
    """Return the runners whose processes are alive."""
    rows = session.run(
        f"""
SELECT number, who, page, {utc("started_at")}, (SELECT count(*) FROM contentops.claim c JOIN contentops.job j
  USING (lineage, server, request_id) WHERE c.runner = r.number AND j.state IN ('submitting', 'running'))
FROM contentops.runner r WHERE number IN {ALIVE} ORDER BY number"""
    )
    return tuple(RunnerRow(*row) for row in rows)


# ---- The jobs of a project in a ledger: the same lines as in `contentops.jobs`, of all environments.

WORKING = frozenset({JobState.SUBMITTING, JobState.UNKNOWN, JobState.RUNNING})
"""The states of jobs that are not finished at the server."""
DAMAGED = "a row of the ledger that cannot be used"
"""Named as the process that works on a request whose row cannot be used. The request may have been sent."""

_STAGES = "SELECT server, request_id, at, job, stage, rev FROM contentops.job WHERE lineage = %(lineage)s"
# Not those whose jobs are all done: their texts are free for anyone.
_CLAIMED = f"""
SELECT c.request_id, r.who FROM contentops.claim c JOIN contentops.runner r ON r.number = c.runner
LEFT JOIN contentops.job j USING (lineage, server, request_id)
WHERE lineage = %(lineage)s AND server = %(server)s AND c.runner <> %(runner)s AND c.runner IN {ALIVE}
GROUP BY c.request_id, r.who HAVING bool_or(j.state IN ('submitting', 'unknown', 'running'))
  OR NOT coalesce(bool_or(j.state IN ('failed', 'paid', 'settled')), false)"""
_LINES = """
SELECT server, request_id, at, job, j.stage, j.rev, j.environment, j.line FROM contentops.job j
JOIN jsonb_to_recordset(%(rows)s::jsonb) AS w(server text, request_id text, at text, job text)
  USING (server, request_id, at, job) WHERE j.lineage = %(lineage)s"""
# The row of an order becomes that of the job that the server made for it.
_ACCEPT = """
UPDATE contentops.job j SET job = r.job
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(server text, request_id text, at text, job text)
WHERE j.lineage = %(lineage)s AND j.job = '' AND r.job <> ''
  AND (j.server, j.request_id, j.at) = (r.server, r.request_id, r.at) AND NOT EXISTS (
    SELECT FROM contentops.job o WHERE o.lineage = j.lineage AND o.server = j.server
    AND o.request_id = j.request_id AND o.at = j.at AND o.job <> '')"""
_PUT = """
INSERT INTO contentops.job AS j (lineage, server, request_id, at, job, environment, state, stage, rev, line)
SELECT %(lineage)s, r.* FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(server text, request_id text, at text, job text,
  environment text, state text, stage int, rev int, line text)
ON CONFLICT (lineage, server, request_id, at, job) DO UPDATE
  SET state = excluded.state, stage = excluded.stage, rev = excluded.rev, line = excluded.line, changed_at = now()
WHERE (excluded.stage, excluded.rev) >= (j.stage, j.rev)
RETURNING server, request_id, at, job"""


class JobKey(NamedTuple):
    """The key of a job's row in the ledger: its server, request, time of submission and job id."""

    server: str
    request_id: RequestId
    at: str
    job: str


JobStage = tuple[int, int]
"""The progress of a job: a number for its state and for whether it is lost, and its revision."""


class LedgerScope(Struct, frozen=True, kw_only=True):
    """The part of a ledger that a command uses: one environment of a project, and its server."""

    lineage: str
    environment: str
    server: str


class Read(Struct, frozen=True, kw_only=True):
    """The jobs and claims that a command read from a ledger."""

    stages: Mapping[JobKey, JobStage]
    """The progress of every job."""
    jobs: MutableMapping[str, list[Job]]
    """The jobs that are missing or older in the checkout, by environment."""
    pending: Mapping[RequestId, str]
    """The requests that other processes work on, with the name of the process."""


def key_of(job: Job) -> JobKey:
    """Return the key of a job's row in the ledger."""
    return JobKey(job.server, job.request_id, job.submitted_at, job.job_id)


def stage_of(job: Job) -> JobStage:
    """Return how far a job is, as two numbers: one for its state, and the job's revision."""
    rank, lost = stage(job)
    return 2 * rank + lost, job.rev


def read(session: LedgerSession, scope: LedgerScope, known: Mapping[JobKey, JobStage], *, but: int = 0) -> Read:
    """Read a project's jobs and claims, and find the jobs that the checkout lacks or knows in an earlier stage.

    `known` is the progress of the jobs in the checkout. Claims of the runner `but` are left out. A database without
    tables gives nothing. A row that cannot be read counts as a submit of another process. Raises StateError.
    """
    if schema.version(session) == 0:
        return Read(stages={}, jobs={}, pending={})
    values: dict[str, object] = {"lineage": scope.lineage, "server": scope.server, "runner": but}
    stages = {JobKey(*key): (number, rev) for *key, number, rev in session.run(_STAGES, values)}
    pending = {id_: f"apply on {who.rpartition('@')[2]}" for id_, who in session.run(_CLAIMED, values)}
    jobs: dict[str, list[Job]] = {}
    lacking = [key for key, reached in stages.items() if is_further(key, reached, known)]
    values["rows"] = json_of(key._asdict() for key in lacking)
    for *row, number, rev, environment, line in session.run(_LINES, values) if lacking else ():
        key = JobKey(*row)
        with contextlib.suppress(ValueError):
            job = parse_as(line, Job)
            if (key_of(job), stage_of(job)) == (key, (number, rev)):
                jobs.setdefault(environment, []).append(job)
                continue
        if key.server == scope.server:
            pending[key.request_id] = DAMAGED
    return Read(stages=stages, jobs=jobs, pending=pending)


def is_further(key: JobKey, reached: JobStage, known: Mapping[JobKey, JobStage]) -> bool:
    """Return whether a job is missing in `known`, or is there in an earlier stage than `reached`."""
    return key not in known or reached > known[key]


def fill(
    session: LedgerSession,
    scope: LedgerScope,
    stages: Mapping[JobKey, JobStage],
    known: Mapping[str, Sequence[Job]],
) -> None:
    """Store the known jobs that the ledger does not have or has in an earlier stage. Raises StateError."""
    lacking = [
        (environment, job)
        for environment, jobs in known.items()
        for job in jobs
        if is_further(key_of(job), stage_of(job), stages)
    ]
    # An order that has a job has no row without one.
    accepted = {key[:3] for key in stages if key.job}
    rows = [row_of(job, environment) for environment, job in lacking if job.job_id or key_of(job)[:3] not in accepted]
    if rows:
        session.transaction(lambda cursor: put(cursor, scope, rows))


def row_of(job: Job, environment: str) -> dict[str, object]:
    """Return a job as a row of the ledger; the column for the project is left out."""
    number, rev = stage_of(job)
    about = {"environment": environment, "state": job.state, "stage": number, "rev": rev}
    return {**key_of(job)._asdict(), **about, "line": line_of(job)}


def put(cursor: psycopg.Cursor[Row], scope: LedgerScope, rows: Sequence[Mapping[str, object]]) -> set[JobKey]:
    """Write rows of jobs, unless the ledger has a later stage of the job. Return the keys of the written rows."""
    values = {"lineage": scope.lineage, "rows": json_of(rows)}
    if any(row["job"] for row in rows):
        cursor.execute(_ACCEPT, values)
    cursor.execute(_PUT, values)
    return {JobKey(*row) for row in cursor.fetchall()}


def json_of(rows: Iterable[object]) -> str:
    """Return rows as a JSON array, so that one SQL statement takes all of them."""
    return msgspec.json.encode(list(rows)).decode()


# ---- Reads what `ledger status` and `doctor` show of a ledger, without changing it.

_SERVER = """
SELECT current_setting('server_version'), pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
"""
_COUNTS = """
SELECT (SELECT count(*) FROM contentops.job WHERE state IN ('submitting', 'unknown', 'running')),
  (SELECT count(*) FROM contentops.job WHERE state IN ('paid', 'settled')),
  (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = 'contentops'::regnamespace AND c.relkind = 'r')"""


class Overview(Struct, frozen=True):
    """An overview of a ledger and of the runners that use it. Times are UTC."""

    postgresql: str
    """The version of the server."""
    read_only: bool
    """Whether nothing can be recorded, because it is a standby or does not let the role write."""
    version: int
    """The version of the tables, or 0 if there are none."""
    entries: int = 0
    """The number of jobs that a server works on, or whose outcome is unknown."""
    texts: int = 0
    bytes: int = 0
    """The size of all its tables on disk."""
    runners: tuple[RunnerRow, ...] = ()


def overview(session: LedgerSession) -> Overview:
    """Return the overview of a ledger. Raises as `LedgerSession.run` does, and StateError for a newer ledger."""
    version = schema.version(session)
    ((postgresql, read_only),) = session.run(_SERVER)
    if version == 0:
        return Overview(postgresql, read_only, version)
    ((jobs, texts, size),) = session.run(_COUNTS)
    return Overview(postgresql, read_only, version, jobs, texts, size, live_runners(session))


# ---- A process that works over a ledger: alive as long as its session lives.


def awake() -> float:
    """Return seconds from a clock that also counts the time when the process stops or the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Runner:
    """A process that runs an apply with a ledger. The lock of its number ends with its session."""

    def __init__(
        self, session: LedgerSession, *, page: str = "", clock: Callable[[], float] = awake, who: str = ""
    ) -> None:
        """Register the process as a runner. `page` is the address of the CI run, if there is one.

        Raises as `LedgerSession.run` does.
        """
        schema.migrate(session)
        self.session, self.clock = session, clock
        self.number = _next_number(session)
        # A replica that was promoted may give a number twice.
        while not session.lock(RUNNER, self.number):
            self.number = _next_number(session)
        session.run(
            "INSERT INTO contentops.runner (number, who, page) VALUES (%s, %s, %s)"
            " ON CONFLICT (number) DO UPDATE SET who = excluded.who, page = excluded.page, started_at = now()",
            (self.number, who or user_at_host(), page),
        )


def _next_number(session: LedgerSession) -> int:
    return int(session.run("SELECT nextval('contentops.runner_number')")[0][0])
