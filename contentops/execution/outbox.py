"""Sends all calls: one queue by priority, one limiter, one fsync for all that is ready at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contentops.api.calls import Accepted, Failure, FailureKind
from contentops.api.session import always
from contentops.errors import NotShared
from contentops.execution.limiter import WINDOW
from contentops.execution.primitives import Priority, Stopped, Withheld

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.api.calls import Reply
    from contentops.api.session import MayLeave, Send
    from contentops.execution.limiter import AccountLimiter, Admission, Outage
    from contentops.execution.primitives import Asks

AT_ONCE = 32
"""Requests under way at the same time; a job is a timer, not a socket."""
UNSENT = 8
"""Requests that are counted and whose bytes have not left yet, at most, where there is a limit: one that leaves long
after it was counted may be too many in its minute, and a kill leaves few submits of which no one knows if they left."""
LONGEST_WAIT = 5.0
"""Seconds after which waiting requests are looked at again, even if nothing has happened."""


@dataclass(order=True, slots=True)
class Turn:
    """One call that waits or was sent; its `rank` ends with a running number, so it alone orders calls.

    `intend` records what it is about to do, `handed_on`: it is being sent, `unsent`: its bytes have not left yet,
    where there is a limit.
    """

    rank: tuple[Priority, int]
    call: Asks[Any]
    intend: Callable[[], None] | None
    answer: asyncio.Future[Any]
    handed_on: bool = False
    unsent: bool = False


class Outbox:
    """Calls that wait for their turn, and those under way.

    `send` answers a call, `flush` makes records durable, `fence` gives, right after that, the check whether a call may
    still leave. `wake` asks for the next turn, `fail` ends the run with an error.
    """

    def __init__(
        self,
        limiter: AccountLimiter,
        admission: Admission,
        outage: Outage,
        *,
        send: Send,
        fence: Callable[[], MayLeave],
        flush: Callable[[], None],
        wake: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._limiter, self._admission, self._outage = limiter, admission, outage
        self._send, self._fence, self._flush, self._wake, self._fail = send, fence, flush, wake, fail
        self.requests = 0
        self._order = itertools.count()
        self._queue: list[Turn] = []
        self._deferred = 0
        self._flying: dict[asyncio.Task[Reply | Failure], Turn] = {}
        self._cancelled: list[asyncio.Task[Reply | Failure]] = []
        self._limited_at = -math.inf
        """When a call that pays nothing was answered 429."""
        self._arriving = 0
        """Submits that were accepted, and whose items have not gone on yet."""

    def put(self, call: Asks[Any], priority: Priority, intend: Callable[[], None] | None) -> Turn:
        """Queue a call."""
        turn = Turn((priority, next(self._order)), call, intend, asyncio.get_running_loop().create_future())
        heapq.heappush(self._queue, turn)
        self._wake()
        return turn

    def resumed(self, answer: object) -> None:
        """Note that an item took its answer: an accepted submit no longer counts as arriving."""
        self._arriving -= isinstance(answer, Accepted)

    def dispatch(self, now: float) -> float:
        """Send every call that may leave now, once its records are durable; returns the loop time of the next look."""
        chosen, deferred = self._choose(now) if self._queue else ([], [])
        granted = 0
        try:
            granted = self._limiter.take(len(chosen), now, [turn.rank[0] for turn in chosen]) if chosen else 0
        finally:
            for turn in (*deferred, *chosen[granted:]):
                heapq.heappush(self._queue, turn)
            self._deferred = len(deferred)
        batch = chosen[:granted]
        try:
            for turn in batch:
                if turn.intend is not None:
                    turn.intend()
            self._flush()
            if batch:
                # To make records durable takes time, and the limit counts when requests leave.
                self._limiter.leaving(len(batch), asyncio.get_running_loop().time())
        except NotShared:
            for turn in batch:
                turn.answer.set_exception(Withheld())
            raise
        for turn in batch:
            self._leave(turn)
        return self._next_look(now)

    def _choose(self, now: float) -> tuple[list[Turn], list[Turn]]:
        """Take from the queue the turns that only the limit may hold up, and those for which there is no room yet."""
        chosen: list[Turn] = []
        deferred: list[Turn] = []
        room = self._room()
        submits = self._arriving + sum(turn.call.pays for turn in self._flying.values())
        while self._queue and len(chosen) < room and self._ready_at(now) <= now:
            turn = heapq.heappop(self._queue)
            if turn.answer.done():
                continue
            if turn.rank[0] is Priority.SUBMIT:
                if self._admission.closed:
                    turn.answer.set_exception(Stopped())
                    continue
                if not self._admission.may_send(submits, now):
                    deferred.append(turn)
                    continue
                submits += 1
            chosen.append(turn)
        return chosen, deferred

    def _leave(self, turn: Turn) -> None:
        # Asked for right after the records were made durable: by the time the task runs, another flush may have been.
        may_leave = always if turn.call.repeatable else self._fence()

        def leaving() -> bool:
            if turn.unsent:
                turn.unsent = False
                self._wake()
            return may_leave()

        turn.handed_on, turn.unsent = True, bool(self._limiter.limit)
        asked = leaving if turn.unsent else may_leave

        async def sent() -> Reply | Failure:
            return await self._send(turn.call, asked)  # type: ignore[arg-type]  # every `Asks` is a Call

        self.requests += 1
        task = asyncio.get_running_loop().create_task(sent())
        self._flying[task] = turn
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[Reply | Failure]) -> None:
        turn, error = self._flying.pop(task, None), None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        if isinstance(error, NotShared) and turn is not None and not turn.answer.done():
            turn.answer.set_exception(Stopped())
        if turn is None or error is not None or task.cancelled():
            return
        answer = task.result()
        if isinstance(answer, Failure) and answer.kind is FailureKind.THROTTLED:
            try:
                self._throttled(turn.call, answer.retry_after, asyncio.get_running_loop().time())
            except NotShared as away:
                self._fail(away)
        if not turn.answer.done():
            self._arriving += isinstance(answer, Accepted)
            turn.answer.set_result(answer)
        self._wake()

    def _throttled(self, call: Asks[Any], retry_after: float | None, now: float) -> None:
        """Slow down after a 429: only submits if only they are refused, everything if the account is at its limit."""
        running = self._admission.running + self._arriving
        if not call.pays:
            self._limited_at = now
        if call.pays and running and now - self._limited_at > WINDOW:
            self._admission.crowded(running, now, now + (retry_after or 0.0))
        else:
            self._admission.room = math.inf
            self._limiter.throttled(now, retry_after)

    def _next_look(self, now: float) -> float:
        if not self._queue:
            return math.inf
        if len(self._queue) > self._deferred and self._room() > 0:
            return min(self._ready_at(now), now + LONGEST_WAIT)
        if self._admission.opens_at > now:
            return min(self._admission.opens_at, now + LONGEST_WAIT)
        return now + LONGEST_WAIT

    def _room(self) -> int:
        """The number of further requests that may be under way at once."""
        room = (1 if self._outage.failures else AT_ONCE) - len(self._flying)
        return min(room, UNSENT - sum(turn.unsent for turn in self._flying.values())) if self._limiter.limit else room

    def _ready_at(self, now: float) -> float:
        """The earliest loop time at which the next request may leave."""
        return max(self._limiter.ready_at(now), self._outage.ask_at)

    def waiting_for(self, now: float) -> tuple[str, float]:
        """The cause of the wait, in one word (limit, answer, retry, or empty), and until when (0 if unknown)."""
        if self._outage.failures and (self._queue or self._flying):
            return "retry", self._outage.ask_at if self._outage.ask_at > now else 0.0
        if len(self._queue) > self._deferred and self._room() > 0:
            return "limit", self._limiter.ready_at(now)
        if self._queue and self._admission.opens_at > now:
            return "limit", self._admission.opens_at
        return "answer" if self._flying else "", 0.0

    # --- the end -----------------------------------------------------------------------------------------

    def cancel(self, *, payments: bool) -> bool:
        """Cancel waiting calls, repeatable requests and, if asked, `payments`; returns whether any request goes on."""
        for turn in [each for each in self._queue if not each.answer.done()]:
            turn.answer.set_exception(Stopped())
        self._queue.clear()
        for task, turn in list(self._flying.items()):
            if not task.done() and (payments or turn.call.repeatable):
                del self._flying[task]
                task.cancel()
                self._cancelled.append(task)
                if not turn.answer.done():
                    turn.answer.set_exception(Stopped())
        return bool(self._flying)

    def abandon(self) -> list[asyncio.Task[Any]]:
        """Cancel everything; returns the tasks to wait for."""
        tasks = [*self._flying, *self._cancelled]
        for task in self._flying:
            task.cancel()
        for turn in (*self._queue, *self._flying.values()):
            turn.answer.cancel()
        return tasks
