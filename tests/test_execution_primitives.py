"""The durable primitives: what is durable before what, whose turn it is, the last look, and the end."""

import asyncio
import itertools
import random
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from contentops.api.calls import (
    Accepted,
    Call,
    Content,
    ContentList,
    Failure,
    Generate,
    GetContent,
    GetStatus,
    JobStatus,
    ListContent,
    Reply,
)
from contentops.api.session import MayLeave, always
from contentops.execution.durable_run import UNSENT, DurableRun
from contentops.execution.limiter import Admission, Limiter, Limits, Outage
from contentops.execution.primitives import Durations, Priority, Stopped
from tests.fakes.clock import Timeline, run

Program = Callable[[DurableRun], Coroutine[Any, Any, None]]

PAYS = Generate({}, "r")
LIST = ListContent()


def _reply(call: Call) -> Reply | Failure:
    if isinstance(call, Generate):
        return Accepted("job", echoed=True)
    if isinstance(call, GetStatus):
        return JobStatus("completed")
    return Content(call.content_id) if isinstance(call, GetContent) else ContentList()


class Bench:
    """A run over a journal that only counts; `log` is what happened, in order, with its time."""

    def __init__(
        self,
        answer: Callable[[Call], Reply | Failure] = _reply,
        *,
        per_minute: int = 0,
        admission: Admission | None = None,
        latency: float = 0.05,
        at: Callable[[DurableRun], None] = lambda _: None,
    ) -> None:
        self.log: list[tuple[float, Any]] = []
        self.timeline = Timeline()
        self.admission = admission or Admission(max_in_flight=50, proven=True)
        self.under_way = self.most = self.noted = 0
        self.runs: list[DurableRun] = []
        self._answer, self._latency, self._per_minute, self._at = answer, latency, per_minute, at

    # --- the journal -------------------------------------------------------------------------------------

    def note(self, step: str, *_: Any) -> None:
        self.noted += 1
        self.log.append((self.timeline.now, step))

    def flush(self) -> None:
        if self.noted:
            self.noted = 0
            self.log.append((self.timeline.now, "flush"))

    # --- the run -----------------------------------------------------------------------------------------

    async def _send(self, call: Call, may_leave: MayLeave = always) -> Reply | Failure:
        await asyncio.sleep(0)  # for a connection
        assert may_leave()
        self.log.append((self.timeline.now, call))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self._latency)
        finally:
            self.under_way -= 1
        return self._answer(call)

    def go(self, *programs: Program, most: int = 1000) -> DurableRun:
        """Run them to their end."""
        return self.all(programs, most=most)

    def all(self, programs: Iterable[Program], *, most: int = 1000) -> DurableRun:
        async def story() -> None:
            made = DurableRun(
                self,  # type: ignore[arg-type]  # a store that only counts
                Limits(Limiter(self._per_minute), self.admission, Outage(random.Random(7))),
                Durations(),
                send=self._send,
                on_turn=lambda: self._at(made),
            )
            self.runs.append(made)
            await made.carry_out((program(made) for program in programs), most=most)

        run(story(), self.timeline)
        return self.runs[-1]

    @property
    def sent(self) -> list[Any]:
        """The calls, in order."""
        return [what for _, what in self.log if not isinstance(what, str)]

    @property
    def words(self) -> list[str]:
        """What happened, in words."""
        return [what if isinstance(what, str) else what.name for _, what in self.log]


def _asks(call: Any, priority: Priority) -> Program:
    async def program(run: DurableRun) -> None:
        await run.send(call, priority)

    return program


# --- recorded, durable, then sent --------------------------------------------------------------------------------


def _submits(number: int = 0) -> Program:
    async def program(run: DurableRun) -> None:
        await run.send(Generate({}, f"r{number}"), Priority.SUBMIT, lambda: run.record(f"intent {number}"))
        run.record(f"accepted {number}")

    return program


def test_one_fsync_for_all_that_became_ready_together() -> None:
    """Thirty submits at once cost one flush before all of them, and one for all that their answers brought.

    Each intent is recorded when the call's turn has come.
    """
    bench = Bench()
    bench.all(_submits(number) for number in range(30))
    intents = [f"intent {number}" for number in range(30)]
    assert bench.words[:61] == [*intents, "flush", *["submit"] * 30]
    assert (bench.words.count("flush"), bench.words[-1]) == (2, "flush")


