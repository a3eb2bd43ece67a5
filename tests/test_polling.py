"""When a job is polled: with doubling gaps at first, then by how long the jobs before it took."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.execution.limiter import ASK_FIRST, MARGIN, WINDOW, Admission, Limiter
from contentops.execution.primitives import Durations, next_poll

# --- nothing is known -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("server", "per_minute", "gap"), [
    ("https://localhost.example.com/v1", 0, 0.2), ("https://localhost.example.com/v1", 6000, 0.2),
    ("https://localhost.example.com/v1", 60, 2.0), ("https://localhost.example.com/v1", 10, 12.0), ("local", 0, 0.01),
    ("http://127.0.0.1:8711/v1", 0, 0.01), ("http://[::1]:8711/v1", 0, 0.01), ("http://[::1]:8711/v1", 60, 2.0),
])  # fmt: skip
def test_the_first_gap(server: str, per_minute: int, gap: float) -> None:
    """A job is polled after max(0.2 s, 120 s / requests per minute), or sooner where the server is on this machine."""
    due = next_poll(Durations.load(None, server), "x", started=5.0, now=5.0, polls=0, per_minute=per_minute)
    assert due == pytest.approx(5 + gap)


@pytest.mark.parametrize(("per_minute", "running", "gaps"), [
    (10, 1, [24.0, 30.0, 30.0, 30.0]), (0, 50, [0.4, 0.8, 1.6, 3.2]), (10, 4, [24.0, 48.0, 48.0, 48.0]),
    (10, 50, [24.0, 48.0, 96.0, 192.0]), (1, 1, [120.0, 120.0, 120.0, 120.0]),
], ids=["one job", "no limit", "four jobs", "many jobs", "one request a minute"])  # fmt: skip
def test_unlearned_gaps_double_up_to_a_share_of_the_limit(per_minute: int, running: int, gaps: list[float]) -> None:
    """Until a duration is learned, gaps double up to 30 s, or to where all jobs together ask for half of the limit."""
    now = 50.0
    for polls, gap in enumerate(gaps, start=1):
        due = next_poll(Durations(), "x", started=0.0, now=now, polls=polls, per_minute=per_minute, running=running)
        assert due - now == pytest.approx(gap)
        now = due


# --- some jobs are known --------------------------------------------------------------------------------------


@given(values=st.lists(st.floats(1.0, 2000.0), min_size=1, max_size=60), elapsed=st.floats(0.5, 5000.0))
def test_the_next_poll_waits_for_an_even_chance(values: list[float], elapsed: float) -> None:
    """A job is polled once it is as likely as not to have ended since the last poll, and never in the past."""
    durations = Durations({"k": list(values)})
    due = next_poll(durations, "k", started=0.0, now=elapsed, polls=1, per_minute=0)
    assert elapsed < due <= max(elapsed * 1.3 + 1e-6, elapsed + 0.1, max(values) + 1e-6)
    if any(value > elapsed + 0.1 for value in values):
        longer = [value for value in values if value > elapsed]
        assert sum(value <= due + 1e-6 for value in longer) >= len(longer) / 2


@given(st.lists(st.tuples(st.floats(0.0, 5000.0), st.floats(0.0, 5000.0)), min_size=1, max_size=80))
def test_any_history_gives_a_usable_estimate(history: list[tuple[float, float]]) -> None:
    """Whatever the polls said, in whatever order: finite, positive, never a poll in the past, and kept as JSON."""
    durations = Durations()
    for first, second in history:
        durations.learn("k", after=min(first, second), by=max(first, second))
        assert 0 < durations.median("k") < 10_000
    assert next_poll(durations, "k", started=0.0, now=50.0, polls=1, per_minute=10) > 50.0
    assert Durations.load(json.loads(json.dumps(durations.seen)), "local").seen == durations.seen


def _greedy(limiter: Limiter, count: int, *, start: float = 0.0, pauses: list[float] | None = None) -> list[float]:
    """Send `count` times as early as allowed, pausing before some."""
    now, sent = start, []
    for turn in range(count):
        now += pauses[turn % len(pauses)] if pauses else 0.0
        now = max(now, limiter.ready_at(now))
        limiter.sent(now)
        sent.append(now)
    return sent


def _most_in(sent: list[float], window: float) -> int:
    """The most sends in any window of that length, both ends included."""
    return max(sum(first <= each <= first + window for each in sent) for first in sent)


@given(
    per_minute=st.integers(1, 400),
    pauses=st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=8),
    start=st.floats(0, 1e7),
)
def test_never_more_than_the_limit_in_any_window(per_minute: int, pauses: list[float], start: float) -> None:
    """At most N in any 60 s and, above 60 a minute, at most ceil(N/60) in any second, whatever the pauses."""
    sent = _greedy(Limiter(per_minute), min(3 * per_minute, 260), start=start, pauses=pauses)
    assert _most_in(sent, WINDOW) <= per_minute
    if per_minute > WINDOW:
        assert _most_in(sent, 1.0) <= math.ceil(per_minute / WINDOW)
    else:
        sent = _greedy(Limiter(per_minute), 3 * per_minute)
        assert sent[-1] <= 2 * (WINDOW + MARGIN) + 1e-6, "nothing is held back that the account allows"


def test_a_429_that_was_not_foreseen_shrinks_the_window_once() -> None:
    """Nothing goes out before Retry-After is over; others use the account too, so less is sent; minutes give it back."""
    for per_minute in (0, 10):  # also where there is no limit of ours
        limiter = Limiter(per_minute)
        limiter.sent(0.0)
        limiter.throttled(1.0, 30.0)
        assert limiter.ready_at(1.0) >= 31.0
        limiter.throttled(2.0, 5.0)
        assert limiter.ready_at(2.0) >= 31.0, "a shorter wish does not shorten a longer one"
    limiter = Limiter(10)
    for now in (100.0, 101.0, 102.0, 159.0):
        limiter.throttled(now, 1.0)
    assert limiter.allowed == 7
    limiter.throttled(161.0, 1.0)
    assert limiter.allowed == 4
    _greedy(limiter, 200, start=162.0)
    assert limiter.allowed == 10


def test_no_more_ask_first_than_it_takes_to_stop_asking() -> None:
    """Each answer makes room for as many more as could still be needed."""
    admission = Admission(max_in_flight=50, proven=True, ask_first=True)

    def entered() -> int:
        before = admission.in_flight
        while admission.open():
            admission.enter()
        return admission.in_flight - before

    assert entered() == ASK_FIRST == 5
    found = []
    for known in (False, True, None, False, False):
        admission.answered(known=known)
        found.append(entered())
    assert (found, admission.asking, admission.strangers) == ([0, 2, 1, 0, 0], 3, 2)
