"""What a shared ledger costs, and what it gives: CPU and bytes per item, a queue of any size, work that is taken over.

    python benchmarks/ledger.py [--items 1000] [--runs 3] [--rows 1000000] [--limited 120] [--kills 20] [--only apply]

`apply` compares the same applies as in `throughput.py` with and without a ledger, in turns. `work` empties a queue of
few items and of many. `queue` deposits ten times `--items`, and claims among `--rows` rows and among 1,000.
`takeover` kills a worker that holds work, and waits until another one has it. `limit` lets three workers that are
killed at random moments do `--limited` items under 60 requests a minute, and counts at the server what came.

PostgreSQL is that of the tests, which does not wait for its disk: CPU and bytes are measured, not a disk. POSIX only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import psycopg
import throughput
import timing

from contentops.ledger.entries import EntryOwner
from tests.postgres import Cluster, database
from tests.processes import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentops.ledger.queue import Deposited
    from contentops.ledger.runner import Runner
    from tests.processes import Answer

IN_FLIGHT = 64
CLAIMED, HELD, FEW = 50, 200, 1000
"""Submits of one claim, those at the front that others hold, and rows that are few."""
LIMIT, WINDOW = 60, 60.0
"""Requests in so many seconds."""
LAG = 1.0
"""Seconds by which a request may arrive late on a busy machine: servers count arrivals, the limiter what leaves."""
PATIENCE = 60.0
"""Seconds until what should come soon counts as missing."""
OWNER = EntryOwner(lineage="00000000-0000-4000-8000-000000000000", environment="", project="queue", account="benchmark")
SETTINGS = """\
version: 1
project: ledger
api: {{base_url: '{address}', dialect: v1, requests_per_minute: {limit}, max_in_flight: 64}}
defaults: {{template: blog, style: plain}}
"""
FILL = """
INSERT INTO contentops.entry
  (request_id, account, lineage, environment, project, item, digest, state, work, credits, rank, runner)
SELECT 'made-' || n, account, lineage, environment, project, 'made-' || n, digest, state, work, credits, n,
  CASE WHEN n <= %s THEN %s::int END
