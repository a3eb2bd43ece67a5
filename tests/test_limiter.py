"""The limiter: what is sent never exceeds what the account allows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.execution.limiter import ASK_FIRST, MARGIN, WINDOW, Admission, Limiter


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


@given(per_minute=st.integers(1, 60))
def test_the_limit_is_used_up(per_minute: int) -> None:
    """A greedy sender gets its N a minute: nothing is held back that the account allows."""
    sent = _greedy(Limiter(per_minute), 3 * per_minute)
    assert sent[-1] <= 2 * (WINDOW + MARGIN) + 1e-6


@pytest.mark.parametrize("per_minute", [0, 10], ids=["no limit", "limit"])
def test_a_429_gates_new_sends(per_minute: int) -> None:
    """Nothing goes out before the server's Retry-After is over, even where there is no limit of ours."""
    limiter = Limiter(per_minute)
    limiter.sent(0.0)
    limiter.throttled(1.0, 30.0)
    assert limiter.ready_at(1.0) >= 31.0
    limiter.throttled(2.0, 5.0)
    assert limiter.ready_at(2.0) >= 31.0, "a shorter wish does not shorten a longer one"


def test_a_429_that_was_not_foreseen_shrinks_the_window_once() -> None:
    """Others use the account too: less is sent, and many 429s within one window shrinks it only once."""
    limiter = Limiter(10)
    for now in (100.0, 101.0, 102.0, 159.0):
        limiter.throttled(now, 1.0)
    assert limiter.allowed == 7
    limiter.throttled(161.0, 1.0)
    assert limiter.allowed == 4


def test_a_shrunk_window_grows_back() -> None:
    """Minutes without a 429 give the account back, one send at a time and never more than the limit."""
    limiter = Limiter(10)
    limiter.throttled(0.0, 0.0)
    _greedy(limiter, 200, start=1.0)
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
    assert found == [0, 2, 1, 0, 0]
    assert (admission.asking, admission.strangers) == (3, 2)
