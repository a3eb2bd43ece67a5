"""What polls teach about how long jobs take: each says no more than "not yet" or "by now"."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.execution.durations import KEEP, USUAL, Durations, next_poll


def _watched(durations: Durations, seconds: float) -> int:
    """Poll one job of that many seconds as the scheduler would, learn it; the number of polls."""
    at, after, polls = 0.0, 0.0, 0
    while True:
        at = next_poll(durations, "k", started=0.0, now=at, polls=polls, per_minute=0)
        polls += 1
        if at >= seconds:
            durations.learn("k", after=after, by=at)
            return polls
        after = at


def test_another_kind_lends_its_durations() -> None:
    """A kind that was never seen uses all that was learned on this server."""
    durations = Durations({"a/quick": [(40.0, 40.0), (50.0, 50.0)], "b/premium": [(60.0, 60.0)]})
    assert durations.median("c/standard") == pytest.approx(50.0)
    assert durations.median("a/quick") == pytest.approx(45.0, rel=0.05)
    durations.learn("c/standard", after=8.0, by=18.0)
    assert durations.median("c/standard") == pytest.approx(12.0, rel=0.05)


def test_nothing_learned_forecasts_the_documented_range() -> None:
    """Forecasts start from the middle of 90 s to 4 min."""
    assert not Durations().is_learned("x")
    assert USUAL[0] < Durations().median("x") < USUAL[1]
    assert Durations().p_done("x", elapsed=0.0) == 0.0
    assert Durations().p_done("x", elapsed=1000.0) > 0.99


def test_what_is_known_not_to_have_ended_changes_the_odds() -> None:
    """A job still running a moment ago is hardly done now, however old it is."""
    durations = Durations({"k": [(100.0, 100.0)] * 9})
    assert durations.p_done("k", elapsed=130.0) > 0.85
    assert durations.p_done("k", elapsed=130.0, unfinished=129.5) < 0.1
    assert durations.p_done("k", elapsed=130.0, unfinished=130.0) == 0.0
    assert durations.p_done("k", elapsed=1e9, unfinished=1e8) == 0.0


@pytest.mark.parametrize(("median", "spread"), [(150.0, 0.35), (20.0, 0.8), (600.0, 0.1)])
def test_polls_alone_reveal_how_long_jobs_take(median: float, spread: float) -> None:
    """After fifty jobs that were only polled, quantiles are near those of what they were drawn from."""
    draw, durations = random.Random(3), Durations()
    for _ in range(KEEP):
        _watched(durations, draw.lognormvariate(math.log(median), spread))
    assert durations.median("k") == pytest.approx(median, rel=0.35)
    assert durations.share_done("k", median * math.exp(2 * spread)) > 0.6
    assert durations.share_done("k", median * math.exp(-2 * max(spread, 0.35))) < 0.4


def test_jobs_that_all_take_the_same_time_cost_few_polls() -> None:
    """The estimate neither drifts away from a constant nor polls it again and again."""
    durations = Durations()
    polls = [_watched(durations, 100.0) for _ in range(200)]
    assert durations.median("k") == pytest.approx(100.0, rel=0.15)
    assert sum(polls[50:]) <= 2.2 * 150


def test_a_late_first_poll_says_little() -> None:
    """Where the limit delays every first poll, what was learned stays as it is."""
    durations = Durations({"k": [(140.0, 160.0)] * 20})
    before = durations.median("k")
    for _ in range(60):
        durations.learn("k", after=0.0, by=400.0)
    assert durations.median("k") == pytest.approx(before, rel=0.1)


def test_a_server_that_became_fast_is_believed_soon() -> None:
    """Job after job done by its first poll is no chance: after a few of them the old durations are dropped."""
    durations = Durations({"k": [(140.0, 160.0)] * KEEP})
    for _ in range(25):
        _watched(durations, 5.0)
    assert durations.median("k") < 20.0


def test_a_server_that_became_slow_is_believed() -> None:
    """The latest jobs count: after as many as are kept, nothing of the former ones is left."""
    durations = Durations({"k": [(14.0, 16.0)] * KEEP})
    for _ in range(KEEP):
        _watched(durations, 200.0)
    assert durations.median("k") == pytest.approx(200.0, rel=0.2)
    assert len(durations.seen["k"]) == KEEP


@given(st.lists(st.tuples(st.floats(0.0, 5000.0), st.floats(0.0, 5000.0)), min_size=1, max_size=80))
def test_any_history_gives_a_usable_estimate(history: list[tuple[float, float]]) -> None:
    """Whatever the polls said, in whatever order: finite, positive, and never a poll in the past."""
    durations = Durations()
    for first, second in history:
        durations.learn("k", after=min(first, second), by=max(first, second))
        assert 0 < durations.median("k") < 10_000
        shares = [durations.share_done("k", elapsed) for elapsed in (0.0, 1.0, 100.0, 5000.0, 20_000.0)]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert next_poll(durations, "k", started=0.0, now=50.0, polls=1, per_minute=10) > 50.0


def test_one_job_is_taken_for_what_it_was() -> None:
    """Between the last poll that found it running and the first that found it done."""
    durations = Durations()
    durations.learn("k", after=40.0, by=90.0)
    assert durations.median("k") == pytest.approx(60.0, rel=0.05)
    assert durations.share_done("k", 40.0) < 0.5 < durations.share_done("k", 90.0)


def test_durations_are_carried_over() -> None:
    """What was learned survives as JSON, and so does a job that took no time."""
    durations = Durations()
    durations.learn("k", after=8.0, by=18.0)
    durations.learn("k", after=0.0, by=15.0)
    durations.learn("l", after=0.0, by=0.0)
    stored = json.loads(json.dumps(durations.seen))
    assert Durations.load(stored).seen == durations.seen == {"k": [(8.0, 18.0), (0.0, 15.0)], "l": [(0.00025, 0.001)]}


@pytest.mark.parametrize(
    "stored",
    [
        {"k": "no list"},
        {"k": [0, -1, 1e9, "x", None, math.inf, [5], [9, 3], [-1, 2], [0, 0], [0, math.nan], ["1", "2"]]},
        {"k": []},
    ],
    ids=["text", "nonsense", "empty"],
)
def test_damaged_durations_count_as_not_learned(stored: dict[str, object]) -> None:
    """The cache may be lost or damaged without any harm."""
    assert not Durations.load(stored).is_learned("k")
