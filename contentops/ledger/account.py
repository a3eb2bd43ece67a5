"""The accounts of a ledger, known by their name or by a fingerprint of their key, which is never stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import canonical
from contentops.errors import StateError
from contentops.ledger.rows import read_json
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.ledger.session import LedgerSession
    from contentops.model import ApiSettings, Json

_SALT = b"contentops account\n"
_PROVEN = "proven"
"""How the names of facts begin that say at which endpoint, a dialect and a server, a text was paid for."""

# An account may have several keys: their fingerprints are listed, the first one first. An account that is new and has
# the key of a known one is the same account under another name: it gets all of its keys.
_HAS_KEY = "%(mark)s = ANY(string_to_array(a.fingerprint, ' '))"
_SIGN_IN = f"""
INSERT INTO contentops.account AS a (id, server, fingerprint, per_minute)
VALUES (%(id)s, %(server)s,
  coalesce((SELECT fingerprint FROM contentops.account a WHERE server = %(server)s AND {_HAS_KEY} ORDER BY id LIMIT 1),
    %(mark)s),
  %(per_minute)s)
ON CONFLICT (id) DO UPDATE SET per_minute = excluded.per_minute,
  fingerprint = CASE WHEN {_HAS_KEY} THEN a.fingerprint ELSE a.fingerprint || ' ' || %(mark)s END
WHERE a.server = excluded.server AND (NOT {_HAS_KEY} OR a.per_minute <> excluded.per_minute)"""


class Account(Struct, frozen=True, kw_only=True):
    """One account of one server, and its requests a minute."""

    id: str
    server: str
    fingerprint: str
    per_minute: int


def account_of(api: ApiSettings, key: str) -> Account:
    """Return the account of a project's key: `api.account`, or the server and the key's fingerprint."""
    mark = fingerprint(key)
    return Account(
        id=api.account or f"{api.server} {mark}",
        server=api.server,
        fingerprint=mark,
        per_minute=api.requests_per_minute,
    )


def fingerprint(key: str) -> str:
    """Return a short digest of a key, from which the key cannot be found."""
    return hashlib.sha256(_SALT + key.encode()).hexdigest()[:16]


def sign_in(session: LedgerSession, account: Account) -> None:
    """Store the account with its key and limit.

    Raises as `LedgerSession.run` does, and StateError where it is known as one of another server.
    """
    values = {
        "id": account.id,
        "server": account.server,
        "mark": account.fingerprint,
        "per_minute": account.per_minute,
    }
    session.run(_SIGN_IN, values)
    ((known,),) = session.run("SELECT server FROM contentops.account WHERE id = %s", (account.id,))
    _check_server(account, known)


def limit_of(session: LedgerSession, account: Account) -> int:
    """Return the requests a minute of an account for a reader: the stricter of its settings and the ledger's.

    Writes nothing, so that reading a branch changes nothing for runs that pay. Raises as `sign_in` does.
    """
    limits = [account.per_minute]
    for known, per_minute in session.run(
        "SELECT server, per_minute FROM contentops.account WHERE id = %s", (account.id,)
    ):
        _check_server(account, known)
        limits.append(per_minute)
    return min((one for one in limits if one > 0), default=0)


def limiter_of(session: LedgerSession, account: Account) -> str:
    """Return the name of the limiter of an account, made of its server and first key, not of its own name."""
    rows = session.run(
        f"SELECT fingerprint FROM contentops.account a WHERE id = %(id)s OR (server = %(server)s AND {_HAS_KEY})"
        " ORDER BY id <> %(id)s, id LIMIT 1",
        {"id": account.id, "server": account.server, "mark": account.fingerprint},
    )
    first = str(rows[0][0]).split(" ")[0] if rows else account.fingerprint
    return f"{account.server} {first}"


def _check_server(account: Account, known: str) -> None:
    """Raise StateError if the ledger has this account under another server."""
    if known != account.server:
        raise StateError(
            f"the ledger has account `{visible(account.id)}` of `{visible(known)}`, not of `{account.server}`",
            code="account-server",
            hint="set another `api.account` for this server, in its environment if it has one",
        )


def read_fact(session: LedgerSession, account: str, name: str) -> Mapping[str, Json]:
    """Return a fact about an account's server that a process stored; empty if there is none."""
    rows = session.run("SELECT value::text FROM contentops.fact WHERE account = %s AND name = %s", (account, name))
    return read_json(rows[0][0], dict[str, object]) or {} if rows else {}


def write_fact(session: LedgerSession, account: str, name: str, value: Mapping[str, Json]) -> None:
    """Store a fact for all processes."""
    session.run(
        "INSERT INTO contentops.fact AS f (account, name, value) VALUES (%s, %s, %s)"
        " ON CONFLICT (account, name) DO UPDATE SET value = excluded.value WHERE f.value <> excluded.value",
        (account, name, canonical(dict(value))),
    )


def proven_fact(server: str, dialect: str) -> str:
    """Return the name of the fact that a text was paid for at a server and dialect."""
    return f"{_PROVEN} {dialect} {server}"


def proven_endpoints(session: LedgerSession, account: str) -> frozenset[tuple[str, str]]:
    """Return the servers and dialects in which a text of an account was paid for. None: it is new to the ledger."""
    rows = session.run(f"SELECT name FROM contentops.fact WHERE account = %s AND name LIKE '{_PROVEN} %%'", (account,))
    named = (str(name).split(" ") for (name,) in rows)
    return frozenset((words[2], words[1]) for words in named if len(words) == len(("proven", "dialect", "server")))
