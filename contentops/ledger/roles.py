"""What a role of PostgreSQL may do in a ledger: one that works, and one that only looks at the views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from psycopg import sql

from contentops.errors import UsageError

if TYPE_CHECKING:
    import psycopg

    from contentops.ledger.session import LedgerSession, Row

_USE = ("SELECT", "INSERT", "UPDATE")
VIEWS = ("spend", "backlog", "runner_alive", "failure")
"""The views for dashboards."""
TABLES = {
    "version": ("SELECT",),
    "account": _USE,
    "limiter": _USE,
    "fact": _USE,
    "runner": _USE,
    "entry": (*_USE, "DELETE"),
    "text": _USE,
    "applying": _USE,
    **dict.fromkeys(VIEWS, ("SELECT",)),
}
"""What a run needs of each table and view."""
_SEQUENCE = "runner_number"


class Privilege(Struct, frozen=True):
    """A right to something in a ledger, as SQL names both."""

    right: str
    thing: str

    @property
    def granted(self) -> str:
        """What gives it, but for the role."""
        return f"{self.right} ON {self.thing}"


def needed(*, work: bool = True) -> tuple[Privilege, ...]:
    """What a run needs; without `work`, what a dashboard does."""
    schema = Privilege("USAGE", "SCHEMA contentops")
    if not work:
        return (schema, *(Privilege("SELECT", f"contentops.{view}") for view in VIEWS))
    tables = (Privilege(right, f"contentops.{table}") for table, rights in TABLES.items() for right in rights)
    return (schema, Privilege("USAGE", f"SEQUENCE contentops.{_SEQUENCE}"), *tables)


def grant(session: LedgerSession, role: str, *, work: bool = True) -> tuple[Privilege, ...]:
    """Let a role that is there work with the ledger, or only look at its views; twice does no harm.

    Raises UsageError for a role that is not there, StateError where one's own role may not give that.
    """
    given = needed(work=work)

    def work_(cursor: psycopg.Cursor[Row]) -> None:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            hint = "`CREATE ROLE ... LOGIN` in `psql` makes one, with its password"
            raise UsageError(f"PostgreSQL has no role `{role}`", code="unknown-role", hint=hint)
        for one in given:
            cursor.execute(sql.SQL(f"GRANT {one.granted} TO {{}}").format(sql.Identifier(role)))

    session.transaction(work_)
    return given


def missing(cursor: psycopg.Cursor[Row]) -> tuple[Privilege, ...]:
    """What the session's role lacks of what a run needs, of what is there."""
    return tuple(one for one in needed() if not _has(cursor, one))


def _has(cursor: psycopg.Cursor[Row], one: Privilege) -> bool:
    kind, _, name = one.thing.rpartition(" ")
    # By the number of a thing: its name means nothing to a role that may not use the schema.
    if kind == "SCHEMA":
        cursor.execute("SELECT has_schema_privilege(oid, %s) FROM pg_namespace WHERE nspname = %s", (one.right, name))
    else:
        asked = "has_sequence_privilege" if kind else "has_table_privilege"
        statement = f"SELECT {asked}(c.oid, %s) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        cursor.execute(f"{statement} WHERE n.nspname || '.' || c.relname = %s".encode(), (one.right, name))
    return bool((cursor.fetchone() or (True,))[0])
