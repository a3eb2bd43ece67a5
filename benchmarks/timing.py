"""Measures the CPU time and memory of child processes, and prints each figure next to its floor.

All benchmarks use it. They compare the CPU time of whole child processes, because other work on the machine disturbs
it least. Commands that are compared run in turns, so that other work disturbs all of them. POSIX only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
CONTENTOPS = (sys.executable, "-m", "contentops")
MB = 1 << 20 if sys.platform == "darwin" else 1 << 10
"""Units of the system's peak size in one MB."""


class Spent(NamedTuple):
    """The CPU seconds, wall seconds and peak memory (resident size, MB) of one run."""

    cpu: float
    wall: float
    peak: float


def spent(command: Sequence[str], folder: Path, *, codes: Sequence[int] = (0,), script: str = "") -> Spent:
    """Run a command in a folder, and return what it and its children used; `script` is its input.

    The checkout comes first on its Python path. Raises SystemExit with its stderr if its exit code is not in `codes`.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as words, tempfile.TemporaryFile() as asked:
        asked.write(script.encode())
        asked.seek(0)
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=asked,
            stdout=subprocess.DEVNULL,
            stderr=words,
            env=environment(),
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begin
        if child.returncode not in codes:
            words.seek(0)
            said = words.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"`{' '.join(command)[:200]}` ended with {child.returncode}\n{said}")
    return Spent(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / MB)


def environment() -> dict[str, str]:
    """Return the environment of a child process, with the checkout first on its Python path."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def interleaved(sides: Mapping[str, Callable[[], Spent]], runs: int) -> dict[str, Spent]:
    """Run all sides in turns, `runs` times each, and return the median of each side."""
    found: dict[str, list[Spent]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, run in sides.items():
            found[name].append(run())
    return {name: median(each) for name, each in found.items()}


def median(runs: Sequence[Spent]) -> Spent:
    """Return the median CPU time, the median wall time and the median peak."""
    return Spent(*(statistics.median(each) for each in zip(*runs, strict=True)))


def head() -> None:
    """Print the two header lines of the Markdown table."""
    print("| Case | Measured | Floor | Ratio | To reach | |")
    print("|---|---|---|---|---|---|", flush=True)


def row(case: str, measured: str, floor: str = "", ratio: float | None = None, most: float | None = None) -> None:
    """Print one row of the table: a figure, its floor, their ratio, and the upper bound of the ratio."""
    shown = "" if ratio is None else f"{ratio:.3g}"
    bound = "" if most is None else f"at most {most:.3g}"
    verdict = "" if ratio is None or most is None else ("reached" if ratio <= most else "**missed**")
    print(f"| {case} | {measured} | {floor} | {shown} | {bound} | {verdict} |", flush=True)


def seconds(value: float) -> str:
    """Return a time with three significant digits and its unit."""
    if value < 1e-3:
        return f"{value * 1e6:.3g} us"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder, in memory if the system has a file system there."""
    memory = Path("/dev/shm")  # noqa: S108 - where Linux has it
    folder = Path(tempfile.mkdtemp(prefix="contentops-bench-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
