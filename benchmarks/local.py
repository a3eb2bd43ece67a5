"""What a person waits for and what it takes in memory, on this machine: start-up, plans without changes, an apply.

    python benchmarks/local.py [--items 1000 10000] [--runs 5]

A tree is declared in one manifest and applied by the embedded server, so that nothing is paid, and committed to git.
Then the plan that finds nothing to do is timed, warm, as is `git status` on the same tree; the first plan after
`.contentops/cache` was removed; and the program's start. Printed are medians of wall-clock seconds, of whole processes,
and the peak resident size of the apply's process in MB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTENTOPS = (sys.executable, "-m", "contentops")
GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost")
MANIFEST = """\
items:
  - id: "bench/{{ each.slug }}"
    for_each: data/rows.csv
    template: blog_article_generator
    style: general_blog
    mode: quick
    inputs: {topic: "{{ each.topic }}", target_audience: readers}
"""


def main() -> None:
    """Prints one block for the start, and one for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="contentops-bench-") as folder:
        start(Path(folder) / "empty", asked.runs)
        for count in asked.items:
            measure(Path(folder) / str(count), count, asked.runs)


def start(folder: Path, runs: int) -> None:
    """The start, and what of it is Python with click."""
    declare(folder, 0)
    show("python -c 'import click'", median([sys.executable, "-c", "import click"], folder, runs))
    show("contentops --version", median([*CONTENTOPS, "--version"], folder, runs))
    show("contentops plan, no item", median([*CONTENTOPS, "plan"], folder, runs))


def measure(folder: Path, count: int, runs: int) -> None:
    """One tree of `count` items."""
    declare(folder, count)
    seconds, peak = spent([*CONTENTOPS, "apply", "--yes", "--approve-credits", str(count)], folder)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    plan = [*CONTENTOPS, "plan"]
    shown = f"{count:,} items: "
    show(f"{shown}apply", seconds, f"peak {peak:.0f} MB")
    spent(plan, folder)
    show(f"{shown}plan, warm", median(plan, folder, runs))
    show(f"{shown}git status", median(["git", "status", "--short"], folder, runs))
    shutil.rmtree(folder / ".contentops" / "cache")
    show(f"{shown}plan, cold", spent(plan, folder)[0])


def declare(folder: Path, count: int) -> None:
    """A project of `count` items, one for each row of a file."""
    for name in ("content", "data"):
        (folder / name).mkdir(parents=True)
    settings = "version: 1\nproject: bench\napi: {base_url: local}\n"
    (folder / "contentops.yaml").write_text(settings, encoding="utf-8")
    rows = "".join(f"{number},Topic number {number}\n" for number in range(count))
    (folder / "data" / "rows.csv").write_text(f"slug,topic\n{rows}", encoding="utf-8")
    (folder / "content" / "all.yaml").write_text(MANIFEST if count else "items: []\n", encoding="utf-8")


def median(command: list[str], folder: Path, runs: int) -> float:
    """The median seconds of `runs` runs."""
    return statistics.median(spent(command, folder)[0] for _ in range(runs))


def spent(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall-clock seconds and peak resident MB of one run. POSIX only."""
    before = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"`{' '.join(command)}` ended with {child.returncode}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return time.perf_counter() - before, used.ru_maxrss / unit


def show(what: str, seconds: float, more: str = "") -> None:
    """One line."""
    print(f"{what:<30} {seconds:8.3f} s  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
