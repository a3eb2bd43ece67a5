"""How long a server asks us to wait, from whichever header says it."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 31 * 86400.0
"""Seconds; a longer wish is cut to this, so that sums with it stay sane."""

_EPOCH = 1_000_000_000
"""A reset above this is a point in time, not a number of seconds."""

_REPEATS = 8
_BETWEEN_DATES = re.compile(r"(?<=GMT)\s*,\s*")

_PLAIN = re.compile(r"[+-]?\d{1,400}(\.\d{1,30})?")


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds to wait, from 0 to `LONGEST`, or None where no header says so in a form that can be read.

    `headers` have lower-case names; `wall` is now in seconds since 1970. Read in this order: `Retry-After` (seconds
    or an HTTP date, taken against the server's own `Date` so that a wrong clock here does no harm), `Retry-After-Ms`,
    the `t=` of `RateLimit`, `RateLimit-Reset` and `X-RateLimit-Reset` (seconds, or a time since 1970).
    """
    now = _date(headers.get("date", ""))
    now = wall if now is None else now
    asked = headers.get("retry-after", "").strip()
    seconds = _longest(asked, now)
    if seconds is None and (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        seconds = milliseconds / 1000
    if seconds is None:
        seconds = _reset(headers, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST)


def _longest(asked: str, now: float) -> float | None:
    """The longest of the waits asked for: a header that came twice arrives as one, joined by commas."""
    numbers = [_number(part) for part in asked.split(",", _REPEATS)]
    if all(number is not None for number in numbers):
        return max(number for number in numbers if number is not None)
    dates = [_date(part) for part in _BETWEEN_DATES.split(asked, _REPEATS)]
    if all(date is not None for date in dates):
        return max(date - now for date in dates if date is not None)
    return None


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    window = re.search(r"(?:^|[;,\s])t=(\d{1,12})", headers.get("ratelimit", ""))
    if window:
        return float(window[1])
    for name in ("ratelimit-reset", "x-ratelimit-reset"):
        reset = _number(headers.get(name, ""))
        if reset is not None:
            return reset - now if reset > _EPOCH else reset
    return None


def _number(text: str) -> float | None:
    text = text.strip()
    if not text.isascii() or not _PLAIN.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else math.copysign(LONGEST, value)


def _date(text: str) -> float | None:
    if not text or len(text) > 100:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
