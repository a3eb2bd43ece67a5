"""Learns from polls how long jobs take on one server, and says when to poll a job next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec

from contentops.loopback import is_loopback

if TYPE_CHECKING:
    from contentops.model import Spec

KEEP = 50
"""Jobs remembered per kind."""
USUAL = 150.0
"""Seconds of a generation (the vendor's troubleshooting page says 90 s to 4 min); only for estimates."""
LONGER = 1.3
"""A job that takes longer than all known ones is polled again after this much of the time that has passed."""
LONGEST_GAP = 30.0
"""Seconds between two polls of a job of which nothing is known, at most, while few jobs run."""

Interval = tuple[Annotated[float, msgspec.Meta(ge=0)], Annotated[float, msgspec.Meta(gt=0, lt=1e6)]]
"""Seconds after which a job was still running (0: no one looked), and by which it was done."""


@dataclass(slots=True)
class Durations:
    """The latest jobs of each kind (template and mode) on one server; carried from run to run."""

    seen: dict[str, list[Interval]] = field(default_factory=dict)
    quickest: float = 0.2
    """Seconds until the first poll of a job, as long as none is known; on this machine polls cost nothing."""
    usual: float | None = USUAL
    """Seconds of a generation as long as none is known, for estimates; None: nothing can be said.

    The bundled server takes no time; a model behind a server of this machine may take any.
    """
    _seconds: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def load(cls, stored: object, server: str) -> Durations:
        """Read the cache's JSON; what is unreadable counts as not learned. `server` is an address or `local`."""
        is_local = server == "local"
        is_here = is_local or is_loopback(urlsplit(server).hostname or "")
        try:
            seen = msgspec.convert(stored, dict[str, list[Interval]])
        except msgspec.ValidationError:
            seen = {}
        return cls(
            {kind: values for kind, values in seen.items() if values},
            *((0.01, 0.0 if is_local else None) if is_here else ()),
        )

    def learn(self, kind: str, *, after: float, by: float) -> None:
        """Remember a job that was seen running after `after` seconds (0: never) and done by `by` seconds."""
        values = self.seen.setdefault(kind, [])
        if values and not after:
            by = min(by, self.median(kind))  # the limit may have delayed the first poll
        values.append((round(after, 6), round(max(by, 0.001), 6)))
        del values[:-KEEP]
        self._seconds.clear()

    def median(self, kind: str, *, unfinished: float = 0.0) -> float:
        """Seconds a job of this kind takes, given that it was not done after `unfinished` seconds."""
        return median(self._longer(kind, unfinished))

    def estimate(self, kind: str) -> float | None:
        """Seconds a job of this kind takes, for people; None: nothing can be said."""
        return self.median(kind) if self.seen else self.usual

    def p_done(self, kind: str, *, elapsed: float, unfinished: float = 0.0) -> float:
        """The chance that a job is done after `elapsed` seconds, given that it was not after `unfinished` seconds."""
        longer = self._longer(kind, unfinished)
        return sum(seconds <= elapsed for seconds in longer) / len(longer)

    def _longer(self, kind: str, than: float) -> list[float]:
        """The durations above `than` of a kind, else of all kinds; a job done at its first poll counts for 3/4."""
        if kind not in self._seconds:
            intervals = self.seen.get(kind) or [one for values in self.seen.values() for one in values]
            self._seconds[kind] = [math.sqrt(after * by) if after else by * 0.75 for after, by in intervals]
        return [one for one in self._seconds[kind] or [USUAL] if one > than] or [than * LONGER]


def kind_of(spec: Spec | None) -> str:
    """The kind by which durations are learned: template and mode; jobs that no item waits for are of one kind."""
    return f"{spec.request.template}/{spec.request.mode}" if spec is not None else "drained"


def next_poll(
    durations: Durations, kind: str, *, started: float, now: float, polls: int, per_minute: int, running: int = 1
) -> float:
    """The time of the next poll of a job, not before `now`; `running` jobs are polled in all.

    Learned: the median of the jobs that took longer than this one has, so that each poll is as likely as not to find
    it done. Unlearned: doubling gaps, up to `LONGEST_GAP` or to where all jobs together ask for half of the limit.
    """
    gap = max(durations.quickest, 120.0 / per_minute) if per_minute else durations.quickest
    if durations.seen:
        elapsed = now - started if polls else 0.0
        return max(started + durations.median(kind, unfinished=elapsed), (now + gap / 2) if polls else now)
    longest = max(LONGEST_GAP, gap * running) if per_minute else LONGEST_GAP
    return max(now, started + gap) if polls == 0 else now + min(gap * 2 ** min(polls, 10), longest)
