"""Whether a run over a ledger asks for ids before it pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.execution.limiter import admit
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results

if TYPE_CHECKING:
    from pathlib import Path


HERE = ("https://api.example.test:443", "v1")
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


def test_how_submits_begin() -> None:
    """Without a ledger the first ones ask; a server that makes ids of its own is never asked."""
    elsewhere = ("https://other.test:443", "v1")
    cases = {
        ((), None): (False, True),
        ((HERE,), None): (True, False),
        ((elsewhere,), None): (False, False),
        ((), False): (False, False),
    }
    for (paid_at, honours), expected in cases.items():
        made = admit(7, HERE, paid_at, honours_ids=honours)
        assert (made.proven, made.ask_first) == expected, (paid_at, honours)
    assert admit(7, HERE, proven=True).proven
