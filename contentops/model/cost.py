"""What changes cost, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import price

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model.plan import Change


def cost_words(changes: Iterable[Change]) -> str:
    """What some changes cost together: `8 credits`, `8 credits, up to 12 with every retry`, `at most 12 credits`."""
    found = [(change.credits, change.credits_worst, change.credits_at_most) for change in changes]
    return price(sum(one[0] for one in found), sum(one[1] for one in found), at_most=any(one[2] for one in found))
