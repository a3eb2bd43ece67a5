"""Measure the CPU time, transactions and bytes that a shared ledger costs an apply for each item.

    python benchmarks/ledger.py [--items 1000] [--runs 3]

Compares the same applies as in `throughput.py` with and without a ledger, in turns.
PostgreSQL is that of the tests, which does not wait for its disk: CPU and bytes are measured, not a disk. POSIX only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import psycopg
import throughput
import timing

from tests.postgres import Cluster, database

IN_FLIGHT = 64


class Used(NamedTuple):
    """The resources that PostgreSQL has used: CPU seconds, transactions, bytes of its log and of its tables."""

    cpu: float
    transactions: float
    log: float
    tables: float

    def since(self, earlier: Used) -> Used:
        """Return the resources used since `earlier`."""
        return Used(*(now - then for now, then in zip(self, earlier, strict=True)))


def used(cluster: Cluster, url: str) -> Used:
    """Return the counts of one PostgreSQL database, and the CPU time of all server processes, also ended ones."""
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


class SharedSide(throughput.Side):
    """An apply that uses a new ledger for each run."""

    def __init__(self, cluster: Cluster, port: int, items: int) -> None:
        super().__init__("ours", port, items, IN_FLIGHT)
        self._cluster = cluster
        self.used: list[Used] = []
        """What PostgreSQL used in each run, including the few items of the first apply."""

    def __call__(self) -> timing.Spent:
        """Run the apply once with a new ledger, and return what it used."""
        with database(self._cluster.url()) as url:
            os.environ["CONTENTOPS_LEDGER"] = url
            try:
                before = used(self._cluster, url)
                taken = super().__call__()
                self.used.append(used(self._cluster, url).since(before))
            finally:
                del os.environ["CONTENTOPS_LEDGER"]
        return taken


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    os.environ["WRITERZROOM_API_KEY"] = "benchmark"
    timing.head()
    with throughput.serving() as port, Cluster() as cluster:
        embedded = throughput.Side("ours", port, options.items, IN_FLIGHT)
        shared = SharedSide(cluster, port, options.items)
        taken = timing.interleaved({"embedded": embedded, "ledger": shared}, options.runs)
    cpu, floor = taken["ledger"].cpu, taken["embedded"].cpu
    case = f"CPU time per item, {options.items:,} items, {IN_FLIGHT} jobs in flight"
    timing.row(case, f"{cpu:.2f} ms", f"{floor:.2f} ms without a ledger", cpu / floor, 1.5)
    items = options.items + throughput.FIRST
    middle = Used(*(statistics.median(each) / items for each in zip(*shared.used, strict=True)))
    timing.row("CPU time of PostgreSQL per item", f"{middle.cpu * 1000:.2f} ms")
    timing.row("transactions of PostgreSQL per item", f"{middle.transactions:.2f}")
    log, tables = f"{middle.log / 1000:.1f} kB of log", f"{middle.tables / 1000:.1f} kB of tables"
    timing.row("bytes written by PostgreSQL per item", f"{log}, {tables}")


if __name__ == "__main__":
    main()
