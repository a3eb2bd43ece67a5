"""Claims requests for one runner, and writes its jobs and texts: durable before a request that pays is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ledger.account import proven_fact
from contentops.ledger.jobs import WORKING, JobKey, JobStage, LedgerScope, is_further, json_of, key_of, stage_of, write
from contentops.ledger.live_runners import ALIVE
from contentops.ledger.session import taken
from contentops.ledger.texts import KEEP, TextRow
from contentops.model import JobState, RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    from contentops.digest import Digest
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import Row
    from contentops.model import OpenEntry
    from contentops.state.cache import StoredText

FENCE = 5.0
"""Seconds after its record in which a request that pays may be sent: less than a successor waits for an answer."""
ASSURED = 1.0
"""Seconds after an answer in which a session counts as alive."""

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


class ClaimKey(Struct, frozen=True):
    """A request id at a server: what is claimed."""

    server: str
    request_id: RequestId


class JobWriter:
    """Collects jobs and texts of one runner. `flush` writes them in one transaction, if it still has their claims."""

    def __init__(self, runner: Runner, scope: LedgerScope, known: dict[JobKey, JobStage] | None = None) -> None:
        """`known`: how far this checkout knows jobs; it is kept up to date here."""
        self._runner, self._scope = runner, scope
        self._known = {} if known is None else known
        self._jobs: dict[JobKey, OpenEntry] = {}
        self._texts: dict[str, TextRow] = {}
        self._ours: set[ClaimKey] = set()
        """What this run has claimed."""
        self._proven: dict[tuple[str, str], bool] = {}
        """Accounts and the names of their facts that texts were paid for, each with whether the ledger knows it."""
        self.flushed = runner.clock()
        """When the last flush began."""

    def claim(self, requests: Iterable[tuple[str, RequestId]]) -> frozenset[RequestId]:
        """Claim requests, each a server and an id; return those of a live runner, and those that went on meanwhile."""
        wanted = {ClaimKey(*one) for one in requests}
        if not wanted:
            return frozenset()
        lost = self._runner.session.transaction(lambda cursor: self._claim(cursor, wanted))
        self._ours |= wanted - lost
        return frozenset(one.request_id for one in lost)

    def note(self, jobs: Iterable[OpenEntry], account: str = "") -> None:
        """Collect jobs that this run changed; `account`: whose they are, if it is known."""
        for job in jobs:
            self._jobs[key_of(job)] = job
            if job.state is JobState.PAID and account:
                self._proven.setdefault((account, proven_fact(job.server, job.dialect)), False)

    def keep_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Collect a paid text; one that names no submit has no row."""
        if text.request_id:
            self._texts[text.request_id] = TextRow.of(server, digest, text)

    def flush(self) -> None:
        """Write what was collected in one transaction; if there is nothing, check now and then that the session lives.

        Raises WorkTaken, LedgerAway, StateError, and keeps what was collected for the next flush.
        """
        began = self._runner.clock()
        if not (self._jobs or self._texts):
            if began - self.flushed > ASSURED:
                self._runner.session.run("SELECT 1")
                self.flushed = began
            return
        self._ours |= self._runner.session.transaction(self._write)
        stages = {key: stage_of(job) for key, job in self._jobs.items()}
        self._known.update((key, stages[key]) for key in stages if is_further(key, stages, self._known))
        self._jobs, self._texts = {}, {}
        self.flushed = began
        self._proven = dict.fromkeys(self._proven, True)

    def fence(self) -> Callable[[], bool]:
        """Return a check to call directly before bytes are sent: whether what was flushed last may still be sent."""
        flushed = self.flushed
        return lambda: self._runner.clock() - flushed <= FENCE

    def _write(self, cursor: psycopg.Cursor[Row]) -> set[ClaimKey]:
        """Write everything; return what was claimed for that. Raises WorkTaken where another runner has a claim."""
        requests = {ClaimKey(key.server, key.request_id) for key in self._jobs}
        working = {ClaimKey(job.server, job.request_id) for job in self._jobs.values() if job.state in WORKING}
        fresh = working - self._ours
        if fresh and self._claim(cursor, fresh):
            raise taken()
        ours = requests & self._ours
        if ours and self._held(cursor, ours) != ours:
            raise taken()
        if self._texts:
            cursor.execute(KEEP, {"lineage": self._scope.lineage, "rows": json_of(self._texts.values())})
        if self._jobs:
            written = write(cursor, self._scope, self._jobs.values())
            if any(job.state is JobState.SUBMITTING and key not in written for key, job in self._jobs.items()):
                raise taken()
        for fact in [fact for fact, known in self._proven.items() if not known]:
            cursor.execute(
                "INSERT INTO contentops.fact (account, name, value) VALUES (%s, %s, 'true') ON CONFLICT DO NOTHING",
                fact,
            )
        return fresh

    def _claim(self, cursor: psycopg.Cursor[Row], wanted: set[ClaimKey]) -> set[ClaimKey]:
        """Claim requests; return those that this run may not order: of a live runner, or of a job that went on."""
        # A transaction may run twice: what it claimed the first time, it may have written too.
        fresh = wanted - self._held(cursor, wanted)
        cursor.execute(_CLAIM, self._values(fresh))
        claimed = {ClaimKey(*row) for row in cursor.fetchall()}
        cursor.execute(_STATES, self._values(claimed))
        stages = {JobKey(*key): JobStage(number, rev) for *key, number, rev in cursor.fetchall()}
        went_on = {ClaimKey(key.server, key.request_id) for key in stages if is_further(key, stages, self._known)}
        if went_on:
            cursor.execute(_RELEASE, self._values(went_on))
        return fresh - claimed | went_on

    def _held(self, cursor: psycopg.Cursor[Row], requests: Iterable[ClaimKey]) -> set[ClaimKey]:
        """Return which of these requests this runner has claimed; no one else can claim them in this transaction."""
        cursor.execute(_HELD, self._values(requests))
        return {ClaimKey(*row) for row in cursor.fetchall()}

    def _values(self, requests: Iterable[ClaimKey]) -> dict[str, object]:
        return {"lineage": self._scope.lineage, "runner": self._runner.number, "rows": json_of(requests)}


def release(runner: Runner) -> None:
    """Release what a runner has claimed."""
    runner.session.run("UPDATE contentops.claim SET runner = NULL WHERE runner = %s", (runner.number,))
