"""Ten requests a minute that others use too, polls that do not count, and every Retry-After a server may say.

Whole means: every item done, each paid for once and stored once, nothing open, few requests, and an end in time.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.execution.limiter import LONGEST_PAUSE, Limiter
from contentops.model import Run
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, on
from tests.fakes.clock import EPOCH
from tests.fakes.harness import Harness, assert_whole, blog, know_server, results

ITEMS = [f"i{number:02}" for number in range(20)]
HABITS: dict[str, Any] = {"duration": lambda number: 100 + 17 * (number % 7), "auto_save": False}


class Shared(FakeApi):
    """A server on whose account someone else sends a request every `every` seconds, from `since` until `until`."""

    def __init__(self, *, every: float, since: float = 0.0, until: float = 1e9, **habits: Any) -> None:
        super().__init__(**habits)
        self.others = 0
        self._every, self._next, self._until = every, since, until

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Let the others send what they would have sent by now, then carry out ours."""
        now = asyncio.get_running_loop().time()
        while self._next <= now and self._next < self._until:
            if sum(each > self._next - 60 for each in self._window) < self.habits.per_minute:
                self._window.append(self._next)
                self.others += 1
            self._next += self._every
        return await super().handle_async_request(request)


def harness_of(root: Path, api: FakeApi, *items: str, rpm: int = 10) -> Harness:
    """Items to generate on that server."""
    harness = Harness(root, api, rpm=rpm)
    know_server(root, "https://api.example.test/v1")
    harness.write("content/blog.yaml", blog(*(items or ITEMS)))
    return harness


def most_in_a_minute(api: FakeApi) -> int:
    """The most requests of ours in any 60 s, both ends included."""
    times = [seen.time for seen in api.requests]
    return max(sum(first <= each <= first + 60 for each in times) for first in times)


def turned_away(api: FakeApi) -> int:
    """How many requests were answered 429."""
    return sum(seen.status == 429 for seen in api.requests)


def all_done(run: Run | None) -> bool:
    """Whether the run ended by itself with every item done."""
    assert run is not None
    return not run.stopped and set(results(run).values()) == {"done"}


# --- others on the account ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", ["seconds", "date", "none", "garbage"])
def test_someone_else_eats_half_of_the_quota(root: Path, hint: str) -> None:
    """With five of ten a minute left, each item takes about a request more, and nothing is lost or paid twice."""
    api = Shared(every=12, per_minute=10, retry_after=hint, **HABITS)
    harness = harness_of(root, api)
    assert all_done(harness.apply())
    assert_whole(harness, *ITEMS)
    assert api.others >= 50
    assert most_in_a_minute(api) <= 10
    assert turned_away(api) <= 15
    assert len(api.requests) <= 4.7 * len(ITEMS) + 1
    # At five a minute these requests take this long; twice five minutes are for the first contact and the last jobs.
    assert harness.timeline.now <= 60 * (len(api.requests) / 5 + 10)


# --- what a 429 may ask for --------------------------------------------------------------------------------


def at(seconds: float, *, clock: float = 0.0) -> Callable[[float], str]:
    """An HTTP date that lies `seconds` ahead, by a clock that is `clock` seconds off."""
    return lambda now: formatdate(EPOCH + now + seconds + clock, usegmt=True)


Said = str | Callable[[float], str]


def refused(*asked: Said, date: Said = "") -> Callable[[], httpx.Response]:
    """A 429 with as many `Retry-After` as there are, and with a `Date` where there is one."""

    def made() -> httpx.Response:
        now = asyncio.get_running_loop().time()
        said = [("Retry-After", each) for each in asked] + ([("Date", date)] if date else [])
        headers = [(name, each if isinstance(each, str) else each(now)) for name, each in said]
        return httpx.Response(429, json={"error": "slow down"}, headers=headers)

    return made


SHORT: dict[str, tuple[Callable[[], httpx.Response], float]] = {
    "absent": (refused(), 6), "a float": (refused("22.5"), 22.5), "a date to come": (refused(at(40)), 39),
    "a date by a clock that is late": (refused(at(40, clock=-18_000), date=at(0, clock=-18_000)), 39),
    "twice": (refused("20", "20"), 6),
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "name"),
    [
        # What a header says is read in one place, whatever was refused.
        *((form, "status") for form in SHORT),
        ("a float", "submit"),
        ("a date to come", "save"),
    ],
)
def test_waits_that_a_run_can_bear(root: Path, form: str, name: str) -> None:
    """Whatever form it has and whatever was refused, the run holds back, goes on, and ends whole."""
    answer, wait = SHORT[form]
    api = FakeApi(per_minute=10, **HABITS)
    api.fault(on(name, 2, 5, 6), answer)
    harness = harness_of(root, api, *ITEMS[:8])
    assert all_done(harness.apply())
    assert_whole(harness, *ITEMS[:8])
    assert turned_away(api) == 3
    assert most_in_a_minute(api) <= 10
    # Without a refusal it takes 6 requests for each item; each refusal costs itself, and at most one poll more.
    assert len(api.requests) <= 6 * 8 + 2 * 3
    assert harness.timeline.now <= 60 * 20
    if name != "submit":
        # A refused submit holds back only submits while jobs run; anything else holds back everything.
        for refusal in [seen for seen in api.requests if seen.status == 429]:
            later = [seen.time for seen in api.requests if seen.time > refusal.time + 0.1]
            assert not later or min(later) >= refusal.time + wait - 0.5


LONG: dict[str, tuple[Said, str]] = {
    "huge": ("1000000000", "31 days"),
    "a day": ("86400", "24 hours"),
    "longer than a job may take": ("901", "15 minutes"),
}


