"""The tokens of a text, the price of tokens, and sums of money, exact and each in its currency.

Imports nothing of contentops, so that the client and the bundled server mean the same. Money is counted in picos, the
millionths of a millionth of a currency's unit, so that sums of integers stay exact.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

MOST = 10**9
"""The most tokens of one text: a larger number is not believed."""

_Number = Annotated[int, Meta(ge=0, le=MOST)]


class Tokens(Struct, frozen=True, kw_only=True, gc=False):
    """The tokens that a model read (`input`) and wrote (`output`) for one text, in all calls of its job."""

    input: _Number
    output: _Number

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(input=min(self.input + other.input, MOST), output=min(self.output + other.output, MOST))


NO_TOKENS = Tokens(input=0, output=0)


def read_tokens(value: Any) -> Tokens | None:
    """The tokens in a JSON object with `input` and `output`; None for anything else, as a server may send anything."""
    if not isinstance(value, dict):
        return None
    return tokens_of(value.get("input"), value.get("output"))


def tokens_of(read: Any, wrote: Any) -> Tokens | None:
    """The tokens of two JSON values; None unless both are numbers that can be believed."""
    known = [type(number) is int and 0 <= number <= MOST for number in (read, wrote)]
    return Tokens(input=read, output=wrote) if all(known) else None
