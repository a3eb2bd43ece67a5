"""Reads `price` of the project file, the price of a model's tokens, and finds one that cannot be counted exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.tokens import MILLION, TokenPrice
from contentops.yaml.positions import finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.errors import Diagnostic
    from contentops.yaml.positions import Map, YamlDocument

_KEYS = ("input", "output", "currency")


def read_price(stated: Mapping[str, Any]) -> TokenPrice | None:
    """The price in the settings of an environment, merged with those of the project; None where none is stated."""
    if not stated:
        return None
    return TokenPrice(
        input=_millionths(stated["input"]), output=_millionths(stated["output"]), currency=stated["currency"]
    )


def _millionths(number: float) -> int:
    return round(number * MILLION)


def check_price(
    document: YamlDocument, pointer: tuple[str, ...], own: Map, merged: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Keys that the price at a pointer lacks, and numbers with more places than are counted.

    `own`: what is stated there; `merged`: with the price of the project under it. A price of nothing is none.
    """
    if missing := [key for key in _KEYS if key not in merged] if merged else []:
        words = " and ".join(f"`{key}`" for key in missing)
        hint = "such as `price: {input: 0.25, output: 2.00, currency: USD}`, for a million tokens"
        yield finding(document, "missing-key", f"`price` has no {words}", pointer, hint=hint)
    for key in ("input", "output"):
        number = own.get(key)
        if isinstance(number, int | float) and 0 < number < MILLION**2 and _millionths(number) / MILLION != number:
            message = f"`{key}` has more than six decimal places: {number}"
            yield finding(document, "wrong-value", message, (*pointer, key), hint="round it up")
