"""Counts and limits the tokens of texts, and computes their exact cost in each currency.

Imports nothing of contentops, so that the client and the bundled server count in the same way. A price for a million
tokens is a whole number of millionths of its currency. Money is a whole number of millionths of a millionth, so sums
stay exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct, field

MOST = 10**9
"""The most tokens of one text: a larger number is not believed."""
MILLION = 10**6
HIGHEST_PRICE = 10**8
"""The highest price of a million tokens, in any currency."""

Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
"""Such as `EUR`."""
Amount = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", max_length=40)]
"""Money in units of its currency, a decimal as JSON has it: `0.0003085`."""
_Number = Annotated[int, Meta(ge=0, le=MOST)]
_Price = Annotated[int, Meta(ge=0, le=HIGHEST_PRICE * MILLION)]


class Tokens(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The tokens that a model read (`input`) and wrote (`output`) for one text, in all calls together."""

    input: Annotated[_Number, Meta(description="Tokens of prompts.")]
    output: Annotated[_Number, Meta(description="Tokens of answers.")]
    cached: Annotated[
        _Number, Meta(description="The cached part of `input`, for which some servers have a lower price.")
    ] = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            input=min(self.input + other.input, MOST),
            output=min(self.output + other.output, MOST),
            cached=min(self.cached + other.cached, MOST),
        )


NO_TOKENS = Tokens(input=0, output=0)


def read_tokens(value: Any) -> Tokens | None:
    """Return the token counts in a JSON object, or None if the value is something else."""
    if not isinstance(value, dict):
        return None
    return tokens_of(value.get("input"), value.get("output"), value.get("cached", 0))


def tokens_of(read: Any, wrote: Any, cached: Any = 0) -> Tokens | None:
    """Return token counts from JSON values, or None if one of them is not a plausible number."""
    known = [type(number) is int and 0 <= number <= MOST for number in (read, wrote, cached)]
    return Tokens(input=read, output=wrote, cached=min(cached, read)) if all(known) else None


# --- money -------------------------------------------------------------------------------------------------


