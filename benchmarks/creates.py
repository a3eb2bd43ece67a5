"""Whether the report of a large plan needs a second copy of it: peaks of a plan of creates, with a report and without.

    python benchmarks/creates.py [--items 100000] [--runs 1]

The floor is a process that makes the same plan and prints nothing. Peaks are of whole processes, from a warm cache.
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
    """Print the table."""
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
        case = f"plan of {options.items:,} creates as {name}, peak"
        measured, floor = f"{found[name].peak:.0f} MB", f"{none.peak:.0f} MB, no report"
        timing.row(case, measured, floor, found[name].peak / none.peak, 1.2)
    for name in formats:
        case, taken = f"the same as {name}, CPU", found[name].cpu
        floor = f"{timing.seconds(none.cpu)}, no report"
        timing.row(case, timing.seconds(taken), floor, taken / none.cpu)


if __name__ == "__main__":
    main()
