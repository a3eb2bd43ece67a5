"""How much an account may ask for at once: requests in any minute, and generations under way.

An account is a key, or everyone together where no keys are asked for. The window is this process's own: a restart
forgets it, as it does on the service.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 60.0
"""Seconds a request counts."""

PER_MINUTE = 10
"""Requests per minute where keys are asked for and nothing else was said: what the service documents."""

_TRY_AGAIN = 5
"""Seconds until a refused submit may find a generation ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is allowed.

    `requests_per_minute`: at most so many requests of an account in any 60 s; 0 sets no limit, None sets `PER_MINUTE`
    where keys are asked for and none elsewhere. `free_polls`: asking for a job's status does not count.
    `max_active`: generations of an account that may be under way; 0 sets no limit.
    """

    requests_per_minute: int | None = None
    free_polls: bool = False
    max_active: int = 0

    def per_minute(self, *, keyed: bool) -> int:
        """Requests per minute, or 0 for no limit."""
        if self.requests_per_minute is not None:
            return self.requests_per_minute
        return PER_MINUTE if keyed else 0


class Window:
    """The requests each account made in the last minute. One that is refused does not count."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._taken: dict[str, deque[float]] = {}

    def take(self, account: str, most: int) -> None:
        """Count one request. Raises Refusal with 429 and `Retry-After` if `most` were made in the last minute."""
        now = self._now()
        taken = self._taken.setdefault(account, deque())
        # A wall clock may be set back: what seems to lie ahead is no reason to wait for it.
        while taken and not 0 <= now - taken[0] < WINDOW:
            taken.popleft()
        if len(taken) >= most:
            # With a limit that was lowered since, more than one has to leave.
            wait = taken[len(taken) - most] + WINDOW - now
            raise _too_many(f"Rate limit exceeded: {most} per 1 minute", max(1, math.ceil(wait)))
        taken.append(now)


def refuse_active(active: int, most: int) -> None:
    """Raises Refusal with 429 if one more generation would be more than `most`; 0 sets no limit."""
    if 0 < most <= active:
        raise _too_many(f"Too many active generations: {most} at a time", _TRY_AGAIN)


def _too_many(message: str, seconds: int) -> Refusal:
    return Refusal(429, message, headers={"Retry-After": str(seconds)})
