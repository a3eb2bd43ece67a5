"""Applies that are killed and frozen, with a database that dies, on a rough road: nothing is paid twice or lost."""

import random
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from contentops.errors import ExitCode
from contentops.ledger.limiter import SLOW
from contentops.ledger.session import LedgerSession
from tests.fakes.rough import Rough
from tests.ledger_fault_injection import Applies, FaultPlan, check, checkout, contentops, inject_faults, look, states
from tests.postgres import until
from tests.processes import KEY, PROJECT, Served, blog, killed, tree

BRIEF = FaultPlan(items=6, kills=3, freezes=1, frozen=0.5, outages=1, away=0.3, pause=0.2)


CHILD = """
import sys, time
from contentops.errors import StateError
from contentops.errors import ExitCode
from contentops.ledger.session import LedgerSession
session = LedgerSession(sys.argv[1])
assert session.lock(7, 99)
print("holds", flush=True)
sys.stdin.readline()
try:
    session.run("SELECT 1")
except StateError as error:
    print(error.code, flush=True)
"""

ITEMS = ("one", "two", "three")
KILLS = 2
"""Of checkouts."""


@pytest.mark.timeout(280)
def test_whatever_is_killed_and_freezes(tmp_path: Path, postgres: str, database: str, second_database: str) -> None:
    """Five stories side by side, since each of them waits for what may still arrive, or for PostgreSQL to lose patience."""
    with ThreadPoolExecutor() as pool:
        fault_plan = pool.submit(inject_faults, tmp_path / "fault_plan", BRIEF)
        frozen = pool.submit(_an_apply_that_froze_with_its_submits_recorded, tmp_path / "frozen", database)
        silent = pool.submit(_a_process_that_stands_still_holds_no_lock, postgres)
        idle = pool.submit(_an_idle_session_comes_back_by_itself, postgres)
        killed = pool.submit(_checkouts_that_never_push, tmp_path / "never pushed", second_database)
    damage = fault_plan.result()
    assert (damage.kills, damage.outages) >= (1, 1)
    check(BRIEF, damage, tmp_path / "fault_plan")
    for story in (frozen, silent, idle, killed):
        story.result()


def _a_process_that_stands_still_holds_no_lock(url: str) -> None:
    """The database ends its session after 15 s of silence; whoever wakes up finds that its work is taken."""
    command = [sys.executable, "-c", CHILD, url]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
        LedgerSession(url) as other,
    ):
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "holds\n"
            child.send_signal(signal.SIGSTOP)
            until(lambda: other.lock(7, 99), seconds=60, every=0.1)
            child.send_signal(signal.SIGCONT)
            out, _ = child.communicate("\n", timeout=20)
            assert out == "work-taken\n"
        finally:
            child.kill()


def _an_idle_session_comes_back_by_itself(url: str) -> None:
    """A process that waits for a job holds its locks again soon after a break, though it asks the ledger nothing."""
    with LedgerSession(url) as session, LedgerSession(url) as other:
        assert session.lock(7, 55)
        (backend,) = session.run("SELECT pg_backend_pid()")
        other.run("SELECT pg_terminate_backend(%s, 5000)", backend)
        held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND objid = 55"
        until(lambda: other.run(held) != [])


def _checkouts_that_never_push(folder: Path, database: str) -> None:
    """Killed at random moments, one after the other: a charge and a content for each item, and equal trees."""
    topic, chance = "All about {}", random.Random(1)
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    folder.mkdir()
    with Served(folder / "store.db", stage_seconds=0.03) as served:
        # Once a server has shown when it knows a job, no look-up waits for the longest that any may take.
        known = _checkout(folder / "known", served, "{} (known)")
        assert contentops(known, env, "apply", "--yes", "--select", "one").returncode == 0
        roots = [_checkout(folder / name, served, topic) for name in ("a", "b")]
        died = 0
        for _ in range(3 * KILLS):
            moment = chance.choice([0.001, 0.01, 0.05])
            died += killed(chance.choice(roots), count=chance.randint(1, 12), moment=moment, env=env)
            if died == KILLS:
                break
        for root in roots:
            _finish(root, env)
        assert died == KILLS
        assert tree(roots[0]) == tree(roots[1])
        expected = sorted(topic.format(item) for item in ITEMS)
        assert (len(tree(roots[0])), served.charges("All about")) == (len(ITEMS), expected)
        assert served.contents("All about") == expected


def _checkout(root: Path, served: Served, topic: str) -> Path:
    (root / "content").mkdir(parents=True)
    (root / "contentops.yaml").write_text(PROJECT.format(base_url=served.base_url, extra=""))
    (root / "content/blog.yaml").write_text(blog(*ITEMS, topic=topic))
    return root


def _finish(root: Path, env: Mapping[str, str]) -> None:
    """Applies until it is done: a job may have to be looked for twice, and who worked counts as alive for a moment."""
    ended: list[subprocess.CompletedProcess[str]] = []

    def done() -> bool:
        ended.append(contentops(root, env, "apply", "--yes"))
        assert "Traceback" not in ended[-1].stderr
        return ended[-1].returncode not in {3, 4}

    until(done, seconds=60, every=1.0)
    assert ended[-1].returncode == 0, ended[-1].stdout + ended[-1].stderr


def _an_apply_that_froze_with_its_submits_recorded(folder: Path, database: str) -> None:
    """It is stopped between the record and the bytes, until another checkout has done its work; then it goes on.

    Takes as long as a successor waits for what may still arrive.
    """
    folder.mkdir()
    with Served(folder / "store.db") as served, Rough(served.port, 1) as road, look(database) as rows:
        road.smooth = True
        env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
        fault_plan = FaultPlan(items=3)
        one, two = (checkout(folder / name, "red", fault_plan, road.base_url) for name in ("one", "two"))
        # The account is known by then, and how its server treats ids.
        assert contentops(one, env, "apply", "--yes", "--select", "i000").returncode == 0
        with Applies(folder, env, {one: ()}) as applies:
            frozen = _freeze_between_record_and_bytes(applies, one, database, rows)
            # Their records are written together, or one after the other.
            assert states(database)["submitting"] in {1, 2}
            before = len(road.seen)
            _finish(two, env)
            assert len([each for each in road.seen[before:] if "/generate " in each.line]) == 2
            submits = len(road.seen)
            frozen.send_signal(signal.SIGCONT)
            assert frozen.wait(60) == ExitCode.INCOMPLETE
            # A freeze longer than its patience with the ledger ends it before it asks who has its work.
            reason = r"this process did not respond|the ledger .* cannot be reached"
            assert re.search(rf"stopped \(ledger\): ({reason})", " ".join(applies.said()[0].split()))
            assert not [each for each in road.seen[submits:] if "/generate " in each.line], "it sent nothing"
        _finish(one, env)
        assert served.charges() == [f"About i{number:03} of red" for number in range(3)]
        assert tree(one) == tree(two)


def _freeze_between_record_and_bytes(
    applies: Applies, root: Path, database: str, rows: psycopg.Connection[tuple[object, ...]]
) -> subprocess.Popen[bytes]:
    """An apply whose submits are durable, and that waits to stamp them again before it sends them.

    Its sessions are ended, as PostgreSQL ends them after a while of silence.
    """
    rows.execute(
        "CREATE FUNCTION contentops.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.state = 'submitting' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NEW; END $$"
    )
    rows.execute(
        "CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON contentops.job FOR EACH ROW EXECUTE FUNCTION contentops.slow()"
    )
    here = "FROM pg_stat_activity WHERE datname = current_database()"
    locked = f"SELECT count(*) {here} AND wait_event_type = 'Lock'"
    # Only a record that took longer than `SLOW` is stamped again.
    records = f"{locked} AND wait_event = 'advisory' AND clock_timestamp() - query_start > %s * interval '1 second'"
    stamps = f"{locked} AND wait_event <> 'advisory'"
    with look(database) as holder:
        holder.execute("SELECT pg_advisory_lock(1)")
        child = applies.start(root)
        until(lambda: _one(rows, records, 5 * SLOW))
        with holder.transaction():
            holder.execute("SELECT 1 FROM contentops.limiter FOR UPDATE")
            holder.execute("SELECT pg_advisory_unlock(1)")
            until(lambda: states(database)["submitting"] and _one(rows, stamps))
            child.send_signal(signal.SIGSTOP)
    rows.execute(f"SELECT pg_terminate_backend(pid, 5000) {here} AND application_name = 'contentops apply'")
    rows.execute("DROP FUNCTION contentops.slow() CASCADE")
    return child


def _one(rows: psycopg.Connection[tuple[object, ...]], statement: str, *values: object) -> object:
    return (rows.execute(statement.encode(), values).fetchone() or (None,))[0]
