"""Numbers that a text states in digits or words, in one form for all ways to write them.

A number has each value that it can mean: `1.000` is 1000 or 1. So two texts state the same if any values agree. Values
are texts, as a number may have a million digits.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from contentops.documents.number_words import AMBIGUOUS, LONGEST, MEASURES, MULTIPLIERS, WORDS, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Date = tuple[str, str, str]
"""Year, month and day, without leading zeros; empty for those that are not stated."""


class Figure(NamedTuple):
    """A number, date or time in a text. It is known if one of its values or dates is, or all of its parts are."""

    start: int
    """Its offset."""
    words: str
    values: tuple[str, ...] = ()
    """Each value that it can mean."""
    parts: tuple[str, ...] = ()
    """The numbers that it is, if it is several."""
    dates: tuple[Date, ...] = ()
    is_claim: bool = True
    """Whether it states something; `two` in `two things` does not."""


Make = Callable[[re.Match[str]], Figure | None]
"""What a match states; None where it is no figure."""


_SEEN: Final = re.compile(r"\S")


def blank(match: re.Match[str]) -> str:
    """Spaces of the length of a match, with its line ends."""
    return _SEEN.sub(" ", match[0])


def mixed(match: re.Match[str]) -> Figure:
    """A number with Chinese characters."""
    return Figure(match.start(), match[0], (str(value_of(match[0])),))


# --- digits -----------------------------------------------------------------------------------------------------

RUN: Final = re.compile(
    r"(?:[$€£¥]\s?)?\d++(?:(?:[.,'\u2019]|[ \u00a0\u202f\u2009](?=\d{3}(?!\d)))\d++)*+(?:\s?[%‰€])?"
)
_DIGITS: Final = re.compile(r"\d+")
_AFTER: Final = re.compile(r"([ \u00a0\u202f-]?)([^\W\d_]{1,9})\b")
_NO_MULTIPLIERS: Final = frozenset({"k", "cent", "cents", "cien"})
"""Words that multiply no number in digits: 50 cents."""
_SYMBOLS: Final[Mapping[str, int]] = {"k": 3, "K": 3, "M": 6, "B": 9}
"""Multipliers that stand directly after a number."""
_LOOK: Final = 24
"""Characters before a number that can make it part of a name."""
_NAME: Final = re.compile(r"[A-Z][^\W_]*[-\u2010\u2011]$")
"""What makes a number part of a name, as in `COVID-19`."""
_CODE_BEFORE: Final = re.compile(r"(?<![^\W\d_])(?:[vV]|EUR|USD|GBP|CHF|JPY)$")
"""What may stand directly before a number: the sign of a version, or a currency."""
_FEW: Final = 12
"""The most groups of one number; more are a list."""
_GROUP: Final = 3
"""Digits between the marks of thousands."""


def number(match: re.Match[str]) -> Figure | None:
    """The number of a match of `RUN`; None where it is part of a word or name."""
    text, start, end, words = match.string, match.start(), match.end(), match[0]
    before = text[max(start - _LOOK, 0) : start]
    if words[0].isdigit() and before[-1:].isalpha() and _is_cased(before[-1]) and not _CODE_BEFORE.search(before):
        return None
    if before.endswith("_") or _NAME.search(before):
        return None
    zeros = 0
    for _ in range(2):
        after = _AFTER.match(text, end)
        by = _zeros(after[2], attached=not after[1]) if after else 0
        if not after or not by:
            break
        zeros, words, end = zeros + by, words + after[0], after.end()
    values, parts = _meanings(match[0].strip("$€£¥%‰ \u00a0\u202f"))
    values = [_shifted(value, zeros) for value in values]
    if "%" in match[0] or _PERCENT.match(text, end):
        values += [_shifted(value, -2) for value in values]
    return Figure(start, words, tuple(values), () if zeros else parts)


def _is_cased(char: str) -> bool:
    return char.lower() != char.upper()


_PERCENT: Final = re.compile(r"\s(?:per ?cent|Prozent|por ciento|pour cent)\b", re.IGNORECASE)


def _zeros(word: str, *, attached: bool) -> int:
    if attached and word in _SYMBOLS:
        return _SYMBOLS[word]
    low = word.lower()
    return 0 if low in _NO_MULTIPLIERS else MULTIPLIERS.get(low, 0)


def _meanings(run: str) -> tuple[list[str], tuple[str, ...]]:
    """The values that digits with marks between them can mean, and the numbers if they are several."""
    groups = _DIGITS.findall(run)
    marks = {mark for mark in re.split(r"\d+", run) if mark}
    parts = tuple(map(canonical, groups))
    if len(groups) == 1:
        return list(parts), ()
    if len(groups) > _FEW:
        return [], parts
    values = []
    grouped = all(len(group) == _GROUP for group in groups[1:]) or (marks == {","} and len(groups[-1]) == _GROUP)
    if len(groups[0]) <= _GROUP and grouped and len(marks) == 1:
        values.append(canonical("".join(groups)))
    last = run[-len(groups[-1]) - 1]
    if last in {".", ","} and run.count(last) == 1:
        values.append(canonical("".join(groups[:-1]), groups[-1]))
    if not values and marks == {"."}:
        return [".".join(groups)], ()
    return values, () if marks == {"."} else parts


def canonical(whole: str, fraction: str = "") -> str:
    """A number without zeros that mean nothing: `12.5` for 012 and 50."""
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def _shifted(value: str, zeros: int) -> str:
    """A value times ten to the power of `zeros`."""
    whole, _, fraction = value.partition(".")
    if "." in fraction or not zeros:
        return value
    if zeros > 0:
        fraction = fraction.ljust(zeros, "0")
        return canonical(whole + fraction[:zeros], fraction[zeros:])
    whole = whole.rjust(-zeros, "0")
    return canonical(whole[:zeros], whole[zeros:] + fraction)


# --- numbers in words ------------------------------------------------------------------------------------------------

_WORD: Final = re.compile(r"[^\W\d_]+")
_SMALL: Final = 10
"""Numbers in words up to this state a figure only before a measure."""


def in_words(text: str) -> list[Figure]:
    """The numbers in words in a text."""
    found: list[Figure] = []
    tokens = [(match[0].lower(), match.start(), match.end()) for match in _WORD.finditer(text)]
    at = 0
    while at < len(tokens):
        count, phrase = _longest(text, tokens, at)
        if not count:
            at += 1
            continue
        value, zeros, end = str(WORDS[phrase]), 0, at + count
        while end < len(tokens) and tokens[end][0] in MULTIPLIERS and _follows(text, tokens, end):
            zeros, end = zeros + MULTIPLIERS[tokens[end][0]], end + 1
        measured = end < len(tokens) and _follows(text, tokens, end) and MEASURES.fullmatch(tokens[end][0]) is not None
        exact = bool(zeros) or (WORDS[phrase] > _SMALL and phrase not in AMBIGUOUS)
        last = tokens[end][2] if measured else tokens[end - 1][2]
        words = text[tokens[at][1] : last]
        claims = exact or (measured and WORDS[phrase] > 1)
        found.append(Figure(tokens[at][1], words, (_shifted(value, zeros),), is_claim=claims))
        at = end
    return found


def _longest(text: str, tokens: list[tuple[str, int, int]], at: int) -> tuple[int, str]:
    """How many words from `at` on are one number, and the number; 0 for none."""
    if tokens[at][0] not in _starts():
        return 0, ""
    best, phrase, longest = 0, "", ""
    for count in range(1, LONGEST + 1):
        end = at + count - 1
        if end >= len(tokens) or (count > 1 and not _follows(text, tokens, end)):
            break
        phrase = f"{phrase} {tokens[end][0]}" if phrase else tokens[end][0]
        if phrase in WORDS:
            best, longest = count, phrase
    return best, longest


@functools.cache
def _starts() -> frozenset[str]:
    return frozenset(word.split(" ")[0] for word in WORDS)


def _follows(text: str, tokens: list[tuple[str, int, int]], at: int) -> bool:
    """Whether only a space or a hyphen stands before a word."""
    return text[tokens[at - 1][2] : tokens[at][1]] in {" ", "-", "\n", "\u00a0", "\u2011"}