FROM contentops.entry, generate_series(1, %s) AS n"""
"""More rows after the likeness of the one that is there; others hold the first of them."""


class Used(NamedTuple):
    """What a ledger took so far: seconds of CPU time, transactions, bytes of the log, bytes of the tables."""

    cpu: float
    transactions: float
    log: float
    tables: float

    def since(self, earlier: Used) -> Used:
        """The difference."""
        return Used(*(now - then for now, then in zip(self, earlier, strict=True)))


def used(cluster: Cluster, url: str) -> Used:
    """What PostgreSQL counted of one database, and the CPU time of all of its processes, living and gone."""
    server = psutil.Process(cluster.process)
    cpu = sum(sum(each.cpu_times()[:2]) for each in (server, *server.children())) + sum(server.cpu_times()[2:4])
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),"
            " pg_current_wal_insert_lsn() - '0/0'::pg_lsn,"
            " (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_stat_user_tables)"
        ).fetchone()
    assert row is not None
    return Used(cpu, *map(int, row))


class Bench(NamedTuple):
    """What every part measures with, and how much of it."""

    cluster: Cluster
    port: int
    """Of the server that does nothing but answer."""
    items: int
    runs: int
    rows: int
    limited: int
    took: float
    kills: int


@contextlib.contextmanager
def ledger(cluster: Cluster) -> Iterator[str]:
    """The address of a new ledger, which every process that is started finds in its environment."""
    with database(cluster.url()) as url:
        os.environ["CONTENTOPS_LEDGER"] = url
        try:
            yield url
        finally:
            del os.environ["CONTENTOPS_LEDGER"]


# --- CPU, transactions, bytes ----------------------------------------------------------------------------------


class SharedSide(throughput.Side):
    """The same apply over a new ledger of a cluster."""

    def __init__(self, bench: Bench) -> None:
        super().__init__("ours", bench.port, bench.items, IN_FLIGHT)
        self._cluster = bench.cluster
        self.used: list[Used] = []
        """What PostgreSQL took, in each run, with the few items of before."""

    def __call__(self) -> timing.Spent:
        """One run."""
        with ledger(self._cluster) as url:
            before = used(self._cluster, url)
            taken = super().__call__()
            self.used.append(used(self._cluster, url).since(before))
        return taken


def applies(bench: Bench) -> None:
    """An apply over a ledger against the same one without."""
    embedded, shared = throughput.Side("ours", bench.port, bench.items, IN_FLIGHT), SharedSide(bench)
    taken = timing.interleaved({"embedded": embedded, "ledger": shared}, bench.runs)
    cpu, floor = taken["ledger"].cpu, taken["embedded"].cpu
    case = f"apply, {bench.items:,} items, {IN_FLIGHT} jobs in flight, CPU per item"
    timing.row(case, f"{cpu:.2f} ms", f"{floor:.2f} ms without a ledger", cpu / floor, 1.5)
    of_server(shared.used, bench.items + throughput.FIRST)


def of_server(runs: list[Used], items: int) -> None:
    """What PostgreSQL took for each of so many items: the median of all runs."""
    middle = Used(*(statistics.median(each) / items for each in zip(*runs, strict=True)))
    timing.row("PostgreSQL beside it, CPU per item", f"{middle.cpu * 1000:.2f} ms")
    timing.row("its transactions per item", f"{middle.transactions:.2f}")
    timing.row("its bytes per item", f"{middle.log / 1000:.1f} kB of log, {middle.tables / 1000:.1f} kB of tables")


def workers(bench: Bench) -> None:
    """Workers that empty the queue: what they and PostgreSQL take, and whether they grow."""
    few, many = max(1, bench.items // 2), 3 * bench.items
    taken: dict[int, timing.Spent] = {}
    server: list[Used] = []
    for count in (0, few, many):
        with ledger(bench.cluster) as url, timing.scratch() as folder:
            detached(folder, bench.port, count, 1000)
            before = used(bench.cluster, url)
            taken[count] = timing.spent([*timing.CONTENTOPS, "work", "--once"], folder)
            server.append(used(bench.cluster, url).since(before))
            with psycopg.connect(url) as connection:
                assert paid(connection) == count
    cpu, start = (taken[many].cpu - taken[0].cpu) / many * 1000, timing.seconds(taken[0].cpu)
    timing.row(f"worker, {many:,} items, CPU per item", f"{cpu:.2f} ms (its start: {start})")
    of_server(server[-1:], many)
    shown, floor = f"{taken[many].peak:.0f} MB, {many:,} items", f"{taken[few].peak:.0f} MB, {few:,} items"
    timing.row("memory of a worker", shown, floor, taken[many].peak / taken[few].peak, 1.1)


def detached(folder: Path, port: int, count: int, milliseconds: int) -> timing.Spent:
    """A project whose items an `apply --detach` deposits, for the server that does nothing but answer."""
    address = f"http://127.0.0.1:{port}/1/{milliseconds}/v1"
    return deposited(folder, SETTINGS.format(address=address, limit=0), count)


def deposited(folder: Path, settings: str, count: int) -> timing.Spent:
    """The same with other settings."""
    (folder / "content").mkdir(parents=True)
    (folder / "contentops.yaml").write_text(settings)
    rows = "".join(f"  - id: item-{number:05d}\n    inputs: {{topic: Topic {number}}}\n" for number in range(count))
    (folder / "content" / "items.yaml").write_text(f"items:\n{rows}" if count else "items: []\n")
    return timing.spent([*timing.CONTENTOPS, "apply", "--detach", "--yes", "--approve-changes"], folder)


def paid(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """How many texts were paid for and are kept."""
    row = connection.execute(
        "SELECT count(*) FROM contentops.entry JOIN contentops.text USING (request_id) WHERE state = 'paid'"
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


# --- the queue -------------------------------------------------------------------------------------------------


def queues(bench: Bench) -> None:
    """What it takes to deposit many, and to claim some of many; the first of them others hold."""
    from contentops.ledger.queue import deposit

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
    from contentops.ledger.queue import claim_work, deposit

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
    from contentops.ledger.queue import Deposited, QueuedWork
    from contentops.model import ItemId, Request, RequestId, request_id

    found = []
    for place in range(count):
        item = ItemId(f"item-{place}")
        asked = Request(template="blog", style="plain", inputs={"topic": f"Topic {place}", "audience": "readers"})
        work = QueuedWork(request=asked, attempt=1, credits=asked.credits, job_timeout=900.0)
        name = RequestId(request_id(OWNER.lineage, "", item, asked.digest, 1))
        found.append(
            Deposited(
                request_id=name,
                item=item,
                digest=asked.digest,
                work=work,
                credits=asked.credits,
                plan_id="plan",
                place=place,
            )
        )
    return found


@contextlib.contextmanager
def runner(url: str) -> Iterator[Runner]:
    """One that works in this process."""
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession

    with LedgerSession(url) as session:
        yield Runner(session, kind="worker")


# --- workers that die ------------------------------------------------------------------------------------------


class Counting:
    """The script of a server that counts what comes; jobs take about `took` seconds, log-normal with sigma 0.35."""

    def __init__(self) -> None:
        self.took = 0.2
        self._chance = random.Random(1)  # noqa: S311 - no secret
        self.at: list[float] = []
        """When each request came."""
        self.submits: Counter[str] = Counter()
        """How often each id was submitted."""
        self._ends: dict[str, float] = {}

    def __call__(self, _method: str, path: str, body: bytes) -> Answer:
        """One answer."""
        now = time.monotonic()
        self.at.append(now)
        name = path.rsplit("/", 1)[1]
        found: dict[str, object] = {"templates": [], "content": []}
        if name == "generate":
            name = json.loads(body)["request_id"]
            self.submits[name] += 1
            self._ends.setdefault(name, now + self.took * self._chance.lognormvariate(0, 0.35))
            found = {"request_id": name, "status": "pending"}
        elif "/status/" in path:
            if name not in self._ends:
                return 404, {}, b'{"detail": "not found"}'
            found = {"request_id": name, "status": "processing"}
            if now >= self._ends[name]:
                content = {"title": f"T {name}", "body": throughput.TEXT}
                found = {"request_id": name, "status": "completed", "content": content}
        return 200, {}, json.dumps(found).encode()

    def most_within(self, window: float) -> int:
        """The most requests that came in so many seconds."""
        return max(sum(start <= each < start + window for each in self.at) for start in self.at)


class Crew:
    """Workers of one ledger, which can be killed; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._working: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._working:
            self.kill(0)

    def start(self) -> None:
        """One more."""
        command, silent = [*timing.CONTENTOPS, "work"], subprocess.DEVNULL
        child = subprocess.Popen(command, cwd=self._folder, stdout=silent, stderr=silent, env=timing.environment())
        self._working.append(child)

    def kill(self, which: int) -> None:
        """End one as a power cut would."""
        child = self._working.pop(which)
        child.kill()
        child.wait()


