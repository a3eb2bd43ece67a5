"""Measure in virtual time how close a batch at ten requests a minute comes to the shortest possible time.

    python benchmarks/simulate.py [--seeds 40] [--items 50 200 1000] [--cap 0] [--sigma 0.35]

Each run uses the real plan, scheduler, limiter, client and journal; only the transport leads to a fake server. The
times of jobs are log-normal (median 150 s). The floor is the time for 3N requests (submit, poll, save) in a sliding
window of ten a minute, plus one job. One item is made first, so that the server and the time of a job are known.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog

MEDIAN = 150.0
PER_MINUTE = 10


def floor(items: int, per_minute: int = PER_MINUTE) -> float:
    """Return the least seconds for 3N requests and one job of median length."""
    requests = 3 * items
    return math.floor((requests - 1) / per_minute) * 60.0 + MEDIAN


def simulate(items: int, seed: int, *, cap: int, sigma: float) -> tuple[float, float]:
    """Run one batch, and return its duration in seconds and its requests per item."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    durations = [draw.lognormvariate(math.log(MEDIAN), sigma) for _ in range(4 * items + 10)]
    folder = Path(tempfile.mkdtemp())
    try:
        api = FakeApi(
            duration=lambda n: durations[n], per_minute=PER_MINUTE, auto_save=False, max_active=cap, names_content=False
        )
        harness = Harness(folder, api, rpm=PER_MINUTE)
        harness.seed = seed
        harness.write("content/first.yaml", blog("first"))
        harness.apply()
        harness.timeline.now += 120.0
        harness.write("content/batch.yaml", blog(*(f"item-{n}" for n in range(items))))
        begin, before = harness.timeline.now, len(api.requests)
        run = harness.apply()
        assert run is not None
        assert all(outcome.result == "done" for outcome in run.outcomes), run
        return harness.timeline.now - begin, (len(api.requests) - before) / items
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Simulate batches of several sizes, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--items", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--cap", type=int, default=0)
    parser.add_argument("--sigma", type=float, default=0.35)
    options = parser.parse_args()
    print(f"{'N':>6} {'floor min':>10} {'median min':>11} {'ratio':>6} {'worst':>6} {'requests/item':>14}")
    for items in options.items:
        runs = [simulate(items, seed, cap=options.cap, sigma=options.sigma) for seed in range(options.seeds)]
        spans, requests = [span for span, _ in runs], [count for _, count in runs]
        low, mid = floor(items), statistics.median(spans)
        print(
            f"{items:>6} {low / 60:>10.1f} {mid / 60:>11.1f} {mid / low:>6.3f} {max(spans) / low:>6.3f} "
            f"{statistics.fmean(requests):>14.3f}"
        )


if __name__ == "__main__":
    main()
