"""When a job is polled: blind at first, then from what was learned."""

from __future__ import annotations

import itertools
import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.executor.polling import KEEP, PRIOR, Durations, first_gap, next_poll, p_done


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


def test_unlearned_gaps_double() -> None:
    """Until a duration is learned, each gap is twice the one before."""
    times = _polls(Durations(), until=300.0, per_minute=10)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == 12.0
    assert gaps == [24.0, 48.0, 96.0, 192.0]


def test_a_late_first_poll_goes_out_at_once() -> None:
    """A job of an earlier run is overdue: nothing is waited for."""
    assert next_poll(Durations(), "x", started=-500.0, now=100.0, polls=0, per_minute=10) == 100.0


def test_a_learned_job_is_polled_when_it_is_likely_done() -> None:
    """The first poll comes at the median of what was learned, so that half the jobs cost one poll."""
    durations = Durations({"blog/standard": [100.0] * 5})
    first = next_poll(durations, "blog/standard", started=0.0, now=0.0, polls=0, per_minute=10)
    assert first == pytest.approx(100.0, rel=0.01)
    assert p_done(durations, "blog/standard", first) == pytest.approx(0.5)


@given(
    values=st.lists(st.floats(1.0, 2000.0), min_size=1, max_size=60),
    elapsed=st.floats(0.5, 5000.0),
)
def test_the_next_poll_waits_for_an_even_chance(values: list[float], elapsed: float) -> None:
    """An unfinished job is polled again once it is as likely as not to have ended since, and never in the past."""
    durations = Durations({"k": values})
    due = next_poll(durations, "k", started=0.0, now=elapsed, polls=1, per_minute=0)
    assert due > elapsed
    before, after = p_done(durations, "k", elapsed), p_done(durations, "k", due)
    if before < 0.99:
        assert (after - before) / (1 - before) >= 0.5 - 1e-6
    assert due < elapsed * 20 + 20 * max(values)


def test_a_very_late_job_is_not_polled_all_the_time() -> None:
    """Far beyond everything learned, the gaps grow with the time that has passed."""
    durations = Durations({"k": [10.0] * 10})
    due = next_poll(durations, "k", started=0.0, now=600.0, polls=9, per_minute=0)
    assert due >= 780.0


def test_another_kind_lends_its_durations() -> None:
    """A kind that was never seen uses all that was learned on this server."""
    durations = Durations({"a/quick": [40.0, 50.0], "b/premium": [60.0]})
    assert durations.median("c/standard") == pytest.approx(statistics.geometric_mean([40.0, 50.0, 60.0]))
    assert durations.median("a/quick") == pytest.approx(statistics.geometric_mean([40.0, 50.0]))


def test_nothing_learned_forecasts_the_documented_range() -> None:
    """Forecasts start from the middle of 90 s to 4 min."""
    assert PRIOR[0] < Durations().median("x") < PRIOR[1]
    assert p_done(Durations(), "x", 0.0) == 0.0
    assert p_done(Durations(), "x", 1000.0) > 0.99


def test_only_the_latest_are_kept() -> None:
    """A kind remembers its last 50 jobs, so that a server that gets faster is believed."""
    durations = Durations()
    for turn in range(KEEP + 30):
        durations.learn("k", after=400.0 if turn < 30 else 16.0, by=625.0 if turn < 30 else 25.0)
    assert len(durations.seen["k"]) == KEEP
    assert durations.median("k") == pytest.approx(20.0)


def test_a_duration_lies_between_two_polls() -> None:
    """The geometric mean of the last poll that found the job running and the first that found it done."""
    durations = Durations()
    durations.learn("k", after=40.0, by=90.0)
    assert durations.seen == {"k": [60.0]}


def test_an_upper_bound_never_makes_a_batch_slower() -> None:
    """A job that the first poll found done took at most that long: what is learned stays below it."""
    durations = Durations()
    durations.learn("k", after=40.0, by=90.0)
    for _ in range(30):
        before = durations.median("k")
        durations.learn("k", after=0.0, by=before)
        assert durations.median("k") <= before
    assert durations.median("k") < 30


def test_durations_are_carried_over() -> None:
    """What was learned survives as JSON, and so does a job that took no time."""
    durations = Durations()
    durations.learn("k", after=8.0, by=18.0)
    durations.learn("k", after=0.0, by=0.0)
    stored = json.loads(json.dumps(durations.seen))
    assert Durations.load(stored).seen == durations.seen
    assert durations.seen["k"] == [12.0, 0.001]


@pytest.mark.parametrize(
    "stored",
    [{"k": "no list"}, {"k": [0, -1, 1e9, "x", None, math.inf]}, {"k": []}],
    ids=["text", "nonsense", "empty"],
)
def test_damaged_durations_count_as_not_learned(stored: dict[str, object]) -> None:
    """The cache may be lost or damaged without any harm."""
    assert Durations.load(stored).of("k") is None
