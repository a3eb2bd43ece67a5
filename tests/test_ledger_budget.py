"""The budget of a month where a ledger is shared: what any checkout has spent counts at once, without git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import LockHeld
from contentops.ledger.project import spending
from contentops.ledger.session import LedgerSession

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ledgers import Checkout, Go

STAGE_SECONDS = 0.05
LIMIT = "budget: {credits_per_month: 8}"


def _spent(go: Go, root: Path) -> int:
    return int(go("status", "--json", cwd=root).json["spent"]["credits"])


def test_checkouts_share_the_budget_of_a_month(checkout: Checkout, go: Go) -> None:
    """What one has paid for, the other knows before any commit; no history of git is asked for."""
    one, two = checkout("{} (shared)", "a", extra=LIMIT), checkout("{} (shared)", "b", "c", at="two", extra=LIMIT)
    go("apply", "--yes", cwd=one)
    assert (_spent(go, one), _spent(go, two)) == (4, 4)
    refused = go("apply", "--yes", cwd=two, code=4)
    assert "error[budget-month]" in refused.stderr
    assert "it costs 8 credits, and 4 credits of 20" in refused.stderr
    go("apply", "--yes", "--select", "b", cwd=two)
    assert (_spent(go, one), _spent(go, two)) == (8, 8)


def test_one_command_at_a_time_spends(checkout: Checkout, go: Go, database: str) -> None:
    """Two would each see the same rest of the budget."""
    root = checkout("{} (alone)", "a", extra=LIMIT)
    go("apply", "--yes", cwd=root)
    lineage = (root / "contentops.lock").read_text().partition('"lineage":"')[2][:36]
    with LedgerSession(database) as session, spending(session, lineage):
        ended = go("apply", "--yes", "--replace", "a", cwd=root, code=4)
        assert "spends from the budget of the month" in ended.stderr
        with LedgerSession(database) as another, pytest.raises(LockHeld), spending(another, lineage):
            pass
