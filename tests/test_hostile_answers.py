"""Something else than the API answers, or answers in pieces: what is said, what stops, and that nothing is paid twice.

Each bad answer is given to every kind of call, with the request carried out before or not at all; afterwards the
server is well again, and the next apply ends whole.
"""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs

from contentops.api.calls import GetStatus
from contentops.api.outcomes import Damage, HttpAnswer, judge
from contentops.model import ItemId
from contentops.model import Run as RunOf
from contentops.operations.opening import Runtime
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, assert_whole, blog, know_server, results

ITEMS = [f"i{number}" for number in range(6)]
API = "https://api.example.test/v1"
JSON = {"Content-Type": "application/json"}
PAGE = "<!doctype html><title>Sign in to Airport WiFi</title>"
MEGABYTES = 21 * 1024 * 1024


def answer(status: int, content: str | bytes = b"", *headers: tuple[str, str]) -> Callable[[], httpx.Response]:
    """Always this answer; its bytes are left to the client to make sense of."""
    body = content.encode() if isinstance(content, str) else content
    return lambda: httpx.Response(status, stream=httpx.ByteStream(body), headers=[*headers] or JSON)


FOREIGN: dict[str, tuple[Callable[[], httpx.Response], list[str]]] = {
    "page": (answer(200, PAGE, ("Content-Type", "text/html")), ["(200)", "HTML page", "`api.base_url`"]),
    "page on a wrong path": (answer(404, PAGE, ("Content-Type", "text/html")), ["(404)", "HTML page", "`api.base_url`"]),
    "portal's redirect": (
        answer(302, b"", ("Location", "https://login.example.test:8443/?token=s3cret")),
        ["(302)", "`https://login.example.test:8443`", "not followed", "`api.base_url`"],
    ),
    "portal's login": (answer(511, PAGE, ("Content-Type", "text/html")), ["(511)", "login", "`HTTPS_PROXY`"]),
    "21 MiB": (answer(200, b" " * MEGABYTES), ["(200)", "larger than 20 MiB", "`api.base_url`"]),
}  # fmt: skip
"""What is surely not the API; `test_api_client` and `test_api_outcomes` have all others that mean the same."""

TORN: dict[str, tuple[Callable[[], httpx.Response], list[str]]] = {
    "truncated": (answer(200, '{"status": "completed", "con'), ["(200)", "incomplete or invalid JSON"]),
    "a cut gzip": (
        answer(200, gzip.compress(b" " * 1000)[:-9], ("Content-Encoding", "gzip"), *JSON.items()),
        ["(200)", "before the answer was complete"],
    ),
}
"""What may have been the API."""

SOME = FOREIGN | TORN
KEY: tuple[Callable[[], httpx.Response], list[str]] = (
    answer(401, '{"error": {"code": "unauthorized", "message": "Invalid API key"}}'),
    ["(401)", "Invalid API key"],
)
REPLIED = {**SOME, "wrong key": KEY, "forbidden": (answer(403, '{"detail": "no"}'), ["(403)", "no"])}
CARRIED_OUT = {
    "page": False, "page on a wrong path": False, "portal's redirect": True, "portal's login": False, "21 MiB": True,
    "truncated": False, "a cut gzip": False,
}  # fmt: skip
"""Whether a submit is carried out before its answer is spoilt; for a save it is the other way round."""


