"""A ledger whose tables belong to one role, and that another one works with, which may do no more than that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.processes import KEY, PROJECT, Served, blog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.running import Build, Run


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own."""
    with Served(tmp_path / "store.db") as served:
        yield served


@pytest.fixture
def roles(database: str) -> Iterator[tuple[str, str]]:
    """The ledger's address for an owner, who may make tables and no roles, and for one who may only log in."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        owner, worker = f"{name}_owner", f"{name}_worker"
        for role in (owner, worker):
            connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO {owner}")
        yield database.replace("postgres@", f"{owner}@"), database.replace("postgres@", f"{worker}@")
        for role in (owner, worker):
            connection.execute(f"DROP OWNED BY {role} CASCADE")
            connection.execute(f"DROP ROLE {role}")


def test_an_owner_migrates_and_a_worker_works(
    project: Build, invoke: Run, server: Served, roles: tuple[str, str]
) -> None:
    """With `ledger grant` alone an apply goes through, and doctor has nothing against the role."""
    owner, worker = roles
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=f"ledger: '{worker}'"),
        "content/blog.yaml": blog("a", "b"),
    }
    root, env = project(files, at="site"), {"WRITERZROOM_API_KEY": KEY}
    role = psycopg.conninfo.conninfo_to_dict(worker)["user"]

    first = invoke("apply", "--yes", cwd=root, env=env)
    assert (first.code, "error[ledger-refused]" in first.stderr, server.charges("about")) == (1, True, [])
    assert "`ledger grant ROLE` opens them" in first.stderr.replace("\n", " ")
    assert invoke("ledger", "migrate", "--ledger", owner).code == 0
    assert invoke("apply", "--yes", cwd=root, env=env).code == 1
    assert invoke("ledger", "grant", str(role), "--ledger", owner).code == 0

    assert invoke("apply", "--yes", cwd=root, env=env).code == 0
    assert server.charges("All about") == ["All about a", "All about b"]
    (root / "content/blog.yaml").write_text(blog("a", "b", "c"))
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    assert invoke("queue", "cancel", "c", "--ledger", worker).code == 0
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    assert invoke("work", "--once", "--quiet", "--ledger", worker, env=env).code == 0
    assert invoke("apply", "--yes", cwd=root, env=env).code == 0
    assert server.charges("All about") == ["All about a", "All about b", "All about c"]

    checks = invoke("doctor", "--json", cwd=root, env=env).json["checks"]
    assert [one for one in checks if one["name"].startswith("ledger") and one["ok"] is not True] == []
    for command in (["gc", "--days", "1", "--yes"], ["migrate"]):
        done = invoke("ledger", *command, "--ledger", worker)
        assert (done.code, "Nothing" in done.stdout) == (0, True)