def known(folder: Path, address: str) -> None:
    """Some items of before, from which workers know the server and how long its jobs take."""
    deposited(folder / "first", SETTINGS.format(address=address, limit=0), throughput.FIRST)
    timing.spent([*timing.CONTENTOPS, "work", "--once"], folder)


def takeovers(bench: Bench) -> None:
    """How long after a SIGKILL another worker has all that the dead one held."""
    script, times = Counting(), []
    with ledger(bench.cluster) as url, Scripted(script) as server, timing.scratch() as folder:
        known(folder, server.base_url)
        script.took = 3600.0
        settings = SETTINGS.format(address=server.base_url, limit=0)
        deposited(folder / "more", settings, throughput.FIRST + CLAIMED)
        with Crew(folder) as crew, psycopg.connect(url, autocommit=True) as look:
            crew.start()
            until(lambda: alive(look) == [CLAIMED])
            for _ in range(2 * bench.runs):
                crew.start()
                until(lambda: alive(look) == [0, CLAIMED])
                crew.kill(0)
                begin = time.perf_counter()
                until(lambda: alive(look) == [CLAIMED])
                times.append(time.perf_counter() - begin)
    shown = f"{timing.seconds(statistics.median(times))}, worst of {len(times)}: {timing.seconds(max(times))}"
    timing.row(f"{CLAIMED} jobs taken over after SIGKILL, wall, in seconds", shown, "", max(times), 1)


