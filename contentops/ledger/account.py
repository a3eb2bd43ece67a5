"""The accounts of a ledger, known by their name or by a fingerprint of their key, which is never stored."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from contentops.api.dialects import AUTO, DIALECTS
from contentops.digest import canonical
from contentops.errors import StateError
from contentops.execution.first_contact import AccountHistory
from contentops.ledger.rows import read_json
from contentops.manifests.api_settings import url_problem
from contentops.model import ApiSettings, Json
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.ledger.session import LedgerSession

_SALT = b"contentops account\n"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_SAVES = frozenset({"auto", "off"})
_MOST, _LONGEST = 1_000_000, 30 * 86_400.0
"""The largest limit, and the longest job, that a row may state."""
_PROVEN = "proven"
"""How the names of facts begin that say at which endpoint, a dialect and a server, a text was paid for."""
_DATABASE = """
SELECT concat_ws(' ', (SELECT system_identifier FROM pg_control_system()),
  left(pg_walfile_name(pg_current_wal_lsn()), 8), (SELECT oid FROM pg_database WHERE datname = current_database()))"""
"""Changes when a replica or another database replaces this one: PostgreSQL then begins a new timeline."""
_NOTICE = """
WITH other AS (
  UPDATE contentops.fact SET value = to_jsonb(%(mark)s::text), changed_at = now()
  WHERE name = 'database' AND value <> to_jsonb(%(mark)s::text) RETURNING account),
ours AS (
  INSERT INTO contentops.fact (account, name, value)
  SELECT id, 'database', to_jsonb(%(mark)s::text) FROM contentops.account WHERE id = %(account)s
  ON CONFLICT DO NOTHING)
UPDATE contentops.account SET restored_at = now() WHERE EXISTS (SELECT FROM other)"""
ASKING = "7 days"
"""How long all submits ask first after the ledger was restored: longer than a server keeps what was asked."""

# An account may have several keys: their fingerprints are listed, the first one first. An account that is new and has
# the key of a known one is the same account under another name: it gets all of its keys.
_HAS_KEY = "%(mark)s = ANY(string_to_array(a.fingerprint, ' '))"
_SIGN_IN = f"""
INSERT INTO contentops.account AS a (id, server, fingerprint, settings, restored_at)
VALUES (%(id)s, %(server)s,
  coalesce((SELECT fingerprint FROM contentops.account a WHERE server = %(server)s AND {_HAS_KEY} ORDER BY id LIMIT 1),
    %(mark)s),
  %(settings)s, (SELECT max(restored_at) FROM contentops.account))
ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, seen_at = now(),
  fingerprint = CASE WHEN {_HAS_KEY} THEN a.fingerprint ELSE a.fingerprint || ' ' || %(mark)s END
WHERE a.server = excluded.server
  AND (NOT {_HAS_KEY} OR a.settings <> excluded.settings OR a.seen_at < now() - interval '1 day')"""


class Account(Struct, frozen=True, kw_only=True):
    """One account of one server, and the settings of its API."""

    id: str
    fingerprint: str
    api: ApiSettings


def account_of(api: ApiSettings, key: str) -> Account:
    """Return the account of a project's key: `api.account`, or the server and the key's fingerprint."""
    mark = fingerprint(key)
    return Account(id=api.account or f"{api.server} {mark}", fingerprint=mark, api=api)


def fingerprint(key: str) -> str:
    """Return a short digest of a key, from which the key cannot be found."""
    return hashlib.sha256(_SALT + key.encode()).hexdigest()[:16]


def sign_in(session: LedgerSession, account: Account) -> None:
    """Store the account with its key and settings; a new one in a restored ledger counts as restored too.

    Raises as `LedgerSession.run` does, and StateError where it is known as one of another server.
    """
    settings, server = msgspec.json.encode(structs.asdict(account.api)).decode(), account.api.server
    values = {"id": account.id, "server": server, "mark": account.fingerprint, "settings": settings}
    session.run(_SIGN_IN, values)
    ((known,),) = session.run("SELECT server FROM contentops.account WHERE id = %s", (account.id,))
    _check_server(account, known)


def limit_of(session: LedgerSession, account: Account) -> int:
    """Return the requests a minute of an account for a reader: the stricter of its settings and the ledger's.

    Writes nothing, so that reading a branch changes nothing for runs that pay. Raises as `sign_in` does.
    """
    limits = [account.api.requests_per_minute]
    rows = session.run("SELECT server, settings::text FROM contentops.account WHERE id = %s", (account.id,))
    for known, text in rows:
        _check_server(account, known)
        settings = _settings(text)
        limits += [settings.requests_per_minute] if settings is not None else []
    return min(filter(None, limits), default=0)


def limiter_of(session: LedgerSession, account: Account) -> str:
    """Return the name of the limiter of an account, made of its server and first key, not of its own name."""
    rows = session.run(
        f"SELECT fingerprint FROM contentops.account a WHERE id = %(id)s OR (server = %(server)s AND {_HAS_KEY})"
        " ORDER BY id <> %(id)s, id LIMIT 1",
        {"id": account.id, "server": account.api.server, "mark": account.fingerprint},
    )
    first = str(rows[0][0]).split(" ")[0] if rows else account.fingerprint
    return f"{account.api.server} {first}"


def _check_server(account: Account, known: str) -> None:
    """Raise StateError if the ledger has this account under another server, which would get its queue."""
    if known != account.api.server:
        raise StateError(
            f"the ledger has account `{visible(account.id)}` of `{visible(known)}`, not of `{account.api.server}`",
            code="account-server",
            hint="set another `api.account` for this server, in its environment if it has one",
        )


def accounts_of(session: LedgerSession, key: str, unusable: Callable[[str], None] | None = None) -> tuple[Account, ...]:
    """Return the accounts of a key; `unusable` is called with the id of a row that cannot be used and is left out."""
    rows = session.run(
        "SELECT id, server, settings::text FROM contentops.account"
        " WHERE %s = ANY(string_to_array(fingerprint, ' ')) ORDER BY id",
        (mark := fingerprint(key),),
    )
    accounts: list[Account] = []
    for id_, server, text in rows:
        api = _settings(text)
        if api is not None and api.server == server:
            accounts.append(Account(id=id_, fingerprint=mark, api=api))
        elif unusable is not None:
            unusable(id_)
    return tuple(accounts)


def _settings(text: str) -> ApiSettings | None:
    """Return an account's settings from its row; None where they cannot be used."""
    api = read_json(text, ApiSettings)
    return api if api is not None and _is_usable(api) else None


