"""Real kills over a ledger: of checkouts that never push, and of PostgreSQL in the middle of an apply."""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.postgres import Cluster
from tests.processes import KEY, PROJECT, Served, applying, blog, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.running import Build, Run

ITEMS = ("one", "two", "three", "four", "five", "six")
KILLS = 5


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


def _finish(invoke: Run, root: Path, env: Mapping[str, str]) -> None:
    """Applies until it is done, for a while: a job may have to be looked for twice, and who worked may come back."""
    until = time.monotonic() + 60
    while True:
        ended = invoke("apply", "--yes", cwd=root, env=env)
        assert "Traceback" not in ended.stderr
        if ended.code not in {3, 4} or time.monotonic() > until:
            break
        time.sleep(0.2)
    assert ended.code == 0, ended.stdout + ended.stderr


def test_three_checkouts_that_never_push(project: Build, invoke: Run, server: Served, database: str) -> None:
    """Killed at random moments, one after the other: a charge and a content for each item, and equal trees."""
    topic, chance, env = "All about {} (never pushed)", random.Random(1), _env(database)
    # Once a server has shown when it knows a job, no look-up waits for the longest that any may take.
    known = _checkout(project, server, "known", "All about {} (known)")
    assert invoke("apply", "--yes", "--select", "one", cwd=known, env=env).code == 0
    shutil.rmtree(known)
    roots = [_checkout(project, server, name, topic) for name in ("a", "b", "c")]
    killed = 0
    for _ in range(3 * KILLS):
        with applying(chance.choice(roots), env=env) as apply:
            if apply.next(chance.randint(1, 12)) and apply.runs_for(chance.choice([0.001, 0.01, 0.05])):
                apply.kill()
                killed += 1
        if killed == KILLS:
            break
    for root in roots:
        _finish(invoke, root, env)
    assert killed > 2, killed
    assert tree(roots[0]) == tree(roots[1]) == tree(roots[2])
    assert len(tree(roots[0])) == len(ITEMS)
    assert server.charges("(never pushed)") == _expected(topic)
    assert server.contents("(never pushed)") == _expected(topic)


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
