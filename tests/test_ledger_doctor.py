"""What `doctor` says of a ledger: each thing that runs rely on, and each that is wrong, by name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from msgspec import structs
from psycopg.conninfo import conninfo_to_dict

from contentops.errors import StateError
from contentops.ledger import schema
from contentops.ledger.applying import applying
from contentops.ledger.entries import EntryOwner
from contentops.ledger.examine import BLIND, examine
from contentops.ledger.pooler import keeps_sessions
from contentops.ledger.roles import grant, missing, needed
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.operations.ledger.ledger_check import judged
from tests.ledger_rows import alone
from tests.pooler import Pooler, pgbouncer
from tests.processes import KEY, PROJECT, Served, blog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentops.errors import Check
    from contentops.ledger.examine import Examination
    from tests.ledgers import Checkout
    from tests.postgres import Cluster
    from tests.running import Build, Completed, Run


@pytest.fixture
def plain(session: LedgerSession, database: str) -> Iterator[str]:
    """The ledger's address for a role that may log in, and was granted what runs need."""
    name = f"plain_{session.run('SELECT pg_backend_pid()')[0][0]}"
    session.run(f"CREATE ROLE {name} LOGIN")
    grant(session, name)
    yield database.replace("postgres@", f"{name}@")
    session.run(f"DROP OWNED BY {name}")
    session.run(f"DROP ROLE {name}")


def _found(address: str) -> dict[str, Check]:
    return _named(examine(address, time.time))


def _named(examined: Examination) -> dict[str, Check]:
    return {one.name: one for one in judged(examined, "the ledger")}


def _project(project: Build, ledger: str) -> Path:
    extra = f"ledger: '{ledger}'"
    return project({"contentops.yaml": PROJECT.format(base_url="http://127.0.0.1:9/v1", extra=extra)})


def test_a_ledger_in_order_is_said_to_be(plain: str, project: Build, invoke: Run) -> None:
    """Every line is ok, as text and as JSON."""
    found = _found(plain)
    assert [one.name for one in found.values() if one.ok is not True] == []
    assert set(found) == {"ledger", "ledger sessions", "ledger role", "ledger clock"}
    root = _project(project, plain)
    checks = invoke("doctor", "--json", cwd=root).json["checks"]
    assert [one["ok"] for one in checks if one["name"].startswith("ledger")] == [True] * 4
    assert f"version {schema.newest()}; no one works" in invoke("doctor", cwd=root).stdout.replace("\n        ", " ")


def test_it_says_who_holds_what(session: LedgerSession, plain: str) -> None:
    """The runners that live, and which environments they apply."""
    with LedgerSession(plain, patience=0) as other:
        runner = Runner(other, kind="apply", who="ann@build-7")
        with applying(runner, EntryOwner(lineage="L", environment="staging", project="blog")):
            said = _found(plain)["ledger"].message
    assert "apply by ann@build-7 since 20" in said
    assert "environment `staging` of L is applied by ann@build-7" in said
    alone(session)
    assert _found(plain)["ledger"].message.endswith("no one works")


def test_a_ledger_that_is_away_is_named_without_its_password(project: Build, invoke: Run) -> None:
    """Doctor goes on with the rest."""
    root = _project(project, "postgresql://127.0.0.1:1/nothing")
    env = {"CONTENTOPS_LEDGER": "postgresql://ann:planted-secret@127.0.0.1:1/nothing"}
    done = invoke("doctor", "--json", cwd=root, env=env)
    ledger = next(one for one in done.json["checks"] if one["name"] == "ledger")
    assert (done.code, ledger["ok"], "cannot be reached" in ledger["message"]) == (1, False, True)
    assert "planted" not in done.stdout + done.stderr


