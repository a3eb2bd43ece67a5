"""The one retry policy, and how long a server asks us to wait."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


class Retry(Struct, frozen=True, kw_only=True):
    """How a call is retried after a passing failure: full jitter, bounded in total time. In seconds."""

    first: float = 1.0
    """The upper bound of the first wait; it doubles with each try."""
    longest: float = 20.0
    """The upper bound of every wait."""
    total: float = 60.0
    """The time over which one call is retried; also the longest `retry_after` of a server that is honoured."""

    def wait(self, chance: random.Random, tries: int, retry_after: float | None = None) -> float:
        """Seconds to wait after so many tries (from 1), at least those that the server asked for."""
        drawn = chance.uniform(0.0, min(self.longest, self.first * 2 ** min(tries, 10)))
        return max(drawn, min(retry_after or 0.0, self.total))

    def goes_on(self, began: float, now: float) -> bool:
        """Whether a call that failed first at `began` is tried again at `now`."""
        return now - began <= self.total


RETRY = Retry()
"""The policy of every call."""

# --- headers of a server -----------------------------------------------------------------------------------

LONGEST = 31 * 86400.0
"""Seconds; a longer wait is shortened to this."""
_EPOCH = 1_000_000_000
"""A reset above this is a time since 1970, otherwise a number of seconds."""
_REPEATS = 8
_BETWEEN_DATES = re.compile(r"(?<=GMT)\s*,\s*")
_PLAIN = re.compile(r"[+-]?\d{1,400}(\.\d{1,30})?")


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """The seconds from 0 to `LONGEST` that the headers ask to wait, or None where none can be read.

    `headers` have lower-case names; `wall` is now in seconds since 1970. Read in this order: `Retry-After` (seconds
    or an HTTP date, taken against the server's own `Date` so that a wrong clock here does no harm), `Retry-After-Ms`,
    the `t=` of `RateLimit`, `RateLimit-Reset` and `X-RateLimit-Reset` (seconds, or a time since 1970).
    """
    now = _date(headers.get("date", ""))
    now = wall if now is None else now
    seconds = _longest(headers.get("retry-after", "").strip(), now)
    if seconds is None and (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        seconds = milliseconds / 1000
    if seconds is None:
        seconds = _reset(headers, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST)


def _longest(header: str, now: float) -> float | None:
    """The longest wait in a header; one that was sent twice arrives joined by commas."""
    numbers = [_number(part) for part in header.split(",", _REPEATS)]
    if None not in numbers:
        return max(number for number in numbers if number is not None)
    dates = [_date(part) for part in _BETWEEN_DATES.split(header, _REPEATS)]
    if None not in dates:
        return max(date - now for date in dates if date is not None)
    return None


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    if window := re.search(r"(?:^|[;,\s])t=(\d{1,12})", headers.get("ratelimit", "")):
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
