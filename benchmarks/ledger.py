"""What a shared ledger costs, and what it gives: CPU and bytes per item, a queue of any size, work that is taken over.

    python benchmarks/ledger.py [--items 1000] [--runs 3] [--rows 1000000] [--limited 120] [--kills 20] [--only apply]

`apply` compares the same applies as in `throughput.py` with and without a ledger, in turns. `work` empties a queue of
few items and of many. `queue` deposits ten times `--items`, and claims among `--rows` rows and among 1,000.
`questions` asks what workers ask every few seconds and people now and then, over `--rows` rows and over 1,000.
`takeover` kills a worker that holds work, and waits until another one has it. `limit` lets three workers that are
killed at random moments do `--limited` items under 60 requests a minute, and counts at the server what came.

PostgreSQL is that of the tests, which does not wait for its disk: CPU and bytes are measured, not a disk. POSIX only.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import throughput
import timing
from ledger_parts.costs import applies, workers
from ledger_parts.deaths import limits, takeovers
from ledger_parts.ground import Bench
from ledger_parts.questions import questions
from ledger_parts.queueing import queues

from tests.postgres import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[Bench], None]] = {
    "apply": applies,
    "work": workers,
    "queue": queues,
    "questions": questions,
    "takeover": takeovers,
    "limit": limits,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--limited", type=int, default=120)
    parser.add_argument("--took", type=float, default=2.0, help="seconds of the jobs under the limit, median")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    os.environ["WRITERZROOM_API_KEY"] = "benchmark"
    timing.head()
    with throughput.serving() as port, Cluster() as cluster:
        sizes = (options.items, options.runs, options.rows, options.limited, options.took, options.kills)
        for name in options.only:
            PARTS[name](Bench(cluster, port, *sizes))


if __name__ == "__main__":
    main()
