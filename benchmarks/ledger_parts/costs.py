"""What a ledger takes of an apply and of a worker: CPU, transactions, bytes."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

import psutil
import psycopg
import throughput
import timing
from ledger_parts.ground import IN_FLIGHT, detached, ledger, paid

if TYPE_CHECKING:
    from ledger_parts.ground import Bench

    from tests.postgres import Cluster


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
    for count in (few, many):
        with ledger(bench.cluster) as url, timing.scratch() as folder:
            detached(folder, bench.port, count, 1000)
            before = used(bench.cluster, url)
            taken[count] = timing.spent([*timing.CONTENTOPS, "work", "--once"], folder)
            server.append(used(bench.cluster, url).since(before))
            with psycopg.connect(url) as connection:
                assert paid(connection) == count
            if count == few:
                # Its account is known by now, and nothing is left to do.
                taken[0] = timing.spent([*timing.CONTENTOPS, "work", "--once"], folder)
    cpu, start = (taken[many].cpu - taken[0].cpu) / many * 1000, timing.seconds(taken[0].cpu)
    timing.row(f"worker, {many:,} items, CPU per item", f"{cpu:.2f} ms (its start: {start})")
    of_server(server[-1:], many)
    shown, floor = f"{taken[many].peak:.0f} MB, {many:,} items", f"{taken[few].peak:.0f} MB, {few:,} items"
    timing.row("memory of a worker", shown, floor, taken[many].peak / taken[few].peak, 1.1)
