"""What a text states in numbers, dates and times, and whether another one states it too."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from contentops.documents.dates import EAST_ASIAN, KINDS
from contentops.documents.number_words import HAN
from contentops.documents.numbers import RUN, blank, in_words, mixed, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.documents.numbers import Date, Figure, Make


class Known:
    """The values and dates of some figures."""

    def __init__(self, figures: Iterable[Figure], months: Iterable[str]) -> None:
        found = list(figures)
        self._numbers = {value for each in found for value in each.values or each.parts}
        self._dates = {date for each in found for date in each.dates}
        self._dates |= {("", month, "") for month in months}
        self._dates |= {shorter for date in self._dates for shorter in _shorter(date)}
        self._values = self._numbers | {part for year, _, day in self._dates for part in (year, day)}

    def has(self, figure: Figure) -> bool:
        """Whether a figure says nothing that these do not say."""
        values = self._values
        if any(value in values for value in figure.values) or any(map(self._has_date, figure.dates)):
            return True
        return bool(figure.parts) and all(part in values for part in figure.parts)

    def _has_date(self, date: Date) -> bool:
        """Whether a date is known, or its parts are that no known date has beside the others."""
        if date in self._dates:
            return True
        year, month, day = date
        numbers = self._numbers
        return (
            (year in numbers and ("", month, day) in self._dates)
            or (day in numbers and (year, month, "") in self._dates)
            or (("", month, "") in self._dates and _are_in(numbers, year, day))
            or _are_in(numbers, *date)
        )


def _are_in(numbers: set[str], *parts: str) -> bool:
    return all(part in numbers for part in parts if part)


def _shorter(date: Date) -> tuple[Date, ...]:
    year, month, day = date
    return (("", month, day), (year, month, ""))


def plain_digits(text: str) -> str:
    """A text with the digits of all scripts as 0 to 9, `½` as 0.5, and without characters that cannot be seen."""
    if text.isascii():
        return text
    text = _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), _UNSEEN.sub("", text))
    return _FRACTION.sub(lambda match: f"{match[1] or 0}{_FRACTIONS[match[2]]}", text)


_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
_FRACTIONS: Final = {"½": ".5", "¼": ".25", "¾": ".75"}
_FRACTION: Final = re.compile(r"([0-9](?=[½¼¾]))?([½¼¾])")
_UNSEEN: Final = re.compile("[\u00ad\u061c\u200b-\u200f\u2060\u2066-\u2069\ufeff]")


DIGIT: Final = re.compile("[0-9]")


def figures(text: str, *, han: bool = False) -> list[Figure]:
    """The figures of a text of `plain_digits`, in no order; `han`: also those in Chinese characters alone."""
    found: list[Figure] = []

    def take(make: Make, match: re.Match[str]) -> str:
        figure = make(match)
        if figure is None:
            return match[0]
        found.append(figure)
        return blank(match)

    kinds = (*KINDS, *(EAST_ASIAN if not text.isascii() else ()), (RUN, number)) if DIGIT.search(text) else ()
    for pattern, make in (*kinds, *([(HAN, mixed)] if han else [])):
        text = pattern.sub(functools.partial(take, make), text)
    return found + in_words(text)
