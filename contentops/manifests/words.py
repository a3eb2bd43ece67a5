"""Makes dates, plurals and plain texts for templates. Results are the same on every machine and every day.

Names of months and weekdays are in small tables here: babel would bring the data of all locales for them.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from typing import Final

from contentops.manifests.values import TemplateError, kind_of, shown, text_of

_MONTHS: Final = {
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nb": "januar februar mars april mai juni juli august september oktober november desember",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
}
_DAYS: Final = {
    "da": "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "it": "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    "nb": "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    "nl": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "pt": "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    "sv": "måndag tisdag onsdag torsdag fredag lördag söndag",
}
LANGUAGES: Final = tuple(_MONTHS)
"""The languages that have names of months and weekdays."""

_ISO: Final = "%Y-%m-%d"
_READ: Final = {"%Y": "(?P<Y>[0-9]{4})", "%m": "(?P<m>[0-9]{1,2})", "%d": "(?P<d>[0-9]{1,2})"}
_TIME: Final = re.compile(r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?Z?")
_CODE: Final = re.compile(r"%(-?.?)", re.DOTALL)


class Day(str):
    """A date that is stored as an ISO text, such as `2026-12-01`. It compares, sorts and becomes JSON like a text."""

    __slots__ = ()

    @property
    def year(self) -> int:
        """Return the year."""
        return int(self[:4])

    @property
    def month(self) -> int:
        """Return the month, 1 to 12."""
        return int(self[5:7])

    @property
    def day(self) -> int:
        """Return the day of the month."""
        return int(self[8:])


def day_of(text: str, form: str = _ISO) -> Day:
    """Parse a date that is written in the form `form`, such as `%d.%m.%Y`.

    A time after the date is cut off. Raises TemplateError.
    """
    if sorted(_CODE.findall(text_of(form))) != ["Y", "d", "m"]:
        raise TemplateError("template-value", "the form of a date has `%Y`, `%m` and `%d`, each once")
    pattern = re.sub("%[Ymd]", lambda code: _READ[code.group()], re.escape(form))
    match = re.match(pattern, text.strip())
    rest = text.strip()[match.end() :] if match else ""
    try:
        if match and (not rest or _TIME.fullmatch(rest)):
            return Day(dt.date(int(match["Y"]), int(match["m"]), int(match["d"])).isoformat())
    except ValueError:
        hint = "the calendar does not have this day"
    else:
        example = form.replace("%Y", "2026").replace("%m", "03").replace("%d", "01")
        hint = f"write it as `{example}`, or state its form: `date(each.start, '%d.%m.%Y')`"
    raise TemplateError("template-value", f"{shown(text)} is not a date", hint=hint)


def written_day(day: Day, form: str = _ISO, language: str = "en") -> str:
    """Return a date as text in a form such as `%d %B %Y`. Raises TemplateError."""
    if language not in LANGUAGES:
        known = ", ".join(f"`{name}`" for name in LANGUAGES)
        raise TemplateError(
            "template-value", f"dates have no language `{str(language)[:20]}`", hint=f"there are {known}"
        )
    weekday = dt.date.fromisoformat(day).weekday()
    values = {
        "%": "%",
        "-d": str(day.day),
        "-m": str(day.month),
        "A": _DAYS[language].split()[weekday],
        "B": _MONTHS[language].split()[day.month - 1],
        "Y": day[:4],
        "d": day[8:],
        "m": day[5:7],
        "y": day[2:4],
    }
    if language == "en":
        values |= {"a": values["A"][:3], "b": values["B"][:3]}

    def value_of(code: re.Match[str]) -> str:
        if code[1] not in values:
            known = ", ".join(f"`%{name}`" for name in values)
            raise TemplateError("template-value", f"dates have no `{code.group()}` here", hint=f"there are {known}")
        return values[code[1]]

    return _CODE.sub(value_of, form)


# --- plurals -------------------------------------------------------------------------------------------------

_IRREGULAR: Final = dict(
    pair.split(":")
    for pair in str.split(
        """analysis:analyses basis:bases child:children crisis:crises criterion:criteria echo:echoes foot:feet
        goose:geese half:halves hero:heroes knife:knives leaf:leaves life:lives loaf:loaves man:men mouse:mice
        person:people phenomenon:phenomena potato:potatoes quiz:quizzes self:selves shelf:shelves thief:thieves
        tomato:tomatoes tooth:teeth veto:vetoes wife:wives wolf:wolves woman:women"""
    )
)
_UNCHANGED: Final = frozenset(
    str.split("advice aircraft deer equipment feedback fish furniture information news series sheep software species")
)
_LAST_WORD: Final = re.compile(r"[A-Za-z]+$")


def plural_of(word: str, count: float = 2, many: str = "") -> str:
    """Return a word in the singular or the plural, whichever fits the number `count`.

    The plural is `many`, or the English plural if `many` is empty. Raises TemplateError.
    """
    if isinstance(count, bool) or not isinstance(count, int | float):
        message = f"`plural` takes a number, not {kind_of(count)}"
        raise TemplateError("template-value", message, hint="convert a text with `| int`")
    if count == 1:
        return word
    match = _LAST_WORD.search(word)
    if many or match is None:
        return many or word
    last = match.group()
    return word[: match.start()] + _english(last)


def _english(word: str) -> str:
    small = word.lower()
    if small in _UNCHANGED:
        return word
    if len(word) > 1 and word.isupper():
        return f"{word}s"  # an abbreviation
    if small in _IRREGULAR:
        return word[0] + _IRREGULAR[small][1:]
    if re.search("[^aeiou]y$", small):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search("(?:s|x|z|ch|sh)$", small) else f"{word}s"


# --- texts ---------------------------------------------------------------------------------------------------


def first_words(text: str, count: int, end: str = "…") -> str:
    """Return at most the first `count` words of a text, with single spaces between them.

    `end` is added if words were cut off.
    """
    words = text.split(maxsplit=max(operator.index(count), 0))
    return " ".join(words[:count]) + end if len(words) > count else " ".join(words)


def plain_text(text: str) -> str:
    """Return a Markdown text without its formatting marks.

    Paragraphs stay apart, and tabs separate the cells of a table.
    """
    from contentops.documents.blocks import parse_blocks  # start-up: few templates take Markdown apart

    return "\n\n".join(filter(None, (block.text.strip() for block in parse_blocks(text))))