def test_under_a_limit_few_are_recorded_before_they_leave() -> None:
    """A process that is killed leaves no more than eight submits of which no one knows; none waits longer for that."""
    bench = Bench(per_minute=60, latency=5.0)
    bench.all(_submits(number) for number in range(30))
    waiting = list(itertools.accumulate(word.startswith("intent") - (word == "submit") for word in bench.words))
    assert max(waiting) == UNSENT == 8
    assert bench.words.count("submit") == 30
    assert [at for at, what in bench.log if isinstance(what, Generate)][-1] < 0.1


def test_what_an_answer_brought_is_durable_before_the_next_call() -> None:
    """After an answer a flush comes before anything else is sent."""

    async def program(run: DurableRun) -> None:
        await run.send(PAYS, Priority.SUBMIT)
        run.record("accepted")
        await run.send(GetStatus("job"), Priority.POLL)

    bench = Bench()
    bench.go(program)
    assert bench.words == ["submit", "accepted", "flush", "status"]


def test_a_journal_that_cannot_be_written_sends_nothing() -> None:
    """The error ends the run before the call leaves."""

    class Full(Bench):
        def flush(self) -> None:
            if self.noted:
                raise OSError(28, "no space left")

    bench = Full()
    with pytest.raises(OSError, match="no space"):
        bench.go(_submits())
    assert bench.sent == []


def test_a_cancelled_item_still_hears_of_what_it_paid_for() -> None:
    """Cancelled between the record and the answer: the call left, and its answer is recorded all the same."""

    async def cancelled(run: DurableRun) -> None:
        task = asyncio.get_running_loop().create_task(_submits()(run))
        await run.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        assert not task.cancelled()

    bench = Bench()
    bench.go(cancelled)
    assert bench.words == ["intent 0", "flush", "submit", "accepted 0", "flush"]


def test_a_cancelled_question_is_dropped() -> None:
    """An answer that can be had again is not waited for; one whose turn has not come is never sent."""

    async def cancelled(run: DurableRun) -> None:
        tasks = [asyncio.get_running_loop().create_task(_asks(call, Priority.LOOKUP)(run)) for call in (LIST, PAYS)]
        await run.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    bench = Bench(per_minute=1, latency=5.0)
    bench.go(cancelled)
    assert bench.words == ["list content"]
    assert bench.timeline.now < 10


# --- whose turn it is --------------------------------------------------------------------------------------------


def test_saves_go_before_submits_before_polls() -> None:
    """When requests are scarce, what is nearly done goes first: save, look-up, submit, poll."""
    bench = Bench(per_minute=1)
    order = [Priority.POLL, Priority.SUBMIT, Priority.LOOKUP, Priority.SAVE]
    bench.go(*(_asks(GetContent(priority.name), priority) for priority in order))
    assert [call.content_id for call in bench.sent] == ["SAVE", "LOOKUP", "SUBMIT", "POLL"]
    assert bench.timeline.now >= 180.0


# --- a place among the unfinished jobs ---------------------------------------------------------------------------


def test_a_place_that_is_left_goes_to_who_waits_for_it() -> None:
    """Also where whoever leaves it records nothing and asks nothing any more, but waits for the others to end."""
    ends: list[str] = []

    async def lost(run: DurableRun) -> None:
        with run.slot() as slot:
            slot.take()
            await run.send(GetStatus("lost"), Priority.LOOKUP)
            slot.leave()
            await run.last_look()
            ends.append("lost")

    async def new(run: DurableRun) -> None:
        with run.slot() as slot:
            assert await slot.enter(asks=True)
            ends.append("new")

    bench = Bench(admission=Admission(max_in_flight=1, proven=True))
    bench.go(new, lost, lost)
    assert ends == ["new", "lost", "lost"]


def test_nothing_leaves_once_the_run_submits_no_more() -> None:
    """Those who wait for a place are told so, and submits that queue are stopped; questions go on."""
    ends: list[str] = []

    async def asks(run: DurableRun) -> None:
        ends.append(f"admitted: {await run.slot().enter(asks=True)}")

    async def queued(run: DurableRun) -> None:
        try:
            await run.send(PAYS, Priority.SUBMIT)
        except Stopped:
            ends.append("stopped")

    bench = Bench(admission=Admission(max_in_flight=50, proven=True, closed=True))
    bench.go(asks, queued, _asks(LIST, Priority.LOOKUP))
    assert (sorted(ends), bench.sent) == (["admitted: False", "stopped"], [LIST])


# --- the last look -----------------------------------------------------------------------------------------------


