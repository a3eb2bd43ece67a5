"""Numbers that a text states in digits, in one form for all ways to write them.

A number has each value that it can mean: `1.000` is 1000 or 1. So two texts state the same if any values agree. Values
are texts, as a number may have a million digits.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Make = Callable[[re.Match[str]], "Figure | None"]


class Figure(NamedTuple):
    """A number, date or time in a text."""

    start: int
    """Its offset."""
    words: str
    values: tuple[str, ...]
    """Each value that it can mean."""
    parts: tuple[str, ...] = ()
    """The numbers that it is, if it is several."""
    is_dated: bool = False
    """Whether it is a date or time, with the year or hour first; a text that has it states each of its parts."""


class Known:
    """The numbers that some figures state."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._numbers: set[str] = set()
        for each in figures:
            self._numbers.update(each.values, each.parts if each.is_dated or not each.values else ())

    def has(self, figure: Figure) -> bool:
        """Whether a figure says nothing that these do not say."""
        if not self._numbers.isdisjoint(figure.values):
            return True
        known = [part in self._numbers for part in figure.parts]
        # The month of a date may be a word there, so that another part beside the year is enough.
        return bool(known) and (all(known) or (figure.is_dated and known[0] and any(known[1:])))


_SEEN: Final = re.compile(r"\S")


def blank(match: re.Match[str]) -> str:
    """Spaces of the length of a match, with its line ends."""
    return _SEEN.sub(" ", match[0])


_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
_UNSEEN: Final = re.compile("[\u00ad\u061c\u200b-\u200f\u2060\u2066-\u2069\ufeff]")


def plain_digits(text: str) -> str:
    """A text with the digits of all scripts as 0 to 9, and without characters that cannot be seen."""
    if text.isascii():
        return text
    return _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), _UNSEEN.sub("", text))


_DATE: Final = re.compile(
    r"(?<![\d.])(?:(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"
    r"|(?P<one>\d{1,2})([-/.])(?P<other>\d{1,2})\6(?P<last>\d{4}))(?!\d)"
)
_TIME: Final = re.compile(r"(?<![\d:.,])(\d{1,2})(?::(\d{2})(?![\d:])|(?=\s?[AaPp]\.?\s?[Mm]\b))")
_PHONE: Final = re.compile(r"\+\d{1,3}(?:[ ./()-]{1,3}\d{1,9}){2,6}")
_RUN: Final = re.compile(
    r"(?:[$€£¥]\s?)?\d++(?:(?:[.,'\u2019]|[ \u00a0\u202f\u2009](?=\d{3}(?!\d)))\d++)*+(?:\s?[%‰€])?"
)
_DIGITS: Final = re.compile(r"\d+")
_LOOK: Final = 24
"""Characters before a number that can make it part of a name."""
_NAME: Final = re.compile(r"[A-Z][^\W_]*[-\u2010\u2011]$")
"""What makes a number part of a name, as in `COVID-19`."""
_CODE_BEFORE: Final = re.compile(r"(?<![^\W\d_])(?:[vV]|EUR|USD|GBP|CHF|JPY)$")
"""What may stand directly before a number: the sign of a version, or a currency."""
_AFTER: Final = re.compile(r"[ \u00a0\u202f-]?([^\W\d_]{1,9})\b")
_ZEROS: Final = {
    **dict.fromkeys(("thousand", "tausend", "mil", "mille", "tsd", "k"), 3),
    **dict.fromkeys(("million", "millionen", "mio", "millón", "millones", "millions"), 6),
    **dict.fromkeys(("billion", "bn", "milliarde", "milliarden", "mrd", "milliard", "milliards", "md"), 9),
}
"""How many zeros the word after a number in digits adds."""
_PERIOD: Final = re.compile(r"(?:st|nd|rd|th|(?<=\d{4})s)\b")
"""What makes a number a position, a century or a decade."""
_FEW: Final = 12
"""The most groups of one number; more are a list."""
_GROUP: Final = 3
"""Digits between the marks of thousands."""
_HALF: Final = 12
"""Hours of a half day."""


