"""When a job is worth a poll: where its kind is learned, and doubling gaps until it is."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from contentops.execution.durations import share_done

if TYPE_CHECKING:
    from contentops.execution.durations import Durations, Normal

WORTH = 0.5
"""A learned job is polled once it is this likely to be done."""


def first_gap(per_minute: int) -> float:
    """Seconds until the first poll of a job nothing is known about."""
    return max(0.2, 120.0 / per_minute) if per_minute else 0.2


def next_poll(durations: Durations, kind: str, *, started: float, now: float, polls: int, per_minute: int) -> float:
    """Loop time at which a job, `polls` times found unfinished, is worth the next request.

    Unlearned: doubling gaps from `first_gap`. Learned: when the chance that it ended since the last poll reaches
    one half, given that it had not ended then.
    """
    gap = first_gap(per_minute)
    learned = durations.of(kind)
    if learned is None:
        return max(now, started + gap) if polls == 0 else now + gap * 2 ** min(polls, 10)
    elapsed = now - started if polls else 0.0
    return max(now, started + _conditional_median(learned, elapsed), (now + gap / 2) if polls else now)


def _conditional_median(normal: Normal, elapsed: float) -> float:
    """The time by which a job not done after `elapsed` seconds is done with probability `WORTH`."""
    done = share_done(normal, elapsed)
    target = done + (1.0 - done) * WORTH
    if target >= 1.0 - 1e-9:
        return elapsed * 1.3
    return math.exp(statistics.NormalDist(*normal).inv_cdf(target))
