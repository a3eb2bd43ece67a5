"""How long jobs take on one server, learned from polls, and when a job is therefore worth the next poll.

A job that one poll found running and the next found done took something in between: their geometric mean stands for it.
The share of jobs done after some time is read off those values as they are, with straight lines between them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contentops.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.model import Spec

KEEP = 50
"""Jobs remembered per kind."""
LENT = 5
"""Jobs of each other kind that speak for a kind of which nothing is known."""
EDGE = 2.0
"""No job takes less than the shortest known one divided by this, or more than the longest times this."""
GRAIN = 0.1
"""Jobs that all took the same time are taken to differ by this share, either way."""
EARLIER = 0.75
"""A job that its first poll found done took, on average, this much of the time until then."""
LATE = 0.9
"""A first poll that came when this share of jobs is done says nothing."""
SURPRISE = 0.02
"""What was learned is dropped once that many jobs, each found done by its first poll, had less than this chance."""
USUAL = (90.0, 240.0)
"""Seconds a generation usually takes (the vendor's troubleshooting page); only for estimates."""
WORTH = 0.5
"""A learned job is polled once it is this likely to be done."""
LONGER = 1.3
"""Beyond everything learned, a job is polled again after this much of the time that has passed."""

QUICKEST = 0.2
"""Seconds before which no job is asked for the first time, as long as none is known."""
AT_HAND = 0.01
"""The same for a server on this machine, where asking costs nothing: the embedded one writes drafts in milliseconds."""
LONGEST_GAP = 30.0
"""Seconds between two polls of a job of which nothing is known, at most, while few jobs run."""

Interval = tuple[float, float]
"""Seconds after which a job was still running (0: no one looked), and by which it was done."""


@dataclass(slots=True)
class Durations:
    """What is known of jobs by kind (template and mode) on one server; carried from run to run."""

    seen: dict[str, list[Interval]] = field(default_factory=dict)
    quickest: float = QUICKEST
    _chances: dict[str, float] = field(default_factory=dict)
    """By kind: how likely it was that the latest jobs in a row were all done by their first poll."""
    _curves: dict[str, _Curve] = field(default_factory=dict)

    @classmethod
    def load(cls, stored: Mapping[str, object], quickest: float = QUICKEST) -> Durations:
        """From the cache's JSON; anything unreadable counts as not learned."""
        seen = {kind: list(_intervals(values)) for kind, values in stored.items() if isinstance(values, list)}
        return cls({kind: good[-KEEP:] for kind, good in seen.items() if good}, quickest)

    def learn(self, kind: str, *, after: float, by: float) -> None:
        """Remember a job that was found running after `after` seconds (0: never) and done by `by` seconds."""
        by = max(by, 0.001)
        values = self.seen.setdefault(kind, [])
        if after > 0:
            self._chances.pop(kind, None)
        else:
            chance = self.share_done(kind, by)
            self._chances[kind] = self._chances.get(kind, 1.0) * chance
            if self._chances[kind] < SURPRISE:
                # The server has become faster than anything that was learned: that says nothing any more.
                values.clear()
                del self._chances[kind]
            if not values:
                # Upper bounds alone would say that jobs take no time at all.
                after = by / 4
            elif chance > LATE:
                return
        values.append((round(min(after, by), 6), round(by, 6)))
        del values[:-KEEP]
        self._curves.clear()

    def is_learned(self, kind: str) -> bool:
        """Whether jobs of this kind, or of any other that can stand for it, were seen."""
        return bool(self.seen.get(kind)) or any(self.seen.values())

    def median(self, kind: str) -> float:
        """Seconds a job of this kind takes, for estimates."""
        return self._curve(kind).time_of(0.5)

    def share_done(self, kind: str, elapsed: float) -> float:
        """The share of jobs that take at most `elapsed` seconds."""
        return self._curve(kind).share_at(elapsed)

    def p_done(self, kind: str, *, elapsed: float, unfinished: float = 0.0) -> float:
        """How likely a job is done after `elapsed` seconds, given that it was not after `unfinished` seconds."""
        then, now = self.share_done(kind, unfinished), self.share_done(kind, elapsed)
        return max(0.0, now - then) / (1.0 - then) if then < 1.0 else 0.0

    def even_chance(self, kind: str, elapsed: float) -> float:
        """The time by which a job not done after `elapsed` seconds is done with probability `WORTH`."""
        done = self.share_done(kind, elapsed)
        if done >= 1.0 - 1e-9:
            return elapsed * LONGER
        return self._curve(kind).time_of(done + (1.0 - done) * WORTH)

    def _curve(self, kind: str) -> _Curve:
        if (known := self._curves.get(kind)) is None:
            values = self.seen.get(kind) or [each for some in self.seen.values() for each in some[-LENT:]]
            known = self._curves[kind] = _Curve([_value(*each) for each in values] or USUAL)
        return known


class _Curve:
    """The share of jobs done by a time: half of the first at the shortest, and so on, straight lines between."""

    def __init__(self, values: Sequence[float]) -> None:
        shares = [(place + 0.5) / len(values) for place in range(len(values))]
        known = [value * (1 + GRAIN * (2 * share - 1)) for value, share in zip(sorted(values), shares, strict=True)]
        self._times = [known[0] / EDGE, *known, known[-1] * EDGE]
        self._shares = [0.0, *shares, 1.0]

    def share_at(self, time: float) -> float:
        return _between(self._times, self._shares, time)

    def time_of(self, share: float) -> float:
        return _between(self._shares, self._times, share)


def _between(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    place = bisect_right(xs, x)
    if place in (0, len(xs)):
        return ys[max(place - 1, 0)]
    low, high = xs[place - 1], xs[place]
    return ys[place - 1] + (ys[place] - ys[place - 1]) * (x - low) / (high - low)


def _value(after: float, by: float) -> float:
    return math.sqrt(after * by) if after > 0 else by * EARLIER


def kind_of(spec: Spec | None) -> str:
    """What durations are learned by: template and mode; jobs that no item waits for are of one kind."""
    return f"{spec.request.template}/{spec.request.mode}" if spec is not None else "drained"


def quickest_on(server: str) -> float:
    """Seconds before which no job is asked for the first time on `server`, an address or `local`."""
    at_hand = server == "local" or is_loopback(urlsplit(server).hostname or "")
    return AT_HAND if at_hand else QUICKEST


def first_gap(per_minute: int, quickest: float = QUICKEST) -> float:
    """Seconds until the first poll of a job nothing is known about."""
    return max(quickest, 120.0 / per_minute) if per_minute else quickest


def next_poll(
    durations: Durations, kind: str, *, started: float, now: float, polls: int, per_minute: int, running: int = 1
) -> float:
    """The time of the next poll of a job, not before `now`; `running` jobs are polled in all.

    Unlearned: doubling gaps from `first_gap`, up to `LONGEST_GAP` or to where all jobs together ask for half of the
    limit. Learned: when the chance that it ended since the last poll reaches one half, given that it had not then.
    """
    gap = first_gap(per_minute, durations.quickest)
    if not durations.is_learned(kind):
        longest = max(LONGEST_GAP, gap * running) if per_minute else LONGEST_GAP
        return max(now, started + gap) if polls == 0 else now + min(gap * 2 ** min(polls, 10), longest)
    elapsed = now - started if polls else 0.0
    return max(now, started + durations.even_chance(kind, elapsed), (now + gap / 2) if polls else now)


def _intervals(values: Iterable[object]) -> Iterable[Interval]:
    for value in values:
        match value:
            case [int() | float() as after, int() | float() as by] if 0 <= after <= by and 0 < by < 1e6:
                yield float(after), float(by)
