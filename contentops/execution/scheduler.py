"""One loop over a heap of due times: runs every item's program, sends what the limiter allows, waits for the rest.

Everything a program recorded is made durable before anything is sent, once for all programs of a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contentops.api.calls import Generate, GetStatus, RegenerateSection
from contentops.api.replies import Accepted, Failure, FailureKind
from contentops.execution.durations import p_done
from contentops.execution.effects import Admit, AtEnd, Priority, Send, Sleep, Stopped, Watch
from contentops.execution.polling import next_poll

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from contentops.api.calls import Call
    from contentops.api.replies import Reply
    from contentops.execution.durations import Durations
    from contentops.execution.effects import Program
    from contentops.execution.limiter import Limiter

ASK_FIRST = 5
"""Submits that ask for their id first on a machine without a journal, until this many in a row are unknown."""
AT_ONCE = 32
"""Requests under way at the same time; a job is a timer, not a socket."""
TICK = 0.001
"""Seconds added to every wait, since a timer may fire a rounding error too early."""
STOP_PATIENCE = 8.0
"""Seconds a stopped run waits for the answers of requests that pay or store; CI kills ten seconds after it asks."""
LONGEST_WAIT = 5.0
"""Seconds after which the loop looks around even if nothing is due, so that checkpoints and displays keep going."""


@dataclass(slots=True)
class Gate:
    """Who may send: a cap on unfinished jobs, one at a time until the server has completed one or while nobody answers.

    While `ask_first` holds, a submit first asks for its id; no more ask at once than it takes to stop asking.
    """

    max_in_flight: int
    proven: bool
    ask_first: bool = False
    closed: bool = False
    in_flight: int = 0
    asking: int = 0
    strangers: int = 0
    """Ids in a row that the server did not know."""
    running: int = 0
    """Jobs the server has accepted and not ended."""
    room: float = math.inf
    """Unfinished jobs the server seems to allow; learned from submits it turned away."""
    held_until: float = 0.0
    """Loop time before which no submit goes out."""
    progress_at: float = -math.inf
    """Loop time at which a job was last accepted or ended."""
    unanswered: int = 0
    """Turns in a row that found no connection; while there are any, one request goes out at a time."""
    ask_at: float = 0.0
    """Loop time before which none of them goes out."""
    _smooth: int = 0

    def open(self) -> bool:
        """Whether one more submit may go out now."""
        if self.ask_first and self.asking >= ASK_FIRST - self.strangers:
            return False
        return self.in_flight < (self.max_in_flight if self.proven else 1)

    def enter(self) -> None:
        """One more submit goes out."""
        self.in_flight += 1
        self.asking += self.ask_first

    def may_send(self, flying: int, likely_ended: float, now: float) -> bool:
        """Whether a submit may leave while `flying` others are under way.

        `likely_ended` of the running jobs have ended without our knowing: a submit finds that out as well as a poll.
        """
        return now >= self.held_until and self.running + flying + 1 - likely_ended <= self.room

    def began(self, now: float) -> None:
        """A job was accepted; enough of them in a row and there may be room for one more."""
        self.running += 1
        self.progress_at = now
        self._smooth += 1
        if self._smooth >= 2 * self.room:
            self.room += 1
            self._smooth = 0

    def ended(self, now: float) -> None:
        """A job is not worth waiting for any more, or has brought its text."""
        self.running -= 1
        self.progress_at = now

    def crowded(self, running: int, until: float) -> None:
        """A submit was turned away while jobs run: the server takes no more of them at once."""
        self.room = min(self.room, running)
        self.held_until = max(self.held_until, until)
        self._smooth = 0

    def unreached(self, until: float) -> None:
        """One more turn found no connection; the next is not before `until`."""
        self.unanswered += 1
        self.ask_at = until

    def reached(self) -> None:
        """Somebody answers."""
        self.unanswered, self.ask_at = 0, 0.0

    def answered(self, *, known: bool) -> None:
        """The answer to a question for an id; enough unknown ones in a row end the asking."""
        self.asking -= 1
        self.strangers = 0 if known else self.strangers + 1
        if self.strangers >= ASK_FIRST:
            self.ask_first = False


@dataclass(order=True, slots=True)
class _Queued:
    rank: tuple[Priority, int]
    send: Send = field(compare=False)
    program: Program = field(compare=False)


class Scheduler:
    """Runs programs to their end. `send` answers a call, `flush` makes records durable, `tick` is called each turn."""

    def __init__(
        self,
        *,
        send: Callable[[Call], Awaitable[Reply | Failure]],
        flush: Callable[[], None],
        tick: Callable[[Scheduler, float], None],
        limiter: Limiter,
        durations: Durations,
        gate: Gate,
        per_minute: int,
    ) -> None:
        self._send = send
        self._flush = flush
        self._tick = tick
        self._limiter = limiter
        self._durations = durations
        self._per_minute = per_minute
        self.gate = gate
        self.requests = 0
        self._order = itertools.count()
        self._ready: deque[tuple[Program, Any]] = deque()
        self._timers: list[tuple[float, int, Program, Watch | None]] = []
        self._queue: list[_Queued] = []
        self._admissions: deque[Program] = deque()
        self._parked: deque[Program] = deque()
        self._watched: dict[Program, tuple[Watch, float]] = {}
        """Running jobs, and for how many seconds each is known to have run."""
        self._flying: dict[asyncio.Task[Reply | Failure], tuple[Program, Call]] = {}
        self._let_go: list[asyncio.Task[Reply | Failure]] = []
        self._wake = asyncio.Event()
        self._held = 0
        self._stopping = False
        self._stopped_at = 0.0

    def wake(self) -> None:
        """Let the loop look around now."""
        self._wake.set()

    def stop(self, now: float) -> None:
        """End every program that waits; what pays or stores still brings its answer home, for a while."""
        if not self._stopping:
            self._stopped_at = now
        self._stopping = True
        self._wake.set()

    def waiting_for(self, now: float) -> tuple[str, float]:
        """What the loop waits for, in one word, and until which loop time (0 if unknown).

        One of: limit, answer, retry, first-job, jobs, or empty.
        """
        if self.gate.unanswered and (self._queue or self._flying):
            return "retry", self.gate.ask_at if self.gate.ask_at > now else 0.0
        if len(self._queue) > self._held:
            return "limit", self._limiter.ready_at(now)
        if self._queue and self.gate.held_until > now:
            return "limit", self.gate.held_until
        if self._flying:
            return "answer", 0.0
        if not self._timers:
            return "", 0.0
        until, _, _, watch = self._timers[0]
        if watch is None:
            return "retry", until
        return ("first-job" if self._admissions and not self.gate.proven else "jobs"), until

    async def run(self, programs: Iterable[Program]) -> None:
        """Run all programs to their end, or to the stop."""
        loop = asyncio.get_running_loop()
        self._ready.extend((program, None) for program in programs)
        try:
            while True:
                self._turn(loop)
                self._flush()
                self._tick(self, loop.time())
                if self._stopping:
                    self._end_waiting()
                    self._end_questions()
                    late = loop.time() > self._stopped_at + STOP_PATIENCE
                    if not self._ready and (late or not self._flying):
                        self._give_up()
                        break
                if self._ready:
                    continue
                self._dispatch(loop)
                if self._ready:
                    continue
                if not self._busy():
                    if not self._parked:
                        break
                    self._ready.extend((program, None) for program in self._parked)
                    self._parked.clear()
                    continue
                await self._wait(loop)
            self._flush()
        finally:
            await self._abandon()

    def _busy(self) -> bool:
        return bool(self._flying or self._timers or self._queue or self._ready)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._timers and self._timers[0][0] <= now:
            _, _, program, watch = heapq.heappop(self._timers)
            if watch is None:
                self._ready.append((program, None))
            else:
                self._enqueue(program, Send(GetStatus(watch.entry.job_id), Priority.POLL))
        while self._ready:
            program, answer = self._ready.popleft()
            self._resume(program, answer, now)
            if not self._ready:
                self._admit()

    def _resume(self, program: Program, answer: Any, now: float) -> None:
        self._watched.pop(program, None)
        try:
            effect = program.throw(Stopped()) if answer is Stopped else program.send(answer)
        except StopIteration:
            return
        match effect:
            case Send():
                self._enqueue(program, effect)
            case Sleep(until=until):
                heapq.heappush(self._timers, (until, next(self._order), program, None))
            case Watch():
                self._watched[program] = effect, now - effect.started if effect.polls else 0.0
                due = next_poll(
                    self._durations,
                    effect.kind,
                    started=effect.started,
                    now=now,
                    polls=effect.polls,
                    per_minute=self._per_minute,
                )
                if now < effect.until:
                    due = min(due, effect.until)
                heapq.heappush(self._timers, (due, next(self._order), program, effect))
            case Admit():
                self._admissions.append(program)
            case AtEnd():
                self._parked.append(program)

    def _admit(self) -> None:
        while self._admissions and (self.gate.closed or self._stopping):
            self._ready.append((self._admissions.popleft(), False))
        while self._admissions and self.gate.open():
            self.gate.enter()
            self._ready.append((self._admissions.popleft(), True))

    def _likely_ended(self, now: float) -> float:
        """How many of the jobs that are watched have ended by now, as far as durations tell."""
        return sum(
            p_done(self._durations, watch.kind, elapsed=now - watch.started, unfinished=unfinished)
            for watch, unfinished in self._watched.values()
        )

    def _enqueue(self, program: Program, send: Send) -> None:
        heapq.heappush(self._queue, _Queued((send.priority, next(self._order)), send, program))

    def _room(self) -> int:
        """How many requests may join those that are under way."""
        return (1 if self.gate.unanswered else AT_ONCE) - len(self._flying)

    def _ready_at(self, now: float) -> float:
        """The earliest loop time at which the next request may leave."""
        return max(self._limiter.ready_at(now), self.gate.ask_at)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        batch: list[_Queued] = []
        held: list[_Queued] = []
        room = self._room()
        submits = sum(isinstance(call, Generate | RegenerateSection) for _, call in self._flying.values())
        full = self.gate.running + submits + room > self.gate.room
        likely = self._likely_ended(loop.time()) if full else 0.0
        while self._queue and len(batch) < room and self._ready_at(loop.time()) <= loop.time():
            queued = heapq.heappop(self._queue)
            if queued.send.priority is Priority.SUBMIT:
                if self.gate.closed:
                    self._ready.append((queued.program, Stopped))
                    continue
                if not self.gate.may_send(submits, likely, loop.time()):
                    held.append(queued)
                    continue
                submits += 1
            self._limiter.sent(loop.time())
            if queued.send.before is not None:
                queued.send.before()
            batch.append(queued)
        for queued in held:
            heapq.heappush(self._queue, queued)
        self._held = len(held)
        if not batch:
            return
        self._flush()
        self.requests += len(batch)
        for queued in batch:
            task = loop.create_task(_awaited(self._send(queued.send.call)))
            self._flying[task] = (queued.program, queued.send.call)

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        due = now + LONGEST_WAIT
        if self._timers:
            due = min(due, self._timers[0][0])
        if len(self._queue) > self._held and self._room() > 0:
            due = min(due, self._ready_at(now))
        elif self._queue and self.gate.held_until > now:
            due = min(due, self.gate.held_until)
        self._wake.clear()
        waker = loop.create_task(_awaited(self._wake.wait()))
        try:
            timeout = max(due - now, 0.0) + TICK
            await asyncio.wait({*self._flying, waker}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
        answered = [(*self._flying.pop(task), task.result()) for task in list(self._flying) if task.done()]
        running = self.gate.running + sum(isinstance(answer, Accepted) for _, _, answer in answered)
        for program, call, answer in answered:
            if isinstance(answer, Failure) and answer.kind is FailureKind.THROTTLED:
                self._throttled(call, answer.retry_after, running, loop.time())
            self._ready.append((program, answer))

    def _throttled(self, call: Call, retry_after: float | None, running: int, now: float) -> None:
        """Slow down: only the submits where only they are turned away, everything where the account is at its limit."""
        if isinstance(call, Generate | RegenerateSection) and running:
            self.gate.crowded(running, now + (retry_after or 0.0))
            # What was likely to have ended has not: only what ends from now on makes room.
            for program, (watch, _) in self._watched.items():
                self._watched[program] = watch, now - watch.started
        else:
            self.gate.room = math.inf
            self._limiter.throttled(now, retry_after)

    def _end_waiting(self) -> None:
        waiting = [
            *self._admissions,
            *(entry[2] for entry in self._timers),
            *(queued.program for queued in self._queue),
            *self._parked,
        ]
        self._admissions.clear()
        self._timers.clear()
        self._queue.clear()
        self._parked.clear()
        self._ready.extend((program, Stopped) for program in waiting)

    def _end_questions(self) -> None:
        """Let go of requests that only ask: their answers can be had again."""
        for task, (program, call) in list(self._flying.items()):
            if call.repeatable and not task.done():
                task.cancel()
                del self._flying[task]
                self._let_go.append(task)
                self._ready.append((program, Stopped))

    def _give_up(self) -> None:
        """End the programs whose answers are not worth more waiting; what they sent is on record."""
        for task, (program, _) in list(self._flying.items()):
            del self._flying[task]
            task.cancel()
            self._let_go.append(task)
            self._ready.append((program, Stopped))
        while self._ready:
            program, _ = self._ready.popleft()
            with contextlib.suppress(StopIteration, Stopped):
                program.throw(Stopped())

    async def _abandon(self) -> None:
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, *self._let_go, return_exceptions=True)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
