"""The limits of a project: what it may spend, and how much one apply may change."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Budget(Struct, frozen=True, kw_only=True):
    """What one apply may spend; None means no limit."""

    credits_per_apply: int | None = None
    items_per_apply: int | None = None


class Guards(Struct, frozen=True, kw_only=True):
    """When a plan is refused because it rewrites too much, or more than was reviewed."""

    max_changed_ratio: float = 0.3
    from_items: int = 10
    unreviewed: Literal["refuse", "allow"] = "refuse"
    """Whether changes are refused that a reviewed plan does not name, where one is given."""
