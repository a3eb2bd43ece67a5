"""How long jobs take on one server, learned from polls that each say no more than "not yet" or "by now".

A job that one poll found running and the next found done took something in between. The logarithm of the durations of
a kind is taken as normal; mean and spread are those under which what the polls said was most likely (EM over censored
intervals), with a little weight on the spread assumed before anything is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.model import Spec

KEEP = 50
"""Jobs remembered per kind."""
LENT = 5
"""Jobs of each other kind that speak for a kind of which nothing is known."""
SPREAD = 0.35
"""Spread (of the logarithm) assumed before a kind has shown its own, with the weight of `WEIGHT` jobs."""
WEIGHT = 3.0
SPREADS = (0.05, 1.5)
"""A learned spread is held between these."""
SURPRISE = 0.02
"""What was learned is dropped once that many jobs, each found done by its first poll, had less than this chance."""
USUAL = (90.0, 240.0)
"""Seconds a generation usually takes (the vendor's troubleshooting page); only for forecasts."""
FIRST_FIT, NEXT_FIT = 20, 3
"""Steps of the estimation from nothing, and from the estimate before."""

Interval = tuple[float, float]
"""Seconds after which a job was still running (0: nobody looked), and by which it was done."""
Normal = tuple[float, float]
"""Mean and spread of the logarithm of durations in seconds."""


@dataclass(slots=True)
class Durations:
    """What is known of jobs by kind (template and mode) on one server; carried from run to run."""

    seen: dict[str, list[Interval]] = field(default_factory=dict)
    _chances: dict[str, float] = field(default_factory=dict)
    """By kind: how likely it was that the latest jobs in a row were all done by their first poll."""
    _fits: dict[str, Normal] = field(default_factory=dict)
    _new: dict[str, int] = field(default_factory=dict)
    """By kind: jobs learned since its fit."""

    @classmethod
    def load(cls, stored: Mapping[str, object]) -> Durations:
        """From the cache's JSON; anything unreadable counts as not learned."""
        seen = {kind: list(_intervals(values)) for kind, values in stored.items() if isinstance(values, list)}
        return cls({kind: good[-KEEP:] for kind, good in seen.items() if good})

    def learn(self, kind: str, *, after: float, by: float) -> None:
        """Remember a job that was found running after `after` seconds (0: never) and done by `by` seconds."""
        by = max(by, 0.001)
        values = self.seen.setdefault(kind, [])
        if after > 0:
            self._chances.pop(kind, None)
        else:
            chance = self._chances.get(kind, 1.0) * p_done(self, kind, elapsed=by)
            if chance < SURPRISE:
                # The server has become faster than anything that was learned: that says nothing any more.
                values.clear()
                self._fits.pop(kind, None)
                chance = 1.0
            self._chances[kind] = chance
            if not values:
                # Upper bounds alone would say that jobs take no time at all.
                after = by / 4
        if not values:
            self._fits.pop(kind, None)
        values.append((round(min(after, by), 6), round(by, 6)))
        del values[:-KEEP]
        self._new[kind] = self._new.get(kind, 0) + 1

    def of(self, kind: str) -> Normal | None:
        """Mean and spread of the logarithm of this kind's durations, or of all kinds; None if nothing is learned."""
        values, known = self.seen.get(kind, []), self._fits.get(kind)
        if known is None or self._new.get(kind, 0) * 10 > len(values):
            lent = [each for some in self.seen.values() for each in some[-LENT:]]
            if not lent:
                return None
            known = self._fits[kind] = _fit(values or lent, known)
            self._new[kind] = 0
        return known

    def median(self, kind: str) -> float:
        """Seconds a job of this kind takes, for forecasts."""
        learned = self.of(kind)
        return math.exp(learned[0]) if learned else math.sqrt(USUAL[0] * USUAL[1])


def kind_of(spec: Spec | None) -> str:
    """What durations are learned by: template and mode; jobs that no item waits for are of one kind."""
    return f"{spec.request.template}/{spec.request.mode}" if spec is not None else "drained"


def p_done(durations: Durations, kind: str, *, elapsed: float, unfinished: float = 0.0) -> float:
    """How likely a job is done after `elapsed` seconds, given that it was not after `unfinished` seconds."""
    learned = durations.of(kind) or (math.log(durations.median(kind)), SPREAD)
    then, now = share_done(learned, unfinished), share_done(learned, elapsed)
    return max(0.0, now - then) / (1.0 - then) if then < 1.0 else 0.0


def share_done(normal: Normal, elapsed: float) -> float:
    """The share of jobs that take at most `elapsed` seconds."""
    return _cumulated((math.log(elapsed) - normal[0]) / normal[1]) if elapsed > 0 else 0.0


def _intervals(values: Iterable[object]) -> Iterable[Interval]:
    for value in values:
        match value:
            case [int() | float() as after, int() | float() as by] if 0 <= after <= by and 0 < by < 1e6:
                yield float(after), float(by)


def _fit(values: Sequence[Interval], start: Normal | None) -> Normal:
    bounds = [(math.log(after) if after > 0 else -math.inf, math.log(by)) for after, by in values]
    middles = [(low + high) / 2 if low > -math.inf else high for low, high in bounds]
    mean, spread = start or (sum(middles) / len(middles), SPREAD)
    for _ in range(NEXT_FIT if start else FIRST_FIT):
        moments = [_moments(mean, spread, low, high) for low, high in bounds]
        center = sum(expected for expected, _ in moments) / len(moments)
        squares = sum(variance + (expected - center) ** 2 for expected, variance in moments)
        mean, variance = center, (squares + WEIGHT * SPREAD**2) / (len(moments) + WEIGHT)
        spread = min(max(math.sqrt(variance), SPREADS[0]), SPREADS[1])
    return mean, spread


def _moments(mean: float, spread: float, low: float, high: float) -> tuple[float, float]:
    """Mean and variance of a normal variable that is known to lie between two bounds."""
    below, above = (low - mean) / spread, (high - mean) / spread
    mass = _cumulated(above) - _cumulated(below)
    if mass < 1e-9:
        return min(max(mean, low), high), 0.0
    left, right = _density(below), _density(above)
    shift = (left - right) / mass
    edge = (below * left if left else 0.0) - (above * right if right else 0.0)
    return mean + spread * shift, max(0.0, spread**2 * (1.0 + edge / mass - shift**2))


def _cumulated(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _density(z: float) -> float:
    return math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
