"""Accounts of a ledger: several keys of one, and a name that two servers have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from contentops.errors import StateError
from contentops.ledger.limiter import SharedLimiter, account_of, limit_of, limiter_of, sign_in
from contentops.model import ApiSettings
from contentops.operations.contents import contents
from contentops.operations.doctor import doctor
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.ledger.session import LedgerSession

API = ApiSettings(base_url="https://api.example.com/v1", account="acme")


def test_an_account_is_of_one_server(session: LedgerSession) -> None:
    """A second server under its name would share its limit and what was learned of it: refused by name."""
    sign_in(session, account_of(API, "wrk_one"))
    sign_in(session, account_of(ApiSettings(base_url="https://api.example.com/v2", account="acme"), "wrk_one"))
    with pytest.raises(StateError, match=r"of `https://api\.example\.com:443`, not of `https://other") as told:
        sign_in(session, account_of(ApiSettings(base_url="https://other.example.com/v1", account="acme"), "wrk_one"))
    assert (told.value.code, "api.account" in told.value.hint) == ("account-server", True)
    assert session.run("SELECT server FROM contentops.account") == [("https://api.example.com:443",)]


def test_who_only_looks_changes_no_settings(tmp_path: Path, session: LedgerSession) -> None:
    """A branch with another limit is counted with all others, and held to the stricter one."""
    harness = Harness(tmp_path / "branch", FakeApi(), rpm=600, extra=f"ledger: '{session.url}'")
    runtime = harness.runtime()
    paying = account_of(
        structs.replace(harness.project.api, requests_per_minute=10), runtime.environ["WRITERZROOM_API_KEY"]
    )
    sign_in(session, paying)
    before = session.run("SELECT * FROM contentops.account")
    contents(harness.project, runtime=runtime)
    assert session.run("SELECT * FROM contentops.account") == before
    assert _counted(session) == len(harness.api.requests)
    for stated, kept in ((600, 10), (0, 10), (5, 5)):
        looking = structs.replace(paying, per_minute=stated)
        assert limit_of(session, looking) == kept


def test_doctor_and_the_search_for_the_api_wait_for_their_turns(tmp_path: Path, session: LedgerSession) -> None:
    """Each request is counted with all others before it leaves, on a server whose API is found at the second look."""
    harness = Harness(tmp_path, FakeApi(), rpm=600, extra=f"ledger: '{session.url}'")
    counted: list[int] = []

    def arrived(_name: str, _n: int) -> bool:
        counted.append(_counted(session))
        return False

    harness.api.fault(arrived, 500)
    harness.api.fault(on("list templates", 1), 404)
    assert contents(harness.project, runtime=harness.runtime()) == ()
    looked = len(harness.api.requests)
    doctor(harness.project, harness.runtime())
    assert len(harness.api.requests) > looked > 2
    # Counted before it arrived, not after.
    assert counted == [*range(1, len(harness.api.requests) + 1)]


def test_accounts_of_one_key_have_one_limiter(session: LedgerSession) -> None:
    """Under two names, and after one of them was given another key."""
    unnamed, named = account_of(structs.replace(API, account=""), "wrk_one"), account_of(API, "wrk_one")
    for account in (unnamed, named, account_of(API, "wrk_two")):
        sign_in(session, account)
    later = account_of(structs.replace(API, account="later"), "wrk_two")
    sign_in(session, later)
    names = {limiter_of(session, one) for one in (unnamed, named, account_of(API, "wrk_two"), later)}
    assert names == {unnamed.id}
    SharedLimiter(session, unnamed.id, 10)
    other = account_of(structs.replace(API, account="other"), "wrk_three")
    assert limiter_of(session, other) != unnamed.id


def _counted(session: LedgerSession) -> int:
    return sum(sum(log[1::2]) for (log,) in session.run("SELECT state -> 'log' FROM contentops.limiter"))
