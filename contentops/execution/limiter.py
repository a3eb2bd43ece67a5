"""Keeps the limits of a server: requests a minute, unfinished jobs, and requests during an outage.

A token bucket would let almost twice the limit through in its first minute; a log of send times never does.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, Self

from msgspec import Struct, field

from contentops.api.outcomes import RETRY

# ---- Keeps to the limits of a server.


@dataclass(slots=True)
class Outage:
    """Allows one request at a time during an outage, to find out when the server replies again.

    Times are loop times. A call fails if no server was reached, or if the server had an error or did not reply. Any
    other reply is an answer.
    """

    chance: random.Random
    reached: bool = False
    """Whether a server has replied in this run."""
    since: float | None = None
    """When the first call failed after the last reply; None if the last call got a reply."""
    why: str = ""
    """The message of the last failure."""
    failures: int = 0
    """Turns in a row that failed."""
    ask_at: float = 0.0
    """The time before which no request is sent."""

    def answered(self) -> None:
        """Record that the server replied to a call."""
        self.reached, self.since, self.why = True, None, ""
        self.failures, self.ask_at = 0, 0.0

    def failed(self, why: str, now: float) -> bool:
        """Record that a call failed, and return whether to try more calls."""
        self.why = why
        if self.since is None:
            self.since = now
        if now >= self.ask_at:
            self.failures += 1
            self.ask_at = now + RETRY.wait(self.chance, self.failures)
        return RETRY.goes_on(self.since, now)


WINDOW = 60.0
"""Seconds over which the server counts requests for its limit."""
MARGIN = 0.05
"""Seconds added to every wait, since our clock and the network are not exact."""

FIRST_PAUSE = 1.0
"""Seconds to wait after a 429 that names no time, if the settings have no request limit."""
LONGEST_PAUSE = 32.0
"""The longest pause, in seconds, to which the pause doubles while 429 replies continue."""


class AccountLimiter(Protocol):
    """Says when a request may be sent. All requests of an account share one limiter.

    Times are loop times in seconds.
    """

    @property
    def limit(self) -> int:
        """Return how many requests are allowed in any 60 seconds, or 0 if there is no limit."""

    def ready_at(self, now: float) -> float:
        """Return the earliest time at which the next request may be sent, as far as is known.

        It is not after `now` if the request may be sent at once.
        """

    def take(self, most: int, now: float) -> int:
        """Count the requests that may be sent now, at most `most`, and return their number."""

    def leaving(self, count: int, now: float) -> None:
        """Set the time of the last `count` requests to `now`; they were counted earlier but are sent now."""

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Lower the request rate after a 429 reply."""


class LimiterState(Struct, kw_only=True):
    """The times of sent requests, and what was learned from 429 replies.

    All times are seconds of the same clock, whichever it is.
    """

    sent: list[float] = field(default_factory=list)
    """When each request of the last minute was sent."""
    allowed: float | None = None
    """The requests a minute that are used at the moment; None means the whole limit."""
    open_at: float = 0.0
    shrunk_at: float = -1e18
    pause: float = 0.0


