"""The queue of a ledger: what is deposited, claimed in turn, listed and cancelled."""

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


def _files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".contentops" not in path.parts
    }


def test_what_is_deposited_is_worked_off_and_written_for_nothing(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """A deposit changes nothing here and pays for nothing; a worker pays once; an apply writes the files for nothing."""
    root, env = _checkout(project, server, "one", "{} (first)", "a", "b", "c"), _env(database)
    before = _files(root)
    done = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert done.code == 0, done.stderr
    assert "Queued 3 submits for 12 credits" in done.stdout
    assert _files(root) == before
    assert not server.jobs("(first)")
    listed = invoke("queue", "--json", env=env).json
    assert [(one["item"], one["state"]) for one in listed["submits"]] == [
        ("a", "queued"),
        ("b", "queued"),
        ("c", "queued"),
    ]
    again = invoke("apply", "--detach", "--yes", cwd=root, env=env)
    assert "Queued 0 submits" in again.stdout
    worked = invoke("work", "--once", env=env)
    assert worked.code == 0, worked.stderr
    assert server.charges("(first)") == ["a (first)", "b (first)", "c (first)"]
    assert invoke("queue", "--json", env=env).json["size"] == 0
    applied = invoke("apply", "--yes", cwd=root, env=env)
    assert applied.code == 0, applied.stderr
    assert list(tree(root)) == ["out/a.md", "out/b.md", "out/c.md"]
    assert len(server.charges("(first)")) == 3
