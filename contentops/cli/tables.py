"""Plain tables for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from contentops.sanitize import ELLIPSIS, columns, visible

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_GAP = 2
_LEAST = 8
"""Columns a cell keeps, however narrow the terminal."""


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int = 0,
    sparse: bool = False,
    whole: Collection[str] = (),
) -> str:
    """Columns two spaces apart under their heads; harmless whatever the cells hold, no spaces at line ends.

    Where `sparse`, a column whose cells are all empty is left out. Where `width` is not 0, cells are cut so that a line
    takes at most so many columns, the widest first; those of the first column, by which a row is named, only where
    nothing else is left to cut, and those under a head of `whole`, which say nothing when cut, never.
    """
    safe = [list(head), *([visible(cell) for cell in row] for row in rows)]
    kept = [at for at in range(len(head)) if not sparse or any(row[at] for row in safe[1:])]
    safe = [[row[at] for at in kept] for row in safe]
    widths = [max(columns(row[at]) for row in safe) for at in range(len(kept))]
    if width:
        widths = _narrowed(widths, width, {at for at, name in enumerate(safe[0]) if name in whole})
    return "\n".join(
        (" " * _GAP).join(_cell(cell, room) for cell, room in zip(row, widths, strict=True)).rstrip() for row in safe
    )


def moment(time: str) -> str:
    """An ISO time to the minute, such as `2026-03-01T10:00Z`; anything else as it is."""
    try:
        when = datetime.fromisoformat(time)
    except ValueError:
        return time
    return when.isoformat(timespec="minutes").replace("+00:00", "Z") if "T" in time else time


def _narrowed(widths: Sequence[int], width: int, whole: Collection[int]) -> list[int]:
    found = list(widths)
    others = [at for at in range(1, len(found)) if at not in whole]
    for group in (others, [0] if found else []):
        over = sum(found) + _GAP * (len(found) - 1) - width
        while over > 0 and group:
            widest = max(group, key=lambda at: found[at])
            if found[widest] <= _LEAST:
                break
            found[widest] -= 1
            over -= 1
    return found


def _cell(text: str, room: int) -> str:
    wide = columns(text)
    if wide > room:
        while columns(text) >= room:
            text = text[:-1]
        text += ELLIPSIS
        wide = columns(text)
    return text + " " * (room - wide)
