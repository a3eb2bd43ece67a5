"""The tables of a ledger; those of a newer version are refused."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING

from contentops.errors import StateError

if TYPE_CHECKING:
    import psycopg

    from contentops.ledger.session import LedgerSession, Row

VERSION = 1
"""The version of the tables that this program uses."""
_LOCK = 0x636F6E74
"""The advisory lock under which one process at a time creates the tables."""


def version(session: LedgerSession) -> int:
    """Return the version of a ledger's tables; 0: it has none."""
    return session.transaction(_version)


def migrate(session: LedgerSession) -> int:
    """Create the tables in one transaction, if there are none; return the version before (0: none).

    Raises StateError for a newer ledger or a role without the right.
    """
    tables = (importlib.resources.files("contentops.ledger") / "sql" / f"{VERSION:04}.sql").read_text(encoding="utf-8")

    def work(cursor: psycopg.Cursor[Row]) -> int:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        before = _version(cursor)
        if before == 0:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS contentops")
            cursor.execute("CREATE TABLE contentops.version (number int NOT NULL)")
            cursor.execute("INSERT INTO contentops.version VALUES (%s)", (VERSION,))
            cursor.execute(tables.encode())
        return before

    before = session.transaction(work)
    refuse_newer(before)
    return before


def prepare(session: LedgerSession) -> None:
    """Create the tables in a database that has none. Raises StateError if it has those of a newer version."""
    if (number := version(session)) == 0:
        migrate(session)
    refuse_newer(number)


def refuse_newer(number: int) -> None:
    """Raise StateError for the number of a version that this program does not know."""
    if number > VERSION:
        message = f"the ledger has the tables of a newer version ({number}; this program knows {VERSION})"
        raise StateError(message, code="ledger-newer", hint="update contentops on this machine")


def _version(cursor: psycopg.Cursor[Row]) -> int:
    cursor.execute("SELECT to_regclass('contentops.version') IS NOT NULL")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    cursor.execute("SELECT max(number) FROM contentops.version")
    return int((cursor.fetchone() or (0,))[0] or 0)
