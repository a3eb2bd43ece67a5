"""Long lines fitted to a terminal, which would break them in the middle of a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contentops.sanitize import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is between backticks stays whole: it is to be copied.
_PIECES = re.compile(r"`[^`]*`\S*|\S+")
_WORDS = re.compile(r"\S+")
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_LEAD = re.compile(r" *(?:(?<= )\S (?=\S))?")


def fitted(text: str, width: int) -> str:
    """`text` with its lines broken between words where they are wider than `width` columns; 0 leaves them.

    What follows a break stands under the first word of its line, or under that after a sign such as `+`. What is
    between backticks is broken only if it is wider than a line, and a word never is.
    """
    return text if width <= 0 else "\n".join(_fit(line, width) for line in text.split("\n"))


def _fit(line: str, width: int) -> str:
    if _columns(line) <= width:
        return line
    lead = _LEAD.match(_PAINT.sub("", line))
    indent = " " * (lead.end() if lead else 0)
    lines: list[str] = []
    start = 0
    row_end = 0
    for begin, end in _pieces(line, width - len(indent)):
        wide = _columns(line[start:end]) + (len(indent) if lines else 0) > width
        # A word that fits on no line is broken by the terminal in any case.
        if row_end > start and wide and _columns(line[begin:end]) <= width - len(indent):
            lines.append((indent if lines else "") + line[start:row_end])
            start = begin
        row_end = end
    lines.append((indent if lines else "") + line[start:])
    return "\n".join(lines)


def _pieces(line: str, width: int) -> Iterator[tuple[int, int]]:
    """Where what must not be broken begins and ends."""
    for piece in _PIECES.finditer(line):
        if _columns(piece[0]) <= width:
            yield piece.span()
        else:
            yield from (word.span() for word in _WORDS.finditer(line, *piece.span()))


def _columns(text: str) -> int:
    return columns(_PAINT.sub("", text))