def test_a_database_without_tables_is_no_ledger_yet(empty_database: str) -> None:
    """Whoever may make them is told how; whoever may not, who may."""
    found = _found(empty_database)["ledger"]
    assert (found.ok, "no tables yet" in found.message) == (None, True)
    examined = examine(empty_database, time.time)
    assert _named(structs.replace(examined, may_create=False))["ledger"].ok is False
    with LedgerSession(empty_database, patience=0) as looking:
        assert schema.version(looking) == 0, "doctor changes nothing"


def test_tables_of_another_version_are_named(session: LedgerSession, database: str) -> None:
    """An older one asks for `ledger migrate`, a newer one for an update."""
    examined = examine(database, time.time)
    older = _named(structs.replace(examined, newest=schema.newest() + 1))["ledger"]
    assert (older.ok, "contentops ledger migrate" in older.hint) == (False, True)
    session.run("UPDATE contentops.version SET number = number + 1")
    newer = _found(database)["ledger"]
    assert (newer.ok, newer.hint) == (False, "update contentops here")


def test_a_role_that_may_too_much_is_named(session: LedgerSession, plain: str, database: str) -> None:
    """Superusers, makers of roles and databases, owners of other schemas."""
    name = examine(plain, time.time).role
    superuser = _found(database)["ledger role"]
    assert (superuser.ok, "is SUPERUSER, is CREATEROLE, is CREATEDB" in superuser.message) == (False, True)
    session.run(f"CREATE SCHEMA other AUTHORIZATION {name}")
    session.run(f"ALTER ROLE {name} CREATEDB")
    message = _found(plain)["ledger role"].message
    assert message.endswith("it is CREATEDB, owns the schema `other`")
    session.run(f"ALTER ROLE {name} NOCREATEDB")


def test_each_right_that_is_missing_is_named_with_its_grant(session: LedgerSession, plain: str) -> None:
    """The hint gives it back."""
    known = examine(plain, time.time)
    name = known.role
    with LedgerSession(plain, patience=0) as looking:
        for lost in needed():
            session.run(f"REVOKE {lost.granted} FROM {name}")
            assert looking.transaction(missing) == (lost,)
            examined = examine(plain, time.time) if lost in BLIND else structs.replace(known, lacks=(lost,))
            check = _named(examined)["ledger role"]
            assert (check.ok, check.message) == (False, f"role `{name}` lacks 1 right that runs need")
            assert "no one works" not in _named(examined)["ledger"].message, "it cannot see who does"
            session.run(check.hint.rpartition("in SQL: ")[2])
        assert looking.transaction(missing) == ()


def test_a_clock_that_is_off_is_named(plain: str) -> None:
    """By how much, and in which direction; the time that asking takes is none."""
    examined = examine(plain, lambda: time.time() - 60)
    check = _named(examined)["ledger clock"]
    assert (check.ok, check.message) == (False, "the database's clock is 60 s ahead of this machine's")
    assert _named(examine(plain, lambda: time.time() + 60))["ledger clock"].message.endswith(
        "60 s behind this machine's"
    )
    slow = iter([1000.0, time.time() * 2 - 1000.0])
    assert examine(plain, lambda: next(slow)).clock == 0


def test_a_database_that_takes_no_writes_is_named(session: LedgerSession, plain: str, cluster: Cluster) -> None:
    """By a setting, or as a real standby, which replays what its primary wrote."""
    database = session.run("SELECT current_database()")[0][0]
    session.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    assert "read-only" in _found(plain)["ledger writes"].message
    with LedgerSession(cluster.url(), patience=0) as opened:
        schema.prepare(opened)
    cluster.become_standby()
    check = _found(cluster.url())["ledger writes"]
    assert (check.ok, "a standby" in check.message) == (False, True)


# --- what stands between -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"each": "transaction"}, "ledger-pooler", ""),
        ({"each": "session", "version": "13.14"}, "ledger-server-old", "13"),
    ],
    ids=["shares sessions", "too old"],
)
def test_what_keeps_no_session_is_refused(
    session: LedgerSession, database: str, options: dict[str, Any], code: str, words: str
) -> None:
    """Every command refuses it before it does anything, and doctor says the same."""
    with Pooler(database, **options) as pooler, pytest.raises(StateError) as refused:
        LedgerSession(pooler.url, patience=0)
    assert (refused.value.code, words in refused.value.message) == (code, True)
    assert keeps_sessions(database)


