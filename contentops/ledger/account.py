"""Who pays: the accounts of a ledger, told apart by name or by a fingerprint of their key, which is never kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from contentops.model import ApiSettings

if TYPE_CHECKING:
    from contentops.ledger.session import LedgerSession

_SALT = b"contentops account\n"


class Account(Struct, frozen=True, kw_only=True):
    """One account of one server, and how it is spoken to."""

    id: str
    fingerprint: str
    api: ApiSettings


def account_of(api: ApiSettings, key: str) -> Account:
    """The account that a key of a project belongs to: `api.account`, or the server and the key's fingerprint."""
    mark = fingerprint(key)
    return Account(id=api.account or f"{api.server} {mark}", fingerprint=mark, api=api)


def fingerprint(key: str) -> str:
    """What tells keys apart and gives none away."""
    return hashlib.sha256(_SALT + key.encode()).hexdigest()[:16]


def sign_in(session: LedgerSession, account: Account) -> None:
    """Make the account known, with the settings that are used now. Raises as `LedgerSession.run` does.

    One that is new to a ledger which was restored may have been in what was lost: it counts as restored then, too.
    """
    settings = msgspec.json.encode(structs.asdict(account.api)).decode()
    session.run(
        "INSERT INTO contentops.account AS a (id, server, fingerprint, settings, restored_at)"
        " VALUES (%s, %s, %s, %s, (SELECT max(restored_at) FROM contentops.account))"
        " ON CONFLICT (id) DO UPDATE SET server = excluded.server, fingerprint = excluded.fingerprint,"
        " settings = excluded.settings, seen_at = now()"
        " WHERE (a.server, a.fingerprint, a.settings) <> (excluded.server, excluded.fingerprint, excluded.settings)"
        " OR a.seen_at < now() - interval '1 day'",
        (account.id, account.api.server, account.fingerprint, settings),
    )
