"""Rows of a ledger for tests."""

import time
from collections.abc import Iterable

from contentops.digest import NOTHING, Digest
from contentops.ledger.jobs import LedgerScope, Runner, live_runners
from contentops.ledger.project import JobWriter
from contentops.ledger.session import LedgerSession
from contentops.model import ItemId, Job, JobState, RequestId

SERVER = "https://api.example.com/v1"
SCOPE = LedgerScope(lineage="L", environment="", server=SERVER)


def a_job(item: str, state: JobState, *, credits_: int = 4) -> Job:
    """An open job."""
    return Job(
        request_id=RequestId(f"request-{item}"), item=ItemId(item), digest=Digest(f"sha256:{item}"), attempt=1,
        state=state, server=SERVER, dialect="v1", credits=credits_,
        body=Digest("sha256:text") if state is JobState.PAID else NOTHING, submitted_at="2026-02-25T08:00:00Z",
    )  # fmt: skip


def write(writer: JobWriter, *jobs: Job) -> None:
    """Makes jobs durable."""
    writer.note(jobs)
    writer.flush()


def fill(session: LedgerSession, open_jobs: Iterable[Job], scope: LedgerScope = SCOPE) -> None:
    """Writes jobs, as a run does that has ended since."""
    with LedgerSession(session.url) as other:
        writer = JobWriter(Runner(other, who="someone@here"), scope)
        write(writer, *open_jobs)
    alone(session)


def alone(session: LedgerSession) -> None:
    """Waits until PostgreSQL has seen that no one works any more."""
    until = time.monotonic() + 30
    while live_runners(session):
        assert time.monotonic() < until
        time.sleep(0.01)