@pytest.mark.parametrize(
    ("name", "form"), [("submit", "huge"), *(("status", form) for form in LONG), ("save", "a day")]
)
def test_waits_that_a_run_can_not_bear(root: Path, name: str, form: str) -> None:
    """The run pauses at once with the server's words and how long it asks to wait; the next one ends it whole."""
    asked, words = LONG[form]
    api = FakeApi(per_minute=10, **HABITS)
    api.fault(on(name, 2), refused(asked))
    harness = harness_of(root, api, *ITEMS[:4])
    run = harness.ran()
    (refusal,) = [seen for seen in api.requests if seen.status == 429]
    assert harness.timeline.now <= refusal.time + 10
    assert (run.stopped, exit_code_of(run), "slow down" in run.message) == ("throttled", 5, True)
    assert f"it asks to wait {words}" in run.message
    assert "again later" in run.hint
    harness.timeline.now += 3600
    assert all_done(harness.apply())
    assert_whole(harness, *ITEMS[:4])


def test_a_long_wait_is_shown(root: Path) -> None:
    """While the run holds back, each heartbeat says what it waits for and how long that still takes."""
    api = FakeApi(per_minute=10, **HABITS)
    api.fault(on("save", 1), refused("600"))
    harness = harness_of(root, api, *ITEMS[:3])
    assert all_done(harness.apply())
    assert_whole(harness, *ITEMS[:3])
    waits = [
        float(str(event.data["seconds"]))
        for event in harness.events
        if event.kind == "waiting" and event.data["on"] == "limit"
    ]
    assert max(waits) > 550
    assert len(waits) >= 30
    assert waits[:30] == sorted(waits[:30], reverse=True)


ALL_CALLS = ("submit", "status", "save")


@pytest.mark.parametrize(
    ("names", "asked", "rpm"), [(ALL_CALLS, (), 0), (ALL_CALLS, ("600",), 600), (("status",), ("0.001",), 10)]
)
def test_a_server_that_turns_all_away_for_ever(
    root: Path, names: tuple[str, ...], asked: tuple[Said, ...], rpm: int
) -> None:
    """Neither a busy loop nor a run without end, with and without a limit of ours; once it is over, all is whole."""
    api = FakeApi(**HABITS)
    api.fault(lambda called, n: called in names and n > 1, refused(*asked))
    harness = harness_of(root, api, *ITEMS[:3], rpm=rpm)
    run = harness.ran()
    assert not all_done(run)
    # A job is late after 900 s and a call gives up after 900 s, each within one wait of at most 600 s more.
    assert harness.timeline.now <= 2 * (900 + 600) + 60
    assert turned_away(api) <= 240
    api.heal()
    harness.timeline.now += 3600
    while not all_done(harness.apply()):
        assert harness.timeline.now <= 6 * 3600
    assert_whole(harness, *ITEMS[:3])


# --- the limiter itself ------------------------------------------------------------------------------------


def _stormed(limiter: Limiter, asked: float | None, *, seconds: float, latency: float = 0.05) -> int:
    """How many turns are sent within `seconds` while every one is turned away; 32 requests make one turn."""
    now, turns = 0.0, 0
    while now < seconds:
        turns += 1
        limiter.sent(now)
        for _ in range(32):
            limiter.throttled(now + latency, asked)
        now = max(now + latency, limiter.ready_at(now + latency))
    return turns


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("asked", [None, 0.0, 0.001, 0.25, 1.0, 60.0])
def test_a_storm_without_a_limit_of_ours_dies_down(asked: float | None, latency: float) -> None:
    """The least pause doubles turn by turn, and what is sent together is one turn."""
    assert _stormed(Limiter(0), asked, seconds=900, latency=latency) <= 900 / LONGEST_PAUSE + 18


def test_a_single_429_without_a_limit_of_ours_costs_what_it_asks() -> None:
    """Once the server takes requests again, nothing is held back any more, and the next 429 starts small."""
    limiter = Limiter(0)
    limiter.throttled(10.0, 0.25)
    assert limiter.ready_at(10.0) <= 10.31
    limiter.throttled(10.4, 0.25)
    assert limiter.ready_at(10.4) >= 10.9, "turned away again at once: twice as long"
    limiter.throttled(100.0, 0.25)
    assert limiter.ready_at(100.0) <= 100.31


def test_a_time_that_is_over_asks_for_one_share() -> None:
    """Zero is what servers say that round down, and what is left of a negative number or a date that is over."""
    limiter = Limiter(10)
    limiter.throttled(0.0, 0.0)
    assert limiter.ready_at(0.0) >= 6.0


# --- a server that takes only so many jobs at once -----------------------------------------------------------------


@pytest.mark.parametrize("stated", [False, True])
def test_a_server_that_takes_few_jobs(tmp_path: Path, *, stated: bool) -> None:
    """Its refusals slow the run down and cost nothing; with the server's number in the settings, there are none."""
    api = FakeApi(duration=100.0, max_active=4, auto_save=False)
    harness = Harness(tmp_path, api, rpm=10)
    if stated:
        harness.edit("contentops.yaml", "requests_per_minute: 10", "requests_per_minute: 10, max_in_flight: 4")
    harness.write("content/batch.yaml", blog(*(f"i{n:02}" for n in range(40))))
    began = harness.timeline.now
    assert set(results(harness.apply()).values()) == {"done"}
    assert harness.timeline.now - began < (1.4 if stated else 2.1) * 40 / 4 * 100.0
    answers = Counter(seen.status for seen in api.requests if seen.name == "submit")
    assert answers[202] == len(api.charges) == 40
    assert answers[429] <= (0 if stated else 40)
