"""Measure the CPU time of loading a project's manifests, and of checking them against the schema.

    python benchmarks/loading.py [--items 10000] [--changed 10000] [--runs 3]

Three projects have the same size: one manifest with an item per row of a CSV file, one manifest that writes every item
out, and a hundred manifests. Only `load` is measured, in this process. Then `--changed` items are checked against the
schema: once all of them are valid, and once one in a hundred is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import timing
import tree

sys.path.insert(0, str(timing.ROOT))

from contentops.manifests.load import load
from contentops.manifests.project import load_project
from contentops.manifests.schema import check_schema
from contentops.yaml.read import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Project
    from contentops.yaml.positions import YamlDocument

SETTINGS = tree.SETTINGS
ROWS = """\
items:
  - id: "bench/{{ each.slug }}"
    for_each: data/rows.csv
    inputs: {topic: "{{ each.topic }} at {{ company }}", target_audience: readers}
    metadata: {tags: [a, b], date: "2026-03-01"}
"""


def shapes(count: int) -> dict[str, dict[str, str]]:
    """Return the files of the three projects, by the name of the project."""
    parts = [range(start, count, 100) for start in range(min(100, count))]
    rows = "".join(f"{number},Topic number {number}\n" for number in range(count))
    return {
        "rows of a CSV file": {"content/all.yaml": ROWS, "data/rows.csv": f"slug,topic\n{rows}"},
        "one manifest": {"content/all.yaml": "items:\n" + "".join(map(tree.item, range(count)))},
        "a hundred manifests": {
            f"content/{part.start}.yaml": "items:\n" + "".join(map(tree.item, part)) for part in parts
        },
    }


def loads(count: int, runs: int) -> None:
    """Print the time to load each of the three projects."""
    for name, files in shapes(count).items():
        with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
            for path, text in {"contentops.yaml": SETTINGS, **files}.items():
                target = Path(folder, path)
                target.parent.mkdir(exist_ok=True)
                target.write_text(text, encoding="utf-8")
            project = load_project(Path(folder))
            taken = statistics.median(loading(project) for _ in range(runs))
        timing.row(f"load {count:,} items from {name}", timing.seconds(taken))


def loading(project: Project) -> float:
    """Return the CPU seconds that one load of a project takes."""

    def action() -> None:
        assert load(project, None).specs

    return cpu(action)


def validations(count: int, runs: int) -> None:
    """Print the time to check valid items, and items of which some are invalid."""
    for what, bad in (("all valid", False), ("one in a hundred invalid", True)):
        read = [documents(start, bad=bad) for start in range(0, count, tree.PER_FILE)]
        each = statistics.median(cpu(partial(check_all, read)) for _ in range(runs)) / (len(read) * tree.PER_FILE)
        timing.row(f"schema check of each of {count:,} changed items, {what}", timing.seconds(each))


def check_all(read: list[YamlDocument]) -> None:
    """Check manifests against the schema, as `load` does."""
    for each in read:
        check_schema(each, "manifest")


def documents(start: int, *, bad: bool) -> YamlDocument:
    """Return a parsed manifest; if `bad`, one of its items is invalid."""
    items = "".join(map(tree.item, range(start, start + tree.PER_FILE)))
    if bad:
        items = items.replace("    tags: [bench]", "    tags: 7", 1)
    return read_yaml("content/items.yaml", f"items:\n{items}".encode())[0]


def cpu(action: Callable[[], object]) -> float:
    """Return the CPU seconds that this process spends on an action."""
    before = time.process_time()
    action()
    return time.process_time() - before


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--changed", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    timing.head()
    loads(options.items, options.runs)
    validations(options.changed, options.runs)


if __name__ == "__main__":
    main()
