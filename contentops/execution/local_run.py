"""The durable primitives over the journal of one machine: one queue, one limiter, one fsync for all of a turn."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from contentops.api.calls import Generate, GetStatus, RegenerateSection
from contentops.api.replies import Accepted, Failure, FailureKind
from contentops.execution.admission import Place
from contentops.execution.durations import next_poll
from contentops.execution.primitives import Priority, Stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator

    from contentops.api.calls import Call
    from contentops.api.replies import JobStatus, Reply
    from contentops.execution.admission import Admission
    from contentops.execution.durations import Durations
    from contentops.execution.limiter import Limiter
    from contentops.execution.outage import Outage
    from contentops.execution.primitives import Asks, R, Watch
    from contentops.model import ItemId, OpenEntry, RequestId
    from contentops.state.lines import Fact
    from contentops.state.store import StateStore

AT_ONCE = 32
"""Requests under way at the same time; a job is a timer, not a socket."""
TICK = 0.001
"""Seconds added to every wait, since a timer may fire a rounding error too early."""
STOP_PATIENCE = 8.0
"""Seconds a stopped run waits for the answers of requests that pay or store; CI kills ten seconds after it asks."""
LONGEST_WAIT = 5.0
"""Seconds after which requests that are held back are looked at again, even if nothing has happened."""

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Turn:
    """One call on its way."""

    rank: tuple[Priority, int]
    call: Asks[Any] = field(compare=False)
    intend: Callable[[], None] | None = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)
    left: bool = field(default=False, compare=False)


@dataclass(slots=True, eq=False)
class _Watched:
    """A running job, and for how many seconds it is known to have run."""

    watch: Watch
    unfinished: float


class LocalRun:
    """`Primitives` of one run. `send` answers a call, `on_turn` is called before anything is sent.

    Everything that was recorded is made durable once per turn of the loop, before anything of that turn is sent.
    """

    def __init__(
        self,
        *,
        send: Callable[[Call], Awaitable[Reply | Failure]],
        state: StateStore,
        limiter: Limiter,
        admission: Admission,
        durations: Durations,
        outage: Outage,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._call, self._state, self._on_turn = send, state, on_turn
        self._limiter, self._admission, self._durations, self._outage = limiter, admission, durations, outage
        self._loop = asyncio.get_running_loop()
        self.requests = 0
        self.stopped = self.message = self.hint = ""
        self.halted = False
        """Nothing is waited for any more."""
        self._order = itertools.count()
        self._queue: list[_Turn] = []
        self._held = 0
        self._flying: dict[asyncio.Task[Reply | Failure], _Turn] = {}
        self._gone: list[asyncio.Task[Reply | Failure]] = []
        self._arriving = 0
        """Submits that were accepted, and whose items have not gone on yet."""
        self._admissions: deque[tuple[asyncio.Future[bool], bool]] = deque()
        self._watched: set[_Watched] = set()
        self._sleeping: dict[asyncio.Future[None], tuple[float, bool]] = {}
        self._waiting: set[asyncio.Future[Any]] = set()
        """Everything that a stop ends."""
        self._programs: Iterator[Coroutine[Any, Any, None]] | None = None
        self._most = 0
        self._active = 0
        """Items that have begun, and do not wait for the last look."""
        self._parked: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self._next: asyncio.Handle | None = None
        self._timer: asyncio.Handle | None = None
        self._timers: dict[str, asyncio.Handle] = {}

    # --- the primitives ----------------------------------------------------------------------------------

    def now(self) -> float:
        """Loop time in seconds."""
        return self._loop.time()

    def record(self, step: str, *facts: Fact) -> None:
        """Take in what a step brought about; durable before anything else is sent."""
        self._state.note(step, *facts)
        self.wake()

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """An open entry as it was recorded last."""
        return self._state.entry(request_id)

    def is_recorded(self, item: ItemId) -> bool:
        """Whether there is a record under this id."""
        return self._state.record(item) is not None

    async def send(
        self, call: Asks[R], priority: Priority, intend: Callable[[], None] | None = None
    ) -> R | Failure:
        """Send one call when its turn has come: recorded, durable, then sent."""
        answer = await self._answer(call, priority, intend)
        if isinstance(answer, Failure):
            return answer
        if isinstance(answer, call.reply):
            return answer
        kind = FailureKind.UNAVAILABLE if call.repeatable else FailureKind.AMBIGUOUS
        return Failure(kind, "the answer is of another kind", call=call.name)

    async def poll(self, watch: Watch) -> JobStatus | Failure:
        """Ask where a job stands, once that is worth a request."""
        now = self.now()
        watched = _Watched(watch, now - watch.started if watch.polls else 0.0)
        self._watched.add(watched)
        try:
            due = next_poll(
                self._durations,
                watch.kind,
                started=watch.started,
                now=now,
                polls=watch.polls,
                per_minute=self._limiter.limit,
            )
            await self._sleep(min(due, watch.until) if now < watch.until else due, polls=True)
            return await self.send(GetStatus(watch.job_id), Priority.POLL)
        finally:
            self._watched.discard(watched)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._sleep(self.now() + seconds, polls=False)

    async def last_look(self) -> None:
        """Go on when no other item can; all that wait for it go on together."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._parked.add(future)
        self._active -= 1
        self._feed()
        try:
            await self._until(future)
        finally:
            if future in self._parked:
                self._parked.discard(future)
                self._active += 1

    def place(self) -> Place:
        """A place among the unfinished jobs, not taken yet."""
        return Place(self._admission, self._admit, self.now)

    async def _admit(self, asks: bool) -> bool:  # noqa: FBT001
        future: asyncio.Future[bool] = self._loop.create_future()
        self._admissions.append((future, asks))
        self.wake()
        return await self._until(future)

    def stop(self, reason: str, message: str, hint: str = "", *, at_once: bool) -> None:
        """End the run early: no submit any more, and `at_once` no waiting either. The first reason stays."""
        self._admission.closed = True
        if not self.stopped:
            self.stopped, self.message, self.hint = reason, message, hint
        self.halted |= at_once
        self.wake()

    # --- waiting -----------------------------------------------------------------------------------------

    async def _until(self, future: asyncio.Future[T], *, shielded: bool = False) -> T:
        """The result of a future, unless the run stops first."""
        if self.halted:
            future.cancel()
            raise Stopped
        self._waiting.add(future)
        try:
            return await (asyncio.shield(future) if shielded else future)
        finally:
            self._waiting.discard(future)

    async def _sleep(self, until: float, *, polls: bool) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_at(until + TICK, _done, future)
        self._sleeping[future] = until, polls
        try:
            await self._until(future)
        finally:
            timer.cancel()
            del self._sleeping[future]

    async def _answer(self, call: Asks[R], priority: Priority, intend: Callable[[], None] | None) -> object:
        turn = _Turn((priority, next(self._order)), call, intend, self._loop.create_future())
        heapq.heappush(self._queue, turn)
        self.wake()
        try:
            answer = await self._until(turn.answer, shielded=not call.repeatable)
        except asyncio.CancelledError:
            if call.repeatable or not turn.left or self._finished.done():
                turn.answer.cancel()
                raise
            # What pays or creates brings its answer home, so that it is recorded.
            answer = await turn.answer
        self._arriving -= isinstance(answer, Accepted)
        return answer

    # --- one turn of the loop ----------------------------------------------------------------------------

    def wake(self) -> None:
        """Look around as soon as everything that is ready has gone on."""
        if self._next is None:
            self._next = self._loop.call_soon(self.guarded, self._turn)

    def guarded(self, action: Callable[[], object]) -> None:
        """Run a callback whose error ends the run."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the run
            self._fail(error)

    def every(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something every so many seconds while the run goes on."""

        def tick() -> None:
            self._timers[name] = self._loop.call_later(seconds, tick)
            self.guarded(action)

        name = f"every {len(self._timers)}"
        self._timers[name] = self._loop.call_later(seconds, tick)

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Do something at a loop time, if the run still goes on."""
        self._timers[f"at {when} {len(self._timers)}"] = self._loop.call_at(when, self.guarded, action)

    def _turn(self) -> None:
        self._next = None
        if self._finished.done():
            return
        self._on_turn()
        if self.halted:
            self._halt()
        self._let_in()
        now = self.now()
        batch = self._ready(now)
        # One write and one fsync for all that was recorded in this turn, before anything of it is sent.
        self._state.flush()
        for turn in batch:
            self._leave(turn)
        self._look_again(now)

    def _let_in(self) -> None:
        while self._admissions:
            future, asks = self._admissions[0]
            if not future.done() and not self._admission.closed:
                if not self._admission.open(asks=asks):
                    break
                self._admission.enter(asks=asks)
                future.set_result(True)
            elif not future.done():
                future.set_result(False)
            self._admissions.popleft()

    def _ready(self, now: float) -> list[_Turn]:
        """The calls that may leave now, in order; each has recorded what it is about to do."""
        batch: list[_Turn] = []
        held: list[_Turn] = []
        room = self._room()
        submits = sum(_pays(turn.call) for turn in self._flying.values())
        full = self._admission.running + submits + room > self._admission.room
        likely = self._likely_ended(now) if full else 0.0
        while self._queue and len(batch) < room and self._ready_at(now) <= now:
            turn = heapq.heappop(self._queue)
            if turn.answer.done():
                continue
            if turn.rank[0] is Priority.SUBMIT:
                if self._admission.closed:
                    turn.answer.set_exception(Stopped())
                    continue
                if not self._admission.may_send(submits, likely, now):
                    held.append(turn)
                    continue
                submits += 1
            self._limiter.sent(now)
            if turn.intend is not None:
                turn.intend()
            batch.append(turn)
        for turn in held:
            heapq.heappush(self._queue, turn)
        self._held = len(held)
        return batch

    def _leave(self, turn: _Turn) -> None:
        turn.left = True
        self._waiting.discard(turn.answer)
        self.requests += 1
        task = self._loop.create_task(_awaited(self._call(turn.call)))  # type: ignore[arg-type]  # every `Asks` is a Call
        self._flying[task] = turn
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[Reply | Failure]) -> None:
        turn, error = self._flying.pop(task, None), None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        if turn is None or error is not None or task.cancelled():
            return
        answer = task.result()
        if isinstance(answer, Failure) and answer.kind is FailureKind.THROTTLED:
            self._throttled(turn.call, answer.retry_after)
        if not turn.answer.done():
            self._arriving += isinstance(answer, Accepted)
            turn.answer.set_result(answer)
        self.wake()

    def _look_again(self, now: float) -> None:
        """Look around again when the next call may leave."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._queue:
            return
        due = now + LONGEST_WAIT
        if len(self._queue) > self._held and self._room() > 0:
            due = min(due, self._ready_at(now))
        elif self._admission.held_until > now:
            due = min(due, self._admission.held_until)
        self._timer = self._loop.call_at(max(due, now) + TICK, self.wake)

    def _room(self) -> int:
        """How many requests may join those that are under way."""
        return (1 if self._outage.unanswered else AT_ONCE) - len(self._flying)

    def _ready_at(self, now: float) -> float:
        """The earliest loop time at which the next request may leave."""
        return max(self._limiter.ready_at(now), self._outage.ask_at)

    def _likely_ended(self, now: float) -> float:
        """How many of the jobs that are watched have ended by now, as far as durations tell."""
        return sum(
            self._durations.p_done(each.watch.kind, elapsed=now - each.watch.started, unfinished=each.unfinished)
            for each in self._watched
        )

    def _throttled(self, call: Asks[Any], retry_after: float | None) -> None:
        """Slow down: only the submits where only they are turned away, everything where the account is at its limit."""
        now, running = self.now(), self._admission.running + self._arriving
        if _pays(call) and running:
            self._admission.crowded(running, now + (retry_after or 0.0))
            # What was likely to have ended has not: only what ends from now on makes room.
            for each in self._watched:
                each.unfinished = now - each.watch.started
        else:
            self._admission.room = math.inf
            self._limiter.throttled(now, retry_after)

    def waiting_for(self) -> tuple[str, float]:
        """What the run waits for, in one word, and until which loop time (0 if unknown).

        One of: limit, answer, retry, first-job, jobs, or empty.
        """
        now = self.now()
        if self._outage.unanswered and (self._queue or self._flying):
            return "retry", self._outage.ask_at if self._outage.ask_at > now else 0.0
        if len(self._queue) > self._held:
            return "limit", self._limiter.ready_at(now)
        if self._queue and self._admission.held_until > now:
            return "limit", self._admission.held_until
        if self._flying:
            return "answer", 0.0
        until, polls = min(self._sleeping.values(), default=(0.0, False))
        if not until:
            return "", 0.0
        if not polls:
            return "retry", until
        return ("first-job" if self._admissions and not self._admission.proven else "jobs"), until

    # --- all items ---------------------------------------------------------------------------------------

    async def carry_out(self, programs: Iterable[Coroutine[Any, Any, None]], *, most: int) -> None:
        """Run all programs to their end, in order, at most so many at a time. An error of one ends the run."""
        self._programs, self._most = iter(programs), most
        self._feed()
        try:
            await self._finished
            self._state.flush()
        finally:
            await self._abandon()

    def _feed(self) -> None:
        while self._active < self._most and self._programs is not None:
            program = next(self._programs, None)
            if program is None:
                self._programs = None
                break
            self._active += 1
            task = self._loop.create_task(program)
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if self._active or self._finished.done():
            return
        if self._parked:
            parked, self._parked = self._parked, set()
            self._active = len(parked)
            for future in parked:
                _done(future)
        elif not self._tasks:
            self._finished.set_result(None)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._active -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        self.guarded(self._feed)
        self.wake()

    def _fail(self, error: BaseException) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)

    # --- the end -----------------------------------------------------------------------------------------

    def _halt(self) -> None:
        """End everything that waits, and let go of requests that only ask: their answers can be had again."""
        for future in [each for each in self._waiting if not each.done()]:
            future.set_exception(Stopped())
        self._let_go(task for task, turn in self._flying.items() if turn.call.repeatable)
        if self._flying and "give up" not in self._timers:
            self._timers["give up"] = self._loop.call_later(STOP_PATIENCE, self._let_go, self._flying)

    def _let_go(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        for task in [each for each in tasks if not each.done()]:
            turn = self._flying.pop(task)
            task.cancel()
            self._gone.append(task)
            if not turn.answer.done():
                turn.answer.set_exception(Stopped())

    def close(self) -> None:
        """Do nothing any more."""
        for handle in (self._next, self._timer, *self._timers.values()):
            if handle is not None:
                handle.cancel()

    async def _abandon(self) -> None:
        """Leave no task and no timer behind."""
        self.close()
        left = [*self._tasks, *self._flying, *self._gone]
        for task in left:
            task.cancel()
        for turn in self._flying.values():
            turn.answer.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _pays(call: Asks[Any]) -> bool:
    return isinstance(call, Generate | RegenerateSection)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
