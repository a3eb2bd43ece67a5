"""What it takes to queue many submits, and to claim some of many."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING

import timing
from ledger_parts.ground import CLAIMED, detached, ledger

from contentops.ledger.entries import EntryOwner
from contentops.ledger.queue import Deposited, QueuedWork, claim_work, deposit
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ItemId, Request, RequestId, request_id
from contentops.pricing import price_of_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger_parts.ground import Bench

HELD, FEW = 200, 1000
"""Submits at the front that others hold, and rows that are few."""
OWNER = EntryOwner(lineage="00000000-0000-4000-8000-000000000000", environment="", project="queue", account="benchmark")
FILL = """
INSERT INTO contentops.entry
  (request_id, account, lineage, environment, project, item, digest, state, work, credits, rank, runner)
SELECT 'made-' || n, account, lineage, environment, project, 'made-' || n, digest, state, work, credits, n,
  CASE WHEN n <= %s THEN %s::int END
FROM contentops.entry, generate_series(1, %s) AS n"""
"""More rows after the likeness of the one that is there; others hold the first of them."""


def queues(bench: Bench) -> None:
    """What it takes to deposit many, and to claim some of many; the first of them others hold."""
    count = 10 * bench.items
    with ledger(bench.cluster) as url, runner(url) as own:
        rows = submits(count)
        begin = time.perf_counter()
        deposit(own, OWNER, rows)
        wall = time.perf_counter() - begin
    timing.row(f"{count:,} items deposited, wall, in seconds", timing.seconds(wall), "", wall, 1)
    with ledger(bench.cluster), timing.scratch() as folder:
        wall = detached(folder, bench.port, count, 1000).wall
    timing.row(f"`apply --detach` of {count:,} items, wall", timing.seconds(wall))
    few = min(FEW, bench.rows)
    times = {rows: claim_among(bench, rows) for rows in (few, bench.rows)}
    shown, floor = timing.seconds(times[bench.rows]), f"{timing.seconds(times[few])}, {few:,} queued"
    timing.row(f"claim of {CLAIMED}, {bench.rows:,} queued, wall", shown, floor, times[bench.rows] / times[few], 1.5)


def claim_among(bench: Bench, rows: int) -> float:
    """The median seconds of a claim."""
    with ledger(bench.cluster) as url, runner(url) as other, runner(url) as own:
        deposit(own, OWNER, submits(1))
        own.session.run(FILL, (HELD, other.number, rows))
        times = []
        for _ in range(25):
            begin = time.perf_counter()
            claimed = claim_work(own, OWNER.account, "http://127.0.0.1", CLAIMED)
            times.append(time.perf_counter() - begin)
            assert claimed
            own.session.run("UPDATE contentops.entry SET runner = NULL WHERE runner = %s", (own.number,))
        return statistics.median(times)


def submits(count: int) -> list[Deposited]:
    """So many different ones."""
    found = []
    for place in range(count):
        item = ItemId(f"item-{place}")
        asked = Request(template="blog", style="plain", inputs={"topic": f"Topic {place}", "audience": "readers"})
        credits_ = price_of_request(asked.template, asked.mode, asked.inputs).credits
        work = QueuedWork(request=asked, attempt=1, credits=credits_, job_timeout=900.0)
        name = RequestId(request_id(OWNER.lineage, "", item, asked.digest, 1))
        found.append(
            Deposited(
                request_id=name,
                item=item,
                digest=asked.digest,
                work=work,
                credits=credits_,
                plan_id="plan",
                place=place,
            )
        )
    return found


@contextlib.contextmanager
def runner(url: str) -> Iterator[Runner]:
    """One that works in this process."""
    with LedgerSession(url) as session:
        yield Runner(session, kind="worker")
