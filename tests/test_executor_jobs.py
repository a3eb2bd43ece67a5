"""Jobs: what every answer to a poll means, how seldom one asks, what is late, lost or drained."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.model import JobState, OnEdit
from contentops.operations import state as mending
from contentops.reporting.run import exit_code_of, run_text
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results


def _harness(root: Path, *items: str, rpm: int = 0, extra: str = "", **habits: Any) -> Harness:
    return Harness(root, FakeApi(**({"duration": 60} | habits)), rpm=rpm, extra=extra).declared(*(items or ("one",)))


def _answer(status: int, json: Any = None, **kwargs: Any) -> Any:
    return lambda: httpx.Response(status, json=json, **kwargs)


# --- outcomes of a poll ------------------------------------------------------------------------------------

PASSING: dict[str, Any] = {
    "404": 404,
    "429": _answer(429, {"error": "slow down"}, headers={"Retry-After": "20"}),
    "reset": "reset",
    "no answer": "slow",
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_failed_poll_is_no_failed_job(root: Path, fault: Any) -> None:
    """Whatever a poll meets, the job is polled on and its text is written; it is paid for once."""
    harness = _harness(root)
    # The first status asks for our id, before anything is submitted.
    harness.api.fault(on("status", 2, 3), fault)
    run = harness.apply()
    assert (results(run), harness.api.credits, harness.plan().empty) == ({"one": "done"}, 4, True)


def test_a_job_that_takes_too_long_is_late_and_polled_by_the_next_apply(root: Path) -> None:
    """After `job_timeout` the item is late (exit 3), the others are done, and the next apply finishes it for free."""
    harness = _harness(root, "a", "b", duration=lambda number: 5000 if number == 2 else 60)
    run = harness.ran()
    assert (results(run), exit_code_of(run)) == ({"a": "done", "b": "late"}, 3)
    assert harness.open_job("b").state is JobState.RUNNING
    assert (harness.actions(), results(harness.apply())) == ({"b": "finish"}, {"b": "late"})
    harness.timeline.now += 5000
    assert (results(harness.apply()), harness.api.credits) == ({"b": "done"}, 8)


# --- no one answers ------------------------------------------------------------------------------------------


DOWN: dict[str, tuple[Any, str]] = {
    "no connection": ("refuse", "Connection refused"), "500": (500, "(500): fault 500"),
    "a gateway's page": (_answer(502, html="<h1>Bad gateway</h1>"), "(502): the server answered 502 Bad Gateway"),
    "silence": ("slow", "no answer from `api.example.test` within 30 s"), "half an answer": ("truncated", "(200): "),
}  # fmt: skip


@pytest.mark.parametrize(
    ("what", "words", "rpm"),
    [(*down, rpm) for down, rpm in zip(DOWN.values(), (0, 10, 120, 0, 10), strict=True)],
    ids=DOWN,
)
def test_a_server_that_dies_while_jobs_are_polled(root: Path, what: Any, words: str, rpm: int) -> None:
    """Few questions, a true word about the wait, and an end after a minute that keeps every job."""
    harness = _harness(root, "zero", rpm=rpm, auto_save=False)
    harness.apply()  # from here on the duration of such jobs is known
    harness.write("content/blog.yaml", blog("zero", *[f"i{turn:02}" for turn in range(4 if rpm == 10 else 20)]))
    died, times = harness.timeline.now + 50, list[float]()

    def unanswered(_name: str, _n: int) -> bool:
        """No request that meets no one is seen by the server: their times are noted here."""
        if harness.timeline.now >= died:
            times.append(harness.timeline.now)
        return harness.timeline.now >= died

    harness.api.fault(unanswered, what)
    harness.events.clear()
    run = harness.ran()
    stopped = "no-connection" if what in ("refuse", "slow") else "refused-submits"
    assert (run.stopped, exit_code_of(run), set(results(run).values())) == (stopped, 3, {"pending"})
    assert words in run.message
    assert "api.base_url" in run.hint
    assert "running jobs are kept" in run.hint
    assert {job.state for job in harness.state.open_jobs.values()} == {JobState.RUNNING}
    assert 1 < len(times) < 60
    assert 60 < harness.timeline.now - times[0] < 120
    notes = [event for event in harness.events if event.kind == "note"]
    assert 1 <= len(notes) <= 2
    assert words in str(notes[0].data["message"])
    waits = [event.data["on"] for event in harness.events if event.kind == "waiting" and not event.item]
    assert waits[-1] == "retry"
    assert words in str([event.data for event in harness.events if event.kind == "waiting"][-1]["why"])
    assert "limit" not in waits or rpm
    harness.api.heal()
    assert set(results(harness.apply()).values()) == {"done"}
    assert harness.api.credits == 4 * len(harness.api.generations) == 4 * (1 + len(run.outcomes))


# --- what a completed job may lack ---------------------------------------------------------------------------

EMPTY: dict[str, Any] = {
    "no content": {"status": "completed"},
    "empty body": {"status": "completed", "content": {"title": "T", "body": ""}},
    "white space": {"status": "completed", "content": {"title": "T", "body": " \n\t\n"}},
    "null": {"status": "completed", "content": None},
}


@pytest.mark.parametrize("reply", EMPTY.values(), ids=EMPTY)
def test_a_job_that_completes_without_a_text_is_not_paid_for_again(root: Path, reply: dict[str, Any]) -> None:
    """An empty text is never written; the charged job stays open, and a later apply may still get its text."""
    harness = _harness(root, "one", "two", auto_save=False)
    harness.api.fault(lambda name, n: name == "status" and n > 1, _answer(200, reply))
    for _ in range(3):
        run = harness.ran()
        assert (results(run), run.stopped) == ({"one": "failed", "two": "pending"}, "first-contact")
        assert "without a text" in run.outcomes[0].error
        assert "`revision`" in run.outcomes[0].hint
    assert not harness.tree()
    assert harness.open_job("one").state is JobState.RUNNING
    assert len(harness.api.generations) == 1
    harness.api.heal()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done", "two": "done"}, 8)


def test_the_text_of_another_job_is_not_written(root: Path) -> None:
    """What a server says of a job is believed only where it names no other one; the job stays open meanwhile."""
    harness = _harness(root, duration=30)
    other = {"request_id": "job_9", "status": "completed", "content": {"title": "T", "body": "Another text.\n"}}
    harness.api.fault(on("status"), _answer(200, other))
    harness.apply()
    assert (harness.api.count("submit"), harness.tree()) == (0, {})  # whether its id is known was not told
    harness.api.heal()
    harness.api.fault(lambda name, _: name == "status" and bool(harness.api.generations), _answer(200, other))
    run = harness.ran()
    assert "about job `job_9`" in run_text(run)
    assert (harness.api.count("submit"), harness.tree()) == (1, {})
    harness.api.heal()
    assert results(harness.apply()) == {"one": "done"}
    assert (harness.api.credits, "Another" in harness.read("out/one.md")) == (4, False)


def test_a_completed_job_of_the_servers_own_id_is_found_in_the_store(root: Path) -> None:
    """Where the server makes its own ids, the content names the job by that."""
    harness = _harness(root, request_ids="ignore", status_body="absent", names_content=False)
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 4)


@pytest.mark.parametrize("fault", [503, 404, 403, "reset"], ids=["503", "404", "403", "reset"])
def test_a_text_that_can_not_be_fetched_now_is_not_lost(root: Path, fault: Any) -> None:
    """A completed job whose stored text does not come has not failed: it is polled again, not paid for again."""
    harness = _harness(root, status_body="absent")
    harness.api.fault(on("get content"), fault)
    run = harness.ran()
    assert (results(run), exit_code_of(run)) == ({"one": "late"}, 3)
    harness.api.heal()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 4)


# --- requests are scarce -------------------------------------------------------------------------------------


def test_a_duration_lies_between_two_polls(root: Path) -> None:
    """What is learned of template and mode lies between the last poll that found it running and the next one."""
    harness = _harness(root, rpm=10, duration=100)
    harness.apply()
    from contentops.operations import opening

    with opening.open_cache(harness.project, write=False) as cache:
        (kinds,) = (cache.recall("durations", dict[str, Any]) or {}).values()
    ((kind, (learned,)),) = kinds.items()
    assert kind == "blog_article_generator/standard"
    # Polls after about 12, 36, 66, 96 and 126 s: it ended between the last two.
    assert learned == pytest.approx((96 * 126) ** 0.5, rel=0.05)


# --- collected jobs ---------------------------------------------------------------------------------------------------


def _left_running(root: Path, *, proven: bool = False, **habits: Any) -> Harness:
    """An item whose first job still runs when its spec changes."""
    harness = _harness(root, **habits)
    if proven:
        harness.write("content/zero.yaml", blog("zero"))
        harness.apply(select=("zero",))
    harness.apply(deadline=20)
    assert harness.open_job("one").state is JobState.RUNNING
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    return harness


def test_a_job_no_one_waits_for_is_collected(root: Path) -> None:
    """The job of the earlier spec is polled into the cache, the new spec is submitted, and going back is free."""
    harness = _left_running(root)
    change = harness.plan().changes[0]
    assert (change.names[0], results(harness.apply())) == ("drain", {"one": "done"})
    assert "2027" in harness.read("out/one.md")
    assert harness.plan().empty
    harness.edit("content/blog.yaml", "in 2027", "in 2026")
    assert harness.plan().submits == 0
    harness.apply()
    assert ("2026" in harness.read("out/one.md"), harness.api.credits) == (True, 8)


def test_the_job_of_a_gone_item_is_collected(root: Path) -> None:
    """A removed item's job is polled into the cache; nothing is written; bringing the item back is free."""
    harness = _harness(root, "one", "two")
    harness.apply()
    harness.write("content/blog.yaml", blog("one", "two", "three"))
    harness.apply(deadline=20)
    harness.write("content/blog.yaml", blog("one", "two"))
    assert (harness.actions(), results(harness.apply())) == ({"three": "drain"}, {"three": "done"})
    assert (set(harness.tree()), harness.plan().empty) == ({"out/one.md", "out/two.md"}, True)
    harness.write("content/blog.yaml", blog("one", "two", "three"))
    assert harness.plan().submits == 0
    harness.apply()
    assert harness.api.credits == 12


