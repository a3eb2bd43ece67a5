"""Workers over a ledger that are killed and frozen, with a database that dies, on a rough road: nothing twice or lost."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.rough import Rough
from tests.postgres import Cluster, until
from tests.processes import KEY, Served
from tests.storms import Storm, Workers, blow, check, contentops, look, projects, states

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

BRIEF = Storm(items=8, kills=5, freezes=2, frozen=0.5, outages=1, away=0.3, pause=0.2)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the test's own."""
    with Cluster() as own:
        yield own


def test_a_storm(tmp_path: Path) -> None:
    """Four workers and two projects: each text is paid for once and is there, however hard it blows."""
    damage = blow(tmp_path, BRIEF)
    assert (damage.kills, damage.outages) >= (3, 1)
    check(BRIEF, damage, tmp_path)


def test_the_work_of_a_worker_that_was_killed_is_taken_over(tmp_path: Path, cluster: Cluster) -> None:
    """As soon as its session is gone: the database says so, no one waits for a time to pass."""
    storm = Storm(items=2)
    with (
        Served(tmp_path / "store.db", stage_seconds=0.5) as served,
        Rough(served.port, 1) as road,
        look(cluster) as database,
    ):
        road.smooth = True
        env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": cluster.url()}
        for root in projects(tmp_path, storm, road.base_url):
            assert contentops(root, env, "apply", "--detach", "--yes").returncode == 0
        with Workers(tmp_path, env) as workers:
            found: dict[object, subprocess.Popen[bytes]] = {}
            number = "SELECT max(number) FROM contentops.runner WHERE kind = 'worker'"
            for _ in range(2):
                child = workers.start()
                until(lambda: _one(database, number) not in (None, *found))
                found[_one(database, number)] = child
            running = "SELECT max(runner) FROM contentops.entry WHERE state = 'running'"
            until(lambda: _one(database, running) in found)
            holder = _one(database, running)
            workers.kill(found[holder])
            killed = time.monotonic()
            theirs = f"SELECT count(*) FROM contentops.entry WHERE state = 'running' AND runner = {holder}"
            until(lambda: _one(database, theirs) == 0)
            sys.stderr.write(f"taken over {time.monotonic() - killed:.2f} s after the kill\n")
            until(lambda: states(cluster)["paid"] == 4, seconds=40)
        assert len(served.charges()) == len(set(served.charges())) == 4


@pytest.mark.timeout(150)
def test_a_worker_that_froze_with_its_submits_recorded(tmp_path: Path, cluster: Cluster) -> None:
    """It stands still between the record and the bytes, until another one has done its work; then it goes on.

    Takes as long as PostgreSQL bears silence and a successor waits for what may still arrive.
    """
    with (
        Served(tmp_path / "store.db") as served,
        Rough(served.port, 1) as road,
        look(cluster) as database,
    ):
        road.smooth = True
        env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": cluster.url()}
        roots = projects(tmp_path, Storm(items=3), road.base_url)
        first, second = roots
        # The account is known by then, and how its server treats ids.
        assert contentops(first, env, "apply", "--yes").returncode == 0
        assert contentops(second, env, "apply", "--detach", "--yes").returncode == 0
        with Workers(tmp_path, env) as workers:
            frozen = _freeze_between_record_and_bytes(workers, cluster, database)
            assert states(cluster)["submitting"] > 0
            before = len(road.seen)
            workers.start()
            until(lambda: states(cluster)["paid"] == 6, seconds=100)
            assert not [one for one in road.seen[before:] if "POST" in one.line][3:]
            submits = len(road.seen)
            frozen.send_signal(signal.SIGCONT)
            until(lambda: "begins anew" in workers.said(frozen), seconds=20)
            assert not [one for one in road.seen[submits:] if "/generate " in one.line], "it sent nothing"
            assert frozen.poll() is None, "it works on, as another runner"
        assert served.charges() == sorted(topic for topics in roots.values() for topic in topics)


def _freeze_between_record_and_bytes(
    workers: Workers, cluster: Cluster, database: psycopg.Connection[tuple[object, ...]]
) -> subprocess.Popen[bytes]:
    """A worker whose submits are durable, and that waits to stamp them again before it sends them."""
    database.execute(
        "CREATE FUNCTION contentops.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.state = 'submitting' THEN PERFORM pg_sleep(0.5); END IF; RETURN NEW; END $$"
    )
    database.execute(
        "CREATE TRIGGER slow BEFORE UPDATE ON contentops.entry FOR EACH ROW EXECUTE FUNCTION contentops.slow()"
    )
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = %s AND wait_event LIKE %s"
    with look(cluster) as holder:
        child = workers.start()
        until(lambda: _one(database, waits, "Timeout", "PgSleep"))
        with holder.transaction():
            holder.execute("SELECT 1 FROM contentops.limiter FOR UPDATE")
            until(lambda: _one(database, waits, "Lock", "%"))
            child.send_signal(signal.SIGSTOP)
    database.execute("DROP FUNCTION contentops.slow() CASCADE")
    return child


def _row(database: psycopg.Connection[tuple[object, ...]], statement: str, *values: object) -> tuple[object, ...]:
    return database.execute(statement.encode(), values).fetchone() or ()


def _one(database: psycopg.Connection[tuple[object, ...]], statement: str, *values: object) -> object:
    return _row(database, statement, *values)[0]
