"""When a job is worth a poll: learned durations, and doubling gaps until one is learned."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEP = 50
"""Durations remembered per kind."""
SURPRISE = 6
"""Jobs in a row found done by their first poll that what was learned does not explain."""
SIGMA = 0.35
"""Spread (of the logarithm) assumed until a kind has shown its own."""
WORTH = 0.5
"""A learned job is polled once it is this likely to be done."""
PRIOR = (90.0, 240.0)
"""Seconds a generation usually takes (the vendor's troubleshooting page); only for forecasts."""


@dataclass(slots=True)
class Durations:
    """Seconds that jobs took on one server, by kind (template and mode); carried from run to run."""

    seen: dict[str, list[float]] = field(default_factory=dict)
    _early: dict[str, int] = field(default_factory=dict)
    """By kind: jobs in a row that the first poll found done."""

    @classmethod
    def load(cls, stored: Mapping[str, object]) -> Durations:
        """From the cache's JSON; anything unreadable counts as not learned."""
        seen: dict[str, list[float]] = {}
        for kind, values in stored.items():
            if isinstance(values, list):
                good = [float(value) for value in values if isinstance(value, int | float) and 0 < value < 1e6]
                if good:
                    seen[kind] = good[-KEEP:]
        return cls(seen)

    def learn(self, kind: str, *, after: float, by: float) -> None:
        """Remember a job that was found running after `after` seconds (0: never) and done by `by` seconds.

        Where the first poll found it done, `by` is only an upper bound: taking it for the duration would make each
        batch slower than the last. What is learned then is what the durations known so far expect below it.
        """
        values = self.seen.setdefault(kind, [])
        if after > 0:
            seconds = math.sqrt(after * by)
            self._early[kind] = 0
        else:
            learned = self.of(kind)
            seconds = min(by, _expected_below(*learned, by)) if learned else by / 2
            self._early[kind] = self._early.get(kind, 0) + 1
            if self._early[kind] >= SURPRISE:
                # The server has become faster than anything that was learned: that says nothing any more.
                self._early[kind] = 0
                values.clear()
                seconds = by / 2
        values.append(round(max(seconds, 0.001), 3))
        del values[:-KEEP]

    def of(self, kind: str) -> tuple[float, float] | None:
        """Mean and spread of the logarithm of this kind's durations, or of all kinds; None if nothing is learned."""
        values = self.seen.get(kind) or [value for some in self.seen.values() for value in some]
        if not values:
            return None
        logs = [math.log(value) for value in values]
        spread = statistics.stdev(logs) if len(logs) >= 5 else SIGMA
        return statistics.fmean(logs), min(max(spread, 0.05), 1.5)

    def median(self, kind: str) -> float:
        """Seconds a job of this kind takes, for forecasts."""
        learned = self.of(kind)
        return math.exp(learned[0]) if learned else math.sqrt(PRIOR[0] * PRIOR[1])


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
    mean, spread = learned
    elapsed = now - started if polls else 0.0
    return max(now, started + _conditional_median(mean, spread, elapsed), (now + gap / 2) if polls else now)


def p_done(durations: Durations, kind: str, elapsed: float) -> float:
    """How likely a job is done after `elapsed` seconds."""
    learned = durations.of(kind) or (math.log(durations.median(kind)), SIGMA)
    if elapsed <= 0:
        return 0.0
    return statistics.NormalDist(*learned).cdf(math.log(elapsed))


def _expected_below(mean: float, spread: float, by: float) -> float:
    """The duration to expect of a job known to take at most `by` seconds."""
    normal = statistics.NormalDist()
    at = (math.log(by) - mean) / spread if by > 0 else -8.0
    share = normal.cdf(at)
    if share < 1e-6:
        return by
    return math.exp(mean - spread * normal.pdf(at) / share)


def _conditional_median(mean: float, spread: float, elapsed: float) -> float:
    """The time by which a job not done after `elapsed` seconds is done with probability `WORTH`."""
    normal = statistics.NormalDist(mean, spread)
    done = normal.cdf(math.log(elapsed)) if elapsed > 0 else 0.0
    target = done + (1.0 - done) * WORTH
    if target >= 1.0 - 1e-9:
        return elapsed * 1.3
    return math.exp(normal.inv_cdf(target))
