"""The one loop: priorities, the cap on unfinished jobs, what is durable before what, and the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from contentops.api.calls import Generate, GetContent, GetStatus, ListContent
from contentops.api.replies import Accepted, ContentList, Failure, FailureKind, JobStatus
from contentops.execution.durations import Durations
from contentops.execution.effects import Admit, AtEnd, Priority, Send, Sleep, Stopped, Watch
from contentops.execution.limiter import Limiter
from contentops.execution.scheduler import ASK_FIRST, Gate, Scheduler
from tests.fakes.clock import Timeline, run
from tests.fakes.sides import a_spec, an_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from contentops.api.calls import Call
    from contentops.api.replies import Reply
    from contentops.execution.effects import Program

ENTRY = an_entry(a_spec())


class Bench:
    """A scheduler, and what it sent, flushed and was told, in order."""

    def __init__(
        self,
        answer: Callable[[Call], Reply | Failure] = lambda _: ContentList(),
        *,
        per_minute: int = 0,
        gate: Gate | None = None,
        latency: float = 0.05,
        tick: Callable[[Scheduler, float], None] = lambda _, __: None,
    ) -> None:
        self.log: list[tuple[float, Any]] = []
        self.timeline = Timeline()
        self.gate = gate or Gate(max_in_flight=50, proven=True)
        self.under_way = 0
        self.most = 0
        self._answer, self._latency = answer, latency
        self.scheduler = Scheduler(
            send=self._send,
            flush=lambda: self.log.append((self.timeline.now, "flush")),
            tick=tick,
            limiter=Limiter(per_minute),
            durations=Durations(),
            gate=self.gate,
            per_minute=per_minute,
        )

    async def _send(self, call: Call) -> Reply | Failure:
        self.log.append((self.timeline.now, call))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self._latency)
        self.under_way -= 1
        return self._answer(call)

    def run(self, programs: Iterable[Program]) -> None:
        run(self.scheduler.run(programs), self.timeline)

    @property
    def sent(self) -> list[Any]:
        """The calls, in order."""
        return [what for _, what in self.log if what != "flush"]


def _one(call: Call, priority: Priority, notes: list[Any] | None = None) -> Generator[Any, Any, None]:
    answer = yield Send(call, priority)
    if notes is not None:
        notes.append(answer)


def test_saves_go_before_submits_before_polls() -> None:
    """When requests are scarce, what is nearly done goes first: save, look-up, submit, poll."""
    bench = Bench(per_minute=1)
    calls = {priority: GetContent(priority.name) for priority in Priority}
    order = [Priority.POLL, Priority.SUBMIT, Priority.LOOKUP, Priority.SAVE]
    bench.run(_one(calls[priority], priority) for priority in order)
    assert [call.content_id for call in bench.sent] == ["SAVE", "LOOKUP", "SUBMIT", "POLL"]
    assert bench.log[-2][0] >= 180.0 or bench.log[-1][0] >= 180.0


def test_equals_go_in_the_order_of_the_plan() -> None:
    """Submits go out in plan order."""
    bench = Bench(per_minute=6)
    bench.run(_one(GetContent(f"{turn:02}"), Priority.SUBMIT) for turn in range(20))
    assert [call.content_id for call in bench.sent] == [f"{turn:02}" for turn in range(20)]


def test_the_job_most_likely_done_is_polled_first() -> None:
    """Among polls that wait for the limit, the older job goes first."""

    def watching(name: str, started: float) -> Generator[Any, Any, None]:
        yield Send(GetContent(name), Priority.SAVE)
        yield Watch(an_entry(a_spec(), job_id=name), "k", started, 0)

    def answer(call: Call) -> Reply:
        return JobStatus("completed") if isinstance(call, GetStatus) else ContentList()

    bench = Bench(answer, per_minute=1)
    bench.run([watching("young", -10.0), watching("old", -200.0)])
    assert [call.job_id for call in bench.sent if isinstance(call, GetStatus)] == ["old", "young"]


def test_no_more_unfinished_jobs_than_the_cap() -> None:
    """Submits wait for a place among the unfinished jobs."""
    gate = Gate(max_in_flight=3, proven=True)
    most = 0

    def job() -> Generator[Any, Any, None]:
        nonlocal most
        assert (yield Admit()) is True
        most = max(most, gate.in_flight)
        yield Sleep(bench.timeline.now + 10)
        gate.in_flight -= 1

    bench = Bench(gate=gate)
    bench.run(job() for _ in range(10))
    assert most == 3
    assert bench.timeline.now == pytest.approx(40, abs=1)


def test_one_job_until_the_server_is_proven() -> None:
    """Before a job has completed one is in flight, then all."""
    gate = Gate(max_in_flight=50, proven=False)
    starts: list[float] = []

    def job() -> Generator[Any, Any, None]:
        yield Admit()
        starts.append(bench.timeline.now)
        yield Sleep(bench.timeline.now + 100)
        gate.in_flight -= 1
        gate.proven = True

    bench = Bench(gate=gate)
    bench.run(job() for _ in range(5))
    assert starts[0] == 0.0
    assert starts[1:] == pytest.approx([100.0] * 4, abs=0.1)


def test_no_more_questions_at_once_than_it_takes_to_stop_asking() -> None:
    """On a machine without a journal, five ids in a row that the server does not know end the asking."""
    gate = Gate(max_in_flight=50, proven=True, ask_first=True)
    for _ in range(ASK_FIRST):
        assert gate.open()
        gate.enter()
    assert not gate.open()
    gate.answered(known=True)
    assert gate.open()
    gate.enter()
    for _ in range(ASK_FIRST):
        gate.answered(known=False)
    assert not gate.ask_first
    assert gate.open()


def test_a_closed_gate_lets_nothing_out() -> None:
    """Once the run submits no more, those who ask are told so, and submits that queue are stopped."""
    ends: list[str] = []

    def asks() -> Generator[Any, Any, None]:
        ends.append(f"admitted: {(yield Admit())}")

    def queued() -> Generator[Any, Any, None]:
        try:
            yield Send(Generate({}, "r"), Priority.SUBMIT)
        except Stopped:
            ends.append("stopped")

    bench = Bench(gate=Gate(max_in_flight=50, proven=True, closed=True))
    bench.run([asks(), queued()])
    assert sorted(ends) == ["admitted: False", "stopped"]
    assert bench.sent == []


def test_what_is_recorded_is_durable_before_the_call_leaves() -> None:
    """`before` runs when the call's turn has come, and a flush comes between it and the call."""
    bench = Bench()

    def submit() -> Generator[Any, Any, None]:
        yield Send(Generate({}, "r"), Priority.SUBMIT, lambda: bench.log.append((bench.timeline.now, "intent")))

    bench.run([submit()])
    words = [what if isinstance(what, str) else "call" for _, what in bench.log]
    at = words.index("intent")
    assert words[at : at + 3] == ["intent", "flush", "call"]


