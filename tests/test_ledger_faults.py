"""What PostgreSQL refuses: what passes is waited for, and all else is said at once."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from contentops.errors import ExitCode, StateError
from contentops.ledger.session import LedgerAway, LedgerDenied, LedgerSession, fault_of

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


def test_who_is_not_let_in_any_more_is_told_at_once(
    database: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
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
