"""Measure how much memory the report of a large plan needs in addition to the plan.

    python benchmarks/creates.py [--items 100000] [--runs 1]

Every change of the plan creates an item. The floor is a process that makes the same plan and prints nothing. Peaks are
those of whole processes with a warm cache.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import timing
import tree

NOTHING = """\
from contentops.operations import plan, workspace
from contentops.operations import opening
from contentops.planning.sides import Choice

assert plan.plan(opening.open_project("", "", ()), Choice()).changes
"""


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="contentops-bench-") as name:
        folder = Path(name, "creates")
        tree.declare(folder, options.items)
        formats = ("text", "json", "markdown")
        plan = [*timing.CONTENTOPS, "plan", "--format"]
        sides = {name: partial(timing.spent, [*plan, name], folder) for name in formats}
        sides["none"] = partial(timing.spent, [sys.executable, "-"], folder, script=NOTHING)
        timing.spent([*plan, "text"], folder)
        found = timing.interleaved(sides, options.runs)
    none = found["none"]
    timing.head()
    for name in formats:
        case = f"peak memory of a plan that creates {options.items:,} items, as {name}"
        measured, floor = f"{found[name].peak:.0f} MB", f"{none.peak:.0f} MB, no report"
        timing.row(case, measured, floor, found[name].peak / none.peak, 1.2)
    for name in formats:
        case, taken = f"CPU time of a plan that creates {options.items:,} items, as {name}", found[name].cpu
        floor = f"{timing.seconds(none.cpu)}, no report"
        timing.row(case, timing.seconds(taken), floor, taken / none.cpu)


if __name__ == "__main__":
    main()
