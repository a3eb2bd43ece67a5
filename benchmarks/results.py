"""Run every benchmark, and write the results to RESULTS.md.

    python benchmarks/results.py [--only noop starting ...] [--out benchmarks/RESULTS.md]

`make bench` runs this script, which takes about a quarter of an hour. Run `simulate.py` (virtual time), `growth.py`
(another quarter of an hour) and `peers/` by hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
from pathlib import Path

import timing

HERE = Path(__file__).parent
BENCHMARKS = {
    "noop": "Nothing to do",
    "starting": "Start-up",
    "throughput": "Apply with no limit",
    "checkpoint": "Checkpoints",
    "creates": "Reports of large plans",
    "loading": "Reading and checking manifests",
    "chain": "Items made from items",
    "ledger": "A shared ledger",
}
"""Scripts and their headings."""
EXPLAINED = "[README.md](README.md) explains the measurements and what they are compared with."


def machine() -> str:
    """Return a description of this machine, without its name, and the date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    today = dt.datetime.now(dt.UTC).date()
    kind = f"{platform.system()} {platform.machine()}"
    return f"{kind}, {cores} cores, {memory:.0f} GB, {python}, git {git}; {today}"


def main() -> None:
    """Run the benchmarks one after another, and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    parts = [f"# Results of one run\n\nWritten by `make bench`: {machine()}.\n{EXPLAINED}\n"]
    for name in options.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, str(HERE / f"{name}.py")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=timing.environment())
        if done.returncode:
            raise SystemExit(f"{name}.py ended with {done.returncode}")
        print(done.stdout, flush=True)
        parts.append(f"## {BENCHMARKS[name]}\n\n{done.stdout}")
        options.out.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
