"""What every part of the ledger's benchmark stands on: a new ledger, and a project whose items are queued in it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

import timing

from tests.postgres import Cluster, database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

IN_FLIGHT = 64
CLAIMED = 50
"""Submits of one claim."""
SETTINGS = """\
version: 1
project: ledger
api: {{base_url: '{address}', dialect: v1, requests_per_minute: {limit}, max_in_flight: 64}}
defaults: {{template: blog, style: plain}}
"""


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
