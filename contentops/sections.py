"""Cuts the body of a text into sections at its Markdown headings.

The texts of all sections, joined, are the body again. A heading (ATX or setext) counts only at the top level: not in
code, HTML, block quotes and lists. The client and the bundled server share this module, so they agree on sections.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


class Key(NamedTuple):
    """The key of a section. The key finds the section in another version of the text.

    Level 0 is the text before the first heading.
    """

    level: int
    heading: str
    number: int
    """The number among the sections with this heading and level, from 1."""


class Section(Struct, frozen=True):
    """A heading with the text after it, up to the next heading of any level."""

    key: Key
    text: str
    """Its lines, heading included."""


class Heading(NamedTuple):
    """A heading in a body: its first line (from 0), the line after it, its level, and its text without `#`."""

    first: int
    end: int
    level: int
    text: str


class Span(Struct, frozen=True):
    """A section with its subsections, as offsets into the body."""

    heading: str
    level: int
    start: int
    """The start of the heading."""
    text: int
    """The start of the text under the heading."""
    below: int
    """The start of the first deeper heading under it; `end` if there is none."""
    end: int
    """The start of the next heading of its level or a higher one, or the end of the body."""


def cut(body: str) -> tuple[Section, ...]:
    """Return the sections of a body in order. An empty body has none."""
    starts, lines = [Heading(0, 0, 0, ""), *parse_headings(body)], _offsets(body)
    counts: Counter[tuple[int, str]] = Counter()
    sections = []
    ends = [lines[each.first] for each in starts[1:]] + [len(body)]
    for (line, _, level, heading), end in zip(starts, ends, strict=True):
        if lines[line] == end:
            continue  # no text before the first heading
        counts[level, heading] += 1
        sections.append(Section(Key(level, heading, counts[level, heading]), body[lines[line] : end]))
    return tuple(sections)


def spans(body: str, heading: str) -> tuple[Span, ...]:
    """Return all sections whose heading is `heading`, in order. The comparison ignores `#`, spaces and case."""
    wanted = bare(heading)
    parsed = tuple(parse_headings(body))
    return tuple(_span(body, parsed, at) for at, each in enumerate(parsed) if wanted and bare(each.text) == wanted)


def _span(body: str, parsed: Sequence[Heading], at: int) -> Span:
    lines, own = _offsets(body), parsed[at]
    rest = parsed[at + 1 :]
    end = next((lines[each.first] for each in rest if each.level <= own.level), len(body))
    below = lines[rest[0].first] if rest else len(body)
    text = lines[own.end] if own.end < len(lines) else len(body)
    return Span(own.text, own.level, lines[own.first], text, below, end)


def _offsets(body: str) -> list[int]:
    """Return the offset at which each line of a body starts."""
    return [0, *(match.end() for match in re.finditer("\n", body))]


def headings(body: str) -> tuple[str, ...]:
    """Return the texts of all headings in order. Empty headings are left out."""
    return tuple(each.text for each in parse_headings(body) if each.text)


def main_heading(body: str) -> str:
    """Return the text of the first level-1 heading, or an empty text if there is none."""
    return next((each.text for each in parse_headings(body) if each.level == 1 and each.text), "")


_ESCAPE = re.compile(r"\\(?=[^\w\s])")


def bare(heading: str) -> str:
    """Return a heading for comparison: without Markdown marks, with single spaces, and case-folded."""
    # start-up: a plan without changes compares no heading
    import html

    # Escapes differ between writers: `R\&D`, `R&amp;D` and `R&D` are one heading for a reader.
    plain = html.unescape(_ESCAPE.sub("", _unmarked(heading.strip())))
    return " ".join(plain.replace("*", "").replace("`", "").split()).lstrip("# ").casefold()


def _unmarked(line: str) -> str:
    """Return a heading line without the `#` before its text, and without closing `#`.

    Closing `#` are removed only if there are `#` before the text.
    """
    inner = line.lstrip("#")
    if inner == line or not inner[:1].isspace():
        return line
    inner = inner.strip()
    closed = inner.rstrip("#")
    return closed.rstrip() if closed[-1:].isspace() else inner


def parse_headings(body: str) -> Iterator[Heading]:
    """Yield the headings of a body in order."""
    for token, inline in itertools.pairwise(parse_blocks(body)):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            first, end = token.map
            yield Heading(first, end, int(token.tag[1:]), inline.content.replace("\n", " "))


def parse_blocks(body: str) -> list[Token]:
    """Return the Markdown blocks of a body. Inline Markdown is not parsed, because that can be slow."""
    tokens: list[Token] = []
    parser = markdown_parser()
    # The parser knows only LF as the end of a line; a space before it has no meaning.
    parser.block.parse(body.replace("\r\n", " \n"), parser, {}, tokens)
    return tokens


def raw_html(body: str) -> str:
    """Return the raw HTML of a body: HTML blocks and inline tags, without text and code."""
    tokens = markdown_parser().parse(body)
    pieces = (piece for token in tokens for piece in (token, *(token.children or ())))
    return "".join(piece.content for piece in pieces if piece.type in {"html_block", "html_inline"})


MAX_NESTING: Final = 60
"""Levels of lists and quotations that are read; a list item counts two. The parser drops what is deeper or after it."""
# What opens a level takes a column, and a tab is four of them at most. A rule of dashes opens nothing.
_MAY_NEST: Final = re.compile(
    rf"^(?!-+$)(?:[ >*+\-\d.)]{{4}}|[ >*+\-\d.)]{{0,3}}\t){{{MAX_NESTING // 4 - 1}}}", re.MULTILINE
)


def nests_too_deep(body: str) -> bool:
    """Return whether lists or quotations in a body are nested more deeply than the Markdown parser can read."""
    return _MAY_NEST.search(body) is not None and any(
        token.level >= MAX_NESTING - 2 for token in parse_blocks(body) if token.type != "inline"
    )


@functools.cache
def markdown_parser() -> MarkdownIt:
    """Return the Markdown parser: CommonMark with the tables and strikethrough of GitHub.

    Definitions of links are not parsed and stay in the text: parsing them is slow in hostile texts.
    """
    # start-up: a plan without changes reads no body
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING})
    return parser.disable("reference").enable(["table", "strikethrough"])


def has_words(text: str) -> bool:
    """Return whether `text` has a visible character: a letter, number, punctuation mark or symbol."""
    return any(each not in _FILLERS and unicodedata.category(each)[0] in "LNPS" for each in text)


_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols without a form: Hangul's fillers, and braille without a dot."""
