"""CPU time of reading what a project declares, and of checking it against its schema.

    python benchmarks/loading.py [--items 10000] [--changed 10000] [--runs 3]

Three projects of the same size: one manifest with an item per row of a CSV file, one manifest that writes every item
out, and a hundred manifests. Measured is `load` alone, in this process. Then the schema: what it takes to check as many
items as `--changed` says, all of which fit, or of which one in a hundred does not.
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
    """The files of the three projects."""
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
    """A row for each project."""
    for name, files in shapes(count).items():
        with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
            for path, text in {"contentops.yaml": SETTINGS, **files}.items():
                target = Path(folder, path)
                target.parent.mkdir(exist_ok=True)
                target.write_text(text, encoding="utf-8")
            project = load_project(Path(folder))
            taken = statistics.median(loading(project) for _ in range(runs))
        timing.row(f"load {count:,} items, {name}", timing.seconds(taken))


def loading(project: Project) -> float:
    """CPU seconds of one load."""

    def action() -> None:
        assert load(project, None).specs

    return cpu(action)


def validations(count: int, runs: int) -> None:
    """Two rows: of items that fit, and of some that do not."""
    for what, bad in (("all of which fit", False), ("of which one in a hundred does not", True)):
        read = [documents(start, bad=bad) for start in range(0, count, tree.PER_FILE)]
        each = statistics.median(cpu(partial(check_all, read)) for _ in range(runs)) / (len(read) * tree.PER_FILE)
        timing.row(f"schema of {count:,} changed items, {what}, each", timing.seconds(each))


def check_all(read: list[YamlDocument]) -> None:
    """Check manifests against the schema as a load does."""
    for each in read:
        check_schema(each, "manifest")


def documents(start: int, *, bad: bool) -> YamlDocument:
    """A manifest as it was read; `bad`: with one item that does not fit."""
    items = "".join(map(tree.item, range(start, start + tree.PER_FILE)))
    if bad:
        items = items.replace("    tags: [bench]", "    tags: 7", 1)
    return read_yaml("content/items.yaml", f"items:\n{items}".encode())[0]


def cpu(action: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    before = time.process_time()
    action()
    return time.process_time() - before


def main() -> None:
    """Print the table."""
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
