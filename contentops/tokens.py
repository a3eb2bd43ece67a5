"""The tokens of texts, the price of tokens, and sums of money, exact and each in its currency.

Imports nothing of contentops, so that the client and the bundled server mean the same. A price is a whole number of
millionths of its currency for a million tokens, and money is counted in the millionths of these: sums of whole numbers
stay exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 10**9
"""The most tokens of one text: a larger number is not believed."""
MILLION = 10**6
HIGHEST_PRICE = 10**8
"""The highest price of a million tokens, in any currency."""

_Number = Annotated[int, Meta(ge=0, le=MOST)]
_Price = Annotated[int, Meta(ge=0, le=HIGHEST_PRICE * MILLION)]


class Tokens(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The tokens that a model read (`input`) and wrote (`output`) for one text, in all calls of its job."""

    input: _Number
    output: _Number
    cached: _Number = 0
    """Those of `input` that its server had read before, which some servers sell for less."""

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            input=min(self.input + other.input, MOST),
            output=min(self.output + other.output, MOST),
            cached=min(self.cached + other.cached, MOST),
        )


NO_TOKENS = Tokens(input=0, output=0)


def read_tokens(value: Any) -> Tokens | None:
    """Return the tokens in a JSON object; None for anything else, as a server may send anything."""
    if not isinstance(value, dict):
        return None
    return tokens_of(value.get("input"), value.get("output"), value.get("cached", 0))


def tokens_of(read: Any, wrote: Any, cached: Any = 0) -> Tokens | None:
    """Return the tokens of JSON values; None unless all are numbers that can be believed."""
    known = [type(number) is int and 0 <= number <= MOST for number in (read, wrote, cached)]
    return Tokens(input=read, output=wrote, cached=min(cached, read)) if all(known) else None


# --- money -------------------------------------------------------------------------------------------------


class TokenPrice(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The price of a million tokens, in millionths of `currency`."""

    input: _Price
    output: _Price
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    cached: _Price | None = None
    """Of those of the input that were cached; None: as the others."""

    def of(self, tokens: Tokens) -> int:
        """Return the price of tokens, in money as it is counted here."""
        cached = self.input if self.cached is None else self.cached
        return self.input * (tokens.input - tokens.cached) + cached * tokens.cached + self.output * tokens.output


class PaidTokens(Tokens, frozen=True, kw_only=True, gc=False):
    """The tokens of a paid text, and the price of the settings when it arrived; None: there was none."""

    price: TokenPrice | None = None

    @staticmethod
    def at(price: TokenPrice | None, tokens: Tokens | None) -> PaidTokens | None:
        """Tokens at a price; None where they are not known."""
        return (
            None
            if tokens is None
            else PaidTokens(input=tokens.input, output=tokens.output, cached=tokens.cached, price=price)
        )

    @property
    def money(self) -> dict[str, int]:
        """What they cost, by currency; empty without a price."""
        return {} if self.price is None else {self.price.currency: self.price.of(self)}


class TokenSum(Struct, frozen=True, kw_only=True):
    """The tokens of several texts, and their money by currency, which is never added over currencies."""

    input: int = 0
    output: int = 0
    money: Mapping[str, int] = field(default_factory=dict)
    unknown: int = 0
    """Texts of which no one knows the tokens; they are in no sum."""
    unpriced: int = 0
    """Texts that were made while the settings had no price; their tokens are counted, and no money."""

    @property
    def is_known(self) -> bool:
        """Whether the tokens of any text are known."""
        return bool(self.input or self.output)


def sum_tokens(texts: Iterable[PaidTokens | None]) -> TokenSum:
    """The sum over texts; None: a text whose tokens are not known."""
    read = wrote = unknown = unpriced = 0
    money: dict[str, int] = {}
    for tokens in texts:
        if tokens is None:
            unknown += 1
            continue
        read, wrote = read + tokens.input, wrote + tokens.output
        unpriced += tokens.price is None
        money = add_money((money, tokens.money))
    return TokenSum(input=read, output=wrote, money=money, unknown=unknown, unpriced=unpriced)


def add_money(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several amounts, each currency by itself."""
    total: dict[str, int] = {}
    for amount in amounts:
        for currency, number in amount.items():
            total[currency] = total.get(currency, 0) + number
    return total


def add_sums(sums: Iterable[TokenSum]) -> TokenSum:
    """Several sums as one."""
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
    """An amount of money as a decimal number, without rounding: `0.0003085`."""
    whole, rest = divmod(amount, MILLION * MILLION)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def exact_money(money: Mapping[str, int]) -> dict[str, str]:
    """Amounts by currency as decimal numbers."""
    return {currency: exact(amount) for currency, amount in money.items()}
