"""Reads the output of several runs of pytest, and prints one closing line for all of them.

Exits with 1 where a run has no closing line.
"""

from __future__ import annotations

import re
import sys
from collections import Counter

RUNS = 2
_LINE = re.compile(r"^=+ (.*) in ([0-9.]+)s.* =+$", re.MULTILINE)
_ORDER = ["failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error"]
_PLURAL = {"warning", "error"}
_COUNT = re.compile(r"(\d+) ([a-z]+)")


def summed(output: str) -> tuple[str, int]:
    """Return one closing line, and the number of those that it stands for."""
    found = _LINE.findall(output)
    counts: Counter[str] = Counter()
    for words, _ in found:
        for count, kind in _COUNT.findall(words):
            counts[kind.removesuffix("s")] += int(count)
    parts = [f"{counts[kind]} {kind}{'s' * (kind in _PLURAL and counts[kind] > 1)}" for kind in _ORDER if counts[kind]]
    seconds = sum(float(each) for _, each in found)
    return f" {', '.join(parts) or 'no tests ran'} in {seconds:.2f}s ".center(80, "="), len(found)


if __name__ == "__main__":
    line, runs = summed(sys.stdin.read())
    print(line)
    sys.exit(runs != RUNS)
