"""The sections of a body: cut at its headings by source lines, so that they join to the very text again.

Headings are what Markdown takes for headings (ATX and setext) at the top level: none inside of fenced or indented code,
HTML, block quotes and lists.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def cut(body: str) -> tuple[Section, ...]:
    """The sections of a body in order; their texts joined are the body. Empty for an empty body."""
    starts, lines = [(0, 0, ""), *_found(body)], [0]
    while (end := body.find("\n", lines[-1])) >= 0:
        lines.append(end + 1)
    seen: Counter[tuple[int, str]] = Counter()
    sections = []
    ends = [lines[line] for line, _, _ in starts[1:]] + [len(body)]
    for (line, level, heading), end in zip(starts, ends, strict=True):
        if lines[line] == end:
            continue  # nothing before the first heading
        seen[level, heading] += 1
        sections.append(Section(Key(level, heading, seen[level, heading]), body[lines[line] : end]))
    return tuple(sections)


def headings(body: str) -> tuple[str, ...]:
    """The headings of a body in order, without their marks; empty ones are left out."""
    return tuple(heading for _, _, heading in _found(body) if heading)


def main_heading(body: str) -> str:
    """The first heading of the first level of a body, without its marks; empty if there is none."""
    return next((heading for _, level, heading in _found(body) if level == 1 and heading), "")


def bare(heading: str) -> str:
    """A heading as it is compared: without marks before it and in it, and whatever its spaces and its case."""
    return " ".join(heading.replace("*", "").replace("`", "").split()).lstrip("# ").casefold()


def _found(body: str) -> Iterator[tuple[int, int, str]]:
    """The headings of a body: the line each starts at (from 0), its level and its text."""
    tokens: list[Token] = []
    parser = _parser()
    parser.block.parse(body, parser, {}, tokens)
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            yield token.map[0], int(token.tag[1:]), inline.content.replace("\n", " ")


@functools.cache
def _parser() -> MarkdownIt:
    """The block rules of CommonMark alone: what stands inside of a line makes no section."""
    # Loaded here: a plan that has nothing to do reads no body.
    from markdown_it import MarkdownIt

    # Definitions of links end no section, and looking for them is slow in hostile texts.
    return MarkdownIt("commonmark").disable("reference")
