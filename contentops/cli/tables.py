"""Plain tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.report.safe import columns, visible

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart under their heads; harmless whatever the cells hold, no spaces at line ends."""
    safe = [list(head), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(columns(row[at]) for row in safe) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in safe
    )
