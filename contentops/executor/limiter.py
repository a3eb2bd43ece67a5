"""One sliding-window log per account for everything that is sent.

A token bucket would let almost twice the limit through in its first minute; a log of send times never does.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW = 60.0
"""Seconds the server's limit is counted over."""
MARGIN = 0.05
"""Seconds added to every wait, since our clock and the network are not exact."""


class Limiter:
    """At most `per_minute` sends in any 60 s and, above 60 a minute, ceil(N/60) in any second; 0 means no limit.

    All times are loop times in seconds.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._allowed = float(per_minute)
        self._sent: deque[float] = deque()
        self._gate = 0.0
        self._shrunk_at = -math.inf

    @property
    def allowed(self) -> int:
        """Requests a minute that are used at the moment; smaller than the limit while others share the account."""
        return max(1, int(self._allowed)) if self._limit else 0

    def ready_at(self, now: float) -> float:
        """The earliest time the next send may go out; not after `now` if it may go at once."""
        ready = max(self._gate, 0.0)
        if self._limit:
            self._forget(now)
            ready = max(ready, self._after(self.allowed, WINDOW))
            if self.allowed > WINDOW:
                ready = max(ready, self._after(math.ceil(self.allowed / WINDOW), 1.0))
        return ready

    def sent(self, now: float) -> None:
        """Count one send; a clean window lets a shrunk limit grow back by one."""
        if not self._limit:
            return
        self._sent.append(now)
        if self._allowed < self._limit and now - self._shrunk_at > 2 * WINDOW:
            self._allowed = min(float(self._limit), self._allowed + 1)
            self._shrunk_at = now - WINDOW

    def throttled(self, now: float, retry_after: float | None) -> None:
        """A 429 came: hold new sends as the server asks, and use less of the account if it was not foreseen.

        One shrink per window, whatever the hints say, so that a storm of 429s does not freeze the run.
        """
        pause = retry_after if retry_after is not None else 1.0 if not self._limit else WINDOW / self._limit
        self._gate = max(self._gate, now + pause + MARGIN)
        if self._limit and now - self._shrunk_at > WINDOW:
            self._allowed = max(1.0, self._allowed * 0.7)
            self._shrunk_at = now

    def _after(self, count: int, window: float) -> float:
        """When a further send would still be at most the `count`-th within `window` seconds."""
        if len(self._sent) < count:
            return 0.0
        return self._sent[-count] + window + MARGIN

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] < now - WINDOW - 1.0:
            self._sent.popleft()