def figures(text: str) -> list[Figure]:
    """The figures of a text of `plain_digits`, in no order."""
    found: list[Figure] = []
    for pattern, make in ((_DATE, _date), (_TIME, _time), (_PHONE, _phone), (_RUN, _number)):

        def take(match: re.Match[str], make: Make = make) -> str:
            figure = make(match)
            if figure is None:
                return match[0]
            found.append(figure)
            return blank(match)

        text = pattern.sub(take, text)
    return found


def _date(match: re.Match[str]) -> Figure:
    year, *others = filter(None, (match["year"], match["last"], *match.group("month", "day", "one", "other")))
    return Figure(match.start(), match[0], (), (year, *map(canonical, others)), is_dated=True)


def _time(match: re.Match[str]) -> Figure:
    hour, minutes = int(match[1]), match[2] or "00"
    hours = tuple(str(each) for each in (hour, hour + _HALF, hour - _HALF) if 0 < each <= 2 * _HALF)
    if minutes == "00":
        return Figure(match.start(), match[0], hours)
    values = tuple(f"{each}:{minutes}" for each in hours)
    return Figure(match.start(), match[0], values, (str(hour), canonical(minutes)), is_dated=True)


def _phone(match: re.Match[str]) -> Figure:
    return Figure(match.start(), match[0], ("+" + "".join(_DIGITS.findall(match[0])),))


def _number(match: re.Match[str]) -> Figure | None:
    """The number of a match of `_RUN`; None where it is part of a word or name."""
    text, start, words = match.string, match.start(), match[0]
    before = text[max(start - _LOOK, 0) : start]
    if words[0].isdigit() and before[-1:].isalpha() and _is_cased(before[-1]) and not _CODE_BEFORE.search(before):
        return None
    if before.endswith("_") or _NAME.search(before):
        return None
    if _PERIOD.match(text, match.end()):
        return None
    values, parts = _meanings(words.strip("$€£¥%‰ \u00a0\u202f"))
    after = _AFTER.match(text, match.end())
    if after is not None and (zeros := _ZEROS.get(after[1].lower())):
        return Figure(start, words + after[0], tuple(_shifted(value, zeros) for value in values))
    if "%" in words:
        values = (*values, *(_shifted(value, -2) for value in values))
    if text.startswith(".", match.end()) and words.count(".") == 1:
        parts = tuple(map(canonical, words.split(".")))  # day and month: `12.07.`
    return Figure(start, words, values, parts)


def _shifted(value: str, zeros: int) -> str:
    """A value times ten to the power of `zeros`."""
    whole, _, fraction = value.partition(".")
    if "." in fraction:
        return value  # a version
    if zeros > 0:
        fraction = fraction.ljust(zeros, "0")
        return canonical(whole + fraction[:zeros], fraction[zeros:])
    whole = whole.rjust(-zeros, "0")
    return canonical(whole[:zeros], whole[zeros:] + fraction)


def _is_cased(char: str) -> bool:
    return char.lower() != char.upper()


def _meanings(run: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that digits with marks between them can mean, and the numbers if they are several."""
    groups = _DIGITS.findall(run)
    marks = {mark for mark in re.split(r"\d+", run) if mark}
    parts = tuple(map(canonical, groups))
    if len(groups) == 1:
        return parts, ()
    if len(groups) > _FEW:
        return (), parts
    values: list[str] = []
    grouped = all(len(group) == _GROUP for group in groups[1:]) or (marks == {","} and len(groups[-1]) == _GROUP)
    if len(groups[0]) <= _GROUP and grouped and len(marks) == 1:
        values.append(canonical("".join(groups)))
    last = run[-len(groups[-1]) - 1]
    if last in {".", ","} and run.count(last) == 1:
        values.append(canonical("".join(groups[:-1]), groups[-1]))
    if not values and marks == {"."}:
        return (".".join(groups),), ()
    return tuple(values), () if marks == {"."} else parts


def canonical(whole: str, fraction: str = "") -> str:
    """A number without zeros that mean nothing: `12.5` for 012 and 50."""
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole
