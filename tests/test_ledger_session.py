"""One session with PostgreSQL: locks that die with it, coming back after a break, and what its errors say."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from contentops.errors import ExitCode, StateError
from contentops.ledger.session import LedgerAway, LedgerDenied, LedgerSession, WorkTaken, fault_of, shown
from tests.fakes.wire import Wire
from tests.postgres import Cluster, until

KIND = 7


def test_locks_die_with_their_session(database: str) -> None:
    """Held by one session at a time, and free once it is closed, not a moment later."""
    with LedgerSession(database) as other:
        for _ in range(20):
            with LedgerSession(database) as first:
                assert first.lock(KIND, 1)
                assert not other.lock(KIND, 1)
                assert other.lock(KIND, 2)
            assert other.lock(KIND, 1)
            other.unlock(KIND, 1)
        with LedgerSession(database) as next_one:
            assert next_one.lock(KIND, 1)


def test_a_killed_database_that_comes_back(cluster: Cluster) -> None:
    """Within the patience everything goes on, with the same locks; nothing is answered meanwhile."""
    with LedgerSession(cluster.url()) as session:
        assert session.lock(KIND, 1)
        cluster.kill()
        back = threading.Timer(0.3, cluster.start)
        back.start()
        assert session.run("SELECT 5") == [(5,)]
        back.join()
        with LedgerSession(cluster.url()) as other:
            assert not other.lock(KIND, 1)


def test_a_database_that_stays_away_ends_the_session(cluster: Cluster) -> None:
    """After the patience it is an error that ends with 3, at once from then on, also if the database comes back."""
    with LedgerSession(cluster.url(), patience=0.5) as session:
        cluster.kill()
        for _ in range(2):
            with pytest.raises(LedgerAway, match="cannot be reached") as told:
                session.run("SELECT 1")
            assert told.value.exit_code is ExitCode.INCOMPLETE
        cluster.start()
        with pytest.raises(LedgerAway):
            session.run("SELECT 1")


def test_who_wants_to_stop_waits_for_no_answer(cluster: Cluster) -> None:
    """A database that stands still breaks no connection; it is hung up on where no one waits any more."""
    with LedgerSession(cluster.url(), patience=1000, stopped=lambda: True) as session:
        ((backend,),) = session.run("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerAway):
                session.run("SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)


@pytest.mark.parametrize("why", ["a stop", "a deadline"])
def test_no_database_is_waited_for_where_no_one_waits(cluster: Cluster, why: str) -> None:
    """The wait ends when a person wants to stop, or at the deadline, with all of its patience left."""
    asked, until_ = threading.Event(), time.monotonic() + 0.5 if why == "a deadline" else math.inf
    with LedgerSession(cluster.url(), patience=1000, stopped=asked.is_set, until=until_) as session:
        cluster.kill()
        if why == "a stop":
            threading.Timer(0.3, asked.set).start()
        with pytest.raises(LedgerAway) as told:
            session.run("SELECT 1")
        assert told.value.exit_code is (ExitCode.INTERRUPTED if why == "a stop" else ExitCode.INCOMPLETE)


def test_a_lock_that_went_to_another(database: str) -> None:
    """Whoever lost a lock while the connection was broken does nothing more."""
    with LedgerSession(database) as first, LedgerSession(database) as other:
        assert first.lock(KIND, 1)
        assert first.lock(KIND, 2)
        other.run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        until(lambda: other.lock(KIND, 2))
        for _ in range(2):
            with pytest.raises(WorkTaken) as told:
                first.run("SELECT 1")
            assert told.value.exit_code is ExitCode.INCOMPLETE
        until(lambda: other.lock(KIND, 1))  # what it let go of is free again


def test_a_connection_that_was_cut_leaves_no_ghost(database: str) -> None:
    """The server has not missed the session that was cut; its locks are ours again all the same, and at once."""
    with Wire.to(database) as wire, LedgerSession(wire.url(database)) as session, LedgerSession(database) as other:
        assert session.lock(KIND, 1)
        (before,) = session.run("SELECT pg_backend_pid()")
        wire.cut()
        (after,) = session.run("SELECT pg_backend_pid()")
        assert before != after
        assert not other.lock(KIND, 1)
        assert other.run("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", before) == [(0,)]


def test_a_commit_whose_answer_is_lost_is_done_once(database: str) -> None:
    """The work is done again on a new connection, and finds what it did."""
    with Wire.to(database) as wire, LedgerSession(wire.url(database)) as session:
        session.run("CREATE TABLE told (id int PRIMARY KEY)")
        tries = 0

        def work(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
            nonlocal tries
            tries += 1
            cursor.execute("INSERT INTO told VALUES (1) ON CONFLICT DO NOTHING")
            if tries == 1:
                wire.lose_answer()

        session.transaction(work)
        assert (tries, wire.connections, session.run("SELECT id FROM told")) == (2, 2, [(1,)])


def test_transactions_that_stand_in_each_others_way(database: str) -> None:
    """A deadlock, which PostgreSQL ends for one of the two, is no error: that one tries again."""
    with LedgerSession(database) as first, LedgerSession(database) as other:
        first.run("CREATE TABLE told (id int PRIMARY KEY, times int)")
        first.run("INSERT INTO told VALUES (1, 0), (2, 0)")
        both = threading.Barrier(2)

        def count(session: LedgerSession, *ids: int) -> None:
            tries = 0

            def work(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
                nonlocal tries
                tries += 1
                cursor.execute("SET LOCAL deadlock_timeout = '10ms'")
                for number, id_ in enumerate(ids):
                    cursor.execute("UPDATE told SET times = times + 1 WHERE id = %s", (id_,))
                    if tries == 1 and number == 0:
                        both.wait(10)

            session.transaction(work)

        thread = threading.Thread(target=count, args=(other, 2, 1))
        thread.start()
        count(first, 1, 2)
        thread.join()
        assert first.run("SELECT times FROM told ORDER BY id") == [(2,), (2,)]


SECRET = "s3cr3t"


@pytest.mark.parametrize(("url", "words"), [
    (f"postgresql://u:{SECRET}@127.0.0.1:1/db", "ledger-away"),
    (f"host=127.0.0.1 port=1 user=u password={SECRET} dbname=db", "ledger-away"),
    (f"postgresql://u:a@{SECRET}@127.0.0.1:1/db", "ledger-address"),
    (f"postgresql://u:a@{SECRET}/b@127.0.0.1:1/db", "ledger-address"),
    (f"postgresql://u:{SECRET}/a@127.0.0.1:1/db", "ledger-address"),
    (f"postgresql://u:1/{SECRET}@127.0.0.1:1/db", "ledger-address"),
    (f"postgresql://u:%zz{SECRET}@127.0.0.1:1/db", "ledger-address"),
    (f"postgresql://u:{SECRET}\udcff@127.0.0.1:1/db", "ledger-address"),
    (f"postgresql://u@127.0.0.1:1/db?sslpassword={SECRET}", "ledger-away"),
    (f"postgresql://u@127.0.0.1:1/db?pasword={SECRET}", "ledger-address"),
    (f"host=127.0.0.1 password={SECRET} and more", "ledger-address"),
    (f"mysql://u:{SECRET}@127.0.0.1:1/db", "ledger-address"),
    (SECRET, "ledger-address"),
    (f"postgresql://me:{SECRET}@127.0.0.1/db?nosuch={SECRET}", "after `?`, a name is not a parameter"),
    (f"postgresql://127.0.0.1/db?{SECRET}", "after `?`, a name is not a parameter"),
    (f"postgresql://me:{SECRET}?x@127.0.0.1/db?nosuch=1", "after `?`, a name is not a parameter"),
    (f"postgresql://me:p@{SECRET}@127.0.0.1/db?sslmode=require", "`@` is written `%40`"),
])  # fmt: skip
def test_no_error_shows_a_password(url: str, words: str) -> None:
    """Whether no one answers, or the address is wrong or misread: the code or the hint says which, and no more."""
    with pytest.raises(StateError) as told:
        LedgerSession(url, patience=0)
    assert words in f"{told.value.code} {told.value.hint}"
    assert SECRET not in f"{told.value} {told.value.message} {told.value.hint} {shown(url)}"
    # What a traceback would show.
    assert told.value.__suppress_context__ or told.value.__context__ is None


# --- what PostgreSQL refuses --------------------------------------------------------------------------------------

ROLE = "faulty"


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A superuser beside a role that may log in."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
        try:
            yield connection
        finally:
            connection.execute(f"DROP OWNED BY {ROLE}")
            connection.execute(f"DROP ROLE {ROLE}")


@pytest.mark.parametrize(("state", "passes"), [
    *((state, True) for state in ("08006", "25006", "40P01", "40001", "53100", "53200", "53300", "55P03")),
    *((state, True) for state in ("57014", "57P01", "57P03", "58030", "25P03")),
    *((state, False) for state in ("28P01", "28000", "3D000", "57P04", "42501", "42P01", "22021", "XX001")),
])  # fmt: skip
def test_what_passes_by_its_sqlstate(state: str, *, passes: bool) -> None:
    """Classes of states that a moment may change, against those that only a person does."""
    assert fault_of(psycopg.errors.lookup(state)("words")).passes is passes


@pytest.mark.parametrize("state", ["53100", "57014"])
def test_what_passes_is_waited_for(database: str, state: str) -> None:
    """A full disk or a statement that took too long ends no one, while its patience lasts."""
    with LedgerSession(database) as session:
        session.run("CREATE SEQUENCE tries")
        session.run(
            f"CREATE FUNCTION may_fail() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN IF nextval('tries') < 3 THEN"
            f" RAISE EXCEPTION 'no room' USING ERRCODE = '{state}'; END IF; RETURN 1; END $$"
        )
        assert session.run("SELECT may_fail()") == [(1,)]
    with LedgerSession(database, patience=0.3) as session:
        session.run("ALTER SEQUENCE tries RESTART MINVALUE -1000 START -1000")
        with pytest.raises(LedgerAway, match="no room") as told:
            session.run("SELECT may_fail()")
        assert told.value.exit_code is ExitCode.INCOMPLETE


def test_a_database_that_is_read_only_for_a_while(database: str, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """As after a failover: a new connection finds who may write by then."""
    name = admin.info.dbname
    admin.execute("CREATE TABLE told (id int)")
    admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    def writes_again() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')

    with LedgerSession(database) as session:
        threading.Timer(0.5, writes_again).start()
        assert session.run("INSERT INTO told VALUES (1) RETURNING id") == [(1,)]


def test_who_may_not_log_in_is_told_at_once(database: str, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """Not after the patience that a database has which is away."""
    with LedgerSession(make_conninfo(database, user=ROLE), patience=1000) as session:
        admin.execute(f"ALTER ROLE {ROLE} NOLOGIN")
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (ROLE,))
        begin = time.monotonic()
        with pytest.raises(LedgerDenied, match="not permitted to log in") as told:
            session.run("SELECT 1")
        assert (told.value.exit_code, time.monotonic() - begin < 100) == (ExitCode.ERROR, True)


def test_what_no_one_may_is_told_at_once(database: str, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """With what gives the right."""
    admin.execute("CREATE TABLE told (id int)")
    with LedgerSession(make_conninfo(database, user=ROLE), patience=1000) as session:
        with pytest.raises(StateError, match="permission denied") as told:
            session.run("SELECT id FROM told")
        assert (told.value.code, "grant the role access" in told.value.hint) == ("ledger-refused", True)
