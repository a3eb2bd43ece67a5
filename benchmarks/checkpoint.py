"""Measure how long a checkpoint of a large lock takes, and whether later checkpoints take longer.

    python benchmarks/checkpoint.py [--items 100000] [--times 10]

The lock has `--items` lines, and a hundred records change before each checkpoint. The floor is the time to hash the
bytes of the lock, to write them and to sync the file. The times are wall time, because a run waits for its checkpoint.
The facts that a run records together need one write and one fsync; the fsyncs are counted.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import timing

sys.path.insert(0, str(timing.ROOT))

from msgspec import structs

from contentops.atomic_io import Disk
from contentops.digest import digest_text
from contentops.model import ItemId, Record, RequestId
from contentops.state import lock
from contentops.state.codec import line_of
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 100
"""Records that change before each checkpoint."""


class CountingDisk(Disk):
    """A disk that counts how often data is appended to a file."""

    appended = 0

    def append(self, path: Path, data: bytes, at: int) -> None:
        """Append data with one write and one fsync, and count it."""
        self.appended += 1
        super().append(path, data, at)


def likely(number: int) -> Record:
    """Return a record of typical length."""
    digest = digest_text(str(number))
    inputs = {"topic": f"Topic {number}", "target_audience": "readers", "objective": "Decide whether it is worth it"}
    return Record(
        id=ItemId(f"item-{number:06d}"),
        digest=digest,
        request={"template": "blog", "style": "plain", "mode": "standard", "inputs": inputs},
        server="local",
        dialect="v1",
        output=f"out/item-{number:06d}.md",
        title=f"Topic {number}",
        metadata={"tags": ["a", "b"], "date": "2026-03-01"},
        generated=digest,
        request_id=RequestId(digest[7:43]),
        rev=1,
    )


def main() -> None:
    """Measure, and print the result as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="contentops-bench-") as name:
        folder = Path(name)
        records = map(line_of, map(likely, range(options.items)))
        path = folder / "contentops.lock"
        path.write_bytes(lock.join(lock.lineage_of("bench"), records))
        disk = CountingDisk()
        with StateStore(
            folder, environment="", lineage=lambda: lock.lineage_of("bench"), write=True, disk=disk
        ) as store:
            fsyncs, taken, floors = 0, [], []
            for turn in range(options.times):
                for number in range(min(AT_ONCE, options.items)):
                    store.note("save", structs.replace(likely(number), saved_at=f"turn {turn}"))
                disk.appended = 0
                store.flush()
                fsyncs = disk.appended
                taken.append(wall(store.checkpoint))
                floors.append(wall(lambda: written(path.read_bytes(), folder / "floor")))
    shown = timing.seconds
    timing.head()
    case = f"checkpoint of {options.items:,} lines, in s"
    middle = statistics.median(taken)
    timing.row(case, shown(middle), f"{shown(statistics.median(floors))}, hash and write", middle, 1)
    half = max(1, len(taken) // 2)
    early, late = statistics.median(taken[:half]), statistics.median(taken[-half:])
    timing.row("later half of the checkpoints against the first half", shown(late), shown(early), late / early, 1.2)
    timing.row(f"fsyncs of the journal for {AT_ONCE} facts recorded together", str(fsyncs), "", fsyncs, 1)


def written(data: bytes, path: Path) -> None:
    """Hash, write and sync the bytes of the lock: the least that a checkpoint must do."""
    hashlib.sha256(data).hexdigest()
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def wall(action: Callable[[], object]) -> float:
    """Return the wall time of an action in seconds."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
