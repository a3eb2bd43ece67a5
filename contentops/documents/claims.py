"""The prose of a Markdown text, and the addresses in it.

All of it takes time that grows with the length of the text alone.
"""

from __future__ import annotations

import bisect
import html
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from contentops.documents.numbers import blank, plain_digits
from contentops.sections import parse_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Claim(NamedTuple):
    """A number or an address that a text states."""

    line: int
    """From 0, in its text."""
    kind: str
    """`number` or `address`."""
    words: str
    normal: str = ""
    """Its form for comparison; empty for a number."""


class Segment(NamedTuple):
    """A heading or paragraph; `line` is the line of the body (from 0) on which its text starts."""

    line: int
    text: str
    is_heading: bool = False


def segments(body: str) -> Iterator[Segment]:
    """The passages of a body in order, without blocks of code."""
    heading = False
    for token in parse_blocks(body):
        if token.type in {"inline", "html_block"}:
            yield Segment(
                token.map[0] if token.map is not None else 0, token.content, heading and token.type == "inline"
            )
        heading = token.type == "heading_open"


class Lines:
    """The numbers of lines (from 0) by offsets in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def of(self, offset: int) -> int:
        """The line that an offset is on."""
        return bisect.bisect_left(self._ends, offset)


class Prose(NamedTuple):
    """Passages without code, addresses and tags, as one text, and the addresses in them."""

    text: str
    """As many lines as the passages have, with a line of `_BETWEEN` between two of them."""
    lines: tuple[int, ...]
    """The line of the body of each line."""
    addresses: tuple[Claim, ...]


_BETWEEN: Final = "\n\0\n"
_CODE: Final = re.compile(r"(?<!`)(`++)([^`\0]++)\1(?!`)")
_ESCAPE: Final = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|\w{1,31});")
_LABEL: Final = re.compile(r"\[(?:[^\W\d_]+\s?)?\d{1,3}(?=\]\()")
"""The text of a link that names a part by its number."""
_TARGET: Final = re.compile(r"\]\([^()\s\0]*|\]\[[^\[\]\0]*\]|\[\^?\d{1,3}\](?!\()")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>\0]*>|<!--|-->")
_MARKS: Final = re.compile(r"[*~]+|(?<!\w)_+|_+(?!\w)|\d\ufe0f?\u20e3")


def prose_of(segments: Iterable[Segment]) -> Prose:
    """Passages without code, addresses, tags and the escapes of Markdown and HTML.

    They are one text, as patterns are many and passages often short.
    """
    texts: list[str] = []
    numbers: list[int] = []
    for segment in segments:
        texts.append(_COUNT.sub(blank, segment.text, count=1) if segment.is_heading else segment.text)
        numbers += range(segment.line, segment.line + segment.text.count("\n") + 1)
        numbers.append(segment.line)
    text = _BETWEEN.join(texts)
    text = _ESCAPE.sub("", _without_comments(_CODE.sub(blank, text)))
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]).replace("\n", " "), text)
    found = tuple(addresses(text))
    text = _TAG.sub(blank, _TARGET.sub(blank, _LABEL.sub(blank, without_addresses(text))))
    return Prose(plain_digits(text), tuple(numbers), found)


def _without_comments(text: str) -> str:
    """A text with spaces in place of its HTML comments, none of which goes beyond its passage."""
    pieces: list[str] = []
    at = 0
    for start, end in _comments(text):
        pieces += (text[at:start], _SEEN.sub(" ", text[start:end]))
        at = end
    return "".join((*pieces, text[at:])) if pieces else text


def _comments(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each comment; what is never closed is none."""
    start, end, edge = text.find("<!--"), 0, 0
    while start >= 0:
        if end < start:
            end = text.find("-->", start + len("<!--"))
            if end < 0:
                return
        if edge < start:
            edge = text.find("\0", start)
        is_whole = edge < 0 or end < edge
        if is_whole:
            yield start, end + len("-->")
        start = text.find("<!--", end if is_whole else start + 1)
        edge = len(text) if edge < 0 else edge


_SEEN: Final = re.compile(r"\S")
_COUNT: Final = re.compile(r"\A\s*(?:\d{1,3}(?:\.\d{1,3})+(?=\s)|(?:[^\W\d_]+\s?)?\d{1,2}(?![\w.,]|\s?[%€$£¥]))")
"""What opens a heading: its own number, or a count of what follows, after one word at most."""


def without_marks(text: str) -> str:
    """A text without the marks of emphasis, which may stand inside of a number."""
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
    """The URLs and mail addresses in a text, each with its form for comparison."""
    lines = Lines(text)
    for match in _ADDRESS.finditer(text) if "." in text or "/" in text else ():
        words = match[0].rstrip(".,;:!?*_~")
        yield Claim(lines.of(match.start()), "address", words, words.lower() if match["mail"] else _normal(words))


def hosts(text: str) -> Iterator[str]:
    """Every word of a text that may be a host, with or without a path, in the form for comparison."""
    return (_normal(match[0].rstrip(_AT_THE_END)) for match in _DOTTED.finditer(text))


def without_addresses(text: str) -> str:
    """A text with spaces in place of its addresses."""
    return _ADDRESS.sub(blank, text) if "." in text or "/" in text else text


def _normal(url: str) -> str:
    """Host, path and query of a URL, without scheme, `www.`, fragment and the slash at its end."""
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
    """The host of an address in the form for comparison."""
    return re.split("[/?]", normal.rpartition("@")[2], maxsplit=1)[0]


def parents(normal: str) -> Iterator[str]:
    """An address and those above it."""
    yield normal
    for match in list(re.finditer("[/?]", normal))[:_MOST_PARTS]:
        yield normal[: match.start()]
