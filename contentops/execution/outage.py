"""An outage: while nothing answers, one request at a time; and times as records and servers write them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.api.backoff import RETRY_FOR, backoff

if TYPE_CHECKING:
    import random


@dataclass(slots=True)
class Outage:
    """While nothing answers, one request at a time finds out whether someone answers again. Times are loop times."""

    chance: random.Random
    reached: bool = False
    """Something answered in this run, whatever it said."""
    since: float | None = None
    """When the first call found no connection since something answered."""
    unanswered: int = 0
    """Turns in a row that found no connection."""
    ask_at: float = 0.0
    """Before this, no request goes out."""

    def answered(self) -> None:
        """Someone answers."""
        self.reached, self.since = True, None
        self.unanswered, self.ask_at = 0, 0.0

    def unreached(self, now: float) -> bool:
        """A call found no connection; whether it is still worth trying."""
        if self.since is None:
            self.since = now
        if now >= self.ask_at:
            self.unanswered += 1
            self.ask_at = now + backoff(self.chance, self.unanswered)
        return now - self.since <= RETRY_FOR


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO time, UTC, whole seconds."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float | None:
    """ISO time as seconds since the epoch; a time without a zone counts as UTC. None for anything else."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return when.timestamp()
