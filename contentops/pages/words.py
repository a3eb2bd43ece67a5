"""Numbers, times and messages in words, for the templates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from contentops.digest import short
from contentops.errors import plural
from contentops.reporting.causes import reason_values
from contentops.reporting.plan_text import note_line
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WORDS_A_MINUTE: Final = 220
_DAY: Final = 86_400


def coded(message: str) -> Markup:
    """Return a message of ours as HTML: what stands in backticks becomes code."""
    parts = visible(message).split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = [f"{parts[-2]}`{parts[-1]}"]
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def number(value: int) -> str:
    """Return a number with commas."""
    return f"{value:,}"


def minutes(words: int) -> str:
    """Return how long a text takes to read: `2 minutes`."""
    return plural(max(round(words / _WORDS_A_MINUTE), 1), "minute")


def day(at: str, now: float) -> str:
    """Return the day of an ISO time in the time zone of this machine: `today`, `12 November`, with another year.

    `now` is seconds since 1970.
    """
    when, today = _local(at), datetime.fromtimestamp(now, UTC).astimezone()
    if when is None:
        return visible(at)
    if when.date() == today.date():
        return "today"
    return f"{when.day} {when:%B}" + (f" {when.year}" if when.year != today.year else "")


def date(at: str) -> str:
    """Return the day of an ISO time for a column: `12 Nov 26`."""
    when = _local(at)
    return visible(at) if when is None else f"{when.day} {when:%b %y}"


def on_day(at: str, now: float) -> str:
    """Return when, as the end of a sentence: `today`, `on 12 November`. `now` is seconds since 1970."""
    name = day(at, now)
    return name if name == "today" else f"on {name}"


def moment(at: str, now: float) -> str:
    """Return the day and the time of an ISO time: `today at 06:44`."""
    when = _local(at)
    return visible(at) if when is None else f"{day(at, now)} at {when:%H:%M}"


def age(at: str, now: float) -> str:
    """Return how long ago an ISO time is: `2 days`; `since today` for less than one."""
    when = _local(at)
    days = 0 if when is None else int((now - when.timestamp()) // _DAY)
    return plural(days, "day") if days > 0 else "since today"


def _local(at: str) -> datetime | None:
    try:
        return datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError):
        return None


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "visible": visible,
    "coded": coded,
    "number": number,
    "minutes": minutes,
    "day": day,
    "date": date,
    "moment": moment,
    "age": age,
    "plural": plural,
    "short": short,
    "note_line": note_line,
    "reason_values": reason_values,
}
"""The filters of the templates."""