@pytest.mark.parametrize(
    ("options", "ok", "words"),
    [({}, None, "a pooler"), ({"deaf": True}, False, "are not ended")],
    ids=["works", "deaf"],
)
def test_a_pooler_that_keeps_sessions_is_worth_knowing(
    session: LedgerSession, database: str, options: dict[str, Any], ok: bool | None, words: str
) -> None:
    """It works, and PostgreSQL itself would be safer; that a timeout has an effect is not asked, but tried."""
    with Pooler(database, each="session", **options) as pooler:
        found = _found(pooler.url)["ledger sessions"]
        assert (found.ok, words in found.message, keeps_sessions(pooler.url)) == (ok, True, True)


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_pgbouncer_is_known_by_its_mode(session: LedgerSession, database: str, mode: str) -> None:
    """The real one, where it is installed."""
    with pgbouncer(database, mode) as address:
        if mode == "session":
            assert _found(address)["ledger sessions"].ok is None
        else:
            with pytest.raises(StateError) as refused:
                LedgerSession(address, patience=0)
            assert refused.value.code == "ledger-pooler"


# --- a role that may do no more than it needs --------------------------------------------------------------


@pytest.fixture
def roles(empty_database: str) -> Iterator[tuple[str, str]]:
    """The ledger's address for an owner, who may make tables and no roles, and for one who may only log in."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        name = connection.info.dbname
        owner, worker = f"{name}_owner", f"{name}_worker"
        for role in (owner, worker):
            connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO {owner}")
        yield empty_database.replace("postgres@", f"{owner}@"), empty_database.replace("postgres@", f"{worker}@")
        for role in (owner, worker):
            connection.execute(f"DROP OWNED BY {role} CASCADE")
            connection.execute(f"DROP ROLE {role}")


def test_an_owner_migrates_and_a_worker_works(
    checkout: Checkout, invoke: Run, served: Served, roles: tuple[str, str]
) -> None:
    """With `ledger grant` alone an apply goes through, and doctor has nothing against the role."""
    owner, worker = roles
    root = checkout("All about {}", "a", "b", extra=f"ledger: '{worker}'")
    manifest, role = root / "content/blog.yaml", str(conninfo_to_dict(worker)["user"])

    def go(*command: str, code: int = 0) -> Completed:
        ended = invoke(*command, cwd=root, env={"WRITERZROOM_API_KEY": KEY})
        assert ended.code == code, ended.stderr
        return ended

    first = go("apply", "--yes", code=1).stderr
    assert ("error[ledger-refused]" in first, served.charges("about")) == (True, [])
    assert "`ledger grant ROLE` for access" in first.replace("\n", " ")
    go("ledger", "migrate", "--ledger", owner)
    go("apply", "--yes", code=1)
    go("ledger", "grant", role, "--ledger", owner)
    go("apply", "--yes")
    assert served.charges("All about") == ["All about a", "All about b"]
    manifest.write_text(blog("a", "b", "c"))
    go("apply", "--detach", "--yes")
    go("queue", "cancel", "c", "--ledger", worker)
    for command in (
        ("apply", "--detach", "--yes"),
        ("work", "--once", "--quiet", "--ledger", worker),
        ("apply", "--yes"),
    ):
        go(*command)
    assert served.charges("All about") == ["All about a", "All about b", "All about c"]
    checks = go("doctor", "--json").json["checks"]
    assert [one for one in checks if one["name"].startswith("ledger") and one["ok"] is not True] == []
    for words in ("gc --days 1 --yes", "migrate"):
        assert "Nothing" in go("ledger", *words.split(), "--ledger", worker).stdout
