"""Measure how long contentops takes to find that nothing has changed.

    python benchmarks/noop.py [--items 10000 100000] [--runs 5]

Also measured are a plan with one changed item, an apply with nothing to do, and a cold plan (without `.contentops`).
The trees of `tree.py` are in git. A plan, without the time that Python needs to start with the same imports, is
compared with `git status --porcelain`. A whole plan is compared with `floor.py`, a minimal program for the same task.
A cold plan is compared with PyYAML's C loader, with a hundred items in a manifest and with all items in one manifest.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import timing
import tree

LARGE = 50_000
"""From so many items on, the bounds are those of 100,000, and nothing runs more than three times."""
FLOOR = str(Path(__file__).with_name("floor.py"))
PLAN = (*timing.CONTENTOPS, "plan", "--detailed-exitcode")
IMPORTS = """\
import contextlib, gc, os
gc.disable()
for name in {}:
    with contextlib.suppress(ImportError):  # a plan tries some in vain, too
        __import__(name)
os._exit(0)
"""
"""What a plan imports, and an end as it has."""
CHANGES = 2
"""Exit code of a plan with changes."""


class Most(NamedTuple):
    """The upper bounds for the ratios, and for the peaks of memory in MB."""

    git: float
    floor: float
    loader: float
    warm: float
    cold: float
    changed: float
    """CPU seconds of a plan that reads everything again because one item has changed."""


SMALL_TREE, LARGE_TREE = Most(4, 1.2, 3, 60, 200, 2), Most(4, 0.9, 3, 150, 1500, 20)


def measure(folder: Path, count: int, runs: int) -> None:
    """Measure a project of `count` items, and print its rows."""
    tree.grow(folder, count)
    run = partial(timing.spent, folder=folder)
    run([sys.executable, FLOOR, "set-up"])
    time.sleep(tree.GRAIN)  # a plan is remembered once nothing beside it is new
    run(PLAN)
    imports = IMPORTS.format(modules(folder))
    changed, original = folder / "content" / "000000.yaml", (folder / "content" / "000000.yaml").read_text()
    numbers = iter(range(10**6))

    def one_changed() -> timing.Spent:
        changed.write_text(original.replace("Topic 0:", f"Topic {next(numbers)} and more:"))
        found = run(PLAN, codes=[CHANGES])
        changed.write_text(original)
        time.sleep(tree.GRAIN)
        run(PLAN)
        return found

    warm = timing.interleaved(
        {
            "plan": lambda: run(PLAN),
            "imports": lambda: run([sys.executable, "-"], script=imports),
            "git": lambda: run(["git", "status", "--porcelain"]),
            "floor": lambda: run([sys.executable, FLOOR, "plan"]),
            "changed": one_changed,
            "apply": lambda: run([*timing.CONTENTOPS, "apply", "--yes"]),
        },
        min(runs, 3) if count >= LARGE else runs,
    )
    show(f"{count:,} items: ", LARGE_TREE if count >= LARGE else SMALL_TREE, warm)
    show_cold(folder, f"{count:,} items: ", LARGE_TREE if count >= LARGE else SMALL_TREE, min(runs, 3))


def measure_one_manifest(folder: Path, count: int, runs: int) -> None:
    """Measure a cold plan of a project with all items in one manifest, and print its rows."""
    tree.grow(folder, count, count)
    show_cold(folder, f"{count:,} items in one manifest: ", SMALL_TREE, min(runs, 3))


def show(size: str, most: Most, found: dict[str, timing.Spent]) -> None:
    """Print the rows of a project of one size; `found` has the measurements."""
    plan, git, floor = (found[name] for name in ("plan", "git", "floor"))
    above, imports, shown = plan.cpu - found["imports"].cpu, timing.seconds(found["imports"].cpu), timing.seconds
    case, status = f"{size}plan without start-up ({imports})", f"{shown(git.cpu)}, `git status`"
    timing.row(case, shown(above), status, above / git.cpu, most.git)
    timing.row(f"{size}plan", shown(plan.cpu), f"{shown(floor.cpu)}, the prototype", plan.cpu / floor.cpu, most.floor)
    peaks = f"{plan.peak:.0f} MB", f"{floor.peak:.0f} MB"
    timing.row(f"{size}peak memory of a plan, MB", *peaks, plan.peak, most.warm)
    for name, what, bound in (
        ("changed", "plan with one item changed", most.changed),
        ("apply", "`apply --yes` with nothing to do", 1.2),
    ):
        taken = found[name].cpu
        figure = taken if name == "changed" else taken / plan.cpu
        timing.row(f"{size}{what}", shown(taken), f"{shown(plan.cpu)}, the plan", figure, bound)


def show_cold(folder: Path, size: str, most: Most, runs: int) -> None:
    """Measure a cold plan in `runs` runs, and print its rows."""
    run, shown = partial(timing.spent, folder=folder), timing.seconds

    def cold() -> timing.Spent:
        shutil.rmtree(folder / ".contentops", ignore_errors=True)
        return run(PLAN)

    sides = {
        "cold": cold,
        "loader": lambda: run([sys.executable, FLOOR, "load"]),
        "events": lambda: run([sys.executable, FLOOR, "events"]),
    }
    plan, loader, events = timing.interleaved(sides, runs).values()
    case, measured = f"{size}cold plan", shown(plan.cpu)
    timing.row(case, measured, f"{shown(loader.cpu)}, `CSafeLoader`", plan.cpu / loader.cpu, most.loader)
    timing.row(case, measured, f"{shown(events.cpu)}, libyaml parsing without loading", plan.cpu / events.cpu)
    peaks = f"{plan.peak:.0f} MB", f"{loader.peak:.0f} MB"
    timing.row(f"{size}peak memory of a cold plan, MB", *peaks, plan.peak, most.cold)


def modules(folder: Path) -> list[str]:
    """Return the modules that a plan without changes imports in addition to those of Python's start, in order."""
    bare = set(imported(folder, "-c", "pass"))
    found = imported(folder, "-m", "contentops", "plan")
    return [name for name in found if name not in bare and name != "contentops.__main__"]


def imported(folder: Path, *words: str) -> list[str]:
    """Return the modules that Python imports to run a command line."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, cwd=folder, env=timing.environment(), capture_output=True, text=True, check=True)
    return re.findall(r"^import time:\s*\d+ \|\s*\d+ \|\s*(\S+)$", done.stderr, re.MULTILINE)


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    timing.head()
    for count in options.items:
        with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
            measure(Path(folder), count, options.runs)
    for count in filter(LARGE.__gt__, options.items):
        with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
            measure_one_manifest(Path(folder), count, options.runs)


if __name__ == "__main__":
    main()
