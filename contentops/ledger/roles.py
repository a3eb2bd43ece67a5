"""The rights that a role of PostgreSQL needs in a ledger, to work or only to read the views."""

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
    """A right to a thing in a ledger, as SQL names both."""

    right: str
    thing: str

    @property
    def granted(self) -> str:
        """The text of the GRANT, without the role."""
        return f"{self.right} ON {self.thing}"


def needed(*, work: bool = True) -> tuple[Privilege, ...]:
    """Return the rights that a run needs, or (without `work`) a dashboard."""
    schema = Privilege("USAGE", "SCHEMA contentops")
    if not work:
        return (schema, *(Privilege("SELECT", f"contentops.{view}") for view in VIEWS))
    tables = (Privilege(right, f"contentops.{table}") for table, rights in TABLES.items() for right in rights)
    return (schema, Privilege("USAGE", f"SEQUENCE contentops.{_SEQUENCE}"), *tables)


def grant(session: LedgerSession, role: str, *, work: bool = True) -> tuple[Privilege, ...]:
    """Grant an existing role what a run needs, or only the views; may be repeated.

    Raises UsageError for an unknown role, StateError where one's own role may not grant that.
    """
    given = needed(work=work)

    def work_(cursor: psycopg.Cursor[Row]) -> None:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            hint = "`CREATE ROLE ... LOGIN` in `psql` creates one, with its password"
            raise UsageError(f"PostgreSQL has no role `{role}`", code="unknown-role", hint=hint)
        for one in given:
            cursor.execute(sql.SQL(f"GRANT {one.granted} TO {{}}").format(sql.Identifier(role)))

    session.transaction(work_)
    return given


def missing(cursor: psycopg.Cursor[Row]) -> tuple[Privilege, ...]:
    """Return the rights that a run needs and the session's role lacks, on tables and views that exist."""
    return tuple(one for one in needed() if not _has(cursor, one))


def _has(cursor: psycopg.Cursor[Row], one: Privilege) -> bool:
    kind, _, name = one.thing.rpartition(" ")
    # By the oid of a thing: its name cannot be resolved by a role that may not use the schema.
    if kind == "SCHEMA":
        cursor.execute("SELECT has_schema_privilege(oid, %s) FROM pg_namespace WHERE nspname = %s", (one.right, name))
    else:
        asked = "has_sequence_privilege" if kind else "has_table_privilege"
        statement = f"SELECT {asked}(c.oid, %s) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        cursor.execute(f"{statement} WHERE n.nspname || '.' || c.relname = %s".encode(), (one.right, name))
    return bool((cursor.fetchone() or (True,))[0])