class TokenPrice(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The price of a million tokens, in millionths of `currency`."""

    input: Annotated[_Price, Meta(description="The price of the tokens of prompts.")]
    output: Annotated[_Price, Meta(description="The price of the tokens of answers.")]
    currency: Annotated[Currency, Meta(description="Three capital letters.")]
    cached: Annotated[
        _Price | None, Meta(description="The price of the cached tokens of prompts. Absent: the price of `input`.")
    ] = None

    def of(self, tokens: Tokens) -> int:
        """Return the cost of tokens, in millionths of a millionth of the currency."""
        cached = self.input if self.cached is None else self.cached
        return self.input * (tokens.input - tokens.cached) + cached * tokens.cached + self.output * tokens.output


class PaidTokens(Tokens, frozen=True, kw_only=True, gc=False):
    """The tokens of a paid text, and their price in the settings when the text was made, if any."""

    price: Annotated[
        TokenPrice | None,
        Meta(
            description="The price of a million tokens, in millionths of the currency. Absent: the settings have none."
        ),
    ] = None

    @staticmethod
    def at(price: TokenPrice | None, tokens: Tokens | None) -> PaidTokens | None:
        """Return the tokens with their price, or None if the tokens are not known."""
        return (
            None
            if tokens is None
            else PaidTokens(input=tokens.input, output=tokens.output, cached=tokens.cached, price=price)
        )

    @property
    def money(self) -> dict[str, int]:
        """Return the cost of the tokens by currency. The map is empty if there is no price."""
        return {} if self.price is None else {self.price.currency: self.price.of(self)}


class TokenSum(Struct, frozen=True, kw_only=True):
    """The tokens of several texts together, and their cost in each currency."""

    input: int = 0
    output: int = 0
    money: Mapping[str, int] = field(default_factory=dict)
    unknown: int = 0
    """Texts of which no one knows the tokens; they are in no sum."""
    unpriced: int = 0
    """Texts that were made while the settings had no price; their tokens are counted, and no money."""

    @property
    def is_known(self) -> bool:
        """Return whether the tokens of at least one text are known."""
        return bool(self.input or self.output)


class TokenCounts(Struct, frozen=True, kw_only=True, gc=False):
    """The tokens of several texts, as JSON documents show them."""

    input: Annotated[int, Meta(ge=0, description="Tokens of prompts.")]
    output: Annotated[int, Meta(ge=0, description="Tokens of answers.")]


class WrittenSum(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tokens and the cost of several texts, as keys of JSON documents."""

    tokens: Annotated[
        TokenCounts | None,
        Meta(
            description="The tokens of the models whose answers arrived in this run, also of failed jobs. Absent: not "
            "known."
        ),
    ] = None
    money: Annotated[
        Mapping[Currency, Amount],
        Meta(description="The cost of these tokens by currency, as exact decimals. Absent: no `price`."),
    ] = {}
    tokens_unknown: Annotated[
        int,
        Meta(
            ge=1,
            description="Texts of a model that are not in `tokens`, because its server did not say them. Absent: none.",
        ),
    ] = 0
    unpriced: Annotated[int, Meta(ge=1, description="Texts in `tokens` that are not in `money`. Absent: none.")] = 0


def sum_tokens(texts: Iterable[PaidTokens | None]) -> TokenSum:
    """Add up the tokens and the cost of texts. An entry is None if the tokens of its text are not known."""
    return add_sums(
        TokenSum(unknown=1)
        if one is None
        else TokenSum(input=one.input, output=one.output, money=one.money, unpriced=int(one.price is None))
        for one in texts
    )


def add_money(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up amounts of money, separately for each currency."""
    total: dict[str, int] = {}
    for amount in amounts:
        for currency, number in amount.items():
            total[currency] = total.get(currency, 0) + number
    return total


def add_sums(sums: Iterable[TokenSum]) -> TokenSum:
    """Add up several sums of tokens and money."""
    total = TokenSum()
    for one in sums:
        total = TokenSum(
            input=total.input + one.input,
            output=total.output + one.output,
            money=add_money((total.money, one.money)),
            unknown=total.unknown + one.unknown,
            unpriced=total.unpriced + one.unpriced,
        )
    return total


def exact(amount: int) -> str:
    """Return an amount of money as an exact decimal number, such as `0.0003085`."""
    whole, rest = divmod(amount, MILLION * MILLION)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def exact_money(money: Mapping[str, int]) -> dict[str, str]:
    """Return amounts of money by currency as exact decimal numbers."""
    return {currency: exact(amount) for currency, amount in money.items()}


def counted(amount: str) -> int:
    """Convert a decimal number to an amount of money. Digits below the smallest unit are dropped.

    This reverses `exact`.
    """
    return int(Decimal(amount).scaleb(12))


def counted_money(money: Mapping[str, str]) -> dict[str, int]:
    """Return decimal numbers by currency as amounts of money."""
    return {currency: counted(amount) for currency, amount in money.items()}


# --- the most tokens of a text: the bundled server keeps to it, and a plan prices it -------------------------

# The limit is generous for any real text, and true by construction: the engine sends no prompt that could go beyond it.
# For that it counts what the model's server reports, and a prompt under way at one token for each byte. Where a server
# reports nothing, it counts an estimate.

BUDGET = {"quick": 8_000, "standard": 16_000, "premium": 24_000}
"""Completion tokens of one text by mode, shared by its calls."""
EDITS = {"quick": 0, "standard": 1, "premium": 2}
"""Calls that edit a section, by mode."""
WORDS = {"quick": 80, "standard": 150, "premium": 220}
"""Words of a section by mode, where no input sets a length."""
SHORTEST = 20
"""The fewest words to ask for."""
SECTIONS = 8
"""The most sections of a template of the bundled catalog."""
OVERHEAD = 100
"""The most tokens that a model's server adds to a prompt: roles, separators, a date."""
CONTEXT = 1_500
"""The most tokens of the text before a section in its prompt, as estimated."""
SECTION = 16_000
"""The most tokens of a section that is written again, and of its answer unless the settings say another number."""

WHOLE_TRIES = 2
"""The most prompts for a text that is written in one call."""

_TOKENS_PER_WORD = 1.3
_HEADROOM = 2.0
_ROLE = 500
"""Tokens of the role of the model, without the fields of the request."""
_LABEL = 20
"""Tokens of the name of an input."""
_INSTRUCTIONS = 4_000
"""Tokens of what is to change in a section."""
_ORDER = 700
"""Tokens of what is asked for, without inputs and texts."""


def section_words(mode: str, inputs: Mapping[str, Any], sections: int) -> int:
    """Return how many words each section of a text should have."""
    target = inputs.get("word_count_target")
    if isinstance(target, str) and target.strip().isdecimal() and len(target.strip()) < 8:
        target = int(target)
    if isinstance(target, int | float) and not isinstance(target, bool) and 0 < target < 1_000_000:
        return max(SHORTEST, round(target / sections))
    return WORDS[mode]


def calls_of(mode: str, sections: int) -> int:
    """Return the number of model calls for a text: for its plan, sections and edits. Repeated calls do not count."""
    return 1 + sections * (1 + EDITS[mode])


def answer_tokens(mode: str, calls: int, words: int, max_tokens: int = 0) -> int:
    """Return the token limit of one model answer: `max_tokens`, or a number computed from the mode and `words`."""
    return max_tokens or max(BUDGET[mode] // calls, math.ceil(words * _TOKENS_PER_WORD * _HEADROOM))


def whole_answer(mode: str, words: int, max_tokens: int = 0) -> int:
    """Return the token limit of a model answer that is a whole text of `words` words."""
    return answer_tokens(mode, 4, words, max_tokens)


def section_answer(mode: str, words: int, max_tokens: int = 0) -> int:
    """Return the token limit of a model answer that rewrites one section."""
    return max_tokens or min(answer_tokens(mode, 2 + EDITS[mode], words), SECTION)


def text_limit(
    mode: str,
    fields: Mapping[str, Any],
    inputs: Mapping[str, Any],
    max_tokens: int = 0,
    *,
    passes: str = "staged",
    sections: int = SECTIONS,
) -> Tokens:
    """Return the most tokens that a text can cost. All calls count, and their repetitions too.

    `fields` are the fields of the request that the model gets, such as the vertical. `max_tokens` is the limit of one
    answer in the settings, or 0 without a limit. `passes` is `one` for a whole text in one call, or `staged`.
    """
    prompt, length = _prompt(fields, inputs) + CONTEXT, section_words(mode, inputs, sections)
    if passes == "one":
        most = WHOLE_TRIES + 2
        return _limit(most * prompt, most * whole_answer(mode, sections * length, max_tokens))
    calls = calls_of(mode, sections)
    answer = answer_tokens(mode, calls, length, max_tokens)
    most = calls + 2 + sections // 2
    edited = sections * EDITS[mode] * answer
    return _limit(most * prompt + 2 * edited, most * answer)


def section_limit(mode: str, fields: Mapping[str, Any], inputs: Mapping[str, Any], max_tokens: int = 0) -> Tokens:
    """Return the most tokens that rewriting one section can cost. The parameters are those of `text_limit`."""
    answer, most = max_tokens or SECTION, 1 + EDITS[mode] + 2
    prompt = _prompt(fields, inputs) + _INSTRUCTIONS + 2 * CONTEXT + SECTION
    return _limit(most * prompt + 2 * EDITS[mode] * answer, most * answer)


def largest_call(
    mode: str, fields: Mapping[str, Any], inputs: Mapping[str, Any], max_tokens: int = 0, *, passes: str = "staged"
) -> Tokens:
    """Return an upper bound for the tokens of one call for a whole text. The parameters are those of `text_limit`."""
    prompt, length = _prompt(fields, inputs), section_words(mode, inputs, SECTIONS)
    if passes == "one":
        return _limit(prompt, whole_answer(mode, SECTIONS * length, max_tokens))
    answer = answer_tokens(mode, calls_of(mode, SECTIONS), length, max_tokens)
    return _limit(prompt + max(CONTEXT, answer if EDITS[mode] else 0), answer)


def estimate(text: str) -> int:
    """Return a high estimate of a text's tokens: 1/2 token for an ASCII byte, 2/3 for any other byte."""
    ascii_bytes = sum(char < "\x80" for char in text)
    return ascii_bytes // 2 + 2 * (len(text.encode("utf-8", "replace")) - ascii_bytes) // 3


def ending(text: str, tokens: int) -> str:
    """Return the end of a text: at most `tokens` tokens, as `estimate` counts them."""
    return _fitting(text[: -2 * tokens - 1 : -1], tokens)[::-1]


def beginning(text: str, tokens: int) -> str:
    """Return the beginning of a text: at most `tokens` tokens, as `estimate` counts them."""
    return _fitting(text[: 2 * tokens], tokens)


def _fitting(text: str, tokens: int) -> str:
    room = 6 * tokens
    for at, char in enumerate(text):
        room -= 3 if char < "\x80" else 4 * len(char.encode("utf-8", "replace"))
        if room < 0:
            return text[:at]
    return text


def _limit(read: int, wrote: int) -> Tokens:
    return Tokens(input=min(read, MOST), output=min(wrote, MOST))


def _prompt(fields: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    """Return the most tokens of a prompt. Text from earlier model calls is not counted."""
    stated = (*fields.values(), inputs.get("article_tone", ""))
    role = _ROLE + sum(estimate(_text(value)) for value in stated)
    brief = sum(estimate(_text(value)) + _LABEL + len(name) for name, value in inputs.items())
    return OVERHEAD + role + brief + _ORDER


def _text(value: Any) -> str:
    import json  # start-up: a plan without changes reads none

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
