"""Contains the only functions by which the work on an item may wait, send requests and record facts.

They also start and end the tasks of items.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from contentops.api.calls import Asks, Call, Failure, FailureKind, GetStatus, JobStatus, Reply
from contentops.api.session import MayLeave, Send, always
from contentops.errors import NotShared
from contentops.execution.limiter import JobSlot, Limits
from contentops.execution.primitives import Durations, Priority, R, Stopped, Withheld, next_poll
from contentops.state.codec import Fact
from contentops.state.store import StateStore

TICK = 0.001
"""Seconds added to every wait, since a timer may fire slightly too early because of rounding."""
SOON = 0.02
"""Seconds after which what was recorded is durable, also if nothing is sent: one write has the end of an item and the
intent of the next one."""
STOP_PATIENCE = 8.0
"""Seconds for which a stopped run waits for replies to calls that pay or store; CI kills it after ten seconds."""

UNSHARED = "ledger"
"""The reason for a stop that a run has if it lost its ledger."""

T = TypeVar("T")


class DurableRun:
    """One run of a plan. Everything that waits here raises `Stopped` if the run ends early.

    `send` sends a call and returns the reply, `fence` is as in `Outbox`, and `on_turn` is called before each turn.
    """

    def __init__(
        self,
        state: StateStore,
        limits: Limits,
        durations: Durations,
        *,
        send: Send,
        fence: Callable[[], MayLeave] = lambda: always,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._state, self._limiter, self._admission, self._durations = state, limits.account, limits.jobs, durations
        self._on_turn, self._loop = on_turn, asyncio.get_running_loop()
        self._outbox = Outbox(
            limits,
            send=send,
            fence=fence,
            flush=self._flush,
            wake=self.wake,
            fail=self._fail,
        )
        self.stopped = self.message = self.hint = ""
        """Why the run ends early, or empty; then nothing is submitted any more."""
        self.halted = False
        """Whether all waits have ended."""
        self._admissions: deque[tuple[asyncio.Future[bool], bool]] = deque()
        self._polled = 0
        """The number of jobs that are polled."""
        self._waiting: set[asyncio.Future[Any]] = set()
        """All waits that a stop ends."""
        self._programs: Iterator[Coroutine[Any, Any, None]] | None = None
        self._most = 0
        self._active = 0
        """The number of items that have begun and do not wait for others or for the last look."""
        self._parked: dict[asyncio.Future[None], None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self._next: asyncio.Handle | None = None
        self._timers: dict[str, asyncio.Handle] = {}

    @property
    def requests(self) -> int:
        """Return the number of requests that were sent."""
        return self._outbox.requests

    # --- the primitives ----------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""
        return self._loop.time()

    def record(self, step: str, *facts: Fact) -> None:
        """Record the facts of a step, either all of them or none.

        They are on disk after `SOON` seconds, and before any request that is sent later.
        """
        self._state.note(step, *facts)
        if "flush" not in self._timers:
            self._set("flush", self._loop.call_later(SOON, self._guarded, self._flush))

    def _flush(self) -> None:
        """Write all recorded facts to durable storage."""
        self._set("flush", None)
        self._state.flush()

    async def send(self, call: Asks[R], priority: Priority, intend: Callable[[], None] | None = None) -> R | Failure:
        """Send one call when its turn comes; all requests of a run are sent here.

        `intend` is called at that moment, and what it records is durable before the call leaves. If the call pays or
        creates something, its reply is awaited even if the item is cancelled meanwhile.
        """
        if self.halted:
            raise Stopped
        turn = self._outbox.put(call, priority, intend)
        try:
            answer: R | Failure = await (turn.answer if call.repeatable else asyncio.shield(turn.answer))
        except asyncio.CancelledError:
            if call.repeatable or not turn.handed_on or self._finished.done():
                turn.answer.cancel()
                raise
            # What pays or creates brings its answer home, so that it is recorded.
            answer = await turn.answer
        return answer

    async def poll(
        self, call: GetStatus, kind: str, *, started: float, polls: int, until: float = math.inf
    ) -> JobStatus | Failure:
        """Ask for the status of a job at a time when a new status is likely.

        `started` is the loop time of its submit, `kind` names the template and mode, by which durations are learned,
        and `polls` is how often the job was seen running. If `until`, a loop time, is in the future, it is polled by
        then.
        """
        now = self.now()
        self._polled += 1
        try:
            due = next_poll(
                self._durations,
                kind,
                started=started,
                now=now,
                polls=polls,
                per_minute=self._limiter.limit,
                running=self._polled,
            )
            await self._sleep(min(due, until) if now < until else due)
            return await self.send(call, Priority.POLL)
        finally:
            self._polled -= 1

    async def sleep(self, seconds: float) -> None:
        """Wait for the given number of seconds."""
        await self._sleep(self.now() + seconds)

    async def last_look(self) -> None:
        """Wait until no other item of the run can continue.

        Then all items that wait in this function continue together.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._parked[future] = None
        self._active -= 1
        self._feed()
        try:
            await self._until(future)
        finally:
            if future in self._parked:
                del self._parked[future]
                self._active += 1

    async def others(self, ends: Iterable[asyncio.Future[bool]]) -> list[bool]:
        """Wait for other items of the run.

        During the wait, this item does not count as active.
        """
        self._active -= 1
        self._feed()
        try:
            return [end.result() if end.done() else await self._until(asyncio.shield(end)) for end in ends]
        finally:
            self._active += 1

    def slot(self) -> JobSlot:
        """Return a new slot; an item needs a slot to have an unfinished job.

        The slot is not taken yet.
        """
        return JobSlot(self._admission, self._admit, self.now, self.wake)

    def stop(self, reason: str, message: str, hint: str = "", *, at_once: bool) -> None:
        """End the run early: from now on, nothing is submitted.

        With `at_once`, nothing is awaited either. If it is called again, the first reason stays.
        """
        self._admission.closed = True
        if not self.stopped:
            self.stopped, self.message, self.hint = reason, message, hint
        self.halted |= at_once
        self.wake()

    # --- waiting -----------------------------------------------------------------------------------------

    async def _until(self, future: asyncio.Future[T]) -> T:
        """Return the result of a future, or raise `Stopped` if the run stops first."""
        if self.halted:
            future.cancel()
            raise Stopped
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)

    async def _sleep(self, until: float) -> None:
        if until <= self.now():
            return
        future: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_at(until + TICK, _done, future)
        try:
            await self._until(future)
        finally:
            timer.cancel()

    async def _admit(self, asks: bool) -> bool:
        if not self._admissions and not self._admission.closed and self._admission.open(asks=asks):
            self._admission.enter(asks=asks)
            return True
        future: asyncio.Future[bool] = self._loop.create_future()
        self._admissions.append((future, asks))
        self.wake()
        return await self._until(future)

    # --- one turn of the loop ----------------------------------------------------------------------------

    def wake(self) -> None:
        """Schedule the next pass over the waiting calls; it starts after all callbacks that are ready now."""
        if self._next is None:
            self._next = self._loop.call_soon(self._guarded, self._turn)

    def _turn(self) -> None:
        self._next = None
        if self._finished.done():
            return
        self._on_turn()
        if self.halted:
            self._halt()
        self._let_in()
        due = self._outbox.dispatch(self.now())
        self._set("turn", self._loop.call_at(due + TICK, self.wake) if due < math.inf else None)

    def _let_in(self) -> None:
        while self._admissions:
            future, asks = self._admissions[0]
            if not future.done():
                if not self._admission.closed and not self._admission.open(asks=asks):
                    break
                if not self._admission.closed:
                    self._admission.enter(asks=asks)
                future.set_result(not self._admission.closed)
            self._admissions.popleft()

    def _halt(self) -> None:
        """End all waits of items; only calls that pay or store get a little more time for their replies."""
        unanswered = self._outbox.cancel(paying=False)
        for future in [each for each in self._waiting if not each.done()]:
            future.set_exception(Stopped())
        if unanswered and "give up" not in self._timers:
            self._set("give up", self._loop.call_later(STOP_PATIENCE, lambda: self._outbox.cancel(paying=True)))

    def every(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` at a regular interval, in seconds, while the run goes on."""

        def tick() -> None:
            self._set(name, self._loop.call_later(seconds, tick))
            self._guarded(action)

        name = f"every {len(self._timers)}"
        self._set(name, self._loop.call_later(seconds, tick))

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Call `action` at a given time of the event loop, if the run is still going on."""
        self._set(f"at {when}", self._loop.call_at(when, self._guarded, action))

    def _set(self, name: str, handle: asyncio.Handle | None) -> None:
        if (old := self._timers.pop(name, None)) is not None:
            old.cancel()
        if handle is not None:
            self._timers[name] = handle

    def _guarded(self, action: Callable[[], object]) -> None:
        """Call `action`; if it raises an error, the run ends with that error."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the run
            self._fail(error)

    def waiting_for(self) -> tuple[str, float]:
        """Return one word for what the run waits for, and when the wait ends (0 if unknown).

        The word is limit or retry, or it is empty. The time is that of the event loop.
        """
        return self._outbox.waiting_for(self.now())

    # --- all items ---------------------------------------------------------------------------------------

    async def carry_out(self, programs: Iterable[Coroutine[Any, Any, None]], *, most: int) -> None:
        """Run the coroutines of all items, in the given order, with at most `most` at the same time.

        An error in one of them ends the run.
        """
        self._programs, self._most = iter(programs), most
        self._feed()
        try:
            await self._finished
            try:
                self._state.flush()
            except NotShared as error:
                self._fail(error)
        finally:
            self.close()
            unfinished = [*self._tasks, *self._outbox.abandon()]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def close(self) -> None:
        """Cancel all timers."""
        for handle in (self._next, *self._timers.values()):
            if handle is not None:
                handle.cancel()

    def _feed(self) -> None:
        """Start the coroutines of as many items as the limit allows.

        If no item can continue, those that wait in `last_look` continue. If no item is left, the run is finished.
        """
        while self._active < self._most and self._programs is not None:
            try:
                program = next(self._programs)
            except StopIteration:
                self._programs = None
                break
            self._active += 1
            task = self._loop.create_task(program)
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if self._active or self._finished.done():
            return
        if self._parked:
            parked, self._parked = self._parked, {}
            self._active = len(parked)
            for future in parked:
                _done(future)
        elif not self._tasks and self._programs is None:
            self._finished.set_result(None)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._active -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        self._guarded(self._feed)
        self.wake()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, NotShared):
            # What is under way is still recorded here.
            self.stop(UNSHARED, error.message, error.hint, at_once=True)
            return
        if not self._finished.done():
            self._finished.set_exception(error)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# ---- Sends all calls: one queue by priority, one limiter, one fsync for all that is ready at once.


AT_ONCE = 32
"""The most requests in progress at the same time. A running job is only a timer, and uses no connection."""
UNSENT = 8
"""Requests that are counted and whose bytes have not left yet, at most, where there is a limit: one that leaves long
after it was counted may be too many in its minute, and a kill leaves few submits of which no one knows if they left."""
LONGEST_WAIT = 5.0
"""Seconds after which waiting requests are checked again, even if nothing has happened."""


@dataclass(order=True, slots=True)
class Turn:
    """A call that waits to be sent or was sent; calls are sent in the order of their unique `rank`.

    `intend` records what the call is about to do. `handed_on`: it is being sent. `unsent`: there is a request limit,
    and its bytes have not left yet.
    """

    rank: tuple[Priority, int]
    call: Call
    intend: Callable[[], None] | None
    answer: asyncio.Future[Any]
    handed_on: bool = False
    unsent: bool = False


class Outbox:
    """The calls that wait to be sent, and the calls that were sent and have no reply yet.

    `send` sends a call and returns the reply. `flush` makes records durable. `fence`, called right after `flush`,
    returns the check whether a call may still leave. `wake` asks for the next turn, and `fail` ends the run with an
    error.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        send: Send,
        fence: Callable[[], MayLeave],
        flush: Callable[[], None],
        wake: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._limiter, self._admission, self._outage = limits.account, limits.jobs, limits.outage
        self._send, self._fence, self._flush, self._wake, self._fail = send, fence, flush, wake, fail
        self.requests = 0
        self._order = itertools.count()
        self._queue: list[Turn] = []
        self._flying: dict[asyncio.Task[Reply | Failure], Turn] = {}
        self._cancelled: list[asyncio.Task[Reply | Failure]] = []

    def put(self, call: Call, priority: Priority, intend: Callable[[], None] | None) -> Turn:
        """Add a call to the queue."""
        turn = Turn((priority, next(self._order)), call, intend, asyncio.get_running_loop().create_future())
        heapq.heappush(self._queue, turn)
        self._wake()
        return turn

    def dispatch(self, now: float) -> float:
        """Store the recorded facts durably, then send every call that may be sent now.

        Returns the loop time at which the queue should be checked again.
        """
        chosen = self._choose(now) if self._queue else []
        granted = 0
        try:
            granted = self._limiter.take(len(chosen), now) if chosen else 0
        finally:
            for turn in chosen[granted:]:
                heapq.heappush(self._queue, turn)
        batch = chosen[:granted]
        try:
            for turn in batch:
                if turn.intend is not None:
                    turn.intend()
            if batch:
                self._flush()
                # To make records durable takes time, and the limit counts when requests leave.
                self._limiter.leaving(len(batch), asyncio.get_running_loop().time())
        except NotShared:
            for turn in batch:
                turn.answer.set_exception(Withheld())
            raise
        for turn in batch:
            self._leave(turn)
        return self._next_look(now)

    def _choose(self, now: float) -> list[Turn]:
        """Take the calls that may be sent now from the queue.

        Only the request limiter can still delay them.
        """
        chosen: list[Turn] = []
        room = self._room()
        while self._queue and len(chosen) < room and self._ready_at(now) <= now:
            turn = heapq.heappop(self._queue)
            if turn.answer.done():
                continue
            if turn.rank[0] is Priority.SUBMIT and self._admission.closed:
                turn.answer.set_exception(Stopped())
                continue
            chosen.append(turn)
        return chosen

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
            return await self._send(turn.call, asked)

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
                self._limiter.throttled(asyncio.get_running_loop().time(), answer.retry_after)
            except NotShared as away:
                self._fail(away)
        if not turn.answer.done():
            turn.answer.set_result(answer)
        self._wake()

    def _next_look(self, now: float) -> float:
        if not self._queue:
            return math.inf
        return min(self._ready_at(now) if self._room() > 0 else math.inf, now + LONGEST_WAIT)

    def _room(self) -> int:
        """Return how many more requests may be in progress at the same time."""
        room = (1 if self._outage.failures else AT_ONCE) - len(self._flying)
        return min(room, UNSENT - sum(turn.unsent for turn in self._flying.values())) if self._limiter.limit else room

    def _ready_at(self, now: float) -> float:
        """Return the earliest time at which the next request may be sent.

        It is a time of the event loop.
        """
        return max(self._limiter.ready_at(now), self._outage.ask_at)

    def waiting_for(self, now: float) -> tuple[str, float]:
        """Return one word for what the calls wait for, and when the wait ends (0 if unknown).

        The word is limit or retry, or it is empty. The time is that of the event loop.
        """
        if self._outage.failures:
            return "retry", self._outage.ask_at if self._outage.ask_at > now else 0.0
        if self._queue and self._room() > 0:
            return "limit", self._limiter.ready_at(now)
        return "", 0.0

    # --- the end -----------------------------------------------------------------------------------------

    def cancel(self, *, paying: bool) -> bool:
        """Cancel the waiting calls and the running requests that can be repeated.

        With `paying`, also cancel requests that pay or store. Returns whether any request is still running.
        """
        for turn in [each for each in self._queue if not each.answer.done()]:
            turn.answer.set_exception(Stopped())
        self._queue.clear()
        for task, turn in list(self._flying.items()):
            if not task.done() and (paying or turn.call.repeatable):
                del self._flying[task]
                task.cancel()
                self._cancelled.append(task)
                if not turn.answer.done():
                    turn.answer.set_exception(Stopped())
        return bool(self._flying)

    def abandon(self) -> list[asyncio.Task[Any]]:
        """Cancel all calls, and return their tasks, which the caller must still await."""
        tasks = [*self._flying, *self._cancelled]
        for task in self._flying:
            task.cancel()
        for turn in (*self._queue, *self._flying.values()):
            turn.answer.cancel()
        return tasks
