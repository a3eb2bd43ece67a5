"""How long a call that failed for a passing reason is tried again, and how long between the tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

RETRY_FOR = 60.0
"""Seconds over which one call is tried again before it is given up."""
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 20.0


def backoff(chance: random.Random, tries: int, asked: float | None = None) -> float:
    """Seconds to wait after so many tries: full jitter under a doubling cap, but no less than the server asked for.

    What it asks for counts up to `RETRY_FOR`.
    """
    drawn = chance.uniform(0.0, min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(tries, 10)))
    return max(drawn, min(asked or 0.0, RETRY_FOR))