def test_what_an_answer_brought_is_durable_before_the_next_call() -> None:
    """After every answer a flush comes before anything else is sent."""
    bench = Bench(lambda _: Accepted("job", echoed=True))

    def program() -> Generator[Any, Any, None]:
        yield Send(Generate({}, "r"), Priority.SUBMIT)
        yield Send(GetStatus("job"), Priority.POLL)

    bench.run([program()])
    words = [what if isinstance(what, str) else type(what).__name__ for _, what in bench.log]
    between = words[words.index("Generate") + 1 : words.index("GetStatus")]
    assert "flush" in between
    assert words[-1] == "flush"


def test_a_429_holds_everything_else() -> None:
    """The server's Retry-After gates every new send, not only the one that was turned away."""
    told = iter([Failure(FailureKind.THROTTLED, "slow down", 429, 40.0)])
    bench = Bench(lambda _: next(told, ContentList()))

    def later() -> Generator[Any, Any, None]:
        yield Sleep(1.0)
        yield Send(ListContent(), Priority.SAVE)

    bench.run([_one(ListContent(), Priority.POLL), later()])
    times = [at for at, what in bench.log if what != "flush"]
    assert times[1] >= 40.0


def test_requests_under_way_are_bounded() -> None:
    """Thousands of items need no thousands of sockets."""
    bench = Bench()
    bench.run(_one(GetContent(str(turn)), Priority.LOOKUP) for turn in range(200))
    assert bench.most <= 32
    assert bench.scheduler.requests == 200


