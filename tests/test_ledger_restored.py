"""A ledger whose database is put back to an earlier time, with a real copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.processes import KEY, PROJECT, Served, blog, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.running import Build, Run


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own, which takes our ids."""
    with Served(tmp_path / "store.db") as served:
        yield served


@pytest.fixture
def backup(database: str, postgres: str) -> Iterator[Backup]:
    """What copies the database, and puts the copy in its place."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        made = Backup(connection, database.rpartition("/")[2])
        yield made
        connection.execute(f'DROP DATABASE IF EXISTS "{made.copy}" WITH (FORCE)')


class Backup:
    """A copy of a database that no one is connected to."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
        self._connection, self._name = connection, name
        self.copy = f"{name}_copy"

    def take(self) -> None:
        """Keep what it holds now."""
        self._free()
        self._connection.execute(f'CREATE DATABASE "{self.copy}" TEMPLATE "{self._name}"')

    def put_back(self) -> None:
        """Forget all that came since."""
        self._free()
        self._connection.execute(f'DROP DATABASE "{self._name}"')
        self._connection.execute(f'ALTER DATABASE "{self.copy}" RENAME TO "{self._name}"')

    def _free(self) -> None:
        self._connection.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = %s", (self._name,)
        )


def _checkout(build: Build, server: Served, at: str, *items: str) -> Path:
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog(*items),
    }
    return build(files, at=at)


def test_what_a_backup_lacks_is_found_and_not_paid_for_again(
    project: Build, invoke: Run, server: Served, database: str, backup: Backup
) -> None:
    """After `ledger restored` another checkout takes the jobs that the copy knows nothing of, with its own and new ones."""
    env: Mapping[str, str] = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    one = _checkout(project, server, "one", "a")
    assert invoke("apply", "--yes", cwd=one, env=env).code == 0
    backup.take()
    (one / "content/blog.yaml").write_text(blog("a", "b", "c", "d", "e", "f", "g", "h"))
    assert invoke("apply", "--yes", cwd=one, env=env).code == 0
    backup.put_back()

    assert invoke("ledger", "restored", "--yes", env=env).code == 0
    two = _checkout(project, server, "two", "a", "b", "c", "d", "e", "f", "g", "h", "new")
    assert invoke("apply", "--yes", cwd=two, env=env).code == 0
    assert server.charges("All about") == sorted(f"All about {item}" for item in ("a", *"bcdefgh", "new"))
    written = tree(two)
    assert {name: written[name] for name in tree(one)} == tree(one)