@pytest.mark.parametrize("late", [False, True], ids=["failed", "late"])
def test_a_collected_job_that_failed_or_is_late_holds_no_one(root: Path, *, late: bool) -> None:
    """A drain that brings nothing is the drain's matter: the item's own steps run, and so do those of all others."""
    harness = _left_running(
        root,
        proven=True,
        duration=lambda number: 10_000 if late and number == 2 else 60,
        fails=lambda inputs: "boom" if not late and "one in 2026" in inputs["topic"] else "",
    )
    harness.write("content/other.yaml", blog("other").replace("2026", "2030"))
    run = harness.apply()
    assert results(run) == {"one": "late" if late else "done", "other": "done"}
    assert "2027" in harness.read("out/one.md")
    assert "2030" in harness.read("out/other.md")
    assert [harness.api.charged(f"All about {what}") for what in ("one in 2027", "other in 2030")] == [1, 1]
    # What is late is requested again; what failed is done with.
    assert harness.actions() == ({"one": "drain"} if late else {})


@pytest.mark.parametrize("gone", [False, True], ids=["changed", "gone"])
def test_a_collected_job_that_the_server_forgot_is_told(root: Path, *, gone: bool) -> None:
    """The next plan drains it again, so the outcome is not good, and its hint names the way out."""
    harness = _left_running(root, auto_save=False, duration=600)
    harness.api.restart()
    harness.api.habits.duration = 60
    if gone:
        harness.write("content/blog.yaml", blog("other"))
    harness.apply()
    harness.timeline.now += 1000
    run = harness.ran()
    assert exit_code_of(run) == 3
    (outcome,) = [each for each in run.outcomes if each.id == "one"]
    assert (outcome.result, "not found" in outcome.error) == ("late", True)
    assert "state resolve one --forget" in outcome.hint
    assert not harness.plan().empty
    mending.resolve(harness.project, "one", forget=True)
    assert harness.plan().empty
    assert gone or "2027" in harness.read("out/one.md")


