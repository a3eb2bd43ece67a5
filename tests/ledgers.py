"""What tests of a ledger share: a served API, checkouts of projects beside it, and sessions with the database."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from contentops.ledger.session import LedgerSession
from tests.fakes.ledger import HarnessLedger
from tests.postgres import Cluster
from tests.processes import KEY, PROJECT, Served, blog
from tests.running import Build, Completed, Run


class Checkout(Protocol):
    """Builds a checkout whose items have the topics `topic`."""

    def __call__(self, topic: str, *items: str, at: str = "one", extra: str = "") -> Path: ...


class Go(Protocol):
    """Runs a command that has to end with `code`."""

    def __call__(self, *arguments: str, cwd: Path | None = None, code: int = 0) -> Completed: ...


@pytest.fixture(scope="module")
def served(
    processes: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One server for a module, with its `STAGE_SECONDS`; each test has topics of its own."""
    seconds = getattr(request.module, "STAGE_SECONDS", 0.0)
    with Served(tmp_path_factory.mktemp("served") / "store.db", stage_seconds=seconds) as started:
        yield started


@pytest.fixture
def env(database: str) -> dict[str, str]:
    """The environment of a process that works over the database of the test."""
    return {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}


@pytest.fixture
def checkout(project: Build, served: Served) -> Checkout:
    """Builds checkouts beside the server of the module."""

    def build(topic: str, *items: str, at: str = "one", extra: str = "") -> Path:
        settings = PROJECT.format(base_url=served.base_url, extra=extra)
        return project({"contentops.yaml": settings, "content/blog.yaml": blog(*items, topic=topic)}, at=at)

    return build


@pytest.fixture
def go(invoke: Run, env: dict[str, str]) -> Go:
    """Runs commands over the database of the test."""

    def run(*arguments: str, cwd: Path | None = None, code: int = 0) -> Completed:
        ended = invoke(*arguments, cwd=cwd, env=env)
        assert ended.code == code, ended.stdout + ended.stderr
        return ended

    return run


@pytest.fixture
def ledger(database: str) -> Iterator[HarnessLedger]:
    """A ledger that the environment names."""
    from tests.fakes.ledger import HarnessLedger

    with contextlib.closing(HarnessLedger(database)) as opened:
        yield opened


@pytest.fixture
def session(database: str) -> Iterator[LedgerSession]:
    """A session with a ledger that has its tables and nothing else."""
    from contentops.ledger import session as schema
    from contentops.ledger.session import LedgerSession

    with LedgerSession(database, patience=0) as opened:
        schema.migrate(opened)
        yield opened


@pytest.fixture
def cluster(processes: None) -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, to be killed."""
    with Cluster() as own:
        yield own
