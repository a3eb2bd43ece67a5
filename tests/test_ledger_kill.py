"""Real kills of PostgreSQL in the middle of an apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postgres import Cluster
from tests.processes import KEY, PROJECT, Served, applying, blog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.running import Build, Run

ITEMS = ("one", "two", "three", "four", "five", "six")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the whole module; each test has topics of its own."""
    with Served(tmp_path_factory.mktemp("served") / "store.db", stage_seconds=0.03) as served:
        yield served


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, to be killed."""
    with Cluster() as own:
        yield own


def _env(url: str) -> Mapping[str, str]:
    return {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": url}


def _checkout(build: Build, server: Served, at: str, topic: str) -> Path:
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog(*ITEMS, topic=topic),
    }
    return build(files, at=at)


def _expected(topic: str) -> list[str]:
    return sorted(topic.format(item) for item in ITEMS)


def test_postgres_dies_and_comes_back(project: Build, invoke: Run, server: Served, cluster: Cluster) -> None:
    """In the middle of an apply, twice: nothing that pays leaves meanwhile, and the apply goes on as if nothing were."""
    topic, env = "All about {} (comes back)", _env(cluster.url())
    root = _checkout(project, server, "back", topic)
    with applying(root, env=env) as apply:
        for moment in (4, 6):
            assert apply.next(moment)
            cluster.kill()
            # What had left before arrives.
            assert apply.runs_for(0.3)
            jobs = server.jobs("(comes back)")
            assert apply.runs_for(0.5)
            assert server.jobs("(comes back)") == jobs
            cluster.start()
        ended = apply.end()
    assert ended.code == 0, ended.stdout + ended.stderr
    assert server.charges("(comes back)") == _expected(topic)
    assert server.contents("(comes back)") == _expected(topic)
    assert invoke("plan", "--detailed-exitcode", cwd=root, env=env).code == 0
