"""Maintenance of a ledger: tables, what it lets go of, who may use it, views, and what follows a restore."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from contentops.errors import ContentopsError, Refused
from contentops.ledger import maintenance, roles, schema
from contentops.ledger.account import account_of, limiter_of, sign_in
from contentops.ledger.entries import EntryWriter
from contentops.ledger.limiter import SharedLimiter
from contentops.ledger.live_runners import COMING_BACK
from contentops.ledger.reading import read_rows
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, JobState, RequestId
from contentops.state.codec import Drop
from tests.ledger_rows import OWNER, SERVER, age, alone, entry, fill, write
from tests.state_facts import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.running import Run

API = ApiSettings(base_url=SERVER, account="acme")
NEXT = "ALTER TABLE contentops.entry ADD COLUMN colour text NOT NULL DEFAULT 'none'"


def test_a_limiter_that_holds_everyone_back_can_be_reset(invoke: Run, database: str) -> None:
    """After a clock that was wrong, or a wait that a server no longer needs; asked before, and only of an account."""
    env = {"CONTENTOPS_LEDGER": database}
    with LedgerSession(database) as session:
        schema.prepare(session)
        account = account_of(ApiSettings(base_url=SERVER, account="acme"), "key")
        sign_in(session, account)
        limiter = SharedLimiter(session, limiter_of(session, account), 10)
        limiter.throttled(0.0, 3600.0)
        assert limiter.take(1, 0.0) == 0
        assert invoke("ledger", "reset-limit", "acme", env=env).code == 4
        assert invoke("ledger", "reset-limit", "other", "--yes", env=env).code == 64
        assert limiter.take(1, 0.0) == 0
        done = invoke("ledger", "reset-limit", "acme", "--yes", env=env)
        assert (done.code, limiter.take(1, 0.0)) == (0, 1), done.stderr


def _env(database: str) -> dict[str, str]:
    return {"CONTENTOPS_LEDGER": database}


# --- migrate -----------------------------------------------------------------------------------------------


def test_migrate_says_from_which_to_which_and_does_it_once(invoke: Run, empty_database: str) -> None:
    """The first makes the tables, the second has nothing to do; `--check` does nothing either."""
    newest = schema.newest()
    ledger = ("--ledger", empty_database)
    looked = invoke("ledger", "migrate", "--check", *ledger)
    assert (looked.code, looked.stdout) == (2, f"Would make the tables, version {newest}.\n")
    made = invoke("ledger", "migrate", "--json", *ledger)
    assert (made.code, made.json["from"], made.json["to"], made.json["done"]) == (0, 0, newest, True)
    for flags in ((), ("--check",)):
        again = invoke("ledger", "migrate", *flags, *ledger)
        assert (again.code, again.stdout) == (0, f"Nothing to do: the tables are of version {newest}.\n")


def test_a_ledger_of_an_older_version_asks_to_be_migrated(session: LedgerSession) -> None:
    """Runs say so and touch nothing; the migration goes on from there and keeps the rows."""
    fill(session, [entry("a", JobState.RUNNING)])
    newer = {**schema.steps(), schema.newest() + 1: NEXT}
    with pytest.raises(ContentopsError, match="older version") as asked:
        schema.prepare(session, newer)
    assert (asked.value.code, "contentops ledger migrate" in asked.value.hint) == ("ledger-older", True)
    assert schema.migrate(session, newer) == (schema.newest(), schema.newest() + 1)
    schema.prepare(session, newer)
    assert session.run("SELECT colour FROM contentops.entry") == [("none",)]


def test_a_ledger_of_a_newer_version_is_refused(session: LedgerSession, invoke: Run, database: str) -> None:
    """Nothing of it is used, and `migrate` does not go back."""
    newest = schema.newest()
    session.run("UPDATE contentops.version SET number = number + 1")
    for command in (["migrate"], ["status"], ["gc", "--yes"], ["restored", "--yes"], ["grant", "someone"]):
        refused = invoke("ledger", *command, env=_env(database))
        assert (refused.code, "error[ledger-newer]" in refused.stderr) == (1, True), command
    said = invoke("ledger", "migrate", "--check", env=_env(database)).stdout
    assert said == f"The tables are of version {newest + 1}, which is newer than this program knows ({newest}).\n"


def test_a_step_that_fails_changes_nothing(session: LedgerSession) -> None:
    """All steps are one transaction."""
    newest = schema.newest()
    with pytest.raises(ContentopsError, match="division by zero"):
        schema.migrate(session, {**schema.steps(), newest + 1: NEXT, newest + 2: "SELECT 1 / 0"})
    assert schema.version(session) == newest
    assert session.run("SELECT 1 FROM information_schema.columns WHERE column_name = 'colour'") == []


def test_nothing_is_migrated_under_a_living_run(session: LedgerSession, database: str) -> None:
    """It says who works; with the last one gone it goes."""
    newer = {**schema.steps(), schema.newest() + 1: NEXT}
    with LedgerSession(database, patience=0) as other:
        Runner(other, kind="worker", who="ann@build-7", page="https://ci.example.com/7")
        with pytest.raises(Refused, match=r"worker by ann@build-7 \(https://ci.example.com/7\)") as refused:
            schema.migrate(session, newer)
        assert refused.value.code == "ledger-in-use"
        assert f"for {COMING_BACK} seconds after a restart of the database" in refused.value.hint
        assert schema.migrate(session) == (schema.newest(), schema.newest())  # where there is nothing to do
    alone(session)
    assert schema.migrate(session, newer)[1] == schema.newest() + 1


def test_many_that_come_first_make_the_tables_once(empty_database: str) -> None:
    """Whoever is later finds them made."""
    found: list[tuple[int, int]] = []

    def come() -> None:
        with LedgerSession(empty_database, patience=0) as opened:
            found.append(schema.migrate(opened))

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = schema.newest()
    assert sorted(found) == [(0, newest), *[(newest, newest)] * 5]


def test_a_command_needs_an_address(invoke: Run) -> None:
    """Without one it says how to name it; one that cannot be reached is named without its password."""
    missing = invoke("ledger", "status")
    assert (missing.code, "error[no-ledger]" in missing.stderr) == (64, True)
    away = invoke("ledger", "status", "--ledger", "postgresql://ann:planted-secret@127.0.0.1:1/nothing")
    assert (away.code, "error[ledger-away]" in away.stderr, "planted" in away.stderr) == (3, True, False)


# --- gc ----------------------------------------------------------------------------------------------------


def test_gc_lets_go_of_what_is_done_with_alone(session: LedgerSession, invoke: Run, database: str) -> None:
    """Taken submits and their texts go once they are old; what is open stays, however old, and so does its text."""
    sign_in(session, account_of(API, "key"))
    fill(session, [entry(state.value, state) for state in JobState])
    fill(session, [entry(item, JobState.PAID) for item in ("done", "young")])
    session.run("UPDATE contentops.entry SET taken = true WHERE item IN ('done', 'young')")
    age(session, 400)
    session.run("UPDATE contentops.entry SET changed_at = now() WHERE item = 'young'")
    opened = read_rows(session, OWNER).entries

    looked = invoke("ledger", "gc", env=_env(database))
    assert looked.stdout.replace("\n", " ").startswith("Would delete 1 submit, 1 text")
    assert "pays for it again" in looked.stdout.replace("\n", " ")
    assert session.run("SELECT count(*) FROM contentops.entry") == [(7,)]

    done = invoke("ledger", "gc", "--yes", "--json", env=_env(database)).json
    assert (done["entries"], done["texts"], done["accounts"]) == (1, 1, 0)
    assert read_rows(session, OWNER).entries == opened
    assert {one.state for one in opened} == set(JobState)
    left = session.run("SELECT request_id FROM contentops.text ORDER BY 1")
    assert left == [("request-paid",), ("request-young",)]
    assert "Nothing to delete" in invoke("ledger", "gc", env=_env(database)).stdout
    assert invoke("ledger", "gc", "--days", "0", env=_env(database)).code == 64


def test_gc_lets_go_of_dead_runners_and_of_accounts_without_use(session: LedgerSession, database: str) -> None:
    """A runner that lives, or that an open entry names, stays; and so does an account that someone worked for."""
    for name in ("gone", "acme"):
        sign_in(session, account_of(ApiSettings(base_url=SERVER, account=name), "key"))
        session.run("INSERT INTO contentops.fact (account, name, value) VALUES (%s, 'durations', '{}')", (name,))
    fill(session, [entry("open", JobState.RUNNING)])
    fill(session, [])
    with LedgerSession(database, patience=0) as other:
        alive = Runner(other, kind="worker").number
        age(session, 100)
        found = maintenance.collect(session, 90)
    assert (found.runners, found.accounts, found.facts) == (1, 1, 1)
    assert session.run("SELECT id FROM contentops.account") == [("acme",)]
    assert session.run("SELECT account FROM contentops.fact") == [("acme",)]
    holder = session.run("SELECT runner FROM contentops.entry")[0][0]
    assert session.run("SELECT number FROM contentops.runner ORDER BY 1") == [(holder,), (alive,)]
    alone(session)
    assert maintenance.superfluous(session, 90).runners == 1  # the one that lived


def test_gc_goes_in_small_steps_and_looks_again(session: LedgerSession) -> None:
    """However many there are, a transaction takes few; what is open again by then stays."""
    fill(session, [entry(f"item-{number}", JobState.PAID) for number in range(25)])
    session.run("UPDATE contentops.entry SET taken = true")
    age(session, 100)
    found = maintenance.collect(session, 90, batch=10)
    assert (found.entries, found.texts) == (25, 25)
    assert maintenance.collect(session, 90) == maintenance.Collected()


# --- restored ----------------------------------------------------------------------------------------------


def test_restored_asks_and_marks_every_account(session: LedgerSession, invoke: Run, database: str) -> None:
    """Those that are there, and those that come to it later, which may have been in what was lost."""
    sign_in(session, account_of(API, "key"))
    refused = invoke("ledger", "restored", env=_env(database))
    assert (refused.code, "error[not-confirmed]" in refused.stderr) == (4, True)
    assert session.run("SELECT restored_at FROM contentops.account") == [(None,)]
    done = invoke("ledger", "restored", "--yes", env=_env(database))
    assert done.stdout.startswith("Noted for 1 account: for 7 days")
    sign_in(session, account_of(ApiSettings(base_url=SERVER, account="later"), "key"))
    assert session.run("SELECT count(restored_at), count(DISTINCT restored_at) FROM contentops.account") == [(2, 1)]


# --- views and status --------------------------------------------------------------------------------------


def test_every_view_says_what_there_is(session: LedgerSession, database: str) -> None:
    """Spend, what waits, who works, what failed: of rows of every state."""
    fill(session, [entry(state.value, state) for state in JobState])
    session.run("UPDATE contentops.entry SET state = 'queued', line = '' WHERE item = 'submitting'")
    fill(session, [entry("sent", JobState.SUBMITTING)])
    with LedgerSession(database, patience=0) as other:
        number = Runner(other, kind="worker", who="ann@build-7").number
        session.run("UPDATE contentops.entry SET runner = %s WHERE item = 'running'", (number,))
        assert session.run("SELECT kind, who, page, entries FROM contentops.runner_alive") == [
            ("worker", "ann@build-7", "", 1)
        ]
    whose = ("acme", "blog", "")
    today = session.run("SELECT (now() AT TIME ZONE 'UTC')::date")[0][0]
    assert session.run("SELECT * FROM contentops.spend") == [(today, *whose, 2, 8, 8)]
    backlog = session.run("SELECT * FROM contentops.backlog")[0]
    assert backlog[:7] == (*whose, 1, 2, 1, 2)
    assert all(0 <= seconds < 60 for seconds in backlog[7:])
    session.run("UPDATE contentops.entry SET error = 'no such template' WHERE item = 'failed'")
    failures = session.run("SELECT item, state, who, error FROM contentops.failure ORDER BY item")
    assert failures == [
        ("failed", "failed", "someone@here", "no such template"),
        ("unknown", "unknown", "someone@here", ""),
    ]
    alone(session)
    session.run("UPDATE contentops.entry SET taken = true, dropped = true")
    assert session.run("SELECT submits, credits, uncertain_credits FROM contentops.spend") == [(1, 4, 0)]
    assert session.run("SELECT * FROM contentops.backlog") + session.run("SELECT * FROM contentops.failure") == []


def test_every_column_of_a_view_is_explained(session: LedgerSession) -> None:
    """Whoever builds a dashboard reads what it means in the database."""
    silent = session.run(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'contentops'::regnamespace AND c.relkind = 'v'"
        " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    )
    views = session.run(
        "SELECT relname FROM pg_class WHERE relnamespace = 'contentops'::regnamespace AND relkind = 'v'"
    )
    assert silent == []
    assert {view for (view,) in views} == set(roles.VIEWS)


def test_status_tells_the_version_of_tables_that_it_made(invoke: Run, database: str) -> None:
    """The first look at an empty database makes them, and says what is there then."""
    found = invoke("ledger", "status", "--json", env=_env(database)).json
    assert found["version"] == found["newest"] > 0


def test_status_shows_accounts_and_who_works(session: LedgerSession, invoke: Run, database: str) -> None:
    """As a table and as JSON, harmless whatever the rows say."""
    empty = invoke("ledger", "status", env=_env(database))
    assert (empty.code, "No account has used this ledger." in empty.stdout) == (0, True)
    sign_in(session, account_of(API, "key"))
    fill(session, [entry(state.value, state) for state in JobState])
    with LedgerSession(database, patience=0) as other:
        Runner(other, kind="worker", who="ann@\x1b[2Jbuild-7")
        shown = invoke("ledger", "status", env=_env(database)).stdout
        found = invoke("ledger", "status", "--json", env=_env(database)).json
    assert ("ann@" in shown, "\x1b[2J" in shown) == (True, False)
    account = found["accounts"][0]
    assert (account["id"], account["in_flight"], account["unwritten"], account["failures"]) == ("acme", 2, 1, 2)
    assert (account["credits"], len(found["runners"]), found["entries"], found["texts"]) == (8, 1, 5, 1)
    assert "key" not in shown


# --- roles -------------------------------------------------------------------------------------------------


@pytest.fixture
def role(session: LedgerSession, database: str) -> Iterator[tuple[str, str]]:
    """A role without any right, and the ledger's address for it."""
    name = f"role_{session.run('SELECT pg_backend_pid()')[0][0]}"
    session.run(f"CREATE ROLE {name} LOGIN")
    try:
        yield name, psycopg.conninfo.make_conninfo(database, user=name)
    finally:
        session.run(f"DROP OWNED BY {name}")
        session.run(f"DROP ROLE {name}")


