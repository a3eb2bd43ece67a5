"""Times as records and servers write them."""

from __future__ import annotations

import datetime as dt


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
