"""Show the numbers of a worker in the Prometheus text format.

The worker gathers them and a thread shows them, so that no scrape waits for a worker or asks a ledger.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import UsageError
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from contentops.ledger.session import LedgerSession

GATHERED = 10.0
"""Seconds between two reads of the queue."""


class Waiting(Struct, frozen=True, kw_only=True):
    """The submits of an account in the ledger, for one project and environment."""

    account: str
    project: str
    environment: str
    queued: int
    in_flight: int
    unwritten: int
    failures: int
    oldest_queued: int
    """Age in seconds of the oldest submit that waits."""


class Done(Struct, frozen=True, kw_only=True):
    """The work for an account since the worker began."""

    account: str
    submits: int
    requests: int
    credits: int
    results: Mapping[str, int]
    waits_for: str
    """What it waits for, in one word; empty: nothing."""


class WorkNumbers(Struct, frozen=True, kw_only=True):
    """All numbers that are shown."""

    waiting: tuple[Waiting, ...] = ()
    done: tuple[Done, ...] = ()


_WAITING = """
SELECT account, project, environment, queued, in_flight, unwritten, failures, oldest_queued FROM contentops.backlog
WHERE account = ANY(%s) ORDER BY 1, 2, 3"""


def read_waiting(session: LedgerSession, accounts: list[str]) -> tuple[Waiting, ...]:
    """Read the submits of some accounts in the ledger. Raises as `LedgerSession.run` does."""
    names = Waiting.__struct_fields__
    return tuple(Waiting(**dict(zip(names, row, strict=True))) for row in session.run(_WAITING, (accounts,)))


def families(numbers: WorkNumbers) -> Iterator[Metric]:
    """Yield the numbers as Prometheus metrics."""
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    where = ("account", "project", "environment")
    for name, help_text in (
        ("queued", "Submits that wait for a worker"),
        ("in_flight", "Submits that leave now, and jobs that the server works on"),
        ("unwritten", "Paid texts that no checkout has written yet"),
        ("failures", "Submits that failed, were refused or are unknown"),
        ("oldest_queued", "Age in seconds of the oldest submit that waits"),
    ):
        unit = "_seconds" if name == "oldest_queued" else ""
        gauge = GaugeMetricFamily(f"contentops_{name}{unit}", help_text, labels=where)
        for row in numbers.waiting:
            gauge.add_metric((row.account, row.project, row.environment), getattr(row, name))
        yield gauge
    for name, help_text in (
        ("submits", "Submits that the server took of this worker"),
        ("requests", "Requests that this worker sent"),
        ("credits", "Published price of what this worker paid for"),
    ):
        counter = CounterMetricFamily(f"contentops_{name}", help_text, labels=("account",))
        for one in numbers.done:
            counter.add_metric((one.account,), getattr(one, name))
        yield counter
    ended = CounterMetricFamily("contentops_results", "Submits by how they ended", labels=("account", "result"))
    waits = GaugeMetricFamily("contentops_waits", "1 for what this worker waits for", labels=("account", "on"))
    for one in numbers.done:
        for result, count in sorted(one.results.items()):
            ended.add_metric((one.account, result), count)
        if one.waits_for:
            waits.add_metric((one.account, one.waits_for), 1)
    yield from (ended, waits)


class _Shown:
    """The collector that a registry asks at each scrape."""

    def __init__(self, read: Callable[[], WorkNumbers]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        return families(self._read())


@contextlib.contextmanager
def shown(address: str, read: Callable[[], WorkNumbers]) -> Iterator[int]:
    """Show the numbers of `read` at `[HOST:]PORT`, on this machine alone unless a host is stated; yield the port.

    Raises UsageError where the address is invalid or taken, or the driver is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ModuleNotFoundError:
        hint = "install `contentops[postgres]` instead of `contentops`"
        message = "`--metrics` needs `prometheus-client`, which is not installed here"
        raise UsageError(message, code="ledger-driver", hint=hint) from None
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(read))
    try:
        server, thread = start_http_server(int(port), host, registry)
    except (OSError, OverflowError, ValueError) as error:
        hint = "`--metrics 9464`, or `--metrics 0.0.0.0:9464` for other machines"
        message = f"metrics cannot be shown at `{visible(address)}`: {error}"
        raise UsageError(message, code="metrics-address", hint=hint) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
