"""`ledger migrate`, `ledger status` and what `doctor` says of a ledger."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from contentops.errors import StateError
from contentops.ledger import session as schema
from contentops.ledger.jobs import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import JobState
from tests.fakes.wire import Wire
from tests.ledger_rows import alone, entry, fill
from tests.processes import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Cluster
    from tests.running import Build, Run


def _env(database: str) -> dict[str, str]:
    return {"CONTENTOPS_LEDGER": database}


def _checked(invoke: Run, root: Path, database: str) -> tuple[bool | None, str]:
    """What `doctor` says of a ledger."""
    checks = invoke("doctor", "--json", cwd=root, env=_env(database)).json["checks"]
    ((ok, message),) = ((one["ok"], one["message"]) for one in checks if one["name"] == "ledger")
    return ok, message


@pytest.fixture
def site(project: Build) -> Path:
    """A project whose server is away."""
    return project({"contentops.yaml": PROJECT.format(base_url="http://127.0.0.1:9/v1", extra="")})


def test_migrate_makes_the_tables_once(invoke: Run, site: Path, empty_database: str) -> None:
    """Readers and `doctor` say that there are none, and make none."""
    status = invoke("ledger", "status", env=_env(empty_database))
    assert (status.code, "no tables yet" in status.stdout) == (0, True)
    ok, message = _checked(invoke, site, empty_database)
    assert (ok, "no tables yet" in message) == (None, True)
    made = invoke("ledger", "migrate", "--json", "--ledger", empty_database)
    assert (made.code, made.json["from"], made.json["to"]) == (0, 0, schema.VERSION)
    again = invoke("ledger", "migrate", "--ledger", empty_database)
    assert (again.code, again.stdout) == (0, f"Nothing to do: the tables are of version {schema.VERSION}.\n")


def test_many_that_come_first_make_the_tables_once(empty_database: str) -> None:
    """Whoever is later finds them made."""
    found: list[int] = []

    def come() -> None:
        with LedgerSession(empty_database, patience=0) as opened:
            found.append(schema.migrate(opened))

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, *[schema.VERSION] * 5]


def test_a_ledger_of_a_newer_version_is_refused(session: LedgerSession, invoke: Run, site: Path, database: str) -> None:
    """Nothing of it is used, and `migrate` does not go back."""
    session.run("UPDATE contentops.version SET number = number + 1")
    for command in (["ledger", "migrate"], ["ledger", "status"], ["apply", "--yes"], ["plan"]):
        refused = invoke(*command, cwd=site, env=_env(database))
        assert (refused.code, "error[ledger-newer]" in refused.stderr) == (1, True), command
    ok, message = _checked(invoke, site, database)
    assert (ok, "newer version" in message) == (False, True)


def test_a_command_needs_an_address(invoke: Run, site: Path) -> None:
    """Without one it says how to name it; one that cannot be reached is named without its password."""
    missing = invoke("ledger", "status")
    assert (missing.code, "error[no-ledger]" in missing.stderr) == (64, True)
    url = "postgresql://ann:planted-secret@127.0.0.1:1/nothing"
    away = invoke("ledger", "status", "--ledger", url)
    assert (away.code, "error[ledger-away]" in away.stderr, "planted" in away.stderr) == (3, True, False)
    ok, message = _checked(invoke, site, url)
    assert (ok, "cannot be reached" in message, "planted" in message) == (False, True, False)
    wrong = invoke("ledger", "status", "--ledger", url, "--env", "nosuch", cwd=site)
    assert (wrong.code, "declares no environment `nosuch`" in wrong.stderr) == (64, True)


def test_status_shows_what_is_open_and_who_applies(
    session: LedgerSession, invoke: Run, site: Path, database: str
) -> None:
    """As text, as JSON and in `doctor`, harmless whatever the rows say."""
    assert "No one applies now." in invoke("ledger", "status", env=_env(database)).stdout
    fill(session, [entry(state.value, state) for state in JobState])
    with LedgerSession(database, patience=0) as other:
        Runner(other, who="ann@\x1b[2Jbuild-7", page="https://ci.example.com/7")
        shown = invoke("ledger", "status", env=_env(database)).stdout
        found = invoke("ledger", "status", "--json", env=_env(database)).json
        _, message = _checked(invoke, site, database)
    assert ("ann@" in shown, "https://ci.example.com/7" in shown, "\x1b[2J" in shown) == (True, True, False)
    assert (len(found["runners"]), found["entries"], found["texts"]) == (1, 3, 1)
    assert "applying now: ann@" in message
    alone(session)
    assert _checked(invoke, site, database)[1].endswith("applying now: no one")


def test_a_database_that_takes_no_writes_is_named(
    session: LedgerSession, invoke: Run, site: Path, cluster: Cluster
) -> None:
    """By a setting, or as a real standby."""
    database = session.run("SELECT current_database()")[0][0]
    session.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with LedgerSession(cluster.url(), patience=0) as opened:
        schema.prepare(opened)
    cluster.become_standby()
    for url in (session.url, cluster.url()):
        ok, message = _checked(invoke, site, url)
        assert (ok, "is read-only" in message) == (False, True)


def test_a_pooler_is_refused(invoke: Run, database: str) -> None:
    """It names another process at the start of a session than the one that answers."""
    with Wire.to(database) as wire:
        wire.pretend()
        with pytest.raises(StateError) as refused:
            LedgerSession(wire.url(database), patience=0)
        assert refused.value.code == "ledger-pooler"
        ended = invoke("ledger", "status", "--ledger", wire.url(database))
        assert (ended.code, "use the address of PostgreSQL itself" in ended.stderr) == (1, True)
