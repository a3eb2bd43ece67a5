"""What it takes to ask a ledger that has grown for months: what workers ask all the time, and people now and then."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from typing import TYPE_CHECKING

import timing
from contentops.ledger.queue import cancel, claim_work, deposit, read_queue, withdraw
from ledger_parts.ground import ledger
from ledger_parts.queueing import FEW, OWNER, runner, submits

from contentops.ledger import maintenance
from contentops.ledger.account import Account, history_of, sign_in
from contentops.ledger.entries import release
from contentops.ledger.reading import read_rows
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, RequestId

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger_parts.ground import Bench

RUNNERS, HELD, QUEUED = 50, 20, 1000
"""Workers that live, what each of them holds, and what waits."""
TIMES = 7
SOON = 20
"""Milliseconds within which what is asked every few seconds is answered, however much there is."""
HISTORY = """
INSERT INTO contentops.entry
  (request_id, account, lineage, environment, project, item, digest, state, taken, changed_at)
SELECT 'past-' || n, account, lineage, environment, project, 'past-' || n, digest, 'paid', n %% 2000 <> 0,
  now() - n * interval '1 s'
FROM contentops.entry, generate_series(1, %s) AS n WHERE item = 'item-0'"""
"""Rows that are done with; one of two thousand is on no record yet."""
WORKED_ON = """
UPDATE contentops.entry SET state = 'running', runner = (%s::int[])[1 + rank %% %s]
WHERE state = 'queued' AND rank < %s"""


def questions(bench: Bench) -> None:
    """Each question, over many rows and over few."""
    few = min(FEW, bench.rows)
    short, long = asked(bench, few), asked(bench, bench.rows)
    for name, seconds in long.items():
        case = f"{name}, {bench.rows:,} rows, wall"
        floor = f"{timing.seconds(short[name])}, {few:,} rows"
        bound = () if name in WHOLE else (seconds * 1000, SOON)
        timing.row(f"{case}{', in ms' if bound else ''}", timing.seconds(seconds), floor, *bound)


WHOLE = frozenset({"`ledger status`", "view `spend`", "`queue`", "what is open of a project"})
"""What counts everything that was ever paid for, or reads all that is open."""


def asked(bench: Bench, rows: int) -> dict[str, float]:
    """The median seconds of each question."""
    with ledger(bench.cluster) as url, contextlib.ExitStack() as open_, runner(url) as own:
        api = ApiSettings(base_url="http://127.0.0.1/v1", account=OWNER.account)
        sign_in(own.session, Account(id=OWNER.account, fingerprint="0" * 16, api=api))
        deposit(own, OWNER, submits(QUEUED + RUNNERS * HELD))
        own.session.run(HISTORY, (rows,))
        sessions = (open_.enter_context(LedgerSession(url)) for _ in range(RUNNERS))
        numbers = [Runner(session, kind="worker").number for session in sessions]
        own.session.run(WORKED_ON, (numbers, RUNNERS, RUNNERS * HELD))
        own.session.run("VACUUM ANALYZE contentops.entry")
        session = own.session

        def view(name: str) -> Callable[[], object]:
            return functools.partial(session.run, f"TABLE contentops.{name}")

        statements: dict[str, Callable[[], object]] = {
            "what is known of an account": lambda: history_of(session, OWNER.account),
            "claim": lambda: claim_work(own, OWNER.account, "http://127.0.0.1", 1),
            "release of a runner": lambda: release(own),
            "view `runner_alive`": view("runner_alive"),
            "view `backlog`": view("backlog"),
            "view `failure`": view("failure"),
            "view `spend`": view("spend"),
            "`queue`": lambda: read_queue(session),
            "`queue cancel ITEM`": lambda: cancel(session, ["past-7"]),
            "withdrawal of one submit": lambda: withdraw(session, [RequestId("past-7")]),
            "what is open of a project": lambda: read_rows(session, OWNER),
            "`ledger status`": lambda: maintenance.overview(session),
        }
        return {name: _median(statement) for name, statement in statements.items()}


def _median(statement: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        statement()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
