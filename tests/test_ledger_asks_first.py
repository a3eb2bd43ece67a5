"""Whether a run over a ledger asks for ids before it pays: at first, and after a backup took the ledger's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from contentops.execution.first_contact import AccountHistory, admit, ask_after_restore
from contentops.ledger import schema
from contentops.ledger.account import account_of, history_of, sign_in
from contentops.ledger.maintenance import restored
from contentops.ledger.roles import grant
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, Result
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.processes import Served, tree
from tests.processes import blog as served_blog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ledgers import Checkout, Go
    from tests.postgres import Cluster

HERE = ("https://api.example.test:443", "v1")
API = ApiSettings(base_url="https://api.example.test/v1")
IDS = tuple(f"item-{number}" for number in range(8))


def _harness(root: Path, api: FakeApi, database: str, *ids: str, year: int = 2026) -> Harness:
    harness = Harness(root, api, extra=f"ledger: '{database}'")
    harness.write("content/blog.yaml", blog(*ids, year=year))
    return harness


def _asked(api: FakeApi, harness: Harness) -> int:
    """How many submits of an apply asked for their id before it was sent."""
    before = len(api.requests)
    assert set(results(harness.apply()).values()) == {"done"}
    made, asked = set(), 0
    for one in api.requests[before:]:
        made |= {one.body.get("request_id")} if one.name == "submit" else set()
        asked += one.name == "status" and one.path.rsplit("/", 1)[1] not in made
    return asked


def test_an_account_that_is_new_to_the_ledger_asks_and_one_that_is_known_does_not(
    tmp_path: Path, database: str
) -> None:
    """The first run asks for five ids, as without a ledger; the next one, wherever it stands, asks for none."""
    api = FakeApi(duration=9)
    assert _asked(api, _harness(tmp_path / "one", api, database, *IDS)) == 5
    assert _asked(api, _harness(tmp_path / "two", api, database, *IDS, year=2027)) == 0


def test_what_another_machine_paid_for_proves_the_server(tmp_path: Path, database: str) -> None:
    """A checkout without a record submits all at once: the server has shown to others that it completes jobs."""
    api = FakeApi(duration=90)
    _harness(tmp_path / "one", api, database, "a").apply()
    two = _harness(tmp_path / "two", api, database, "b", "c", year=2027)
    two.apply()
    first, second = api.generations[1:]
    assert second.started - first.started < 1


def test_after_a_backup_took_its_place_every_submit_asks(tmp_path: Path, database: str) -> None:
    """One request each for seven days, by the clock of the database, and none after that."""
    api = FakeApi(duration=9)
    _harness(tmp_path / "one", api, database, "a").apply()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE contentops.account SET restored_at = now()")
        assert _asked(api, _harness(tmp_path / "two", api, database, *IDS, year=2027)) == len(IDS)
        connection.execute("UPDATE contentops.account SET restored_at = now() - interval '7 days 1 second'")
        assert _asked(api, _harness(tmp_path / "three", api, database, *IDS, year=2028)) == 0


def test_what_a_restored_ledger_lacks_is_not_paid_for_again(tmp_path: Path, database: str) -> None:
    """Jobs that ran after the backup are found by their ids."""
    api = FakeApi(duration=9)
    _harness(tmp_path / "one", api, database, "first").apply()
    _harness(tmp_path / "two", api, database, *IDS).apply()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM contentops.entry WHERE item <> 'first'")
        connection.execute("DELETE FROM contentops.text WHERE item <> 'first'")
        connection.execute("UPDATE contentops.account SET restored_at = now()")
    three = _harness(tmp_path / "three", api, database, *IDS)
    assert set(results(three.apply()).values()) == {"done"}
    assert len(api.charges) == 1 + len(IDS)


def test_a_backup_that_takes_its_place_meanwhile_is_heeded() -> None:
    """Whoever works on asks from then on, unless the server cannot be asked."""
    for honours, asks in ((None, True), (True, True), (False, False)):
        made = admit(7, HERE, AccountHistory(proven=frozenset({HERE})), honours_ids=honours)
        ask_after_restore(made, AccountHistory(proven=frozenset({HERE}), restored=True), honours_ids=honours)
        assert (made.ask_first, made.restored) == (asks, True)


def test_how_submits_begin() -> None:
    """Without a ledger the first ones ask; a server that makes ids of its own is never asked."""
    paid = AccountHistory(proven=frozenset({HERE}))
    restored = AccountHistory(proven=frozenset({HERE}), restored=True)
    cases = {
        (None, None): (False, True, False),
        (AccountHistory(), None): (False, True, False),
        (paid, None): (True, False, False),
        (AccountHistory(proven=frozenset({("https://other.test:443", "v1")})), None): (False, False, False),
        (restored, True): (True, True, True),
        (restored, False): (True, False, True),
        (None, False): (False, False, False),
    }
    for (history, honours), expected in cases.items():
        made = admit(7, HERE, history, honours_ids=honours)
        assert (made.proven, made.ask_first, made.restored) == expected, (history, honours)
    assert admit(7, HERE, None, proven=True).proven


@pytest.mark.parametrize("first", [("first",), ()])
def test_what_a_server_cannot_be_asked_about_waits_for_a_person(
    tmp_path: Path, database: str, first: tuple[str, ...]
) -> None:
    """A server with ids of its own, known to the backup or not: nothing is paid for again until a person says so."""
    api = FakeApi(duration=9, request_ids="ignore", names_request=False)
    if first:
        _harness(tmp_path / "one", api, database, *first).apply()
    two = _harness(tmp_path / "two", api, database, *IDS)
    two.apply()
    paid = len(api.charges)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM contentops.entry WHERE item <> 'first'")
        connection.execute("DELETE FROM contentops.text WHERE item <> 'first'")
        if not first:
            connection.execute("DELETE FROM contentops.fact")
        connection.execute("UPDATE contentops.account SET restored_at = now()")
    three = _harness(tmp_path / "three", api, database, *IDS)
    run = three.apply()
    assert run is not None
    ended = [outcome for outcome in run.outcomes if outcome.result is Result.UNKNOWN]
    assert (len(ended), len(api.charges)) == (len(IDS), paid)
    assert "this server cannot tell" in ended[0].error
    assert "--resubmit-unknown" in ended[0].hint
    assert set(results(three.apply(resubmit_unknown=True)).values()) == {"done"}
    assert len(api.charges) == paid + len(IDS)


def test_another_database_in_its_place_is_noticed(session: LedgerSession) -> None:
    """All accounts count as restored, until a person says that nothing was lost."""
    for key in ("one", "two"):
        sign_in(session, account_of(API, key))
    ids = [account_of(API, key).id for key in ("one", "two")]
    assert [history_of(session, id_).restored for id_ in ids] == [False, False]
    session.run(
        "UPDATE contentops.fact SET value = '\"1 00000000 1\"' WHERE account = %s AND name = 'database'", (ids[0],)
    )
    assert [history_of(session, id_).restored for id_ in reversed(ids)] == [True, True]
    assert restored(session, nothing_lost=True) == tuple(sorted(ids))
    assert [history_of(session, id_).restored for id_ in ids] == [False, False]


def test_a_promoted_replica_is_another_database(cluster: Cluster) -> None:
    """Its timeline says so, to a role without any privilege; where it may not be read, nothing is noticed."""
    with LedgerSession(cluster.url()) as session:
        schema.prepare(session)
        account = account_of(API, "key")
        sign_in(session, account)
        assert not history_of(session, account.id).restored
        session.run("CREATE ROLE plain LOGIN")
        grant(session, "plain")
        cluster.become_standby()
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        plain = cluster.url().replace("postgres@", "plain@")
        with LedgerSession(plain) as theirs:
            assert history_of(theirs, account.id).restored
        session.run("UPDATE contentops.account SET restored_at = NULL")
        session.run("UPDATE contentops.fact SET value = '\"another\"' WHERE name = 'database'")
        session.run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        with LedgerSession(plain) as theirs:
            assert not history_of(theirs, account.id).restored


# --- a real copy of the database ---------------------------------------------------------------------------


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


def test_what_a_backup_lacks_is_found_and_not_paid_for_again(
    checkout: Checkout, go: Go, served: Served, backup: Backup
) -> None:
    """After `ledger restored` another checkout takes the jobs that the copy knows nothing of, with its own and new ones."""
    one = checkout("All about {}", "a")
    go("apply", "--yes", cwd=one)
    backup.take()
    (one / "content/blog.yaml").write_text(served_blog(*"abcdefgh"))
    go("apply", "--yes", cwd=one)
    backup.put_back()

    go("ledger", "restored", "--yes")
    two = checkout("All about {}", *"abcdefgh", "new", at="two")
    go("apply", "--yes", cwd=two)
    assert served.charges("All about") == sorted(f"All about {item}" for item in (*"abcdefgh", "new"))
    written = tree(two)
    assert {name: written[name] for name in tree(one)} == tree(one)
