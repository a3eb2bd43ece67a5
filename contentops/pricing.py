"""Computes the price of one generation in credits, from the published prices.

Imports nothing of contentops, so that the client and the bundled server use the same prices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CREDITS: Mapping[str, int] = MappingProxyType({"quick": 1, "standard": 4, "premium": 5})
"""Credits per generation by mode (the vendor's page on usage and limits)."""
SCREENPLAY = "feature_screenplay"
"""The one template with a price by pages (the same page)."""
PAGES_PER_UNIT = 15
"""Pages of a screenplay at the price of one generation of the mode."""
MOST_PAGES: Mapping[str, int] = MappingProxyType({"quick": 15, "standard": 35, "premium": 70})
"""The longest screenplay of each mode, in pages."""
PAGE_INPUTS = ("page_count", "pages", "target_page_count", "target_pages")
"""The inputs that may state a screenplay's pages; the first is that of the built-in catalog."""


class Price(NamedTuple):
    """The price of one generation in credits. If `at_most` is set, the generation may cost less."""

    credits: int
    at_most: bool = False

    def as_json(self) -> dict[str, int]:
        """Return the price as JSON: `credits`, and also `credits_at_most` if it is an upper bound."""
        return {"credits": self.credits, **({"credits_at_most": True} if self.at_most else {})}


FREE = Price(0)


def price_of_request(template: str, mode: str, inputs: Mapping[str, object], *, is_section: bool = False) -> Price:
    """Return the price of generating a whole text or one section. Raises KeyError for an unknown mode."""
    each = CREDITS[mode]
    if template != SCREENPLAY or is_section:
        return Price(each)
    most = MOST_PAGES[mode]
    stated = _pages(inputs)
    units = math.ceil(min(stated or most, most) / PAGES_PER_UNIT)
    return Price(each * units, at_most=not stated and units > 1)


def _pages(inputs: Mapping[str, object]) -> float:
    """Return the highest number of pages that the inputs state, or 0 if they state none."""
    return max((_number(inputs.get(name)) for name in PAGE_INPUTS), default=0)


def _number(value: object) -> float:
    if isinstance(value, str):
        text = value.strip()
        return int(text[:9]) if text.isascii() and text.isdecimal() else 0
    return max(value, 0) if isinstance(value, int | float) and not isinstance(value, bool) else 0
