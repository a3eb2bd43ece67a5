"""Times as texts: ISO 8601 in UTC, as the lock, events and the API have them."""

from __future__ import annotations

import datetime as dt
import functools
import math


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO time, UTC, whole seconds."""
    return _whole_second(math.floor(seconds))


@functools.lru_cache(maxsize=8)
def _whole_second(seconds: int) -> str:
    # A hundred events or more in one second have the same text.
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_exact(seconds: float) -> str:
    """Seconds since the epoch as ISO time, UTC, to the microsecond, to compare with times of a server."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float | None:
    """ISO time as seconds since the epoch; a time without a zone counts as UTC. None for anything else."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return when.timestamp()
