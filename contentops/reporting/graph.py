"""The graph of items as text, JSON, and source for Mermaid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from contentops.errors import plural
from contentops.model import ItemId, Json
from contentops.model.desired import ItemGraph
from contentops.reporting.layout import paint, table
from contentops.sanitize import visible

_ROWS: Final = 200
"""The most items that the text shows."""
_SOURCES: Final = 5
"""The most sources, and mentions, of an item that the text shows."""
_PLAIN: Final = re.compile(r"[^\w/ -]")


def graph_text(graph: ItemGraph, *, width: int = 0) -> str:
    """A line per item, after its sources, of at most `width` columns (0: any); the last line counts."""
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
    """The items with their sources, and how many are left out because they have no references."""
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


def graph_mermaid(graph: ItemGraph) -> str:
    """The source of a flowchart; each arrow goes from a source to what is made from it, dashed to what mentions it."""
    ids = dict.fromkeys(item.id for item in graph.items)
    ids |= dict.fromkeys(source for item in graph.items for source in (*item.sources, *item.mentions))
    nodes = {id_: f"n{number}" for number, id_ in enumerate(ids)}
    states = {item.id: item.state for item in graph.items}
    lines = ["flowchart LR"]
    for id_, node in nodes.items():
        words = "<br>".join(filter(None, (_mermaid(id_), _mermaid(states.get(id_, "")))))
        lines.append(f'  {node}["{words}"]')
    for item in graph.items:
        lines += (f"  {nodes[source]} --> {nodes[item.id]}" for source in item.sources)
        lines += (f"  {nodes[source]} -.-> {nodes[item.id]}" for source in item.mentions)
    return "\n".join(lines)


def _mermaid(text: str) -> str:
    """Text as it may be inside quotes; all that could be syntax, Markdown or HTML becomes a character code."""
    return _PLAIN.sub(lambda match: f"#{ord(match[0])};", visible(text))