def test_the_last_look_comes_when_no_one_else_can_go_on() -> None:
    """Items that wait for the end go on after all others, also those not begun before, and together."""
    ends: list[tuple[str, float]] = []

    def last(name: str) -> Program:
        async def program(run: DurableRun) -> None:
            await run.last_look()
            await run.sleep(50)
            ends.append((name, bench.timeline.now))

        return program

    async def other(run: DurableRun) -> None:
        await run.sleep(100)
        ends.append(("other", bench.timeline.now))

    bench = Bench()
    bench.go(last("a"), other, last("b"), other, most=1)
    assert [name for name, _ in ends] == ["other", "other", "a", "b"]
    assert ends[-1][1] < 260


# --- the end -----------------------------------------------------------------------------------------------------


def _stop_at_ten(run: DurableRun) -> None:
    if run.now() >= 10 and not run.halted:
        run.stop("interrupted", "enough", at_once=True)


def test_a_stop_ends_those_who_wait_and_brings_answers_home() -> None:
    """A stop reaches sleepers, queues, watchers and questions at once; what pays still gets its answer."""
    notes: list[Any] = []

    def until_stopped(wait: Callable[[DurableRun], Coroutine[Any, Any, Any]]) -> Program:
        async def program(run: DurableRun) -> None:
            try:
                notes.append(await wait(run))
            except Stopped:
                notes.append("stopped")
            with pytest.raises(Stopped):
                await run.sleep(1)

        return program

    async def ten(run: DurableRun) -> None:
        await run.sleep(9.999)
        with pytest.raises(Stopped):
            await run.sleep(1000)

    waits: list[Callable[[DurableRun], Coroutine[Any, Any, Any]]] = [
        lambda run: run.send(PAYS, Priority.SAVE), lambda run: run.send(LIST, Priority.LOOKUP),
        lambda run: run.send(LIST, Priority.POLL), lambda run: run.sleep(1000),
        lambda run: run.poll(GetStatus("job"), "k", started=0.0, polls=5), lambda run: run.last_look(),
        lambda run: run.slot().enter(asks=True),
    ]  # fmt: skip
    bench = Bench(at=_stop_at_ten, latency=15.0, per_minute=2, admission=Admission(max_in_flight=0, proven=True))
    bench.go(ten, *(until_stopped(wait) for wait in waits))
    assert notes == ["stopped"] * 6 + [Accepted("job", echoed=True)]
    assert 15 <= bench.timeline.now < 20


def test_a_stop_does_not_wait_for_ever() -> None:
    """An answer that does not come is given up after a while; what was sent is on record."""
    bench = Bench(latency=3600.0)

    async def stops(run: DurableRun) -> None:
        await run.sleep(10)
        run.stop("interrupted", "enough", at_once=True)

    async def pays(run: DurableRun) -> None:
        with pytest.raises(Stopped):
            await run.send(PAYS, Priority.SUBMIT, lambda: run.record("intent"))

    bench.go(stops, pays)
    assert 18 <= bench.timeline.now < 20
    assert bench.words == ["intent", "flush", "submit"]


def test_an_item_that_breaks_takes_no_request_along() -> None:
    """An error ends the run at once and leaves no task behind."""

    async def broken(run: DurableRun) -> None:
        await run.sleep(1)
        raise ZeroDivisionError

    bench = Bench(latency=100.0)
    with pytest.raises(ZeroDivisionError):
        bench.go(_asks(LIST, Priority.SAVE), _asks(PAYS, Priority.SUBMIT), broken)
    assert bench.under_way == 0
    assert bench.timeline.now < 2


def test_what_the_run_waits_for() -> None:
    """One word for the display: the limit, or nothing that the run knows."""
    seen: set[str] = set()

    async def looks(run: DurableRun) -> None:
        for _ in range(150):
            await run.sleep(1)
            seen.add(bench.runs[0].waiting_for()[0])

    async def works(run: DurableRun) -> None:
        await run.send(LIST, Priority.SAVE)
        await run.poll(GetStatus("job"), "k", started=bench.timeline.now, polls=0)
        for _ in range(3):
            await run.send(LIST, Priority.SAVE)

    bench = Bench(latency=8.0, per_minute=2)
    bench.go(looks, works)
    assert seen == {"limit", ""}


# --- many items --------------------------------------------------------------------------------------------------


def test_thousands_of_items_are_not_thousands_of_tasks() -> None:
    """A task begins when its item's turn comes, in plan order; memory is that of the few that are under way."""
    bench = Bench(admission=Admission(max_in_flight=50, proven=True))
    most, begun = 0, 0

    async def item(run: DurableRun) -> None:
        nonlocal most, begun
        begun += 1
        if begun % 100 == 0:
            most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0)

    tracemalloc.start()
    bench.all((item for _ in range(5_000)), most=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert begun == 5_000
    assert most <= 320
    assert peak < 2e6
