"""Several checkouts of one project that share a ledger and push nothing: each text is paid for once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.processes import KEY, PROJECT, Served, blog, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.running import Build, Run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the whole module; each test has topics of its own."""
    with Served(tmp_path_factory.mktemp("served") / "store.db") as served:
        yield served


def _env(database: str) -> Mapping[str, str]:
    return {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}


def _checkout(build: Build, server: Served, at: str, topic: str, *items: str) -> Path:
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog(*items, topic=topic),
    }
    return build(files, at=at)


def test_a_second_checkout_pays_for_nothing(project: Build, invoke: Run, server: Served, database: str) -> None:
    """What one paid for and did not push, the other one writes for nothing."""
    one, two = (_checkout(project, server, at, "{} (second)", "a", "b") for at in ("one", "two"))
    assert invoke("apply", "--yes", cwd=one, env=_env(database)).code == 0
    assert invoke("apply", "--yes", cwd=two, env=_env(database)).code == 0
    assert tree(one) == tree(two)
    assert server.charges("(second)") == ["a (second)", "b (second)"]