class Spoilt(FakeApi):
    """Answers badly to `name` ("" means everything) from its `first` request on, until it is healed.

    With `after`, what was asked is carried out first, as behind a gateway that spoils only the answer.
    """

    def __init__(
        self, bad: Callable[[], httpx.Response], name: str = "", *, first: int = 1, after: bool = False, **habits: Any
    ) -> None:
        super().__init__(**{"duration": 60, "auto_save": False, **habits})
        self._bad, self._name, self._first, self._after = bad, name, first, after
        self.well = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry the request out, if that is asked for, and spoil the answer, if it is one to spoil."""
        if self.well:
            return await super().handle_async_request(request)
        count = len(self.requests)
        if not self._after:
            self.fault(self._spoils, self._bad)
        try:
            good = await super().handle_async_request(request)
        finally:
            self.heal()
        seen = self.requests[count]
        if self._after and self._spoils(seen.name, seen.n):
            bad = self._bad()
            seen.status = bad.status_code
            return bad
        return good

    def _spoils(self, name: str, n: int) -> bool:
        return (not self._name or name == self._name) and n >= self._first


def harness_of(root: Path, api: FakeApi, *items: str, rpm: int = 10) -> Harness:
    """Items to generate on that server."""
    harness = Harness(root, api, rpm=rpm)
    know_server(root, API)
    harness.write("content/blog.yaml", blog(*(items or ITEMS)))
    return harness


def said(run: RunOf | None) -> str:
    """All that a run says went wrong."""
    assert run is not None
    words = [run.message, run.hint, *(part for each in run.outcomes for part in (each.error, each.hint))]
    text = "\n".join(words)
    assert [secret for secret in ("s3cret", "test-key") if secret in text] == []
    return text


def unsaid(run: RunOf | None, *words: str) -> list[str]:
    """The words that a run does not say."""
    return [word for word in words if word not in said(run)]


def finished(harness: Harness, api: Spoilt, *items: str, **choice: Any) -> None:
    """The server is well again, and one more apply does the rest."""
    api.well = True
    harness.timeline.now += 3600
    run = harness.apply(**choice)
    assert run is None or set(results(run).values()) == {"done"}, said(run)
    assert_whole(harness, *(items or ITEMS))


@pytest.mark.parametrize(("bad", "words"), FOREIGN.values(), ids=FOREIGN)
def test_nothing_is_submitted_to_a_stranger(root: Path, bad: Callable[[], httpx.Response], words: list[str]) -> None:
    """A wrong address is found out by free questions: no submit leaves, no item is unknown, the run stops by itself."""
    api = Spoilt(bad)
    harness = harness_of(root, api)
    run = harness.ran()
    if "(404)" not in words:
        assert api.count("submit") == 0
    assert api.generations == []
    assert not harness.state.open_jobs
    assert (run.stopped, exit_code_of(run)) == ("refused-submits", 3)
    assert set(results(run).values()) == {"failed", "pending"}
    assert len(api.requests) <= 12
    assert unsaid(run, f"{API}/generate", *words) == []
    finished(harness, api)


def test_a_key_that_is_refused(root: Path) -> None:
    """One look-up, nothing submitted, and the name of the variable to look at."""
    bad, words = KEY
    api = Spoilt(bad)
    harness = harness_of(root, api)
    run = harness.ran()
    assert (run.stopped, exit_code_of(run), len(api.requests)) == ("unauthorized", 3, 1)
    assert unsaid(run, f"`GET {API}/generate/status/", *words, "`WRITERZROOM_API_KEY`") == []
    finished(harness, api)


@pytest.mark.parametrize(("bad", "words"), TORN.values(), ids=TORN)
def test_a_torn_answer_is_no_permission(root: Path, bad: Callable[[], httpx.Response], words: list[str]) -> None:
    """It may have been the job: where our id is asked for first, a success that cannot be read forbids the submit."""
    api = Spoilt(bad)
    harness = harness_of(root, api)
    run = harness.ran()
    assert (api.count("submit"), run.stopped) == (0, "refused-submits")
    assert unsaid(run, f"`GET {API}/generate/status/", *words) == []
    assert harness.timeline.now <= 20 * 60
    finished(harness, api)


@pytest.mark.parametrize("down", [85, 300])
def test_questions_without_an_answer_do_not_end_the_asking(root: Path, down: float) -> None:
    """A server that cannot be asked says nothing of our ids: what a lost machine has paid for is not paid again."""
    items = [f"i{number:02}" for number in range(30)]
    api = FakeApi(duration=60, auto_save=False, request_ids="overwrite")
    harness = harness_of(root, api, "i00", rpm=0)
    harness.apply()
    committed = harness.read("contentops.lock")
    harness.write("content/blog.yaml", blog(*items))
    harness.apply(deadline=30)
    assert len(api.generations) == len(items)

    # Another machine has the committed lock, and neither journal nor cache.
    shutil.rmtree(root / ".contentops")
    harness.write("contentops.lock", committed)
    until = harness.timeline.now + down
    api.fault(lambda name, _: name == "status" and harness.timeline.now < until, 503)
    run: RunOf | None = harness.ran()
    assert (run and run.stopped, unsaid(run, "every request failed")) == ("refused-submits", [])
    while (run := harness.apply()) is not None:
        assert harness.timeline.now < 7200
    assert_whole(harness, *(items or ITEMS))


@pytest.mark.parametrize(("name", "after"), CARRIED_OUT.items())
def test_a_submit_that_is_answered_badly(root: Path, name: str, *, after: bool) -> None:
    """Found again where it was carried out, never sent again blindly where no one can say, and paid for once."""
    bad, words = SOME[name]
    api = Spoilt(bad, "submit", first=3, after=after)
    harness = harness_of(root, api)
    run = harness.ran()
    assert api.count("submit") <= 2 + 4 * (len(ITEMS) - 2)
    topics = [each.topic for each in api.generations]
    assert sorted(topics) == sorted(set(topics))
    if set(results(run).values()) != {"done"}:
        assert (unsaid(run, f"`POST {API}/generate`", *words), exit_code_of(run)) == ([], 3)
    finished(harness, api)


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
def test_a_submit_that_is_answered_with_the_job_of_another_item(root: Path, request_ids: str) -> None:
    """As by a cache on the way: no text is written into two files, and nothing is paid for twice."""

    def of_the_first() -> httpx.Response:
        return httpx.Response(202, json={"request_id": api.generations[0].job_id, "status": "pending"})

    api = Spoilt(of_the_first, "submit", first=2, after=True, auto_save=True, request_ids=request_ids)
    harness = harness_of(root, api)
    harness.ran()
    assert all(f"about {path[4:-3]}" in text for path, text in harness.tree().items())
    if request_ids == "replay":
        finished(harness, api)
    else:
        assert set(results(harness.ran()).values()) == {"unknown"}
    assert len(api.generations) == len(ITEMS)


def test_a_number_that_a_failed_job_had_may_come_again(root: Path) -> None:
    """A server that was restarted numbers its jobs from 1: the new job is collected, and not looked for."""
    api = FakeApi(request_ids="ignore", fails=lambda inputs: "boom" if "bbb" in str(inputs) else "")
    harness = Harness(root, api)
    know_server(root, API)
    harness.write("content/blog.yaml", blog("bbb"))
    assert results(harness.ran()) == {"bbb": "failed"}
    api.generations.clear()
    api.jobs.clear()
    harness.write("content/blog.yaml", blog("aaa", "bbb"))
    assert results(harness.ran())["aaa"] == "done"
    assert len([one for one in api.generations if "aaa" in one.topic]) == 1


@pytest.mark.parametrize(("bad", "words"), REPLIED.values(), ids=REPLIED)
def test_a_poll_that_is_answered_badly(root: Path, bad: Callable[[], httpx.Response], words: list[str]) -> None:
    """No job is lost or paid for again: each stays open under its id, and the next apply brings its text."""
    api = Spoilt(bad, "status", first=3)
    harness = harness_of(root, api)
    run = harness.ran()
    assert (exit_code_of(run), unsaid(run, f"`GET {API}/generate/status/", *words)) == (3, [])
    assert len(api.requests) <= 12 * len(ITEMS)
    assert all(job.job_id for job in harness.state.open_jobs.values())
    finished(harness, api)


@pytest.mark.parametrize(
    ("name", "after"),
    [*((name, not after) for name, after in CARRIED_OUT.items()), ("wrong key", False), ("forbidden", True)],
)
def test_a_save_that_is_answered_badly(root: Path, name: str, *, after: bool) -> None:
    """The file is there, the text is stored once whether the save arrived or not, and nothing is generated again."""
    bad, words = REPLIED[name]
    api = Spoilt(bad, "save", after=after)
    harness = harness_of(root, api, *ITEMS[:4])
    run = harness.ran()
    assert len(harness.tree()) >= 1
    assert len(api.generations) <= 4
    if set(results(run).values()) != {"done"}:
        assert (unsaid(run, f"`POST {API}/content/save`", *words), exit_code_of(run)) == ([], 3)
    assert len(api.requests) <= 20 * 4
    finished(harness, api, *ITEMS[:4])


class Skewed(Harness):
    """A harness on a machine whose clock is `hours` off."""

    hours = 0.0

    def runtime(self) -> Runtime:
        """The outside, an honest clock excepted."""
        wall = self.timeline.wall
        return structs.replace(super().runtime(), wall=lambda: wall() + 3600 * self.hours)


@pytest.mark.parametrize(("hours", "hint"), [(-30.0, "date"), (-0.01, "none"), (5.0, "seconds"), (30.0, "date")])
def test_a_clock_that_is_wrong(root: Path, hours: float, hint: str) -> None:
    """With a limit to wait for, a lost submit to find and a lost save to find, all ends whole by either clock."""
    api = FakeApi(duration=60, auto_save=False, per_minute=8, retry_after=hint)
    api.fault(lambda name, n: name == "submit" and n == 3, "504")
    api.fault(lambda name, n: name == "save" and n == 2, "504")
    harness = Skewed(root, api, rpm=10)
    know_server(root, API)
    harness.hours = hours
    run = harness.declared(*ITEMS).apply()
    turns = 0
    while run is not None and set(results(run).values()) != {"done"}:
        # A date by a clock that runs ahead of ours looks far away: the run pauses, and says so.
        assert (run.stopped, exit_code_of(run)) == ("throttled", 5)
        assert hours < 0
        assert hint == "date"
        harness.timeline.now += 600
        turns += 1
        assert turns <= 2 * len(ITEMS)  # each brings something home, if not yet an item to its end
        run = harness.apply()
    assert_whole(harness, *ITEMS)


@pytest.mark.parametrize("hours", [-5.0, 5.0])
def test_a_lost_submit_by_a_wrong_clock_is_never_paid_twice(root: Path, hours: float) -> None:
    """Where only the time of a stored text could tell whose it is, a wrong clock makes it unknown, not another one."""
    api = FakeApi(duration=30, request_ids="ignore")
    api.fault(lambda name, n: name == "submit" and n == 2, "504")
    harness = Skewed(root, api)
    harness.hours = hours
    run = harness.declared("one", "two").apply()
    assert (results(run), api.count("submit")) == ({"one": "done", "two": "unknown"}, 2)
    assert (set(results(harness.apply()).values()), api.count("submit")) == ({"unknown"}, 2)
    harness.hours = 0


@pytest.mark.parametrize(("found", "not_from_api"), [
    (HttpAnswer(200, {"content-type": "text/html"}, b"<html>"), True),
    (HttpAnswer(200, {"content-type": "text/csv"}, b"a"), True), (HttpAnswer(200, {}, b"", Damage.LARGE), True),
    (HttpAnswer(302, {}, b""), True), (HttpAnswer(407, {}, b""), True), (HttpAnswer(511, {}, b""), True),
    (HttpAnswer(200, {}, b"{"), False), (HttpAnswer(200, {}, b'{"success": true, "data": null}'), False),
    (HttpAnswer(200, {}, b"", Damage.CUT), False), (HttpAnswer(404, {"content-type": "text/html"}, b"<html>"), False),
    (HttpAnswer(404, {}, b'{"detail": "Not Found"}'), False),
    (HttpAnswer(401, {"content-type": "text/html"}, b"<html>"), False), (HttpAnswer(500, {}, b"{}"), False),
    (HttpAnswer(503, {"content-type": "text/html"}, b"<html>"), False),
])  # fmt: skip
def test_only_what_is_surely_not_the_api_is_foreign(found: HttpAnswer, not_from_api: bool) -> None:
    """A server may answer an unknown id with a page and 404, or with an empty success: that forbids nothing."""
    failure: Any = judge(GetStatus("r1"), found, wall=0.0)
    assert failure.not_from_api is not_from_api


def test_no_one_listens(root: Path) -> None:
    """Refused connections are tried again for a while, then the run stops, names the address, and has sent nothing."""
    api = FakeApi()
    api.fault(lambda _name, _n: True, "refuse")
    harness = harness_of(root, api)
    run = harness.ran()
    assert (run.stopped, exit_code_of(run), api.requests) == ("no-connection", 3, [])
    words = ("nothing was reached", "no connection to `api.example.test`", f"`GET {API}/generate/status/")
    assert unsaid(run, *words) == []
    assert harness.timeline.now <= 400
    api.heal()
    assert (set(results(harness.apply()).values()), harness.record("i0").id) == ({"done"}, ItemId("i0"))
