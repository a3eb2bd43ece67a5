"""Accounts of a ledger: several keys of one, and a name that stands for two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import StateError
from contentops.ledger import schema
from contentops.ledger.account import account_of, accounts_of, sign_in
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

API = ApiSettings(base_url="https://api.example.com/v1", account="acme")


@pytest.fixture
def session(database: str) -> Iterator[LedgerSession]:
    """A session with an empty ledger."""
    with LedgerSession(database, patience=0) as session:
        schema.prepare(session)
        yield session


def test_each_key_of_an_account_serves_it(session: LedgerSession) -> None:
    """Whoever signed in last: what one key has queued is there for a worker with another one."""
    for key in ("wrk_one", "wrk_two", "wrk_one"):
        sign_in(session, account_of(API, key))
    assert [accounts_of(session, key)[0].id for key in ("wrk_one", "wrk_two")] == ["acme", "acme"]
    assert accounts_of(session, "wrk_three") == ()
    assert [len(marks.split()) for (marks,) in session.run("SELECT fingerprint FROM contentops.account")] == [2]


def test_an_account_is_of_one_server(session: LedgerSession) -> None:
    """A second server under its name would get, and be paid for, what is queued for the first: refused by name."""
    sign_in(session, account_of(API, "wrk_one"))
    sign_in(session, account_of(ApiSettings(base_url="https://api.example.com/v2", account="acme"), "wrk_one"))
    with pytest.raises(StateError, match=r"one of `https://api\.example\.com:443`, and this is `https://other") as told:
        sign_in(session, account_of(ApiSettings(base_url="https://other.example.com/v1", account="acme"), "wrk_one"))
    assert (told.value.code, "api.account" in told.value.hint) == ("account-server", True)
    assert [account.api.base_url for account in accounts_of(session, "wrk_one")] == ["https://api.example.com/v2"]


def test_an_address_that_was_never_reached_is_told_as_such() -> None:
    """The words for a ledger that has been there and went away would send people to wait for it."""
    with pytest.raises(StateError) as told:
        LedgerSession("postgresql://ann@127.0.0.1:1/db", patience=0)
    assert "the address, the user and the password" in told.value.hint
