"""Maintenance of a ledger: its tables, what it lets go of, who may use it, and what to do after it was restored."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from contentops.errors import UsageError
from contentops.ledger import limiter, maintenance, roles, schema
from contentops.ledger.address import shown
from contentops.ledger.session import LedgerSession, Timeouts
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.ledger.maintenance import Collected, Overview
    from contentops.ledger.roles import Privilege


THOROUGH = Timeouts(statement=900)
"""What changes tables, or looks at all that a ledger has, takes its time."""


def check_named(address: str) -> None:
    """Raises UsageError where nothing says where the ledger is."""
    if not address:
        hint = "`--ledger postgresql://host/database`, `CONTENTOPS_LEDGER`, or `ledger:` in `contentops.yaml` names it"
        raise UsageError("no ledger is named", code="no-ledger", hint=hint)


@contextlib.contextmanager
def opened(address: str, *, prepared: bool = True) -> Iterator[LedgerSession]:
    """A session with the ledger at an address. Raises UsageError where it is empty, StateError."""
    check_named(address)
    with LedgerSession(address, name="contentops ledger", patience=0, timeouts=THOROUGH) as session:
        if prepared:
            schema.prepare(session)
        yield session


def migrate(address: str, *, do: bool) -> tuple[int, int]:
    """The version of the tables before and after; only what would be, unless `do`. Raises as `schema.migrate` does."""
    with opened(address, prepared=False) as session:
        if do:
            return schema.migrate(session)
        return schema.version(session), schema.newest()


def collect(address: str, days: int, *, do: bool) -> Collected:
    """What the ledger lets go of; done, if `do`. Raises StateError."""
    with opened(address) as session:
        return maintenance.collect(session, days) if do else maintenance.superfluous(session, days)


def restored(address: str, *, nothing_lost: bool = False) -> tuple[str, ...]:
    """Say that the database was put back to an earlier time, or that this has lost nothing.

    Returns the accounts that this is noted for. Raises StateError.
    """
    with opened(address) as session:
        return maintenance.restored(session, nothing_lost=nothing_lost)


def reset_limit(address: str, account: str) -> None:
    """Forget what was sent for an account and until when all hold back. Raises UsageError for an unknown one."""
    with opened(address) as session:
        known = [one.id for one in maintenance.overview(session).accounts]
        if not limiter.reset(session, account) and account not in known:
            named = ", ".join(f"`{visible(one)}`" for one in known)
            hint = f"the ledger knows {named}" if named else "no account has used this ledger"
            raise UsageError(f"the ledger knows no account `{visible(account)}`", code="no-account", hint=hint)


def grant(address: str, role: str, *, work: bool) -> tuple[Privilege, ...]:
    """Let a role work with the ledger, or only look at its views. Raises UsageError, StateError."""
    with opened(address) as session:
        return roles.grant(session, role, work=work)


def overview(address: str) -> Overview:
    """How the ledger stands. Raises StateError."""
    with opened(address) as session:
        return maintenance.overview(session)


def shown_address(address: str) -> str:
    """An address as it may be shown."""
    return shown(address)
