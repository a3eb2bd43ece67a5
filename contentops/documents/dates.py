"""Dates, times and phone numbers that a text states."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from contentops.documents.number_words import MIXED
from contentops.documents.numbers import Figure, canonical, mixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.documents.numbers import Date, Make

# --- dates -----------------------------------------------------------------------------------------------------

_MONTHS: Final = (
    "january januar enero janvier gennaio janeiro januari jan jän janv ene",
    "february februar febrero février febbraio fevereiro februari feb févr",
    "march märz marzo mars março maart mar mär",
    "april abril avril aprile apr avr abr",
    "may mai mayo maggio maio mei",
    "june juni junio juin giugno junho jun",
    "july juli julio juillet luglio julho jul juil",
    "august agosto août augustus aug ago",
    "september septiembre septembre settembre setembro sep sept",
    "october oktober octubre octobre ottobre outubro oct okt",
    "november noviembre novembre novembro nov",
    "december dezember diciembre décembre dicembre dezembro dec dez déc dic",
)
MONTHS: Final[Mapping[str, str]] = {
    name: str(number) for number, names in enumerate(_MONTHS, start=1) for name in names.split()
}
_CAPITAL: Final = frozenset({"may", "march", "mar", "mars"})
"""Months only with a capital, as they are other words without."""
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_LAST_MONTH, _LAST_DAY, _LAST_HOUR, _MINUTES = 12, 31, 24, 60


def _month(name: str) -> str:
    """The number of a month by its name; empty for another word."""
    low = name.lower()
    return "" if low in _CAPITAL and name == low else MONTHS.get(low, "")


def months(text: str) -> set[str]:
    """The months that a text names."""
    return set(filter(None, map(_month, _LETTERS.findall(text))))


def _date(year: str, month: str, day: str) -> Date | None:
    """A date that exists, about; None otherwise."""
    month, day = month.lstrip("0"), day.lstrip("0")
    if month and not 1 <= int(month) <= _LAST_MONTH:
        return None
    if day and not 1 <= int(day) <= _LAST_DAY:
        return None
    return (f"20{year}" if len(year) == len("26") else year), month, day


def _dated(match: re.Match[str], *dates: Date | None) -> Figure | None:
    fine = tuple(dict.fromkeys(date for date in dates if date is not None and date[1]))
    return Figure(match.start(), match[0].strip(" ,"), dates=fine) if fine else None


def _year_first(match: re.Match[str]) -> Figure | None:
    return _dated(match, _date(match[1], match[3], match[4]))


def _year_last(match: re.Match[str]) -> Figure | None:
    return _dated(match, _date(match[4], match[3], match[1]), _date(match[4], match[1], match[3]))


def _without_year(match: re.Match[str]) -> Figure | None:
    # `3.11.` is also a number at the end of a sentence.
    figure = _dated(match, _date("", match[2], match[1]), _date("", match[1], match[2]))
    return figure._replace(words=match[0][:-1], values=(canonical(match[1], match[2]),)) if figure else None


def _day_first(match: re.Match[str]) -> Figure | None:
    month = _month(match[2])
    return _dated(match, _date(match[3] or "", month, match[1])) if month else None


def _month_first(match: re.Match[str]) -> Figure | None:
    month = _month(match[1])
    return _dated(match, _date(match[3] or match[4] or "", month, match[2] or "")) if month else None


def _east_asian_date(match: re.Match[str]) -> Figure | None:
    return _dated(match, _date(match[1] or "", match[2], match[3] or ""))


# --- times -----------------------------------------------------------------------------------------------------


def _time(start: int, words: str, hour: str, minute: str, half: str) -> Figure | None:
    if int(hour) > _LAST_HOUR or int(minute or 0) >= _MINUTES:
        return None
    own = int(hour)
    hours = {own}
    if half:
        hours |= {own % 12 + (12 if half[-1] in "pP後" else 0)}
    minutes = int(minute or 0)
    values = [f"{each}:{minutes:02}" for each in sorted(hours)]
    if minutes:
        return Figure(start, words, tuple(values), (str(own), str(minutes)))
    return Figure(start, words, (*values, *map(str, sorted(hours))))


def _clock(match: re.Match[str]) -> Figure | None:
    return _time(match.start(), match[0].strip(), match[1], match[2], match[3] or "")


def _hour(match: re.Match[str]) -> Figure | None:
    return _time(match.start(), match[0].strip(), match[1], "", match[2] or "")


def _east_asian_time(match: re.Match[str]) -> Figure | None:
    return _time(match.start(), match[0], match[2], match[3] or "", match[1] or "")


def _phone(match: re.Match[str]) -> Figure:
    parts = re.findall(r"\d+", match[0])
    return Figure(match.start(), match[0], ("+" + "".join(parts),), tuple(map(canonical, parts)))


KINDS: Final[tuple[tuple[re.Pattern[str], Make], ...]] = (
    (re.compile(r"(?<!\d)(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)"), _year_first),
    (re.compile(r"(?<![\d.])(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|(?<=/)\d{2})(?!\d)"), _year_last),
    (re.compile(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(?=\s)"), _without_year),
    (
        re.compile(
            r"(?<![\d.,])(\d{1,2})(?:st|nd|rd|th|er|º|ª|\.)?\s{1,3}(?:of\s|de\s|del\s|d[\u2019'])?([^\W\d_]{3,10})"
            r"(?:\.?,?\s+(?:of\s|de\s|del\s)?(\d{4})(?!\d))?"
        ),
        _day_first,
    ),
    (
        re.compile(
            r"\b([^\W\d_]{3,10})\.?\s+(?:(?:de|del|of)\s)?(?:(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(\d{4}))?|(\d{4}))(?![\d%])"
        ),
        _month_first,
    ),
    (
        re.compile(
            r"(?<![\d:.,])(\d{1,2})(?::|\s?h\s?|\.(?=\d\d\s?[Uu]hr))(\d{2})(?![\d:])(?:\s?(?:[Uu]hr|h)\b)?(?:\s?([APap])\.?\s?[Mm]\b\.?)?"
        ),
        _clock,
    ),
    (re.compile(r"(?<![\d:.,])(\d{1,2})\s?(?:([APap])\.?\s?[Mm]\b\.?|[Uu]hr\b|h\b)"), _hour),
    (re.compile(r"\+\d{1,3}(?:[ ./()-]{1,3}\d{1,9}){2,6}"), _phone),
)
EAST_ASIAN: Final[tuple[tuple[re.Pattern[str], Make], ...]] = (
    (re.compile(r"(?:(?<!\d)(\d{4})年\s?)?(?<!\d)(\d{1,2})月(?:\s?(\d{1,2})日)?"), _east_asian_date),
    (re.compile(r"(午前|午後)?(?<!\d)(\d{1,2})時(?!間)(?:(\d{1,2})分)?"), _east_asian_time),
    (MIXED, mixed),
)
