"""Examines a ledger without changing it: its server, the rights of the role, who works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from msgspec import Struct

from contentops.ledger import pooler, schema
from contentops.ledger.applying import who_apply
from contentops.ledger.live_runners import RunnerRow, live_runners
from contentops.ledger.roles import Privilege, missing
from contentops.ledger.session import LedgerAway, LedgerSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.ledger.applying import ApplyHolder

_ROLE = """
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
  ARRAY(SELECT nspname::text FROM pg_namespace n WHERE n.nspowner = r.oid
    AND nspname <> 'contentops' AND nspname !~ '^pg_' ORDER BY nspname),
  has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(),
  current_setting('default_transaction_read_only') = 'on'
FROM pg_roles r WHERE rolname = current_user"""
BLIND = {Privilege("USAGE", "SCHEMA contentops"), Privilege("SELECT", "contentops.version")}
"""The rights that a role needs to read the version of the tables."""
_ATTRIBUTES = ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS")


class Examination(Struct, frozen=True, kw_only=True):
    """What `doctor` reports of a ledger."""

    server: str
    """The version of PostgreSQL."""
    version: int | None
    """Of the tables; 0: there are none; None: the role may not read it."""
    newest: int
    """The version of the tables that this program uses."""
    role: str
    attributes: tuple[str, ...]
    """What the role may do beyond the database, as SQL calls it."""
    schemas: tuple[str, ...]
    """Other schemas of the database that the role owns."""
    may_create: bool
    lacks: tuple[Privilege, ...]
    """What a run needs and the role does not have."""
    standby: bool
    read_only: bool
    clock: float
    """Seconds by which the database's clock is ahead of this machine's; 0 where that is less than asking took."""
    pooled: bool
    ends_silent: bool
    """Whether PostgreSQL ends a session that says nothing."""
    applies: tuple[ApplyHolder, ...]
    runners: tuple[RunnerRow, ...]


def examine(url: str, wall: Callable[[], float]) -> Examination:
    """Return what `doctor` reports of a ledger. `wall`: seconds since 1970. Raises as `LedgerSession` does."""
    with LedgerSession(url, name="contentops doctor", patience=0) as session:
        role = session.run(_ROLE)[0]
        lacks = session.transaction(missing)
        version = None if BLIND & {*lacks} else schema.version(session)
        usable = version == schema.newest() and not lacks
        try:
            silent = pooler.ends_silent_sessions(url)
        except psycopg.OperationalError as error:
            raise LedgerAway(f"the ledger cannot be reached any more: {error}") from None
        return Examination(
            server=session.run("SELECT current_setting('server_version')")[0][0],
            version=version,
            newest=schema.newest(),
            role=role[0],
            attributes=tuple(name for name, has in zip(_ATTRIBUTES, role[1:6], strict=True) if has),
            schemas=tuple(role[6]),
            may_create=role[7],
            lacks=lacks,
            standby=role[8],
            read_only=role[9],
            clock=_ahead(session, wall),
            pooled=session.pooled,
            ends_silent=silent,
            applies=who_apply(session) if usable else (),
            runners=session.transaction(live_runners) if usable else (),
        )


def _ahead(session: LedgerSession, wall: Callable[[], float]) -> float:
    before = wall()
    clock = float(session.run("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0])
    after = wall()
    off = clock - (before + after) / 2
    return 0.0 if abs(off) <= (after - before) / 2 else off
