"""What changes cost, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import plural, price
from contentops.tokens import add_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.model.plan import Change
    from contentops.tokens import TokenSum

NO_PRICE = "no price set"
"""What a text costs that a model of the settings writes, where these do not say the price of its tokens."""
_UNIT = 10**12
"""One unit of a currency, in money as `tokens` counts it."""


def cost_words(changes: Iterable[Change]) -> str:
    """What some changes cost together: `8 credits`, `8 credits, up to 12 with every retry`, `at most 12 credits`.

    Where a model writes the texts: `at most 0.04 USD`, or `no price set`.
    """
    changes = [*changes]
    if worst := add_money(change.money_worst for change in changes):
        return bound_words(add_money(change.money for change in changes), worst)
    if any(change.has_no_price for change in changes):
        return NO_PRICE
    costs = [(change.credits, change.credits_worst, change.credits_at_most) for change in changes]
    return price(sum(cost[0] for cost in costs), sum(cost[1] for cost in costs), at_most=any(cost[2] for cost in costs))


def bound_words(least: Mapping[str, int], worst: Mapping[str, int], retries: int = 0) -> str:
    """The most that models may cost: `at most 0.04 USD`, or `at most 0.04 USD, 0.12 USD with 2 retries`."""
    with_ = plural(retries, "retry").replace("retrys", "retries") if retries else "every retry"
    words = [money_words(least, is_bound=True)] if least else []
    words += [f"{money_words(worst, is_bound=True)} with {with_}"] if worst != least else []
    return f"at most {', '.join(words)}"


def money_words(money: Mapping[str, int], *, is_bound: bool = False) -> str:
    """Money in words, each currency by itself: `1.25 USD and 3.00 EUR`; below one unit with up to six places.

    `is_bound`: rounded up, not to the nearest.
    """
    return " and ".join(f"{_rounded(amount, is_bound=is_bound)} {name}" for name, amount in sorted(money.items()))


def _rounded(amount: int, *, is_bound: bool) -> str:
    places = 2 if amount >= _UNIT else 4 if is_bound else 6
    step = _UNIT // 10**places
    rounded = -(-amount // step) if is_bound else (amount + step // 2) // step
    if amount and not rounded:
        return "less than 0.000001"
    whole, rest = divmod(rounded, 10**places)
    digits = f"{rest:0{places}d}"
    # At least cents.
    return f"{whole:,}.{digits[:2]}{digits[2:].rstrip('0')}"


def spent_words(paid: int, tokens: TokenSum, *, at_most: bool = False) -> str:
    """What was spent: `4 credits`, `0.0043 USD`, or the tokens of models where the settings had no price.

    `paid`: the credits; `at_most`: they are an upper bound.
    """
    if tokens.unpriced and not (paid or tokens.money):
        return f"{tokens.input + tokens.output:,} tokens ({NO_PRICE})"
    if tokens.unknown and not (paid or tokens.is_known):
        return "an unknown number of tokens"
    words = [price(paid, paid, at_most=at_most)] if paid or not tokens.money else []
    return " and ".join((*words, *([money_words(tokens.money)] if tokens.money else [])))
