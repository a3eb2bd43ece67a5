"""Measure the CPU time of starting contentops, against a Python process that does nothing.

python benchmarks/starting.py [--runs 21]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import timing
import tree


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="contentops-bench-") as name:
        folder = Path(name, "empty")
        tree.declare(folder, 0)
        (folder / "content" / "none.yaml").write_text("items: []\n", encoding="utf-8")
        commands = {
            "`contentops --version`": ("--version",),
            "`contentops --help`": ("--help",),
            "`contentops plan`, no item": ("plan",),
        }
        sides = {name: partial(timing.spent, [*timing.CONTENTOPS, *words], folder) for name, words in commands.items()}
        sides["nothing"] = partial(timing.spent, [sys.executable, "-c", "pass"], folder)
        found = timing.interleaved(sides, options.runs)
    nothing = found["nothing"].cpu
    timing.head()
    for name, words in commands.items():
        taken = found[name].cpu
        most = 4 if words == ("--version",) else None
        timing.row(name, timing.seconds(taken), f"{timing.seconds(nothing)}, `python -c pass`", taken / nothing, most)


if __name__ == "__main__":
    main()