def test_the_last_look_comes_when_nobody_else_can_go_on() -> None:
    """Programs that wait for the end go on after all others, and together."""
    ends: list[tuple[str, float]] = []

    def last(name: str) -> Generator[Any, Any, None]:
        yield AtEnd()
        yield Sleep(bench.timeline.now + 50)
        ends.append((name, bench.timeline.now))

    def other() -> Generator[Any, Any, None]:
        yield Sleep(100.0)
        ends.append(("other", bench.timeline.now))

    bench = Bench()
    bench.run([last("a"), other(), last("b")])
    assert [name for name, _ in ends] == ["other", "a", "b"]
    assert ends[2][1] < 160


def _until_stopped(effect: Any, notes: list[Any]) -> Generator[Any, Any, None]:
    try:
        notes.append((yield effect))
    except Stopped:
        notes.append("stopped")


def _stop_at_ten(scheduler: Scheduler, now: float) -> None:
    if now >= 10:
        scheduler.stop(now)


def test_a_stop_ends_those_who_wait_and_brings_answers_home() -> None:
    """A stop reaches sleepers, queues, watchers and questions at once; what pays still gets its answer."""
    notes: list[Any] = []
    gate = Gate(max_in_flight=0, proven=True)
    bench = Bench(lambda _: Accepted("job", echoed=True), tick=_stop_at_ten, latency=15.0, per_minute=2, gate=gate)
    effects = [
        Send(Generate({}, "r"), Priority.SAVE),
        Send(ListContent(), Priority.LOOKUP),
        Send(ListContent(), Priority.POLL),
        Sleep(1000.0),
        Watch(ENTRY, "k", 0.0, 5),
        AtEnd(),
        Admit(),
    ]
    bench.run(_until_stopped(effect, notes) for effect in effects)
    assert notes == ["stopped"] * 6 + [Accepted("job", echoed=True)]
    assert 15 <= bench.timeline.now < 20


def test_a_stop_does_not_wait_for_ever() -> None:
    """An answer that does not come is given up after a while; what was sent is on record."""
    notes: list[Any] = []
    bench = Bench(tick=_stop_at_ten, latency=3600.0)
    bench.run([_until_stopped(Send(Generate({}, "r"), Priority.SUBMIT), notes)])
    assert notes == ["stopped"]
    assert bench.timeline.now < 120


def test_a_program_that_breaks_takes_no_request_along() -> None:
    """An error ends the run at once and leaves no task behind."""

    def broken() -> Generator[Any, Any, None]:
        yield Sleep(1.0)
        raise ZeroDivisionError

    bench = Bench(latency=100.0)
    with pytest.raises(ZeroDivisionError):
        bench.run([_one(ListContent(), Priority.SAVE), broken()])


def test_what_the_loop_waits_for() -> None:
    """One word for the display: the limit, an answer, or jobs."""
    seen: set[str] = set()

    def look(scheduler: Scheduler, now: float) -> None:
        seen.add(scheduler.waiting_for(now)[0])

    def program() -> Generator[Any, Any, None]:
        yield Send(ListContent(), Priority.SAVE)
        yield Watch(ENTRY, "k", bench.timeline.now, 0)
        yield Send(ListContent(), Priority.SAVE)
        yield Send(ListContent(), Priority.SAVE)

    bench = Bench(lambda _: JobStatus("running"), tick=look, latency=8.0, per_minute=2)
    bench.run([program()])
    assert seen >= {"", "limit", "jobs"}
    # While a request flies the loop looks around every few seconds.
    assert "answer" in seen


def test_the_wait_of_a_submit_that_was_turned_away_has_an_end() -> None:
    """While only submits are held, the display says until when."""
    seen: set[tuple[str, float]] = set()
    gate = Gate(max_in_flight=50, proven=True)
    gate.running = 1
    answers = iter([Failure(FailureKind.THROTTLED, "too many active jobs", status=429, retry_after=30.0)])

    def program() -> Generator[Any, Any, None]:
        while isinstance((yield Send(Generate({}, "r"), Priority.SUBMIT)), Failure):
            gate.running = 0

    bench = Bench(
        lambda _: next(answers, ContentList()),
        gate=gate,
        tick=lambda scheduler, now: seen.add(scheduler.waiting_for(now)),
    )
    bench.run([program()])
    assert [until for word, until in sorted(seen) if word == "limit" and until] == [pytest.approx(30.05, abs=0.1)]
