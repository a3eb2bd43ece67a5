"""Times and lengths in words, for pages that people read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from contentops.errors import plural
from contentops.sanitize import visible

_WORDS_A_MINUTE: Final = 220
_DAY: Final = 86_400


def minutes(words: int) -> str:
    """How long a text takes to read: `2 minutes`."""
    return plural(max(round(words / _WORDS_A_MINUTE), 1), "minute")


def day(at: str, now: float) -> str:
    """The day of an ISO time in the time zone of this machine: `today`, `12 November`, with another year.

    `now` is seconds since 1970. What is no time is shown as it is, here and below.
    """
    when, today = _local(at), datetime.fromtimestamp(now, UTC).astimezone()
    if when is None:
        return visible(at)
    if when.date() == today.date():
        return "today"
    return f"{when.day} {when:%B}" + (f" {when.year}" if when.year != today.year else "")


def on_day(at: str, now: float) -> str:
    """The day as the end of a sentence: `today`, `on 12 November`."""
    name = day(at, now)
    return name if name == "today" else f"on {name}"


def short_date(at: str) -> str:
    """The day for a column: `12 Nov 26`."""
    when = _local(at)
    return visible(at) if when is None else f"{when.day} {when:%b %y}"


def day_and_time(at: str, now: float) -> str:
    """The day with the time: `today at 06:44`."""
    when = _local(at)
    return visible(at) if when is None else f"{day(at, now)} at {when:%H:%M}"


def age(at: str, now: float) -> str:
    """How long ago it was: `2 days`; `since today` for less than one."""
    when = _local(at)
    days = 0 if when is None else int((now - when.timestamp()) // _DAY)
    return plural(days, "day") if days > 0 else "since today"


def _local(at: str) -> datetime | None:
    try:
        return datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError):
        return None
