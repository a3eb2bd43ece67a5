"""A ledger that has grown for months: what is asked often reads what it is about, and nothing of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.ledger import schema
from contentops.ledger.account import history_of
from contentops.ledger.entries import release
from contentops.ledger.live_runners import live_runners
from contentops.ledger.queue import cancel, claim_work
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import JobState
from tests import postgres as clusters
from tests.ledger_rows import OWNER, SERVER, entry, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAST = 20_000
GROWN = f"""
INSERT INTO contentops.entry (request_id, account, lineage, environment, project, item, digest, state, taken)
SELECT 'past-' || n, 'acme', 'L', '', 'blog', 'past-' || n, 'd', 'paid', n %% 2 = 0 FROM generate_series(1, {PAST}) n"""
READ = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'entry'"
QUESTIONS: dict[str, Callable[[Runner], object]] = {
    "what is known of an account": lambda runner: history_of(runner.session, OWNER.account),
    "release": release,
    "claim": lambda runner: claim_work(runner, OWNER.account, SERVER, 5),
    "cancel an item": lambda runner: cancel(runner.session, ["nothing"]),
    "who works": lambda runner: runner.session.transaction(live_runners),
    "an alarm for failures": lambda runner: runner.session.run("SELECT item FROM contentops.failure"),
}


@pytest.fixture(scope="module")
def grown(postgres: str) -> Iterator[str]:
    """A database with many rows that are done with, and one that failed."""
    with clusters.database(postgres) as url, LedgerSession(url) as session:
        schema.prepare(session)
        fill(session, [entry("failed", JobState.FAILED)])
        session.run(GROWN)
        session.run("VACUUM ANALYZE contentops.entry")
        yield url


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_asked_often_reads_no_past(grown: str, name: str) -> None:
    """A worker asks some of it every few seconds."""
    with LedgerSession(grown) as watcher:
        with LedgerSession(grown) as session:
            runner = Runner(session, kind="worker")
            ((before,),) = watcher.run(READ)
            QUESTIONS[name](runner)
            ((process,),) = session.run("SELECT pg_backend_pid()")
        # What it read is counted once its process has ended.
        clusters.until(lambda: not watcher.run("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (process,)))
        ((after,),) = watcher.run(READ)
    assert after - before < 100
