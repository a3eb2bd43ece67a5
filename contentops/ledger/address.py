"""The address of a ledger: its host and database, its form without a password, and what a file may state of it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from contentops.errors import StateError
from contentops.loopback import is_loopback

PORT = "5432"
_PLAIN = frozenset({"host", "hostaddr", "port", "dbname", "user", "sslmode", "service", "target_session_attrs"})
"""What an address in a file may say. Everything else is about authentication, or names files of a machine."""
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""From the weakest to the strictest."""
REQUIRED = "scram-sha-256,none"
"""How a server may ask for a password: not in clear text and not as MD5."""
_KNOWS_REQUIRED = 160_000
"""The first libpq that can require it."""
_UNREADABLE = "postgresql://..."


def _parts(url: str) -> dict[str, Any]:
    """Return the settings of an address. Raises psycopg.ProgrammingError if it is none."""
    try:
        return conninfo_to_dict(url)
    except UnicodeError as error:
        message = "half a character"
        raise psycopg.ProgrammingError(message) from error


def beyond_plain(url: str) -> tuple[str, ...]:
    """Return the settings of an address that a file of a repository may not state."""
    try:
        stated = _parts(url).keys()
    except psycopg.ProgrammingError:
        return ()
    # A service has an `sslmode` of its own, which cannot be known here and would be overridden.
    return tuple(sorted(stated - _PLAIN | (stated & {"sslmode"} if "service" in stated else set())))


def with_operators_tls(url: str) -> str:
    """Return an address from a file with this machine's `sslmode` where the file's is weaker.

    This machine's is `PGSSLMODE`, else that of the service in `PGSERVICE`, else libpq's own default.
    """
    try:
        stated = str(_parts(url).get("sslmode") or "")
    except psycopg.ProgrammingError:
        return url
    options = psycopg.pq.Conninfo.get_defaults()
    own = next((option.val.decode() for option in options if option.keyword == b"sslmode" and option.val), "")
    if {stated, own} <= {*_SSL_MODES} and _SSL_MODES.index(stated) < _SSL_MODES.index(own):
        return make_conninfo(url, sslmode=own)
    return url


def remote_servers(url: str) -> tuple[str, ...]:
    """Return the servers of an address beyond this machine, as `postgresql://HOST:PORT`; none if it names no host."""
    try:
        parts = _parts(url)
    except psycopg.ProgrammingError:
        return ()
    named = [*str(parts.get("host") or "").split(","), *str(parts.get("hostaddr") or "").split(",")]
    ports = str(parts.get("port") or PORT).split(",")
    hosts = [host for host in named if host and not host.startswith(("/", "@")) and not is_loopback(host)]
    return tuple(dict.fromkeys(f"postgresql://{host.lower()}:{port or PORT}" for host in hosts for port in ports))


def with_safe_password(url: str) -> str:
    """Return the address with `require_auth` added, unless that is stated already or this libpq does not know it.

    Raises psycopg.ProgrammingError if it is none.
    """
    if psycopg.pq.version() < _KNOWS_REQUIRED:
        return url
    stated = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.val}
    return url if "require_auth" in {*stated, *_parts(url)} else make_conninfo(url, require_auth=REQUIRED)


def shown(url: str) -> str:
    """Return an address without its password, as it may be printed."""
    try:
        parts = _parts(url)
    except psycopg.ProgrammingError:
        return _UNREADABLE
    if misread(url):
        return _UNREADABLE
    host, port = parts.get("host", ""), parts.get("port", "")
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{host}{f':{port}' if port else ''}/{parts.get('dbname', '')}"


def misread(url: str) -> bool:
    """Whether an unescaped `@` or `/` in a password makes a part of it count as something else."""
    try:
        parts = _parts(url)
    except psycopg.ProgrammingError:
        return False
    port = str(parts.get("port") or "")
    names = (parts.get("host"), parts.get("hostaddr"), parts.get("dbname"))
    return any("@" in str(name) for name in names) or bool(port.strip(",0123456789"))


def no_address(url: str) -> StateError:
    """Return the error for text that is no address, or is misread as another one."""
    base, _, _ = url.rpartition("?")
    if base and shown(base) != _UNREADABLE:
        hint = "a name after `?` is none that PostgreSQL's connection strings know, such as `sslmode`, or has no value"
    else:
        hint = "postgresql://USER@HOST:PORT/DATABASE; in a password, `@` is written `%40` and `/` is written `%2F`"
    return StateError(f"`{shown(url)}` is not an address of a ledger", code="ledger-address", hint=hint)