def alive(look: psycopg.Connection[tuple[object, ...]]) -> list[int]:
    """How many unfinished submits each worker that lives holds."""
    rows = look.execute("SELECT entries FROM contentops.runner_alive WHERE kind = 'worker'").fetchall()
    return sorted(int(str(held)) for (held,) in rows)


def limits(bench: Bench) -> None:
    """Requests and time of workers that are killed at random moments, against what the limit leaves possible."""
    script, chance = Counting(), random.Random(1)  # noqa: S311 - no secret
    least, most = 2 * bench.limited, LIMIT
    floor = (math.ceil(least / most) - 1) * WINDOW
    kills = sorted(chance.uniform(0.5, max(1.0, floor * 0.95)) for _ in range(bench.kills))
    with ledger(bench.cluster) as url, Scripted(script) as server, timing.scratch() as folder:
        script.took = bench.took
        known(folder, server.base_url)
        settings = SETTINGS.format(address=server.base_url, limit=most)
        deposited(folder / "more", settings, throughput.FIRST + bench.limited)
        with Crew(folder) as crew, psycopg.connect(url, autocommit=True) as look:
            script.at, begin = [], time.monotonic()
            for _ in range(3):
                crew.start()
            while paid(look) < throughput.FIRST + bench.limited:
                if kills and time.monotonic() - begin > kills[0]:
                    kills.pop(0)
                    crew.kill(chance.randrange(3))
                    crew.start()
                time.sleep(0.02)
            wall = time.monotonic() - begin
    twice, within = sum(each - 1 for each in script.submits.values()), script.most_within(WINDOW - LAG)
    counted = f"{within}; {script.most_within(WINDOW)} within {WINDOW:.0f} s"
    case = f"{bench.limited} items, {most} requests a minute, 3 workers, {bench.kills - len(kills)} kills"
    timing.row(f"{case}: requests", f"{len(script.at)}", f"{least}", len(script.at) / least, 1.05)
    timing.row("the same, wall", timing.seconds(wall), timing.seconds(floor), *((wall / floor, 1.05) if floor else ()))
    timing.row(f"most that arrive within {WINDOW - LAG:.0f} s", counted, f"{most}", within / most, 1)
    timing.row("submits sent twice", str(twice), "0", twice, 0)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that comes soon. Raises SystemExit where it does not."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SystemExit("what should have come did not")
        time.sleep(0.005)


PARTS: dict[str, Callable[[Bench], None]] = {
    "apply": applies,
    "work": workers,
    "queue": queues,
    "takeover": takeovers,
    "limit": limits,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--limited", type=int, default=120)
    parser.add_argument("--took", type=float, default=2.0, help="seconds of the jobs under the limit, median")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    os.environ["WRITERZROOM_API_KEY"] = "benchmark"
    timing.head()
    with throughput.serving() as port, Cluster() as cluster:
        sizes = (options.items, options.runs, options.rows, options.limited, options.took, options.kills)
        for name in options.only:
            PARTS[name](Bench(cluster, port, *sizes))


if __name__ == "__main__":
    main()
