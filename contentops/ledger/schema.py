"""The tables of a ledger: numbered steps, forward only. A ledger of a newer version is refused."""

from __future__ import annotations

import importlib.resources
import re
from typing import TYPE_CHECKING

from contentops.errors import StateError

if TYPE_CHECKING:
    import psycopg

    from contentops.ledger.session import LedgerSession, Row

_LOCK = 0x636F6E74
"""The advisory lock under which one process at a time changes the tables."""
_FILE = re.compile(r"([0-9]{4})\.sql")


def newest() -> int:
    """The version of the tables that this program uses."""
    return max(_steps())


def migrate(session: LedgerSession) -> tuple[int, int]:
    """Bring the tables to the newest version; the version before (0: there was none) and after.

    Raises StateError for a ledger of a newer version, or where the role may not do that.
    """

    def work(cursor: psycopg.Cursor[Row]) -> tuple[int, int]:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        before = _version(cursor)
        _refuse_newer(before)
        steps = {number: sql for number, sql in _steps().items() if number > before}
        if before == 0:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS contentops")
            cursor.execute("CREATE TABLE contentops.version (number int NOT NULL)")
            cursor.execute("INSERT INTO contentops.version VALUES (0)")
        for _, sql in sorted(steps.items()):
            cursor.execute(sql.encode())
        cursor.execute("UPDATE contentops.version SET number = %s WHERE number <> %s", (newest(), newest()))
        return before, newest()

    return session.transaction(work)


def prepare(session: LedgerSession) -> None:
    """Make the tables in a database that has none. Raises StateError for those of another version."""
    version = session.transaction(_version)
    if version == 0:
        migrate(session)
        return
    _refuse_newer(version)
    if version < newest():
        message = f"the ledger has the tables of an older version ({version}; this program needs {newest()})"
        hint = "let the runs of the older version end, then `contentops ledger migrate`"
        raise StateError(message, code="ledger-older", hint=hint)


def _version(cursor: psycopg.Cursor[Row]) -> int:
    cursor.execute("SELECT to_regclass('contentops.version') IS NOT NULL")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    cursor.execute("SELECT max(number) FROM contentops.version")
    return int((cursor.fetchone() or (0,))[0] or 0)


def _refuse_newer(version: int) -> None:
    if version > newest():
        message = f"the ledger has the tables of a newer version ({version}; this program knows {newest()})"
        raise StateError(message, code="ledger-newer", hint="update contentops here")


def _steps() -> dict[int, str]:
    folder = importlib.resources.files("contentops.ledger") / "sql"
    found = {name: _FILE.fullmatch(name.name) for name in folder.iterdir()}
    return {int(match[1]): path.read_text(encoding="utf-8") for path, match in found.items() if match}
