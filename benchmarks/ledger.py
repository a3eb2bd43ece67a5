"""What a shared ledger costs: CPU, transactions and bytes per item beside the embedded mode, and its queue at size.

    python benchmarks/ledger.py [--items 1000] [--runs 3] [--rows 1000000] [--only apply ...]

The same applies as in `throughput.py`, with a ledger in a PostgreSQL of their own and without one, in turns, against the
same server that does nothing but answer. What the client takes is held against the target; what PostgreSQL takes
beside it is shown. Its disk is told not to wait, as in the tests: CPU and bytes are measured, not a disk. POSIX only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import psycopg
import throughput
import timing

from tests.postgres import Cluster, database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IN_FLIGHT = 64
KEY = "benchmark"


class Used(NamedTuple):
    """What a ledger took so far: seconds of CPU time, transactions, bytes of the log, bytes of the tables."""

    cpu: float
    transactions: int
    log: int
    tables: int

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
    """What every part measures with."""

    cluster: Cluster
    port: int
    """Of the server that does nothing but answer."""
    items: int
    runs: int
    rows: int


class SharedSide(throughput.Side):
    """The same apply over a new ledger of a cluster."""

    def __init__(self, bench: Bench) -> None:
        super().__init__("ours", bench.port, bench.items, IN_FLIGHT)
        self._cluster = bench.cluster
        self.used: list[Used] = []
        """What PostgreSQL took, in each run, with the few items of before."""

    def __call__(self) -> timing.Spent:
        with ledger(self._cluster) as url:
            before = used(self._cluster, url)
            taken = super().__call__()
            self.used.append(used(self._cluster, url).since(before))
        return taken


@contextlib.contextmanager
def ledger(cluster: Cluster) -> Iterator[str]:
    """The address of a new ledger, which every process that is started finds in its environment."""
    with database(cluster.url()) as url:
        os.environ["CONTENTOPS_LEDGER"] = url
        try:
            yield url
        finally:
            del os.environ["CONTENTOPS_LEDGER"]


def applies(bench: Bench) -> None:
    """An apply over a ledger against the same one without."""
    embedded, shared = throughput.Side("ours", bench.port, bench.items, IN_FLIGHT), SharedSide(bench)
    taken = timing.interleaved({"embedded": embedded, "ledger": shared}, bench.runs)
    cpu, floor = taken["ledger"].cpu, taken["embedded"].cpu
    case = f"apply, {bench.items:,} items, {IN_FLIGHT} jobs in flight, CPU per item"
    timing.row(case, f"{cpu:.2f} ms", f"{floor:.2f} ms without a ledger", cpu / floor, 1.5)
    of_server(shared.used, bench.items + throughput.FIRST)


def of_server(runs: list[Used], items: int) -> None:
    """What PostgreSQL took for each of so many items: in the middle of all runs."""
    middle = Used(*(statistics.median(each) / items for each in zip(*runs, strict=True)))
    timing.row("PostgreSQL beside it, CPU per item", f"{middle.cpu * 1000:.2f} ms")
    timing.row("transactions per item", f"{middle.transactions:.2f}")
    timing.row("bytes per item", f"{middle.log / 1000:.1f} kB of log, {middle.tables / 1000:.1f} kB of tables")


PARTS: dict[str, Callable[[Bench], None]] = {"apply": applies}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    os.environ["WRITERZROOM_API_KEY"] = KEY
    timing.head()
    with throughput.serving() as port, Cluster() as cluster:
        bench = Bench(cluster, port, options.items, options.runs, options.rows)
        for name in options.only:
            PARTS[name](bench)


if __name__ == "__main__":
    main()
