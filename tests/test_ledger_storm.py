"""Workers over a ledger that are killed and frozen, with a database that dies, on a rough road: nothing twice or lost."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.fakes.rough import Rough
from tests.postgres import until
from tests.processes import KEY, Served
from tests.storms import Storm, Workers, blow, check, contentops, look, projects, states

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    import psycopg

BRIEF = Storm(items=5, workers=3, kills=4, freezes=1, frozen=0.5, outages=1, away=0.3, pause=0.2)


def test_a_storm(tmp_path: Path) -> None:
    """Three workers and two projects: each text is paid for once and is there, however hard it blows."""
    damage = blow(tmp_path, BRIEF)
    assert (damage.kills, damage.outages) >= (2, 1)
    check(BRIEF, damage, tmp_path)


def test_a_worker_that_is_killed_and_one_that_froze(tmp_path: Path, database: str) -> None:
    """What they held is done by others, once; whoever comes back sends nothing of it.

    The one is killed while its job runs. The other stands still between the record and the bytes, until another one has
    done its work; that takes as long as a successor waits for what may still arrive.
    """
    with (
        Served(tmp_path / "store.db", stage_seconds=0.3) as served,
        Rough(served.port, 1) as road,
        look(database) as rows,
    ):
        road.smooth = True
        env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
        roots = projects(tmp_path, Storm(items=2), road.base_url)
        first, second = roots
        assert contentops(first, env, "apply", "--detach", "--yes").returncode == 0
        with Workers(tmp_path, env) as workers:
            killed = workers.start()
            until(lambda: states(database)["running"])
            workers.kill(killed)
            workers.start()
            until(lambda: states(database)["paid"] == 2)
            workers.kill(workers.running[0])
            assert len([one for one in road.seen if "/generate " in one.line]) == 2, (
                "they were polled, and not looked for"
            )
            # The account is known by then, and how its server treats ids.
            assert contentops(second, env, "apply", "--detach", "--yes").returncode == 0
            frozen = _freeze_between_record_and_bytes(workers, database, rows)
            assert states(database)["submitting"] > 0
            before = len(road.seen)
            workers.start()
            until(lambda: states(database)["paid"] == 4, seconds=60)
            assert not [one for one in road.seen[before:] if "POST" in one.line][2:]
            submits = len(road.seen)
            frozen.send_signal(signal.SIGCONT)
            until(lambda: "begins anew" in workers.said(frozen))
            assert not [one for one in road.seen[submits:] if "/generate " in one.line], "it sent nothing"
            assert frozen.poll() is None, "it works on, as another runner"
        assert served.charges() == sorted(topic for topics in roots.values() for topic in topics)


def _freeze_between_record_and_bytes(
    workers: Workers, database: str, rows: psycopg.Connection[tuple[object, ...]]
) -> subprocess.Popen[bytes]:
    """A worker whose submits are durable, and that waits to stamp them again before it sends them.

    Its sessions are ended, as PostgreSQL ends them after a while of silence.
    """
    rows.execute(
        "CREATE FUNCTION contentops.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.state = 'submitting' THEN PERFORM pg_sleep(0.5); END IF; RETURN NEW; END $$"
    )
    rows.execute(
        "CREATE TRIGGER slow BEFORE UPDATE ON contentops.entry FOR EACH ROW EXECUTE FUNCTION contentops.slow()"
    )
    here = "FROM pg_stat_activity WHERE datname = current_database()"
    waits = f"SELECT count(*) {here} AND wait_event_type = %s AND wait_event LIKE %s"
    with look(database) as holder:
        child = workers.start()
        until(lambda: _one(rows, waits, "Timeout", "PgSleep"))
        with holder.transaction():
            holder.execute("SELECT 1 FROM contentops.limiter FOR UPDATE")
            until(lambda: _one(rows, waits, "Lock", "%"))
            child.send_signal(signal.SIGSTOP)
    rows.execute(f"SELECT pg_terminate_backend(pid, 5000) {here} AND application_name = 'contentops work'")
    rows.execute("DROP FUNCTION contentops.slow() CASCADE")
    return child


def _one(rows: psycopg.Connection[tuple[object, ...]], statement: str, *values: object) -> object:
    return (rows.execute(statement.encode(), values).fetchone() or (None,))[0]
