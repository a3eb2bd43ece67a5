"""The tables of a ledger, made by numbered steps, forward only; a newer version is refused."""

from __future__ import annotations

import importlib.resources
import re
from typing import TYPE_CHECKING

from contentops.errors import Refused, StateError, plural
from contentops.ledger.live_runners import COMING_BACK, live_runners

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from contentops.ledger.session import LedgerSession, Row

_LOCK = 0x636F6E74
"""The advisory lock under which one process at a time changes the tables."""
_FILE = re.compile(r"([0-9]{4})\.sql")


def steps() -> dict[int, str]:
    """Return, by version, the statements that upgrade the version before it."""
    folder = importlib.resources.files("contentops.ledger") / "sql"
    matches = {path: _FILE.fullmatch(path.name) for path in folder.iterdir()}
    return {int(match[1]): path.read_text(encoding="utf-8") for path, match in matches.items() if match}


def newest() -> int:
    """Return the version of the tables that this program uses."""
    return max(steps())


def version(session: LedgerSession) -> int:
    """Return the version of a ledger's tables; 0: it has none."""
    return session.transaction(_version)


def migrate(session: LedgerSession, known: Mapping[int, str] | None = None) -> tuple[int, int]:
    """Bring the tables to the newest version in one transaction; return the version before (0: none) and after.

    `known`: other steps than those of this program. Raises StateError for a newer ledger or a role without the right,
    Refused while a runner works with the older version.
    """
    known = steps() if known is None else known
    last = max(known)

    def work(cursor: psycopg.Cursor[Row]) -> tuple[int, int]:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        before = _version(cursor)
        _refuse_newer(before, last)
        if before == 0:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS contentops")
            cursor.execute("CREATE TABLE contentops.version (number int NOT NULL)")
            cursor.execute("INSERT INTO contentops.version VALUES (0)")
        elif before < last:
            _refuse_in_use(cursor)
        for number, sql in sorted(known.items()):
            if number > before:
                cursor.execute(sql.encode())
        if before < last:
            cursor.execute("UPDATE contentops.version SET number = %s", (last,))
        return before, last

    return session.transaction(work)


def prepare(session: LedgerSession, known: Mapping[int, str] | None = None) -> None:
    """Make the tables in a database that has none. Raises StateError if it has those of another version."""
    known = steps() if known is None else known
    number, last = version(session), max(known)
    if number == 0:
        migrate(session, known)
        return
    _refuse_newer(number, last)
    if number < last:
        message = f"the ledger has the tables of an older version ({number}; this program needs {last})"
        hint = "wait until the runs of the older version are done, then `contentops ledger migrate`"
        raise StateError(message, code="ledger-older", hint=hint)


def _version(cursor: psycopg.Cursor[Row]) -> int:
    cursor.execute("SELECT to_regclass('contentops.version') IS NOT NULL")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    cursor.execute("SELECT max(number) FROM contentops.version")
    return int((cursor.fetchone() or (0,))[0] or 0)


def _refuse_newer(number: int, last: int) -> None:
    if number > last:
        message = f"the ledger has the tables of a newer version ({number}; this program knows {last})"
        raise StateError(message, code="ledger-newer", hint="update contentops on this machine")


def _refuse_in_use(cursor: psycopg.Cursor[Row]) -> None:
    if alive := live_runners(cursor):
        pages = {one: f" ({one.page})" if one.page else "" for one in alive}
        names = ", ".join(f"{one.kind} by {one.who}{pages[one]}" for one in alive[:5])
        more = f" and {len(alive) - 5} more" if len(alive) > 5 else ""
        message = f"{plural(len(alive), 'runner')} of the older version work with this ledger: {names}{more}"
        hint = "stop them (after SIGTERM a worker finishes its jobs), then run the command again"
        hint += (
            f"; for {COMING_BACK} seconds after a restart of the database, the runners from before it count as working"
        )
        hint += ", so wait until then; nothing was changed"
        raise Refused(message, code="ledger-in-use", hint=hint)
