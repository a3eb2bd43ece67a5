"""The limits of a project: what it may spend, and how much one apply may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from contentops.model.records import RequestId


class Budget(Struct, frozen=True, kw_only=True):
    """What one apply may spend, and all applies of a month; None means no limit."""

    credits_per_apply: int | None = None
    items_per_apply: int | None = None
    credits_per_month: int | None = None
    """Of all environments together, in a calendar month (UTC)."""

    @property
    def is_monthly(self) -> bool:
        """Whether it limits a month, so that the spending of the month has to be counted."""
        return self.credits_per_month is not None

    def as_json(self) -> dict[str, int | None]:
        """The keys of a plan file; a limit for a month is left out where there is none."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not None or name.endswith("_per_apply")}


class MonthSpend(Struct, frozen=True, kw_only=True):
    """What all environments of a project have spent in a month, at most: what is not known counts in full."""

    month: str = ""
    """Such as `2026-11`, UTC."""
    credits: int = 0
    uncertain: Mapping[RequestId, int] = {}
    """The part of `credits` for submits whose answer was lost, and for queued ones: a plan may price them again."""
    ahead: int = 0
    """How many of the texts have a time after this month, so that a clock is wrong."""
    gaps: tuple[str, ...] = ()
    """Why more may have been spent, each a sentence."""


class Guards(Struct, frozen=True, kw_only=True):
    """When a plan is refused because it rewrites too much, or more than was reviewed."""

    max_changed_ratio: float = 0.3
    from_items: int = 10
    unreviewed: Literal["refuse", "allow"] = "refuse"
    """Whether changes are refused that a reviewed plan does not name, where one is given."""
