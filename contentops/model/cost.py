"""What changes cost, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import price

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model.plan import Change


def cost_words(changes: Iterable[Change]) -> str:
    """What some changes cost together: `8 credits`, `8 credits, up to 12 with every retry`, `at most 12 credits`."""
    costs = [(change.credits, change.credits_worst, change.credits_at_most) for change in changes]
    return price(sum(cost[0] for cost in costs), sum(cost[1] for cost in costs), at_most=any(cost[2] for cost in costs))
