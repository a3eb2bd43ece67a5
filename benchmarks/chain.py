"""Measure a chain of items, each made from the text of the item before it, against independent items.

    python benchmarks/chain.py [--items 500] [--runs 3]

Each project is fresh and uses the bundled server, which answers at once. One floor is an apply of as many items whose
templates are as long but refer to no other item; the difference is the cost of the dependence. The other floor is an
apply of items without templates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

import timing

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {
    "version": 1,
    "project": "bench",
    "api": {"base_url": "local"},
    "vars": {"team": "editors"},
    "defaults": {"template": "blog_article_generator", "style": "general_blog"},
}


SOURCES = {
    "chain": " after {{{{ ref('item-{}').title | truncate(40) }}}}",
    "templates": " not after {{{{ ('item-{}' ~ team).title() | truncate(40) }}}}",
    "plain": " not after {}",
}
"""What the topic of each item says of the one before."""


def declare(folder: Path, items: int, kind: str) -> None:
    """Write a project of one `kind`: a chain, or independent items with or without templates."""
    source = SOURCES[kind]
    topics = ("Item 0", *(f"Item {number + 1}{source.format(number)}" for number in range(items - 1)))
    declared = [
        {"id": f"item-{number}", "inputs": {"topic": topic, "target_audience": "readers"}}
        for number, topic in enumerate(topics)
    ]
    (folder / "content").mkdir(parents=True)
    (folder / "contentops.yaml").write_text(json.dumps(SETTINGS), encoding="utf-8")
    (folder / "content/items.yaml").write_text(json.dumps({"items": declared}), encoding="utf-8")


def applied(folder: Path, items: int, count: itertools.count[int], kind: str) -> timing.Spent:
    """Return the time and memory that one apply of a fresh project takes."""
    project = folder / str(next(count))
    declare(project, items, kind)
    taken = timing.spent([*timing.CONTENTOPS, "apply", "--yes"], project)
    shutil.rmtree(project)
    return taken


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    count = itertools.count()
    with timing.scratch() as folder:
        sides = {kind: partial(applied, folder, options.items, count, kind) for kind in SOURCES}
        found = timing.interleaved(sides, options.runs)
    timing.head()
    chain, case = found.pop("chain"), f"apply of a chain of {options.items:,} items"
    for kind, bound in (("templates", 1.5), ("plain", None)):
        floor, name = found[kind], f"{options.items:,} items without references, {kind}"
        ratio = chain.wall / floor.wall
        timing.row(
            f"{case}, on the wall", timing.seconds(chain.wall), f"{timing.seconds(floor.wall)}, {name}", ratio, bound
        )
        ratio = chain.cpu / floor.cpu
        timing.row(f"{case}, CPU", timing.seconds(chain.cpu), f"{timing.seconds(floor.cpu)}, {name}", ratio)


if __name__ == "__main__":
    main()