class Limiter:
    """Allows at most `per_minute` requests in any 60 seconds; 0 means no limit.

    Above 60 a minute, it also allows at most ceil(N/60) in any second. All times are those of the caller's clock, in
    seconds. `state` changes with each call. `spread`: requests may arrive up to this much later than they were counted,
    some later than others.
    """

    def __init__(self, per_minute: int, state: LimiterState | None = None, *, spread: float = 0.0) -> None:
        self.limit = per_minute
        self.state = state or LimiterState()
        self._window = WINDOW + spread

    @property
    def allowed(self) -> int:
        """Return how many requests a minute are allowed at the moment.

        They are fewer than the limit while others use the same account.
        """
        return max(1, int(self._allowed())) if self.limit else 0

    def _allowed(self) -> float:
        return float(self.limit) if self.state.allowed is None else min(self.state.allowed, float(self.limit))

    def ready_at(self, now: float) -> float:
        """Return the earliest time at which the next request may be sent.

        It is not after `now` if the request may be sent at once.
        """
        ready = max(self.state.open_at, 0.0)
        if self.limit:
            sent = self.state.sent
            del sent[: bisect.bisect_left(sent, now - WINDOW - 1.0)]
            ready = max(ready, self._after(self.allowed, self._window))
            if self.allowed > WINDOW:
                ready = max(ready, self._after(math.ceil(self.allowed / WINDOW), 1.0))
        return ready

    def take(self, most: int, now: float) -> int:
        """Count the requests that may be sent now, at most `most`, and return their number."""
        taken = 0
        while taken < most and self.ready_at(now) <= now:
            self.sent(now)
            taken += 1
        return taken

    def leaving(self, count: int, now: float, *, taken: float = math.inf) -> None:
        """Set the time of `count` requests to `now`; they were counted earlier but are sent now.

        They are the last ones that were counted until the time `taken`.
        """
        if not self.limit:
            return
        sent = self.state.sent
        end = bisect.bisect_right(sent, taken)
        begin = max(0, end - count)
        sent[begin:end] = [max(now, each) for each in sent[begin:end]]
        sent.sort()

    def sent(self, now: float) -> None:
        """Count one request.

        A reduced limit grows by one after a window without a 429 reply.
        """
        if not self.limit:
            return
        self.state.sent.append(now)
        if self._allowed() < self.limit and now - self.state.shrunk_at > 2 * WINDOW:
            more = self._allowed() + 1
            self.state.allowed = more if more < self.limit else None
            self.state.shrunk_at = now - WINDOW

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Lower the request rate after a 429 reply, and wait as long as the server asks.

        If the reply was unexpected, use less of the account's limit. Without a time to wait, or with one that is over,
        wait for one request's share of the minute. Each turn that is refused again at once doubles the shortest pause,
        so that the server is not flooded. The limit shrinks only once in a window, so that many refusals do not freeze
        the run.
        """
        pause = retry_after or (WINDOW / self.limit if self.limit else FIRST_PAUSE)
        state = self.state
        # Those that were sent together are one turn, however many of them are turned away.
        if now >= state.open_at:
            again = state.pause > 0 and now - state.open_at <= state.pause + FIRST_PAUSE
            state.pause = min(2 * state.pause, LONGEST_PAUSE) if again else pause
        state.open_at = max(state.open_at, now + max(pause, state.pause) + MARGIN)
        if self.limit and now - state.shrunk_at > WINDOW:
            state.allowed = max(1.0, self._allowed() * 0.7)
            state.shrunk_at = now

    def _after(self, count: int, window: float) -> float:
        """Return when the next request may be sent, if at most `count` requests are allowed in `window` seconds."""
        return self.state.sent[-count] + window + MARGIN if len(self.state.sent) >= count else 0.0


ASK_FIRST = 5
"""After this many unknown ids in a row, submits no longer ask the server for their id first."""
REFUSALS = 5
"""Refused submits in a row that stop a run."""


@dataclass(slots=True)
class Admission:
    """A limit for unfinished jobs. Until the server has completed a job, only one job may be unfinished.

    While `ask_first` is true, the server is asked for a request id before the request is sent. No more requests ask at
    the same time than are needed to stop asking.
    """

    max_in_flight: int
    proven: bool
    ask_first: bool = False
    closed: bool = False
    """Nothing is submitted any more."""
    in_flight: int = 0
    refused: int = 0
    """Submits in a row that brought no job."""
    asking: int = 0
    strangers: int = 0
    """Ids in a row that the server did not know."""
    progress_at: float = -math.inf
    """Loop time at which a job was last accepted or ended."""

    def open(self, *, asks: bool = True) -> bool:
        """Return whether another submit request may be prepared now.

        `asks`: the server is asked for the request id first.
        """
        if asks and self.ask_first and self.asking >= ASK_FIRST - self.strangers:
            return False
        return self.in_flight < (self.max_in_flight if self.proven else 1)

    def enter(self, *, asks: bool = True) -> None:
        """Count one more submit request as being prepared."""
        self.in_flight += 1
        self.asking += asks and self.ask_first

    def answered(self, *, known: bool | None) -> None:
        """Record whether the server knew a request id that it was asked about. None means that it did not reply.

        After enough unknown ids in a row, no submit request asks first.
        """
        self.asking -= 1
        if known is None:
            return
        self.strangers = 0 if known else self.strangers + 1
        if self.strangers >= ASK_FIRST:
            self.ask_first = False


@dataclass(slots=True)
class Limits:
    """All limits for a run's requests: the account's limit, the limit for jobs, and the limit during an outage."""

    account: AccountLimiter
    jobs: Admission
    outage: Outage


class JobSlot:
    """A slot that an item needs to have an unfinished job; the number of slots is limited.

    It is a context manager, and the slot is free at the latest when the block ends. `freed` is called when it is free:
    whoever leaves the slot must not let another item in.
    """

    def __init__(
        self,
        admission: Admission,
        admit: Callable[[bool], Awaitable[bool]],
        now: Callable[[], float],
        freed: Callable[[], None],
    ) -> None:
        self._admission, self._admit, self._now, self._freed = admission, admit, now, freed
        self._taken = self._running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def enter(self, *, asks: bool) -> bool:
        """Wait for the slot. Return False if the run submits nothing more.

        `asks`: the server is asked for the request id first.
        """
        if not self._taken:
            self._taken = await self._admit(asks)
        return self._taken and not self._admission.closed

    def take(self) -> None:
        """Take the slot without waiting, because the server already has the item's job, or may have it."""
        if not self._taken:
            self._taken = True
            self._admission.enter(asks=False)

    def begin(self) -> None:
        """Record that the server has the item's job."""
        if not self._running:
            self._running = True
            self._admission.progress_at = self._now()

    def leave(self) -> None:
        """Free the slot."""
        if self._running:
            self._running = False
            self._admission.progress_at = self._now()
        if self._taken:
            self._taken = False
            self._admission.in_flight -= 1
            self._freed()
