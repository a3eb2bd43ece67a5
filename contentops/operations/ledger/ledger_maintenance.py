"""Maintain a ledger: its tables, its size, its roles, and its accounts after a restore."""

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
"""What changes tables, or reads all of a ledger, may take this long."""


def check_named(address: str) -> None:
    """Raise UsageError where nothing says where the ledger is."""
    if not address:
        hint = "`--ledger postgresql://host/database`, `CONTENTOPS_LEDGER`, or `ledger:` in `contentops.yaml` names it"
        raise UsageError("no ledger is set", code="no-ledger", hint=hint)


@contextlib.contextmanager
def opened(address: str, *, prepared: bool = True) -> Iterator[LedgerSession]:
    """Open a session with the ledger at an address. Raises UsageError for an empty one, StateError."""
    check_named(address)
    with LedgerSession(address, name="contentops ledger", patience=0, timeouts=THOROUGH) as session:
        if prepared:
            schema.prepare(session)
        yield session


class MaintainedLedger:
    """A ledger by its address. Making one raises UsageError for an empty address; each method, StateError."""

    def __init__(self, address: str) -> None:
        check_named(address)
        self._address = address

    @property
    def name(self) -> str:
        """The address as it may be shown."""
        return shown(self._address)

    def versions(self) -> tuple[int, int]:
        """Return the version of the tables, 0 for none, and the version that this program uses."""
        with opened(self._address, prepared=False) as session:
            return schema.version(session), schema.newest()

    def migrate(self) -> tuple[int, int]:
        """Bring the tables to the newest version; return the version before and after, or raise Refused."""
        with opened(self._address, prepared=False) as session:
            return schema.migrate(session)

    def collect(self, days: int, *, do: bool) -> Collected:
        """Return what the ledger no longer needs; with `do`, delete it."""
        with opened(self._address) as session:
            return maintenance.collect(session, days) if do else maintenance.superfluous(session, days)

    def restored(self, *, nothing_lost: bool) -> tuple[str, ...]:
        """Mark the database as restored from a backup, or as one that lost nothing; return the accounts marked."""
        with opened(self._address) as session:
            return maintenance.restored(session, nothing_lost=nothing_lost)

    def reset_limit(self, account: str) -> None:
        """Forget which requests were sent for an account, and any wait its server asked for."""
        with opened(self._address) as session:
            accounts = [one.id for one in maintenance.overview(session).accounts]
            if not limiter.reset(session, account) and account not in accounts:
                named = ", ".join(f"`{visible(one)}`" for one in accounts)
                hint = f"the ledger knows {named}" if named else "no account has used this ledger"
                raise UsageError(f"the ledger knows no account `{visible(account)}`", code="no-account", hint=hint)

    def grant(self, role: str, *, work: bool) -> tuple[Privilege, ...]:
        """Let a role work with the ledger, or only read its views."""
        with opened(self._address) as session:
            return roles.grant(session, role, work=work)

    def overview(self) -> Overview:
        """Return its accounts, its runners and its size."""
        with opened(self._address) as session:
            return maintenance.overview(session)
