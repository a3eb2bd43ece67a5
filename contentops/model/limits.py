"""The limits of a project: what it may spend, and how much one apply may change."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from contentops.model.records import RequestId
from contentops.tokens import exact

_PLACES: Final = 12
"""Decimal places of money as `tokens` counts it."""


class Budget(Struct, frozen=True, kw_only=True):
    """What one apply may spend, and all applies of a month; None means no limit."""

    credits_per_apply: int | None = None
    items_per_apply: int | None = None
    credits_per_month: int | None = None
    """Of all environments together, in a calendar month (UTC)."""
    money_per_apply: Decimal | None = None
    """What models may cost at most."""
    money_per_month: Decimal | None = None
    currency: str = ""
    """Of money: that of the price of tokens; empty: no limit in money."""

    @property
    def is_monthly(self) -> bool:
        """Whether it limits a month, so that the spending of the month has to be counted."""
        return self.credits_per_month is not None or self.money_per_month is not None

    def as_json(self) -> dict[str, int | str | None]:
        """The keys of a plan file; what is not stated is left out, but for limits of every plan file."""
        values: dict[str, int | str | None] = {"credits_per_apply": self.credits_per_apply}
        values |= {"items_per_apply": self.items_per_apply}
        if self.credits_per_month is not None:
            values["credits_per_month"] = self.credits_per_month
        for name in ("money_per_apply", "money_per_month"):
            if (amount := getattr(self, name)) is not None:
                values |= {name: as_decimal(amount), "currency": self.currency}
        return values


def in_units(amount: int) -> Decimal:
    """Money as `tokens` counts it, in units of its currency."""
    return Decimal(amount).scaleb(-_PLACES)


def as_decimal(units: Decimal) -> str:
    """Money in units of its currency as JSON has it: a decimal without zeros at its end."""
    return exact(as_counted(units))


def as_counted(units: Decimal) -> int:
    """Money in units of its currency, as `tokens` counts it."""
    return int(units.scaleb(_PLACES))


class MonthSpend(Struct, frozen=True, kw_only=True):
    """What all environments of a project have spent in a month, at most: what is not known counts in full.

    Less is sure where answers were lost, or tokens are not known.
    """

    month: str = ""
    """Such as `2026-11`, UTC."""
    credits: int = 0
    credits_unsure: int = 0
    """The part of `credits` for orders whose answer was lost."""
    money: Mapping[str, Decimal] = {}
    """What models cost, by currency."""
    money_unsure: Mapping[str, Decimal] = {}
    """The part of `money` for these, and for jobs whose tokens are not known: the most that each may cost."""
    uncertain: Mapping[RequestId, int] = {}
    """The part of `credits` for orders that run or whose answer was lost: a plan may price them again."""
    uncertain_money: Mapping[RequestId, int] = {}
    """The same in money, as `tokens` counts it."""
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
