"""Reads `price` and `budget` of the project file, and finds a price that cannot be counted exactly, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from contentops.model import Budget
from contentops.tokens import MILLION, TokenPrice
from contentops.yaml.positions import finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.errors import Diagnostic
    from contentops.yaml.positions import YamlDocument

_KEYS = ("input", "output", "currency")
_MONEY = ("money_per_apply", "money_per_month")


def read_price(stated: Mapping[str, Any]) -> TokenPrice | None:
    """The price in the settings of an environment, merged with those of the project; None where none is stated."""
    if not stated:
        return None
    cached = stated.get("cached")
    return TokenPrice(
        input=_millionths(stated["input"]),
        output=_millionths(stated["output"]),
        currency=stated["currency"],
        cached=None if cached is None else _millionths(cached),
    )


def read_budget(stated: Mapping[str, Any], price: TokenPrice | None) -> Budget:
    """The budget of an environment, its money in the currency of the price."""
    currency = price.currency if price is not None and any(stated.get(key) is not None for key in _MONEY) else ""
    return msgspec.convert({**stated, "currency": currency}, Budget, strict=False)


def check_budget(
    document: YamlDocument,
    pointer: tuple[str, ...],
    own: Mapping[str, Any],
    merged: Mapping[str, Any],
    price: Mapping[str, Any],
) -> Iterator[Diagnostic]:
    """Limits in money without a price; the arguments are as for `check_price`."""
    key = next((key for key in _MONEY if merged.get(key) is not None), "")
    if key and not price:
        message = f"`budget.{key}` needs a price of tokens, which says the currency"
        hint = "such as `price: {input: 0.25, output: 2.00, currency: USD}`, for a million tokens"
        yield finding(document, "missing-key", message, (*pointer, *([key] if key in own else [])), hint=hint)


def _millionths(number: float) -> int:
    return round(number * MILLION)


def check_price(
    document: YamlDocument, pointer: tuple[str, ...], own: Mapping[str, Any], merged: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Keys that the price at a pointer lacks, and numbers with more places than are counted.

    `own`: what is stated there; `merged`: with the price of the project under it. A price of nothing is none.
    """
    if missing := [key for key in _KEYS if key not in merged] if merged else []:
        words = " and ".join(f"`{key}`" for key in missing)
        hint = "such as `price: {input: 0.25, output: 2.00, currency: USD}`, for a million tokens"
        yield finding(document, "missing-key", f"`price` has no {words}", pointer, hint=hint)
    cached, read = merged.get("cached"), merged.get("input")
    if isinstance(cached, int | float) and isinstance(read, int | float) and cached > read:
        message = f"`cached` is {cached}, more than `input` ({read}), so that a plan would show too little"
        yield finding(document, "wrong-value", message, (*pointer, *(["cached"] if "cached" in own else [])))
    for key in ("input", "output", "cached"):
        number = own.get(key)
        if isinstance(number, int | float) and 0 < number < MILLION**2 and _millionths(number) / MILLION != number:
            message = f"`{key}` has more than six decimal places: {number}"
            yield finding(document, "wrong-value", message, (*pointer, key), hint="round it up")
