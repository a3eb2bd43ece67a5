"""Benchmarks run and print figures; how fast anything is, is measured and never asserted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import unmeasured

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = {
    "starting": ("--runs 1", 3),
    "checkpoint": ("--items 200 --times 2", 3),
    "creates": ("--items 60", 6),
    "loading": ("--items 60 --changed 100 --runs 1", 5),
    "peers/race": ("contentops --items 60 --runs 1", 1),
}
"""The arguments of a small run, and the rows that it prints."""
WEEKLY = {
    "noop": ("--items 120 --runs 1", 11),
    "throughput": ("--items 20 --runs 1 --in-flight 4 20", 6),
    "ledger": ("--items 6 --runs 1 --rows 1500 --limited 1 --took 0.1 --kills 1", 29),
}
"""Those that start so many processes that they only run where `CONTENTOPS_TEST_BENCHMARKS` is set."""
RUN = SMALL | WEEKLY if os.environ.get("CONTENTOPS_TEST_BENCHMARKS") else SMALL


@pytest.mark.skipif(sys.platform == "win32", reason="they ask a POSIX system what children took")
@pytest.mark.parametrize("name", RUN)
def test_a_benchmark_prints_its_figures_beside_their_floor(name: str) -> None:
    """Every row has a figure, and a ratio where it has a bound."""
    words, rows = RUN[name]
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *words.split()]
    env = {**unmeasured(), "BENCHMARK_GRAIN": "0"}  # it is not about what they measure
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    _, _, *found = done.stdout.splitlines()
    assert len(found) == rows, done.stdout
    for row in found:
        assert re.search(r"\d", row)
        assert ("at most" in row) == ("reached" in row or "missed" in row), row


@pytest.mark.parametrize("name", WEEKLY)
def test_a_benchmark_of_many_processes_says_how_it_is_called(name: str) -> None:
    """It starts and knows its own options; it is measured every week."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=unmeasured()).stdout
    assert all(word in said for word in WEEKLY[name][0].split() if word.startswith("--"))


def test_every_benchmark_is_run_small() -> None:
    """One that no one runs would not run when it is needed."""
    shared = {"timing", "tree", "floor", "results"}  # modules, the floor of another, and what runs them all
    elsewhere = {"growth", "simulate"}  # `test_server_accounts.py`; on virtual time, by hand
    scripts = {path.relative_to(BENCHMARKS).with_suffix("").as_posix() for path in BENCHMARKS.rglob("*.py")}
    scripts = {name for name in scripts if not name.startswith(("peers/.tools/", "ledger_parts/"))}
    assert scripts == {*SMALL, *WEEKLY, *shared, *elsewhere}
