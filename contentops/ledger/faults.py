"""What to do about an error of PostgreSQL, by its SQLSTATE: wait, or report it at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg


class Fault(Struct, frozen=True):
    """What to do about an error of PostgreSQL."""

    passes: bool
    """Whether to wait: it may be over in a moment."""
    hint: str = ""
    """What a person can do about it; empty: the message of PostgreSQL says enough."""
    elsewhere: bool = False
    """Whether a new connection may reach a server without it."""


_WHO = (
    "check user, password and database in the address and that `pg_hba.conf` allows them; "
    "passwords are sent only with `scram-sha-256`"
)
_FAULTS: Mapping[str, Fault] = {
    "08": Fault(passes=True),  # the connection broke
    "25006": Fault(
        passes=True, hint="the database is read-only: use the address of the primary, or allow writes", elsewhere=True
    ),
    "25P": Fault(passes=True),  # a transaction took too long
    "28": Fault(passes=False, hint=_WHO),
    "3D": Fault(passes=False, hint=_WHO),
    "3F": Fault(passes=False, hint="create its tables with `contentops ledger migrate`"),
    "40": Fault(passes=True),  # others were in the way
    "42501": Fault(
        passes=False,
        hint="run `contentops ledger migrate` as the owner to create the tables, and grant the role access to them",
    ),
    "42P01": Fault(passes=False, hint="create its tables with `contentops ledger migrate`"),
    "53": Fault(passes=True, hint="PostgreSQL is out of memory or disk space: give it more"),
    "53100": Fault(passes=True, hint="the disk of PostgreSQL is full: free some space"),
    "53300": Fault(passes=True, hint="end sessions of PostgreSQL, or raise `max_connections`: each apply needs one"),
    "55": Fault(passes=True),  # something is in use, or locked
    "57": Fault(passes=True, elsewhere=True),  # shut down, or starting
    "57014": Fault(passes=True, hint="a statement took too long: check the load and the locks of PostgreSQL"),
    "57P04": Fault(passes=False, hint="the database was dropped"),
    "58": Fault(passes=True, hint="PostgreSQL cannot read or write its files: see its log"),
    "TLS": Fault(passes=False, hint="`sslmode` and `sslrootcert` of the address define how the server is verified"),
}
"""By the beginning of a SQLSTATE; the longest one counts. Any other is reported at once."""
_UNKNOWN = Fault(passes=False)
_AWAY = Fault(passes=True, hint="check the address and that PostgreSQL is running")

_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (state, re.compile(words))
    for state, words in (
        ("53300", r"too many (clients|connections)|remaining connection slots"),
        ("28P01", r"password authentication failed|no password supplied|authentication failed for user"),
        ("28000", r"role \".*\" does not exist|pg_hba\.conf|is not permitted to log in|authentication method"),
        ("3D000", r"database \".*\" does not exist"),
        ("42501", r"permission denied for database"),
        ("TLS", r"does not support SSL|certificate verify failed|root certificate file|server certificate for"),
    )
)
"""libpq reports a failed connection in words alone, in English by default; other languages count as away."""
_EACH = re.compile(r"(?=connection to server at )")


def fault_of(error: psycopg.Error) -> Fault:
    """Return what to do about an error."""
    return _fault(error.sqlstate) if error.sqlstate else _unconnected(str(error))


def _unconnected(words: str) -> Fault:
    """Return what to do about a failed connection, by its message: of several servers, one may come back."""
    tried = [part for part in _EACH.split(words) if part.startswith("connection to")] or [words]
    faults = [next((_fault(state) for state, known in _WORDS if known.search(part)), _AWAY) for part in tried]
    return next((fault for fault in faults if fault.passes), faults[0])


def _fault(state: str) -> Fault:
    known = (state[:length] for length in range(len(state), 1, -1))
    return next((_FAULTS[part] for part in known if part in _FAULTS), _UNKNOWN)
