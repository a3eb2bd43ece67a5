"""Shows the graph of items, and of the texts that they use, as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contentops.errors import plural
from contentops.model import ItemId, Json
from contentops.model.desired import ItemGraph
from contentops.reporting.layout import paint, table

_ROWS: Final = 200
"""The most items that the text shows."""
_SOURCES: Final = 5
"""The most sources, and mentions, of an item that the text shows."""


def graph_text(graph: ItemGraph, *, width: int = 0) -> str:
    """Return a line for each item, sources first, and a line with the counts.

    Lines have at most `width` columns. If it is 0, there is no limit.
    """
    if not graph.items:
        return "No item uses the text of another one."
    rows = [(item.id, item.state, _some(item.sources), _some(item.mentions)) for item in graph.items[:_ROWS]]
    heads = ("ITEM", "STATE", "MADE FROM", "MENTIONS")
    head, *lines = table(heads, rows, width=width, sparse=True, whole=("STATE",)).split("\n")
    references = sum(len(item.sources) + len(item.mentions) for item in graph.items)
    counts = f"{plural(len(graph.items), 'item')}, {plural(references, 'reference')}."
    if graph.alone:
        counts += f" {plural(graph.alone, 'other item')} without references."
    if hidden := len(graph.items) - len(rows):
        counts += f"\n{hidden:,} more: `--select` shows a part, `--json` all of them."
    return "\n".join([paint(head, "dim"), *lines, "", counts])


def _some(ids: Sequence[ItemId]) -> str:
    shown, rest = ids[:_SOURCES], len(ids) - _SOURCES
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")


def graph_json(graph: ItemGraph) -> dict[str, Json]:
    """Return as JSON the items with their sources, and the number of items that neither have nor are sources."""
    items = [
        {
            "id": item.id,
            "state": item.state,
            "output": item.output,
            "sources": list(item.sources),
            **({"mentions": list(item.mentions)} if item.mentions else {}),
        }
        for item in graph.items
    ]
    return {"items": items, "alone": graph.alone}
