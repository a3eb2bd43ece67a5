"""`ledger status` and `ledger migrate`: look at a ledger by its address, or create its tables."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from contentops.errors import UsageError
from contentops.ledger import schema
from contentops.ledger.address import shown
from contentops.ledger.overview import overview
from contentops.ledger.session import LedgerSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.ledger.overview import Overview


__all__ = ["migrate", "overview_of", "shown"]


def overview_of(address: str) -> Overview:
    """Return the overview of the ledger at an address. Raises UsageError for an empty one, StateError."""
    with _opened(address) as session:
        return overview(session)


def migrate(address: str) -> tuple[int, int]:
    """Create the tables of the ledger at an address, if there are none; return the version before (0: none) and after.

    Raises UsageError for an empty address, StateError.
    """
    with _opened(address) as session:
        return schema.migrate(session), schema.VERSION


@contextlib.contextmanager
def _opened(address: str) -> Iterator[LedgerSession]:
    if not address:
        hint = "`--ledger postgresql://host/database`, `CONTENTOPS_LEDGER`, or `ledger:` in `contentops.yaml` names it"
        raise UsageError("no ledger is set", code="no-ledger", hint=hint)
    with LedgerSession(address, name="contentops ledger", patience=0) as session:
        yield session
