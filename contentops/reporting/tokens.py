"""Tokens and the money they cost, as text and JSON. Both are left out where no tokens are known."""

from __future__ import annotations

from collections.abc import Iterator

from contentops.errors import plural
from contentops.model import Json
from contentops.model.jobs import money_words
from contentops.reporting.plan_json import written
from contentops.tokens import PaidTokens, TokenCounts, TokenSum, WrittenSum, exact_money, sum_tokens


def tokens_json(tokens: PaidTokens | None) -> dict[str, Json]:
    """Return the JSON keys `tokens` and `money` of one text."""
    return {} if tokens is None else sum_json(sum_tokens([tokens]))


def sum_json(total: TokenSum) -> dict[str, Json]:
    """Return the sums of `tokens` and `money` (exact decimals by currency), and how many texts lack either."""
    found = WrittenSum(
        tokens=TokenCounts(input=total.input, output=total.output) if total.is_known else None,
        money=exact_money(dict(sorted(total.money.items()))),
        tokens_unknown=total.unknown,
        unpriced=total.unpriced if total.money else 0,
    )
    return written(found)


def sum_text(total: TokenSum, failed: int = 0) -> Iterator[str]:
    """Yield sentences about a sum: tokens, money, `failed` jobs, and the texts without numbers."""
    if not total.is_known:
        if total.unknown:
            yield f"Models: the tokens of {plural(total.unknown, 'text')} are not known, so their cost is in no sum."
        return
    spent = f", {money_words(total.money)}" if total.money else ""
    jobs = f", {plural(failed, 'failed job')} among them" if failed else ""
    yield f"Models: {total.input:,} tokens read and {total.output:,} written{spent}{jobs}."
    if total.unknown:
        yield f"Not in this sum: {plural(total.unknown, 'text')} without token counts."
    if total.money and total.unpriced:
        yield f"Not in the money: {plural(total.unpriced, 'text')} made without a `price` in the settings."
