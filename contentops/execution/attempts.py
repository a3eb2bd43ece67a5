"""Sends one call again, by the policy of `api.backoff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from contentops.api.backoff import RETRY
from contentops.api.calls import FailureKind

if TYPE_CHECKING:
    import random
    from collections.abc import Container

    from contentops.api.calls import Failure

PASSING = frozenset({FailureKind.NOT_SENT, FailureKind.UNAVAILABLE, FailureKind.AMBIGUOUS})
"""Failures after which a call that does no harm twice is sent again."""


class Retrier(Protocol):
    """Sends calls and waits. Times are in seconds of the loop's clock."""

    random: random.Random

    def now(self) -> float:
        """The time now."""
        ...

    def may_wait(self, failure: Failure, began: float) -> bool:
        """Whether to wait out a 429; `began`: when the call was first answered."""
        ...

    async def pause(self, failure: Failure, seconds: float) -> None:
        """Wait until a call that failed is sent again."""
        ...


class Attempts:
    """The attempts of one call: bounded in total time, with full jitter between; a 429 waits as the server asks."""

    def __init__(self, caller: Retrier) -> None:
        self._caller = caller
        self._began: float | None = None
        """When it was answered first."""
        self._failing: float | None = None
        """When it failed first since the last 429, which was an answer."""
        self.failed = 0
        """The number of failures, without 429s."""

    async def again(self, failure: Failure, passing: Container[FailureKind] = PASSING) -> bool:
        """Wait until the call may be sent again; False if it should not be."""
        caller, now = self._caller, self._caller.now()
        # Counted from the first answer: while a call waits for its turn, nothing fails.
        self._began = now if self._began is None else self._began
        if failure.kind is FailureKind.THROTTLED:
            self._failing = None
            return caller.may_wait(failure, self._began)
        self._failing = now if self._failing is None else self._failing
        if failure.kind not in passing or not RETRY.goes_on(self._failing, now):
            return False
        self.failed += 1
        await caller.pause(failure, RETRY.wait(caller.random, self.failed, failure.retry_after))
        return True
