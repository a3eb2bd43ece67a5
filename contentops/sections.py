"""The sections of a body: cut at its headings by source lines, so that they join to the very text again.

Headings are what Markdown takes for headings (ATX and setext) at the top level: none inside of fenced or indented code,
HTML, block quotes and lists. The client and the bundled server both cut here, so that they mean the same section.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token


class Key(NamedTuple):
    """What makes a section the same one in another text. Level 0 is the text before the first heading."""

    level: int
    heading: str
    number: int
    """Which of the sections with this heading and level it is, from 1."""


class Section(Struct, frozen=True):
    """One heading with what follows it up to the next heading of any level."""

    key: Key
    text: str
    """Its lines as they are, heading included."""


class Heading(NamedTuple):
    """One heading of a body: its lines (from 0, `end` is the first after it), its level, its text without marks."""

    first: int
    end: int
    level: int
    text: str


class Span(Struct, frozen=True):
    """A section together with the deeper ones under it, as offsets into its body."""

    heading: str
    level: int
    start: int
    """Where its heading begins."""
    text: int
    """Where the text under its heading begins."""
    below: int
    """Where the first deeper heading under it begins; `end` where there is none."""
    end: int
    """Where the next heading of its level or a higher one begins, or the body ends."""


def cut(body: str) -> tuple[Section, ...]:
    """The sections of a body in order; their texts joined are the body. Empty for an empty body."""
    starts, lines = [Heading(0, 0, 0, ""), *parse_headings(body)], _offsets(body)
    seen: Counter[tuple[int, str]] = Counter()
    sections = []
    ends = [lines[each.first] for each in starts[1:]] + [len(body)]
    for (line, _, level, heading), end in zip(starts, ends, strict=True):
        if lines[line] == end:
            continue  # nothing before the first heading
        seen[level, heading] += 1
        sections.append(Section(Key(level, heading, seen[level, heading]), body[lines[line] : end]))
    return tuple(sections)


def spans(body: str, heading: str) -> tuple[Span, ...]:
    """Every section of a body that `heading` names, in order: with or without marks, whatever its spaces and case."""
    wanted = bare(heading)
    known = tuple(parse_headings(body))
    return tuple(_span(body, known, at) for at, each in enumerate(known) if wanted and bare(each.text) == wanted)


def _span(body: str, known: Sequence[Heading], at: int) -> Span:
    lines, own = _offsets(body), known[at]
    rest = known[at + 1 :]
    end = next((lines[each.first] for each in rest if each.level <= own.level), len(body))
    below = lines[rest[0].first] if rest else len(body)
    text = lines[own.end] if own.end < len(lines) else len(body)
    return Span(own.text, own.level, lines[own.first], text, below, end)


def _offsets(body: str) -> list[int]:
    """Where each line of a body begins."""
    lines = [0]
    while (end := body.find("\n", lines[-1])) >= 0:
        lines.append(end + 1)
    return lines


def headings(body: str) -> tuple[str, ...]:
    """The headings of a body in order, without their marks; empty ones are left out."""
    return tuple(each.text for each in parse_headings(body) if each.text)


def main_heading(body: str) -> str:
    """The first heading of the first level of a body, without its marks; empty if there is none."""
    return next((each.text for each in parse_headings(body) if each.level == 1 and each.text), "")


_ESCAPE = re.compile(r"\\(?=[^\w\s])")


def bare(heading: str) -> str:
    """A heading as it is compared: without marks around it and in it, and whatever its spaces and its case."""
    # Loaded here: a plan that has nothing to do compares no heading.
    import html

    # Escapes differ between writers: `R\&D`, `R&amp;D` and `R&D` are one heading to a reader.
    plain = html.unescape(_ESCAPE.sub("", _unmarked(heading.strip())))
    return " ".join(plain.replace("*", "").replace("`", "").split()).lstrip("# ").casefold()


def _unmarked(line: str) -> str:
    """A heading without the marks before it, and without those that close it where there are some before it."""
    inner = line.lstrip("#")
    if inner == line or not inner[:1].isspace():
        return line
    inner = inner.strip()
    closed = inner.rstrip("#")
    return closed.rstrip() if closed[-1:].isspace() else inner


def parse_headings(body: str) -> Iterator[Heading]:
    """The headings of a body in order."""
    tokens: list[Token] = []
    parser = _parser()
    # The parser knows the end of a line by its last character alone, and a blank before that means nothing.
    parser.block.parse(body.replace("\r\n", " \n"), parser, {}, tokens)
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            first, end = token.map
            yield Heading(first, end, int(token.tag[1:]), inline.content.replace("\n", " "))


def raw_html(body: str) -> str:
    """The HTML of a body that Markdown leaves as it is: its blocks and tags of HTML, without words and code."""
    tokens = _parser().parse(body)
    pieces = (piece for token in tokens for piece in (token, *(token.children or ())))
    return "".join(piece.content for piece in pieces if piece.type in {"html_block", "html_inline"})


@functools.cache
def _parser() -> MarkdownIt:
    """The rules of CommonMark."""
    # Loaded here: a plan that has nothing to do reads no body.
    from markdown_it import MarkdownIt

    # Definitions of links end no section, and looking for them is slow in hostile texts.
    return MarkdownIt("commonmark").disable("reference")