def test_a_job_the_server_forgot_names_the_way_out(root: Path) -> None:
    """Late with 404: the hint says how to give the job up, and that this may pay twice."""
    harness = _harness(root, duration=300, auto_save=False)

    def restarting() -> httpx.Response:
        harness.api.restart()
        return httpx.Response(503, json={"detail": "restarting"})

    harness.api.fault(on("status", 6), restarting)
    run = harness.ran()
    assert results(run) == {"one": "late"}
    words = (
        f"the server accepted job `{harness.open_job('one').job_id}` but no longer knows it, as after a restart; after "
    )
    assert run.outcomes[0].error.startswith(words)
    assert "state resolve one --forget" in run.outcomes[0].hint
    assert "pays" in run.outcomes[0].hint


def test_a_paid_text_in_the_cache_needs_no_server_that_knows_it(root: Path) -> None:
    """It was paid for and not written; the server, restarted since, has neither its job nor its content."""
    harness = _harness(root)
    harness.apply()
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    harness.edit("out/one.md", "Closing", "My own words")
    harness.apply(deadline=20, on_edit=OnEdit.OVERWRITE)
    assert results(harness.apply()) == {"one": "blocked"}
    assert harness.open_job("one").state is JobState.PAID
    harness.api.restart()
    harness.api.contents.clear()
    assert results(harness.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert "2027" in harness.read("out/one.md")
    assert (harness.api.credits, harness.plan().empty) == (8, True)


def test_a_submit_whose_answer_was_lost_is_collected_too(root: Path) -> None:
    """The lost submit of an earlier spec is looked up; where it never arrived nothing stays open."""
    harness = _harness(root, "zero")
    harness.apply()
    harness.write("content/blog.yaml", blog("zero", "one"))
    harness.api.fault(on("submit", 2), "kill")
    with pytest.raises(BaseException):  # noqa: B017 - the process dies
        harness.apply()
    assert harness.open_job("one").state is JobState.SUBMITTING
    harness.edit("content/blog.yaml", "All about one in 2026", "All about one in 2027")
    assert results(harness.apply()) == {"one": "done"}
    assert not harness.state.open_jobs
    assert (harness.api.credits, harness.plan().empty) == (8, True)


# --- submits that arrive after their answer was lost: the silence of a server is no proof as long as one may --------


def _known(root: Path) -> Harness:
    """A server that uses our ids, starts a run again for a repeated one, and showed its first job at once."""
    api = FakeApi(duration=3.0, request_ids="overwrite")
    harness = Harness(root, api)
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/second.yaml", blog("second"))
    return harness


@pytest.mark.parametrize(("fault", "late", "shown_before"), [
    ("504", 0.0, True), ("504", 13.0, True), ("reset", 3.0, True), ("slow", 130.0, True), ("reset", 20.0, False),
], ids=["gateway", "gateway before its backend", "reset", "no answer for minutes", "no job was shown before"])  # fmt: skip
def test_a_job_that_turns_up_late_is_not_paid_for_again(
    tmp_path: Path, fault: Any, late: float, *, shown_before: bool
) -> None:
    """The answer is lost and the job shown only seconds later: it is waited for. What counts starts when we gave up."""
    harness = _known(tmp_path)
    if not shown_before:
        shutil.rmtree(harness.root / ".contentops" / "cache")
    harness.api.habits.early_404 = late
    harness.api.fault(on("submit", 2), fault)
    assert (results(harness.apply()), harness.api.count("submit")) == ({"second": "done"}, 2)
    assert harness.api.credits == 8


@pytest.mark.parametrize(("pause", "shown_after"), [(0.0, 12.0), (4.0, 12.0), (9.0, 12.0), (3600.0, 0.0)])
def test_a_kill_during_a_submit_leaves_time_for_it_to_arrive(tmp_path: Path, pause: float, shown_after: float) -> None:
    """The next run does not take a job that is not shown yet for one that never was, nor long after a single 404."""
    harness = _known(tmp_path)
    harness.api.fault(on("submit", 2), "kill-after")
    harness.api.habits.early_404 = shown_after
    harness.killed()
    harness.timeline.now += pause
    if not shown_after:
        harness.api.fault(on("status", harness.api.count("status") + 1), 404)
    assert (results(harness.apply()), harness.api.credits) == ({"second": "done"}, 8)


def test_a_job_that_was_forgotten_once_ends_the_proof(tmp_path: Path) -> None:
    """A server that said 404 of a job it had accepted may do so again: silence never makes a lost submit unpaid."""
    harness = _known(tmp_path)
    # The first status of a run asks for our id, the next is a poll.
    harness.api.fault(on("status", harness.api.count("status") + 2), 404)
    assert results(harness.apply()) == {"second": "done"}
    harness.api.heal()
    harness.write("content/third.yaml", blog("third"))
    harness.api.fault(on("submit", 3), "504")
    harness.api.habits.early_404, harness.api.habits.auto_save = 1e6, False
    assert (results(harness.apply()), harness.api.credits) == ({"third": "unknown"}, 12)


def test_a_submit_that_never_arrived_is_sent_again_soon(tmp_path: Path) -> None:
    """Once nothing can arrive any more it is proven lost: one more submit in the same run, under the same id."""
    harness = _known(tmp_path)
    harness.api.fault(on("submit", 2), "drop")
    began = harness.timeline.now
    assert (results(harness.apply()), harness.api.credits) == ({"second": "done"}, 8)
    assert harness.timeline.now - began < 60.0
    _, lost, again = [seen for seen in harness.api.requests if seen.name == "submit"]
    assert again.time - lost.time >= 5.0
    assert lost.body["request_id"] == again.body["request_id"] == again.headers["idempotency-key"]


# --- jobs that complete without a text of their own, and what is looked for in the store instead --------------------


def test_a_collected_job_whose_content_is_gone_ends(tmp_path: Path) -> None:
    """No one waits for a text that someone deleted."""
    harness = Harness(tmp_path, FakeApi(duration=40, status_body="absent"))
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/blog.yaml", blog("one"))
    harness.api.fault(on("get content"), 503)
    assert results(harness.apply()) == {"one": "late"}
    harness.api.heal()
    harness.api.contents.popitem()
    harness.applied("one", year=2027)
    harness.apply()
    assert "2027" in harness.read("out/one.md")
    assert harness.plan().empty


def test_the_counter_of_a_server_is_no_proof(tmp_path: Path) -> None:
    """After a restart a job of someone else may have the id that ours had."""
    harness = Harness(tmp_path, FakeApi(duration=40, request_ids="ignore"))
    harness.edit("contentops.yaml", "api: {", "api: {job_timeout: 100, ")
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.api.habits.duration = 5000
    harness.applied("one")
    (job,) = harness.state.open_jobs.values()
    harness.api.restart()
    at = harness.timeline.now
    harness.api._create("Stranger", "The text of a stranger.", {"request_id": job.job_id}, at=at + 10)
    harness.timeline.now += 200
    assert results(harness.apply()) == {"one": "late"}
    assert "out/one.md" not in harness.tree()