def test_a_role_that_may_look_sees_the_views_alone(
    session: LedgerSession, role: tuple[str, str], invoke: Run, database: str
) -> None:
    """No entry, no text, no account."""
    name, address = role
    fill(session, [entry("a", JobState.PAID)])
    assert invoke("ledger", "grant", name, "--read", env=_env(database)).code == 0
    with LedgerSession(address, patience=0) as looking:
        for view in roles.VIEWS:
            looking.run(f"SELECT * FROM contentops.{view}")
        for table in set(roles.TABLES) - set(roles.VIEWS):
            with pytest.raises(ContentopsError, match="permission denied"):
                looking.run(f"SELECT * FROM contentops.{table}")


def test_a_role_that_works_cannot_change_the_tables(role: tuple[str, str], invoke: Run, database: str) -> None:
    """Nor let go of texts; who is granted nothing sees nothing; a role that does not exist is named."""
    name, address = role
    before = invoke("ledger", "status", env=_env(address))
    assert (before.code, "error[ledger-refused]" in before.stderr) == (1, True)
    for _ in range(2):
        granted = invoke("ledger", "grant", name, env=_env(database))
        assert (granted.code, "GRANT DELETE ON contentops.entry" in granted.stdout) == (0, True)
    assert invoke("ledger", "status", env=_env(address)).code == 0
    with LedgerSession(address, patience=0) as working:
        for statement in ("DROP VIEW contentops.spend", "DELETE FROM contentops.text", "CREATE SCHEMA other"):
            with pytest.raises(ContentopsError, match=r"permission denied|must be owner"):
                working.run(statement)
    unknown = invoke("ledger", "grant", "no-such-role", env=_env(database))
    assert (unknown.code, "error[unknown-role]" in unknown.stderr) == (64, True)


def test_what_an_apply_wrote_is_kept_as_spent(session: LedgerSession) -> None:
    """A record takes its entry in: it is open no more, and was paid for; what was let go of beside it was not."""
    with LedgerSession(session.url) as other:
        writer = EntryWriter(Runner(other, kind="apply"))
        write(writer, entry("a", JobState.PAID), entry("b", JobState.UNKNOWN))
        writer.note(
            OWNER, [record("a", request_id="request-a"), Drop(RequestId("request-a")), Drop(RequestId("request-b"))]
        )
        writer.flush()
    states = session.run("SELECT item, taken, dropped FROM contentops.entry ORDER BY item")
    assert states == [("a", True, False), ("b", True, True)]
    assert session.run("SELECT submits, credits, uncertain_credits FROM contentops.spend") == [(1, 4, 0)]
