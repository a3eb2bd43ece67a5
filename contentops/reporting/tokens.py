"""Shows tokens, and the money that they cost, as text and JSON. If no tokens are known, both are left out."""

from __future__ import annotations

from collections.abc import Iterator

from contentops.errors import plural
from contentops.model import Json
from contentops.model.jobs import money_words
from contentops.reporting.plan_json import written
from contentops.tokens import PaidTokens, TokenCounts, TokenSum, WrittenSum, exact_money, sum_tokens


def tokens_json(tokens: PaidTokens | None) -> dict[str, Json]:
    """Return the JSON keys `tokens` and `money` for one text."""
    return {} if tokens is None else sum_json(sum_tokens([tokens]))


def sum_json(total: TokenSum) -> dict[str, Json]:
    """Return the JSON keys for a sum of tokens.

    `tokens` and `money` are the sums, with money in exact decimals by currency. Other keys count the texts whose tokens
    or price are unknown.
    """
    found = WrittenSum(
        tokens=TokenCounts(input=total.input, output=total.output) if total.is_known else None,
        money=exact_money(dict(sorted(total.money.items()))),
        tokens_unknown=total.unknown,
        unpriced=total.unpriced if total.money else 0,
    )
    return written(found)


def sum_text(total: TokenSum, failed: int = 0) -> Iterator[str]:
    """Yield sentences about a sum of tokens: their number, their cost, `failed` jobs, and texts without numbers."""
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
