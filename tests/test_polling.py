"""When a job is polled: blind at first, then from what was learned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.execution.durations import Durations, first_gap, next_poll, quickest_on


def _polls(durations: Durations, *, until: float, per_minute: int, kind: str = "blog/standard") -> list[float]:
    """The times of all polls of a job that started at 0 and is done at `until`, the last one finding it done."""
    now = 0.0
    times: list[float] = []
    while not times or times[-1] < until:
        now = next_poll(durations, kind, started=0.0, now=now, polls=len(times), per_minute=per_minute)
        times.append(now)
    return times


@pytest.mark.parametrize(
    ("per_minute", "gap"), [(10, 12.0), (60, 2.0), (6000, 0.2), (0, 0.2)], ids=["10", "60", "6000", "no limit"]
)
def test_the_first_gap(per_minute: int, gap: float) -> None:
    """A job nothing is known about is polled after max(0.2 s, 120 s / requests per minute)."""
    assert first_gap(per_minute) == pytest.approx(gap)
    assert next_poll(Durations(), "x", started=5.0, now=5.0, polls=0, per_minute=per_minute) == pytest.approx(5 + gap)


@pytest.mark.parametrize(
    ("server", "gap"),
    [
        ("local", 0.01),
        ("http://127.0.0.1:8711/v1", 0.01),
        ("http://[::1]:8711/v1", 0.01),
        ("https://localhost.example.com/v1", 0.2),
    ],
)
def test_a_server_on_this_machine_is_asked_sooner(server: str, gap: float) -> None:
    """A draft takes it milliseconds, and asking for it costs nothing."""
    durations = Durations(quickest=quickest_on(server))
    assert next_poll(durations, "x", started=5.0, now=5.0, polls=0, per_minute=0) == pytest.approx(5 + gap)
    assert next_poll(durations, "x", started=5.0, now=5.0, polls=0, per_minute=60) == pytest.approx(7)


@pytest.mark.parametrize(
    ("per_minute", "running", "gaps"),
    [
        (10, 1, [24.0, 30.0, 30.0, 30.0]),
        (0, 50, [0.4, 0.8, 1.6, 3.2]),
        (10, 4, [24.0, 48.0, 48.0, 48.0]),
        (10, 50, [24.0, 48.0, 96.0, 192.0]),
        (1, 1, [120.0, 120.0, 120.0, 120.0]),
    ],
    ids=["one job", "no limit", "four jobs", "many jobs", "one request a minute"],
)
def test_unlearned_gaps_double_up_to_a_share_of_the_limit(per_minute: int, running: int, gaps: list[float]) -> None:
    """Until a duration is learned, gaps double up to 30 s, or to where all jobs together ask for half of the limit."""
    now = first_gap(per_minute)
    for polls, gap in enumerate(gaps, start=1):
        due = next_poll(Durations(), "x", started=0.0, now=now, polls=polls, per_minute=per_minute, running=running)
        assert due - now == pytest.approx(gap)
        now = due


def test_a_late_first_poll_goes_out_at_once() -> None:
    """A job of an earlier run is overdue: nothing is waited for."""
    assert next_poll(Durations(), "x", started=-500.0, now=100.0, polls=0, per_minute=10) == 100.0


def test_a_learned_job_is_polled_when_it_is_likely_done() -> None:
    """The first poll comes at the median of what was learned, so that half the jobs cost one poll."""
    durations = Durations({"blog/standard": [(100.0, 100.0)] * 5})
    first = next_poll(durations, "blog/standard", started=0.0, now=0.0, polls=0, per_minute=10)
    assert first == pytest.approx(100.0, rel=0.01)
    assert durations.p_done("blog/standard", elapsed=first) == pytest.approx(0.5)


@given(
    values=st.lists(st.floats(1.0, 2000.0), min_size=1, max_size=60),
    elapsed=st.floats(0.5, 5000.0),
)
def test_the_next_poll_waits_for_an_even_chance(values: list[float], elapsed: float) -> None:
    """An unfinished job is polled again once it is as likely as not to have ended since, and never in the past."""
    durations = Durations({"k": [(value, value) for value in values]})
    due = next_poll(durations, "k", started=0.0, now=elapsed, polls=1, per_minute=0)
    assert due > elapsed
    before, after = durations.p_done("k", elapsed=elapsed), durations.p_done("k", elapsed=due)
    if before < 0.99:
        assert (after - before) / (1 - before) >= 0.5 - 1e-6
    assert due < elapsed * 20 + 20 * max(values)


def test_a_very_late_job_is_not_polled_all_the_time() -> None:
    """Far beyond everything learned, the gaps grow with the time that has passed."""
    durations = Durations({"k": [(10.0, 10.0)] * 10})
    due = next_poll(durations, "k", started=0.0, now=600.0, polls=9, per_minute=0)
    assert due >= 780.0
