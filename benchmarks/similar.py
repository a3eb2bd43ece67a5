"""CPU time and memory of comparing the texts of a group, as `checks.similar` does.

    python benchmarks/similar.py [--items 10000] [--words 800] [--runs 3]

The texts are random words: all different; nine tenths the same, as standard paragraphs are; one word in each different;
and all the same. Each text has a row of four names. Measured is masking, reading and comparing all of them, without
making the texts; and the peak of a process that does so. The floor is counting the words of the same texts.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import timing

sys.path.insert(0, str(timing.ROOT))

from contentops.documents.similar import SimilarTexts, masked, names_in, runs_of, words_in

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = {"all different": 0.0, "half of each shared": 0.5, "all but one word shared": 0.9999, "all the same": 1.0}
"""The share of words that all texts have."""
MOST_SECONDS, MOST_MB = 6.0, 200.0
"""The bounds for 10,000 texts of 800 words."""


def texts(shared: float, count: int, words: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Texts with their rows."""
    numbers = random.Random(1)  # noqa: S311 - the same ones in each run
    vocabulary = [
        "".join(numbers.choices("abcdefghijklmnopqrstuvwxyz", k=numbers.randint(2, 10))) for _ in range(20_000)
    ]
    same = numbers.choices(vocabulary, k=words)
    own = 0 if shared == 1 else max(round(words * (1 - shared)), 1)
    for number in range(count):
        text = [*same[: words - own], *numbers.choices(vocabulary, k=own)]
        yield (
            " ".join(text),
            {"slug": f"city-{number}", "city": f"City {number}", "for": "small teams", "size": f"{number}"},
        )


def compare(shared: float, count: int, words: int) -> float:
    """CPU seconds of comparing all texts."""
    took, group = 0.0, SimilarTexts()
    for number, (text, row) in enumerate(texts(shared, count, words)):
        names = names_in(row)  # once, when manifests are read
        before = time.process_time()
        group.add(str(number), runs_of(masked(words_in(text), names)))
        took += time.process_time() - before
    before = time.process_time()
    for number in range(count):
        group.nearest(group.runs(str(number)), 0.8, but=str(number))
    return took + time.process_time() - before


def floor(shared: float, count: int, words: int) -> float:
    """CPU seconds of counting the words of the same texts."""
    took = 0.0
    for text, _ in texts(shared, count, words):
        before = time.process_time()
        Counter(text.split())
        took += time.process_time() - before
    return took


def main() -> None:
    """A row for the time of each case, and one for the memory of the first and the last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=800)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=CASES, help="compare in this process, and print nothing")
    given = parser.parse_args()
    size = (given.items, given.words)
    if given.only:
        compare(CASES[given.only], *size)
        return
    timing.head()
    part = given.items * given.words / 8_000_000
    for name, shared in CASES.items():
        least = statistics.median(floor(shared, *size) for _ in range(given.runs))
        took = statistics.median(compare(shared, *size) for _ in range(given.runs))
        case = f"compare {given.items:,} texts of {given.words:,} words, {name}"
        timing.row(case, timing.seconds(took), f"{timing.seconds(least)}, counted", took / least)
        if shared == 0:
            timing.row(f"{case}, s", timing.seconds(took), "", took, MOST_SECONDS * part)
    for name in (next(iter(CASES)), "all the same"):
        command = [sys.executable, __file__, "--only", name, *f"--items {given.items} --words {given.words}".split()]
        peak = timing.spent(command, timing.ROOT).peak
        timing.row(f"peak of comparing {given.items:,} texts, {name}, MB", f"{peak:.0f} MB", "", peak, MOST_MB)


if __name__ == "__main__":
    main()
