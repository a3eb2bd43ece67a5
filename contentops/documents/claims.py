"""Finds the claims of a Markdown text: the numbers and addresses in its prose.

The time of each function grows only with the length of the text.

Only words are compared. It cannot be known here whether a number of the brief is true, or is used for the same thing.

A number has each value that it can mean: `1.000` is 1000 or 1. So two texts state the same number if any of their
values agree. Values are texts, because a number may have a million digits.
"""

from __future__ import annotations

import bisect
import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from contentops.model import Grounded
from contentops.sections import parse_blocks

# ---- Numbers that a text states in digits, in one form for all ways to write them.

if TYPE_CHECKING:
    Make = Callable[[re.Match[str]], "Figure | None"]


class Figure(NamedTuple):
    """A number, date or time that a text states in digits."""

    start: int
    """The offset of the figure in the text."""
    words: str
    values: tuple[str, ...]
    """All values that the figure can mean."""
    parts: tuple[str, ...] = ()
    """The single numbers, if the figure can be read as several numbers."""
    is_dated: bool = False
    """Whether it is a date or time, with the year or hour first. A text that has it states each of its parts."""


class Known:
    """A set of known numbers, in which the numbers of another text can be looked up."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._numbers: set[str] = set()
        for each in figures:
            self._numbers.update(each.values, each.parts if each.is_dated or not each.values else ())

    def has(self, figure: Figure) -> bool:
        """Return whether the numbers that a figure states are known."""
        if not self._numbers.isdisjoint(figure.values):
            return True
        known = [part in self._numbers for part in figure.parts]
        # The month of a date may be a word there, so that another part beside the year is enough.
        return bool(known) and (all(known) or (figure.is_dated and known[0] and any(known[1:])))


_SEEN: Final = re.compile(r"\S")


def blank(match: re.Match[str]) -> str:
    """Return as many spaces as a match has characters. Line ends stay."""
    return _SEEN.sub(" ", match[0])


_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
_UNSEEN: Final = re.compile("[\u00ad\u061c\u200b-\u200f\u2060\u2066-\u2069\ufeff]")


def plain_digits(text: str) -> str:
    """Return a text with the digits of all scripts replaced by 0 to 9, and without invisible characters."""
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
"""The number of characters before a number that can make it part of a name."""
_NAME: Final = re.compile(r"[A-Z][^\W_]*[-\u2010\u2011]$")
"""The start of a name that a number can end, as in `COVID-19`."""
_CODE_BEFORE: Final = re.compile(r"(?<![^\W\d_])(?:[vV]|EUR|USD|GBP|CHF|JPY)$")
"""The letters that may be directly before a number: the sign of a version, or a currency."""
_AFTER: Final = re.compile(r"[ \u00a0\u202f-]?([^\W\d_]{1,9})\b")
_ZEROS: Final = {
    **dict.fromkeys(("thousand", "tausend", "mil", "mille", "tsd", "k"), 3),
    **dict.fromkeys(("million", "millionen", "mio", "millón", "millones", "millions"), 6),
    **dict.fromkeys(("billion", "bn", "milliarde", "milliarden", "mrd", "milliard", "milliards", "md"), 9),
}
"""The number of zeros that the word after a number adds."""
_PERIOD: Final = re.compile(r"(?:st|nd|rd|th|(?<=\d{4})s)\b")
"""The endings that make a number a position, a century or a decade."""
_FEW: Final = 12
"""The most groups of digits in one number. More groups are a list."""
_GROUP: Final = 3
"""Digits between the marks of thousands."""
_HALF: Final = 12
"""Hours of a half day."""


def figures(text: str) -> list[Figure]:
    """Return the numbers, dates and times in a text, in any order. The text comes from `plain_digits`."""
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
    """Return the number that the pattern `_RUN` found, or None if it is part of a word or name."""
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
    """Return a value multiplied by ten to the power of `zeros`."""
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
    """Return the numbers that digits with separators can mean, such as `1.000`.

    Also return the parts if they can be several numbers.
    """
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
    """Return a number as text without unnecessary zeros. For example, `012` and the fraction `50` give `12.5`."""
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


# ---- The prose of a Markdown text, and the addresses in it.


class Claim(NamedTuple):
    """A number or an address that a text states."""

    line: int
    """The line in the text, from 0."""
    kind: str
    """`number` or `address`."""
    words: str
    normal: str = ""
    """The form for comparing; empty for a number."""


class Segment(NamedTuple):
    """A heading or paragraph of a body. `line` is the line of the body (from 0) on which its text starts."""

    line: int
    text: str
    is_heading: bool = False


def segments(body: str) -> Iterator[Segment]:
    """Yield the headings and paragraphs of a body in their order. Code blocks are left out."""
    heading = False
    for token in parse_blocks(body):
        if token.type in {"inline", "html_block"}:
            yield Segment(
                token.map[0] if token.map is not None else 0, token.content, heading and token.type == "inline"
            )
        heading = token.type == "heading_open"


class Lines:
    """Finds the line number of an offset in a text. Lines count from 0."""

    def __init__(self, text: str) -> None:
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def of(self, offset: int) -> int:
        """Return the line number of an offset."""
        return bisect.bisect_left(self._ends, offset)


class Prose(NamedTuple):
    """The prose of some passages as one text, and the addresses that were removed from it.

    Code and tags are removed too.
    """

    text: str
    """The text has as many lines as the passages, with a line of `_BETWEEN` between two passages."""
    lines: tuple[int, ...]
    """The line number in the body for each line of the text."""
    addresses: tuple[Claim, ...]


_BETWEEN: Final = "\n\0\n"
_CODE: Final = re.compile(r"(?<!`)(`++)([^`\0]++)\1(?!`)")
_ESCAPE: Final = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|\w{1,31});")
_LABEL: Final = re.compile(r"\[(?:[^\W\d_]+\s?)?\d{1,3}(?=\]\()")
"""The text of a link that names a part by its number."""
_TARGET: Final = re.compile(r"\]\([^()\s\0]*|\]\[[^\[\]\0]*\]|\[\^?\d{1,3}\](?!\()")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG: Final = re.compile(r"</?[A-Za-z][^<>\0]*>|<!--|-->")
_MARKS: Final = re.compile(r"[*~]+|(?<!\w)_+|_+(?!\w)|\d\ufe0f?\u20e3")


def prose_of(segments: Iterable[Segment]) -> Prose:
    """Return the prose of passages, without code, addresses, tags, and escapes of Markdown and HTML.

    The passages become one text, because there are many patterns and passages are often short.
    """
    texts: list[str] = []
    numbers: list[int] = []
    for segment in segments:
        texts.append(_COUNT.sub(blank, segment.text, count=1) if segment.is_heading else segment.text)
        numbers += range(segment.line, segment.line + segment.text.count("\n") + 1)
        numbers.append(segment.line)
    text = _BETWEEN.join(texts)
    text = "\0".join(map(_without_comments, _CODE.sub(blank, text).split("\0")))
    text = _ESCAPE.sub("", text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]).replace("\n", " "), text)
    found = tuple(addresses(text))
    text = _TAG.sub(blank, _TARGET.sub(blank, _LABEL.sub(blank, without_addresses(text))))
    return Prose(plain_digits(text), tuple(numbers), found)


def _without_comments(passage: str) -> str:
    """Return a passage with spaces in place of its HTML comments. An unclosed comment stays."""
    # Each search for an end finds one in this part, so that none is in vain.
    end = passage.rfind("-->") + len("-->")
    return _COMMENT.sub(blank, passage[:end]) + passage[end:]


_COUNT: Final = re.compile(r"\A\s*(?:\d{1,3}(?:\.\d{1,3})+(?=\s)|(?:[^\W\d_]+\s?)?\d{1,2}(?![\w.,]|\s?[%€$£¥]))")
"""The start of a heading: its own number, or a count after at most one word."""


def without_marks(text: str) -> str:
    """Return a text without the marks of emphasis, because these may split a number."""
    return _MARKS.sub("", text)


# --- addresses ---------------------------------------------------------------------------------------------------

# No brackets and quotes, and nothing from the general punctuation on, which East Asian scripts follow.
_IN_URL: Final = r"""[^\x00- <>"'`|()\[\]{}\\\u2000-\U0010ffff]"""
_ADDRESS: Final = re.compile(
    rf"(?P<url>(?i:https?|ftps?|wss?)://{_IN_URL}++)"
    r"|(?P<mail>(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++)"
    rf"|(?<![\w.@/-])www\.{_IN_URL}++"
)
_DOTTED: Final = re.compile(rf"(?<![\w.@/-])[A-Za-z0-9-]++\.{_IN_URL}++")
_AT_THE_END: Final = ".,;:!?*_~/"
_MOST_PARTS: Final = 32


def addresses(text: str) -> Iterator[Claim]:
    """Yield the URLs and mail addresses of a text. Each has a form for comparing."""
    lines = Lines(text)
    for match in _ADDRESS.finditer(text) if "." in text or "/" in text else ():
        words = match[0].rstrip(".,;:!?*_~")
        yield Claim(lines.of(match.start()), "address", words, words.lower() if match["mail"] else _normal(words))


def hosts(text: str) -> Iterator[str]:
    """Yield every word that may be a host name (with a path, if any), in a normal form for comparison."""
    return (_normal(match[0].rstrip(_AT_THE_END)) for match in _DOTTED.finditer(text))


def without_addresses(text: str) -> str:
    """Return a text with spaces in place of its addresses."""
    return _ADDRESS.sub(blank, text) if "." in text or "/" in text else text


def _normal(url: str) -> str:
    """Return the host, path and query of a URL. The scheme, `www.`, the fragment and a final slash are left out."""
    from urllib.parse import unquote  # start-up: most commands look at no address

    rest = url.rpartition("://")[2] if "://" in url[:8] else url
    rest = rest.split("#", 1)[0]
    size = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    host = re.sub(r":(?:80|443)$", "", rest[:size].lower()).removeprefix("www.")
    path, _, query = rest[size:].partition("?")
    if query.startswith("utm_"):
        query = ""
    path = unquote(path).rstrip(_AT_THE_END)
    return f"{host}{path}?{query}" if query else f"{host}{path}"


def host_of(normal: str) -> str:
    """Return the host of an address. The address is in the form for comparing."""
    return re.split("[/?]", normal.rpartition("@")[2], maxsplit=1)[0]


def parents(normal: str) -> Iterator[str]:
    """Yield an address and then its parents: `a.com/b/c`, `a.com/b`, `a.com`."""
    yield normal
    for match in list(re.finditer("[/?]", normal))[:_MOST_PARTS]:
        yield normal[: match.start()]


# ---- Finds what a text states and its brief does not: numbers and addresses.


class Unsourced(NamedTuple):
    """A number or address in a text that the text's brief does not contain. It has the line where it comes first."""

    line: int
    """The line of the body (from 1), or 0 for the title."""
    kind: str
    words: str
    times: int = 1


def claims_without_source(check: Grounded, title: str, body: str) -> list[Unsourced]:
    """Return the numbers and addresses in a text that the text's brief does not contain.

    Each comes once, and they are sorted by line. It never raises.
    """
    brief = _Brief(check)
    prose = prose_of([Segment(-1, title, is_heading=True), *segments(body)])
    claims: list[Claim] = []
    if check.urls:
        claims += (claim for claim in prose.addresses if not brief.has_address(claim))
    if check.numbers:
        claims += _numbers(prose.text, brief.known)
    found: dict[tuple[str, str], Unsourced] = {}
    for claim in claims:
        key = (claim.kind, claim.words)
        line = prose.lines[claim.line] + 1
        found[key] = found[key]._replace(times=found[key].times + 1) if key in found else Unsourced(line, *key)
    return sorted(found.values(), key=lambda each: each.line)


class _Brief:
    """The numbers and addresses in a brief and in its `allow` list."""

    def __init__(self, check: Grounded) -> None:
        allowed = "\n".join(check.allow)
        brief = plain_digits(f"{check.brief}\n{allowed}")
        stated = [claim.normal for claim in addresses(brief)]
        self._addresses = {*stated, *map(host_of, stated), *hosts(brief)}
        self._above = {*(claim.normal for claim in addresses(allowed)), *hosts(allowed)}
        self.known = Known(figures(without_addresses(brief).replace("_", " ")))

    def has_address(self, claim: Claim) -> bool:
        """Return whether the brief or its `allow` list permits an address in the text.

        The `allow` list permits an address if it has the address or one of its parents.
        """
        return claim.normal in self._addresses or not self._above.isdisjoint(parents(claim.normal))


# --- numbers that state nothing --------------------------------------------------------------------------------------

_NUMBERING: Final = re.compile(r"^[\s>|#+-]*\(?\d{1,3}(?:\.\d{1,3})*[.):](?=\s|$)", re.MULTILINE)


def _numbers(text: str, known: Known) -> Iterator[Claim]:
    text = _NUMBERING.sub(blank, without_marks(text))
    lines = Lines(text)
    for figure in sorted(figures(text), key=lambda one: one.start):
        if not known.has(figure):
            yield Claim(lines.of(figure.start), "number", " ".join(figure.words.split()))
