"""Lays out text for a terminal: colours, tables, nested values and wrapped lines.

All colour codes are written here, around escaped words, so that no text can start, end or break one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from contentops.model import Json
from contentops.sanitize import ELLIPSIS, columns, json_text, visible

_CODES = {
    "add": "32",  # green: new, or done
    "change": "33",  # yellow: other words; bold: look at it
    "warning": "1;33",
    "keep": "34",  # blue: the same words, used, moved or saved
    "remove": "31",  # red: gone; bold: failed, or stopped until you decide
    "error": "1;31",
    "held": "1;31",
    "unknown": "1;35",  # magenta: no one knows whether it was paid for
    "hint": "36",  # cyan: what you can do; bold: what to know
    "note": "1;36",
    "dim": "2",  # grey: nothing to do, such as what waits for another item, or is free
    "strong": "1",
    "plain": "",
}
"""The colour of each style. A colour has one meaning, and words say the same."""


_PAINT = re.compile(r"\x1b\[[0-9;]*m")


def unpainted(text: str) -> str:
    """Return `text` without colour codes."""
    return _PAINT.sub("", text)


def paint(text: str, style: str) -> str:
    """Return `text` in the colour of a style (`error`, `add`, `dim`, ...)."""
    code = _CODES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text


# --- tables ------------------------------------------------------------------------------------------------

_GAP = 2
_LEAST = 8
"""The columns that a cell keeps, even on a very narrow terminal."""


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int = 0,
    sparse: bool = False,
    whole: Collection[str] = (),
) -> str:
    """Return a table as text, with columns two spaces apart under their heads. Cells are sanitized.

    `sparse` leaves out columns whose cells are all empty. `width` is the most columns of a line, or 0 for no limit.
    Cells are cut to fit, the widest first and the first column last. Cells under a head in `whole` are never cut.
    """
    safe = [list(head), *([visible(cell) for cell in row] for row in rows)]
    shown = [at for at in range(len(head)) if not sparse or any(row[at] for row in safe[1:])]
    safe = [[row[at] for at in shown] for row in safe]
    widths = [max(columns(row[at]) for row in safe) for at in range(len(shown))]
    if width:
        others = [at for at, name in enumerate(safe[0]) if at and name not in whole]
        widths = _narrowed(widths, width, (others, [0] if safe[0][0] not in whole else []))
    return "\n".join(
        (" " * _GAP).join(_cell(cell, room) for cell, room in zip(row, widths, strict=True)).rstrip() for row in safe
    )


def moment(time: str) -> str:
    """Return an ISO time without seconds, such as `2026-03-01T10:00Z`. Any other text stays unchanged."""
    try:
        when = datetime.fromisoformat(time)
    except ValueError:
        return time
    return when.isoformat(timespec="minutes").replace("+00:00", "Z") if "T" in time else time


def _narrowed(widths: Sequence[int], width: int, groups: Sequence[Sequence[int]]) -> list[int]:
    narrowed = list(widths)
    for group in groups:
        over = sum(narrowed) + _GAP * (len(narrowed) - 1) - width
        while over > 0 and group:
            widest = max(group, key=lambda at: narrowed[at])
            if narrowed[widest] <= _LEAST:
                break
            narrowed[widest] -= 1
            over -= 1
    return narrowed


def cut(text: str, room: int, *, is_start: bool = False) -> str:
    """Shorten `text` to at most `room` columns. An ellipsis replaces the omitted end (or start)."""
    if columns(text) <= room:
        return text
    while text and columns(text) >= room:
        text = text[1:] if is_start else text[:-1]
    return ELLIPSIS + text if is_start else text + ELLIPSIS


def _cell(text: str, room: int) -> str:
    shown = cut(text, room)
    return shown + " " * (room - columns(shown))


# --- nested values -----------------------------------------------------------------------------------------


def outline(values: Mapping[str, Json], *, indent: str = "") -> Iterator[str]:
    """Yield indented lines that show nested values. Texts keep their line breaks, and other values are JSON."""
    for key, value in values.items():
        name = f"{indent}{paint(visible(key), 'strong' if not indent else 'plain')}:"
        if isinstance(value, dict) and value:
            yield name
            yield from outline(value, indent=f"{indent}  ")
        elif isinstance(value, str) and "\n" in value:
            yield f"{name} |"
            yield from (f"{indent}  {visible(line)}" for line in value.split("\n"))
        elif isinstance(value, str):
            yield f"{name} {visible(value)}".rstrip()
        else:
            yield f"{name} {json_text(value, indent=None)}"


# --- long lines --------------------------------------------------------------------------------------------

# Text in backticks stays whole, because people copy it.
_PIECES = re.compile(r"`[^`]*`\S*|\S+")
_WORDS = re.compile(r"\S+")
_LEAD = re.compile(r" *(?:(?<= )\S (?=\S))?")


def fitted(text: str, width: int) -> str:
    """Wrap the lines of `text` that are wider than `width` columns. If `width` is 0, nothing is wrapped.

    Wrapped lines are indented to the first word, or to the word after a sign such as `+`. Text in backticks is wrapped
    only if it is wider than a line. A word is never broken.
    """
    return text if width <= 0 else "\n".join(_fit(line, width) for line in text.split("\n"))


def _fit(line: str, width: int) -> str:
    if _columns(line) <= width:
        return line
    lead = _LEAD.match(unpainted(line))
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
    """Yield the start and the end of each piece of a line that must not be split."""
    for piece in _PIECES.finditer(line):
        if _columns(piece[0]) <= width:
            yield piece.span()
        else:
            yield from (word.span() for word in _WORDS.finditer(line, *piece.span()))


def _columns(text: str) -> int:
    return columns(unpainted(text))
