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

FIRST_PAUSE = 1.0
"""Seconds to hold back after a 429 that names no time, where there is no limit of ours."""
LONGEST_PAUSE = 32.0
"""Seconds up to which that doubles while 429s go on, whatever they ask."""


class Limiter:
    """At most `per_minute` sends in any 60 s and, above 60 a minute, ceil(N/60) in any second; 0 means no limit.

    All times are loop times in seconds.
    """

    def __init__(self, per_minute: int) -> None:
        self.limit = per_minute
        self._allowed = float(per_minute)
        self._sent: deque[float] = deque()
        self._open_at = 0.0
        self._shrunk_at = -math.inf
        self._pause = 0.0

    @property
    def allowed(self) -> int:
        """Requests a minute that are used at the moment; smaller than the limit while others share the account."""
        return max(1, int(self._allowed)) if self.limit else 0

    def ready_at(self, now: float) -> float:
        """The earliest time the next send may go out; not after `now` if it may go at once."""
        ready = max(self._open_at, 0.0)
        if self.limit:
            self._forget(now)
            ready = max(ready, self._after(self.allowed, WINDOW))
            if self.allowed > WINDOW:
                ready = max(ready, self._after(math.ceil(self.allowed / WINDOW), 1.0))
        return ready

    def sent(self, now: float) -> None:
        """Count one send; a clean window lets a shrunk limit grow back by one."""
        if not self.limit:
            return
        self._sent.append(now)
        if self._allowed < self.limit and now - self._shrunk_at > 2 * WINDOW:
            self._allowed = min(float(self.limit), self._allowed + 1)
            self._shrunk_at = now - WINDOW

    def throttled(self, now: float, retry_after: float | None) -> None:
        """A 429 came: hold new sends as the server asks, and use less of the account if it was not foreseen.

        A time that is over, or none at all, asks for one send's share of the minute; each turn that is turned away
        again at once doubles the least pause, so that we do not make a storm. One shrink per window, whatever the
        hints say, so that a storm does not freeze the run.
        """
        pause = retry_after or (WINDOW / self.limit if self.limit else FIRST_PAUSE)
        self._open_at = max(self._open_at, now + max(pause, self._least_pause(now, pause)) + MARGIN)
        if self.limit and now - self._shrunk_at > WINDOW:
            self._allowed = max(1.0, self._allowed * 0.7)
            self._shrunk_at = now

    def _least_pause(self, now: float, asked: float) -> float:
        # Those that were sent together are one turn, however many of them are turned away.
        if now >= self._open_at:
            again = self._pause > 0 and now - self._open_at <= self._pause + FIRST_PAUSE
            self._pause = min(2 * self._pause, LONGEST_PAUSE) if again else asked
        return self._pause

    def _after(self, count: int, window: float) -> float:
        """When a further send would still be at most the `count`-th within `window` seconds."""
        if len(self._sent) < count:
            return 0.0
        return self._sent[-count] + window + MARGIN

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] < now - WINDOW - 1.0:
            self._sent.popleft()
