"""Whether a run over a ledger asks for ids before it pays: at first, and after a backup took the ledger's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from contentops.execution.first_contact import AccountHistory, admit, ask_after_restore
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

HERE = ("https://api.example.test:443", "v1")
IDS = tuple(f"item-{number}" for number in range(8))


def _scene(root: Path, api: FakeApi, database: str, *ids: str, year: int = 2026) -> Scene:
    scene = Scene(root, api, extra=f"ledger: '{database}'")
    scene.write("content/blog.yaml", blog(*ids, year=year))
    return scene


def _asked(api: FakeApi, scene: Scene) -> int:
    """How many submits of an apply asked for their id before it was sent."""
    before = len(api.requests)
    assert set(results(scene.apply()).values()) == {"done"}
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
    assert _asked(api, _scene(tmp_path / "one", api, database, *IDS)) == 5
    assert _asked(api, _scene(tmp_path / "two", api, database, *IDS, year=2027)) == 0


def test_what_another_machine_paid_for_proves_the_server(tmp_path: Path, database: str) -> None:
    """A checkout without a record submits all at once: the server has shown to others that it completes jobs."""
    api = FakeApi(duration=90)
    _scene(tmp_path / "one", api, database, "a").apply()
    two = _scene(tmp_path / "two", api, database, "b", "c", year=2027)
    two.apply()
    first, second = api.generations[1:]
    assert second.started - first.started < 1


def test_after_a_backup_took_its_place_every_submit_asks(tmp_path: Path, database: str) -> None:
    """One request each for seven days, by the clock of the database, and none after that."""
    api = FakeApi(duration=9)
    _scene(tmp_path / "one", api, database, "a").apply()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE contentops.account SET restored_at = now()")
        assert _asked(api, _scene(tmp_path / "two", api, database, *IDS, year=2027)) == len(IDS)
        connection.execute("UPDATE contentops.account SET restored_at = now() - interval '7 days 1 second'")
        assert _asked(api, _scene(tmp_path / "three", api, database, *IDS, year=2028)) == 0


def test_what_a_restored_ledger_lacks_is_not_paid_for_again(tmp_path: Path, database: str) -> None:
    """Jobs that ran after the backup are found by their ids."""
    api = FakeApi(duration=9)
    _scene(tmp_path / "one", api, database, "first").apply()
    _scene(tmp_path / "two", api, database, *IDS).apply()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM contentops.entry WHERE item <> 'first'")
        connection.execute("DELETE FROM contentops.text WHERE item <> 'first'")
        connection.execute("UPDATE contentops.account SET restored_at = now()")
    three = _scene(tmp_path / "three", api, database, *IDS)
    assert set(results(three.apply()).values()) == {"done"}
    assert len(api.charges) == 1 + len(IDS)


def test_a_backup_that_takes_its_place_meanwhile_is_heeded() -> None:
    """Whoever works on asks from then on, unless the server cannot be asked."""
    for honours, asks in ((None, True), (True, True), (False, False)):
        made = admit(7, HERE, AccountHistory(proven=frozenset({HERE})), honours_ids=honours)
        ask_after_restore(made, AccountHistory(proven=frozenset({HERE}), restored=True), honours_ids=honours)
        assert (made.ask_first, made.ask_every) == (asks, asks)


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
        (restored, False): (True, False, False),
        (None, False): (False, False, False),
    }
    for (history, honours), expected in cases.items():
        made = admit(7, HERE, history, honours_ids=honours)
        assert (made.proven, made.ask_first, made.ask_every) == expected, (history, honours)
    assert admit(7, HERE, None, proven=True).proven
