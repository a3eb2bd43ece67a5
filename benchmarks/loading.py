"""CPU time of reading what a project declares: cold (no parse cache) and warm (every manifest unchanged).

    python benchmarks/loading.py [--items 10000] [--runs 5]

Three projects of the same size: one manifest with an item per row of a CSV file, one manifest that writes every item
out, and a hundred manifests. Printed are medians of CPU seconds of `load` alone, in this process, with a parse cache
that is a dict.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from contentops.manifests.load import load  # noqa: E402 - the checkout comes first on the path
from contentops.manifests.project import load_project  # noqa: E402

if TYPE_CHECKING:
    from contentops.model import Project

SETTINGS = """\
version: 1
project: bench
defaults: {template: blog_article_generator, style: general_blog, output: "out/{{ item.id }}.md"}
vars: {company: Example}
"""
ROWS = """\
items:
  - id: "bench/{{ each.slug }}"
    for_each: data/rows.csv
    inputs: {topic: "{{ each.topic }} at {{ company }}", target_audience: readers}
    metadata: {tags: [a, b], date: "2026-03-01"}
"""
ITEM = """\
  - id: bench/{0}
    inputs:
      topic: "Topic number {0} at {{{{ company }}}}"
      target_audience: readers
    metadata:
      tags: [a, b]
      date: 2026-03-01
"""


class Kept(dict[str, str]):
    """A parse cache in memory."""

    def put(self, key: str, value: str) -> None:
        """Store a text under a key."""
        self[key] = value


def main() -> None:
    """Prints one line for each project."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    count = asked.items
    parts = [range(start, count, 100) for start in range(min(100, count))]
    shapes = {
        "rows of a CSV file": {
            "content/all.yaml": ROWS,
            "data/rows.csv": "slug,topic\n" + "".join(f"{number},Topic number {number}\n" for number in range(count)),
        },
        "one manifest": {"content/all.yaml": "items:\n" + "".join(map(ITEM.format, range(count)))},
        "a hundred manifests": {
            f"content/{part.start}.yaml": "items:\n" + "".join(map(ITEM.format, part)) for part in parts
        },
    }
    for name, files in shapes.items():
        with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
            for path, text in {"contentops.yaml": SETTINGS, **files}.items():
                target = Path(folder, path)
                target.parent.mkdir(exist_ok=True)
                target.write_text(text, encoding="utf-8")
            show(name, load_project(Path(folder)), asked.runs)


def show(name: str, project: Project, runs: int) -> None:
    """One line: the medians of cold and warm loads, and the size of the cache."""
    kept = Kept()
    cold = statistics.median(spent(project, None) for _ in range(runs))
    spent(project, kept)
    warm = statistics.median(spent(project, kept) for _ in range(runs))
    size = sum(map(len, kept.values())) / (1 << 20)
    print(f"{name:<24} cold {cold:7.3f} s   warm {warm:7.3f} s   cache {size:6.1f} MB", flush=True)


def spent(project: Project, cache: Kept | None) -> float:
    """CPU seconds of one load."""
    before = time.process_time()
    found = load(project, None, cache)
    seconds = time.process_time() - before
    assert found.specs
    return seconds


if __name__ == "__main__":
    main()