def _is_usable(api: ApiSettings) -> bool:
    """Whether `contentops.yaml` could contain these settings."""
    named = all(_VARIABLE.fullmatch(name) for name in (api.key_env, api.user_env))
    spoken = api.dialect in {AUTO, *DIALECTS} and api.save in _SAVES
    limits = (
        0 <= api.requests_per_minute <= _MOST and 0 < api.max_in_flight <= _MOST and 0 < api.job_timeout <= _LONGEST
    )
    return named and spoken and limits and api.base_url != "local" and url_problem(api.base_url) is None


def read_fact(session: LedgerSession, account: str, name: str) -> Mapping[str, Json]:
    """Return a fact about an account's server that a process stored; empty if there is none."""
    rows = session.run("SELECT value::text FROM contentops.fact WHERE account = %s AND name = %s", (account, name))
    return read_json(rows[0][0], dict[str, object]) or {} if rows else {}


def write_fact(session: LedgerSession, account: str, name: str, value: Mapping[str, Json]) -> None:
    """Store a fact for all processes."""
    session.run(
        "INSERT INTO contentops.fact AS f (account, name, value) VALUES (%s, %s, %s)"
        " ON CONFLICT (account, name) DO UPDATE SET value = excluded.value, changed_at = now()"
        " WHERE f.value <> excluded.value",
        (account, name, canonical(dict(value))),
    )


def proven_fact(server: str, dialect: str) -> str:
    """Return the name of the fact that a text was paid for at a server and dialect."""
    return f"{_PROVEN} {dialect} {server}"


def notice_restore(session: LedgerSession, account: str = "") -> None:
    """Mark every account as restored if a backup or replica took the database's place, where the role may see that."""
    try:
        mark = session.run(_DATABASE)[0][0]
    except StateError as error:
        if error.code != "ledger-refused":
            raise
        return
    session.run(_NOTICE, {"mark": mark, "account": account})


def history_of(session: LedgerSession, account: str) -> AccountHistory:
    """Return what the ledger knows of the submits of an account."""
    notice_restore(session, account)
    rows = session.run(
        f"SELECT restored_at > now() - interval '{ASKING}', ARRAY(SELECT name FROM contentops.fact"
        f" WHERE account = a.id AND name LIKE '{_PROVEN} %%'), EXISTS (SELECT FROM contentops.entry"
        " WHERE account = a.id AND state = 'unknown' AND NOT taken AND NOT dropped)"
        " FROM contentops.account a WHERE id = %s",
        (account,),
    )
    restored, names, unclear = rows[0] if rows else (False, [], False)
    endpoints = (name.split(" ") for name in names)
    proven = frozenset(
        (words[2], words[1]) for words in endpoints if len(words) == len(("proven", "dialect", "server"))
    )
    return AccountHistory(proven=proven, unclear=bool(unclear), restored=bool(restored))
