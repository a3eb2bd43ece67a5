"""Numbers in words: those from 0 to 99 and the hundreds in English, German, Spanish and French, and multipliers.

A word is a run of letters in lower case; a number of several words has spaces between them, whatever was written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def listed(words: str) -> list[str]:
    """The words of a table."""
    return words.split()


_ENGLISH: Final = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ENGLISH_TENS: Final = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_GERMAN: Final = listed(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn"
)
_GERMAN_TENS: Final = listed("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_SPANISH: Final = listed(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
    "diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis "
    "veintisiete veintiocho veintinueve"
)
_SPANISH_TENS: Final = listed("treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_SPANISH_HUNDREDS: Final = listed(
    "doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
)
_FRENCH: Final = listed(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf"
)
_FRENCH_TENS: Final = {20: "vingt", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante", 80: "quatre-vingt"}

MULTIPLIERS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("hundred", "hundert", "cent", "cents", "cientos", "cien"), 2),
    **dict.fromkeys(("thousand", "tausend", "mil", "mille", "tsd", "k"), 3),
    **dict.fromkeys(("million", "millions", "millionen", "mio", "millón", "millones", "mn"), 6),
    **dict.fromkeys(("billion", "bn", "milliarde", "milliarden", "mrd", "milliard", "milliards", "md", "mds"), 9),
    **dict.fromkeys(("trillion", "trillions", "billionen", "billones", "tn"), 12),
}
"""How many zeros each word adds to the number before it."""

AMBIGUOUS: Final = frozenset({"once", "elf", "onze", "seize", "cent", "cien", "hundred", "hundert", "mil", "mille"})
"""Words that are often no exact number, or another word in a language beside."""

MEASURES: Final = re.compile(
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?|per ?cent|percent|times|degrees?|dollars?|euros?"
    r"|pounds?|cents?|yen|met(?:re|er)s?|kilomet(?:re|er)s?|miles?|feet|inches|grams?|kilos?|lit(?:re|er)s?"
    r"|sekunden?|minuten?|stunden?|tagen?|tage|wochen?|monaten?|monate|jahren?|jahre|prozent|grad|metern?|liter"
    r"|kilometern?|gramm|kilogramm|segundos|minutos|horas|días|semanas|meses|años|por ciento|grados|metros|kilómetros"
    r"|litros|gramos|veces|secondes|minutes|heures|jours|semaines|mois|ans|années|pour cent|degrés|mètres|kilomètres"
    r"|litres|grammes|fois"
)
"""What is measured: after it, even a small number in words states a figure."""


def _numbers() -> Iterator[tuple[str, int]]:
    for language in (_ENGLISH, _GERMAN, _SPANISH, _FRENCH):
        yield from zip(language, range(len(language)), strict=True)
    for ten, (english, german) in enumerate(zip(_ENGLISH_TENS, _GERMAN_TENS, strict=True), start=2):
        yield from ((english, ten * 10), (german, ten * 10))
        for one in range(1, 10):
            yield f"{english} {_ENGLISH[one]}", ten * 10 + one
            yield f"{_GERMAN[one].removesuffix('s') if one == 1 else _GERMAN[one]}und{german}", ten * 10 + one
    for one in range(2, 10):
        yield f"{_GERMAN[one]}hundert", one * 100
    yield from (("einhundert", 100), ("eintausend", 1000))
    for ten, spanish in enumerate(_SPANISH_TENS, start=3):
        yield spanish, ten * 10
        yield from ((f"{spanish} y {_SPANISH[one]}", ten * 10 + one) for one in range(1, 10))
    yield from ((word, number * 100) for number, word in enumerate(_SPANISH_HUNDREDS, start=2))
    for ten, french in _FRENCH_TENS.items():
        yield from ((french, ten), (f"{french}s", ten))
        for one in range(1, 20 if ten in {60, 80} else 10):
            yield f"{french} {_FRENCH[one]}", ten + one
            yield f"{french} et {_FRENCH[one]}", ten + one


WORDS: Final[Mapping[str, int]] = {word.replace("-", " "): number for word, number in _numbers()}
"""Every number in words."""
LONGEST: Final = max(word.count(" ") for word in WORDS) + 1
"""The most words of one number."""


# --- Chinese characters ----------------------------------------------------------------------------------------

_DIGITS: Final[Mapping[str, int]] = {**{char: n for n, char in enumerate("〇一二三四五六七八九")}, "零": 0}
_UNITS: Final[Mapping[str, int]] = {"十": 10, "百": 100, "千": 1000}
_LARGE: Final[Mapping[str, int]] = {"万": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
HAN: Final = re.compile("[〇零一二三四五六七八九十百千][〇零一二三四五六七八九十百千万億亿兆]{0,20}")
"""A number in Chinese characters."""
MIXED: Final = re.compile(r"(?:\d[\d,.]{0,15}[百千]?[万億亿兆]|\d[\d,.]{0,15}[百千])+(?:\d{1,4}(?!\d))?")
"""A number of digits and Chinese characters, such as `1万2千`."""


_PART: Final = re.compile(r"(?=.)(\d[\d,]*(?:\.\d+)?|[〇零一二三四五六七八九])?[.,]*([十百千万億亿兆])?")


def value_of(number: str) -> int:
    """The value of a number of `HAN` or `MIXED`."""
    total = below = 0.0
    for digits, unit in _PART.findall(number):
        amount = float(_DIGITS.get(digits, digits.replace(",", ""))) if digits else 0.0
        if unit in _LARGE:
            total += (below + amount or 1) * _LARGE[unit]
            below = 0
        elif digits or unit:
            below += (amount if digits else 1) * _UNITS.get(unit, 1)
    return round(total + below)
