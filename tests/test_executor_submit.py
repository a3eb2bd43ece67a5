"""Submits: what every answer means, when a run stops, and what becomes of a lost answer."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.execution.primitives import Stop
from contentops.model import Event, JobState, OnEdit, Result, Run
from contentops.operations import apply as apply_operation
from contentops.operations import state as mending
from contentops.operations.apply import ApplyOptions
from contentops.planning.sides import Choice
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import Death, EachKill


def _harness(root: Path, *items: str, rpm: int = 0, extra: str = "", **habits: Any) -> Harness:
    return Harness(root, FakeApi(**({"duration": 60} | habits)), rpm=rpm, extra=extra).declared(*(items or ("one",)))


def _proven(root: Path, *items: str, rpm: int = 0, extra: str = "", **habits: Any) -> Harness:
    """A harness whose server has completed a job before, for an item named `zero`."""
    harness = _harness(root, "zero", rpm=rpm, extra=extra, **habits)
    harness.apply()
    harness.write("content/blog.yaml", blog("zero", *items))
    return harness


def _answer(status: int, json: Any = None, **kwargs: Any) -> Any:
    return lambda: httpx.Response(status, json=json, **kwargs)


# --- outcomes of a submit ----------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, str]] = {
    "404 of a route": (_answer(404, {"detail": "Not Found"}), "api.base_url"),
    "422": (_answer(422, {"detail": [{"loc": ["body", "x"], "msg": "field required"}]}), "field required"),
    "template not found": (_answer(500, {"detail": "Template blog_article_generator not found"}), "not found"),
    "redirect": (_answer(307, None, headers={"location": "https://login.example.test/x?token=1"}), "redirects"),
}


@pytest.mark.parametrize(("fault", "words"), REFUSED.values(), ids=REFUSED)
def test_a_refused_submit_fails_its_item_alone(root: Path, fault: Any, words: str) -> None:
    """The item ends with the server's words, nothing is paid for or left open, the others go on, and exit is 3."""
    harness = _proven(root, "bad", "good")
    harness.api.fault(on("submit", 2), fault)
    run = harness.ran()
    assert (results(run), words in run.outcomes[0].error) == ({"bad": "failed", "good": "done"}, True)
    assert (exit_code_of(run), run.credits) == (3, 4)
    assert not harness.state.open_jobs
    assert (harness.api.charged("All about bad in 2026"), results(harness.apply())) == (0, {"bad": "done"})


AMBIGUOUS: dict[str, Any] = {
    "500": _answer(500, {"detail": "Internal server error"}), "carried out, then 500": "500-after", "reset": "reset",
    "no answer": "slow", "303": _answer(303, None, headers={"location": "/elsewhere"}),
    "an answer that is no job": _answer(200, {"hello": "world"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", ["500-after", "drop"])
@pytest.mark.parametrize("kind", ["replay", "overwrite", "reject"])
def test_a_lost_answer_is_resolved_by_our_id(root: Path, fault: Any, kind: Any) -> None:
    """Where the server honours our id, a lost answer ends as one finished, once charged text in the same run."""
    harness = _proven(root, "one", "two", request_ids=kind)
    harness.api.fault(on("submit", 2), fault)
    run = harness.ran()
    assert (results(run), exit_code_of(run)) == ({"one": "done", "two": "done"}, 0)
    assert [harness.api.charged(f"All about {item} in 2026") for item in ("one", "two")] == [1, 1]
    assert (run.credits, harness.plan().empty) == (8, True)


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_lost_answer_is_never_sent_again_where_our_id_means_nothing(root: Path, fault: Any) -> None:
    """Where the server makes its own ids, a lost answer ends as unknown, whatever it was; apply does not pay again."""
    harness = _proven(root, "one", "two", request_ids="ignore", auto_save=False)
    harness.api.fault(on("submit", 2), fault)
    run = harness.ran()
    assert (results(run), "state resolve one" in run.outcomes[0].hint) == ({"one": "unknown", "two": "done"}, True)
    assert (run.credits, run.credits_unknown, exit_code_of(run)) == (4, 4, 3)
    before = len(harness.api.generations)
    for _ in range(3):
        run = harness.ran()
        assert results(run) == {"one": "unknown"}
        assert run.credits_unknown == 0, "an earlier run spent it, if anyone did"
    assert len(harness.api.generations) == before
    assert harness.open_job("one").state is JobState.UNKNOWN


@pytest.mark.parametrize("fault", [AMBIGUOUS["500"], "reset", AMBIGUOUS["an answer that is no job"]])
def test_an_unknown_outcome_at_first_contact_holds_the_run(root: Path, fault: Any) -> None:
    """Nothing is submitted after it: at most one text can have been paid for, and the summary says so."""
    harness = _harness(root, *[f"i{turn}" for turn in range(6)], request_ids="ignore", auto_save=False)
    harness.api.fault(on("submit"), fault)
    run = harness.ran()
    assert (harness.api.count("submit"), run.stopped) == (1, "first-contact")
    assert "the outcome of the first job on this server is unknown" in run.message
    assert "state resolve i0" in run.hint
    assert results(run) == {"i0": "unknown"} | {f"i{turn}": "pending" for turn in range(1, 6)}
    assert (run.credits, run.credits_unknown, exit_code_of(run)) == (0, 4, 3)
    harness.api.heal()
    assert results(harness.apply()) == {"i0": "unknown"} | {f"i{turn}": "done" for turn in range(1, 6)}


def test_a_first_job_that_does_not_end_holds_the_run(root: Path) -> None:
    """A run has one job of its own under way until one has completed; the next run may add one, and no more."""
    harness = _harness(root, "i1", "i2", "i3", duration=50_000)
    ends = [{"i1": "late", "i2": "pending", "i3": "pending"}, {"i1": "late", "i2": "late", "i3": "pending"}]
    for number, end in enumerate(ends, start=1):
        run = harness.ran()
        assert (results(run), run.stopped, run.credits) == (end, "first-contact", 4)
        assert harness.api.credits == 4 * number
    harness.timeline.now += 50_000
    harness.api.habits.duration = 60
    assert (results(harness.apply()), harness.api.credits) == (dict.fromkeys(("i1", "i2", "i3"), "done"), 12)


def test_a_stored_text_of_a_lost_submit_leaves_no_doubt_about_its_price(root: Path) -> None:
    """Where no job can ever be asked for, the content proves that the submit arrived."""
    harness = _harness(root, "one", duration=0)
    harness.api.fault(on("submit", 1), "reset")
    harness.api.fault(lambda name, _: name == "status", 403)
    run = harness.ran()
    assert (results(run), run.credits, run.credits_unknown) == ({"one": "done"}, 4, 0)


@pytest.mark.parametrize("off", [-120.0, 0.0, 600.0])
def test_a_server_whose_clock_is_off_loses_no_text(root: Path, off: float) -> None:
    """What carries our id is ours whatever its time; those likeliest by their time are looked at first."""
    harness = _proven(root, "one", request_ids="ignore")
    for number in range(12):
        harness.api._create(f"Other {number}", "Words.\n", {}, at=harness.timeline.now - 890)
    harness.api.fault(on("submit", 2), "reset")
    harness.apply()
    harness.timeline.now += 300
    harness.api._settle(harness.timeline.now)
    (stored,) = [each for each in harness.api.contents.values() if "All about one" in each.body]
    stored.created += off
    stored.metadata["request_id"] = harness.open_job("one").request_id
    assert (results(harness.apply()), harness.api.charged("All about one in 2026")) == ({"one": "done"}, 1)


def test_the_second_look_reads_no_content_again(root: Path) -> None:
    """Ten strangers of that time do not use up what the look at the end of the run needs."""
    harness = _proven(root, "one", request_ids="ignore", names_request=True)
    for number in range(7):
        harness.api._create(f"Other {number}", "Words.\n", {"request_id": [number]}, at=harness.timeline.now)
    harness.api.fault(on("submit", 2), "reset")
    before = harness.api.count("get content")
    harness.apply()
    assert harness.api.count("get content") - before <= 8


def test_a_404_that_proves_nothing_is_no_proof(root: Path) -> None:
    """A server that hid a job it had accepted is never believed when it says that it does not know our id."""
    harness = _proven(root, "one", "two", early_404=40.0, duration=90, auto_save=False, request_ids="overwrite")
    harness.api.fault(on("submit", 2), "reset")
    runs = [harness.apply() for _ in range(3)]
    assert harness.api.charged("All about one in 2026") == 1
    assert (harness.api.charged("All about two in 2026"), results(runs[0])["two"]) == (1, "done")
    assert harness.plan().empty


def test_a_submit_that_never_arrives_gives_up(root: Path) -> None:
    """A submit that is lost again and again fails in the end; it is not sent for ever."""
    harness = _proven(root, "one")
    harness.api.fault(lambda name, n: name == "submit" and n > 1, "drop")
    assert results(harness.apply()) == {"one": "failed"}
    assert harness.api.count("submit") <= 6
    harness.api.heal()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 8)


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
def test_a_person_may_pay_again(root: Path, request_ids: str) -> None:
    """`state resolve --forget` gives up what is unknown, which counts as perhaps paid; the next attempt is paid for."""
    harness = _proven(root, "one", request_ids=request_ids, auto_save=False)
    harness.api.fault(on("submit", 2), "reset")
    harness.api.fault(lambda name, _: name == "status" and harness.api.count("submit") == 2, 403)
    assert results(harness.apply()) == {"one": "unknown"}
    mending.resolve(harness.project, "one", forget=True)
    assert (harness.plan().credits, results(harness.apply())) == (4, {"one": "done"})
    assert harness.api.charged("All about one in 2026") == 2
    sent = [seen for seen in harness.api.requests if seen.name == "submit"][1:]
    assert (len({seen.body["request_id"] for seen in sent}), harness.made_by("one").attempt) == (2, 2)
    jobs = [job for job in harness.state.jobs if job.item == "one"]
    assert {job.attempt: job.state for job in jobs} == {1: JobState.GIVEN_UP, 2: JobState.SETTLED}
    assert sum(job.cost for job in jobs) == 8
    assert not harness.state.open_jobs
    assert harness.plan().empty


def test_an_unknown_submit_of_an_earlier_spec_holds_no_one(root: Path) -> None:
    """The item goes on with its new spec; the old submit stays a note until a person resolves it."""
    harness = _proven(root, "one", request_ids="ignore", auto_save=False)
    harness.api.fault(on("submit", 2), "reset")
    harness.apply()
    harness.edit("content/blog.yaml", "All about one in 2026", "All about one today")
    assert results(harness.apply()) == {"one": "done"}
    assert harness.open_job("one").state is JobState.UNKNOWN
    assert [note.kind for note in harness.plan().notes] == ["unknown-outcome"]


# --- sends that surely never arrived ------------------------------------------------------------------------


def test_a_refused_connection_is_tried_again_for_a_minute(root: Path) -> None:
    """No connection means that nothing was sent: then the item gives up, and nothing is open and nothing unknown."""
    harness = _proven(root, "one")
    harness.api.fault(lambda name, n: name == "submit" and 1 < n < 5, "refuse")
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 8)
    harness.declared("zero", "one", "two").api.heal()
    harness.api.fault(on("submit"), "refuse")
    before = harness.timeline.now
    assert results(harness.apply()) == {"two": "failed"}
    assert 60 <= harness.timeline.now - before <= 130
    assert not harness.state.open_jobs


# --- when the run stops -------------------------------------------------------------------------------------


def test_a_failing_first_job_stops_before_the_second_submit(root: Path) -> None:
    """The first job on a server that fails stops the run with exit 3, after one submit."""
    harness = _harness(root, "a", "b", "c", fails=lambda _: "style profile broken")
    run = harness.ran()
    assert (harness.api.count("submit"), run.stopped) == (1, "first-contact")
    assert "style profile broken" in run.message
    assert (results(run), exit_code_of(run)) == ({"a": "failed", "b": "pending", "c": "pending"}, 3)


def test_five_refusals_in_a_row_stop_the_run(root: Path) -> None:
    """A server that refuses everything is not asked about every item; exit 3."""
    harness = _harness(root, *[f"i{turn:02}" for turn in range(20)])
    harness.api.fault(on("submit"), 422)
    run = harness.ran()
    assert (run.stopped, harness.api.count("submit"), run.count(Result.FAILED)) == ("refused-submits", 5, 5)
    assert (run.count(Result.PENDING), exit_code_of(run)) == (15, 3)


def test_five_lost_answers_in_a_row_stop_the_run(root: Path) -> None:
    """A server whose gateway loses every answer is not paid for every item."""
    harness = _proven(root, *[f"i{turn:02}" for turn in range(20)], request_ids="ignore", auto_save=False)
    harness.edit("contentops.yaml", "requests_per_minute: 0", "requests_per_minute: 0, max_in_flight: 1")
    harness.api.fault(on("submit"), "504")
    run = harness.ran()
    assert (run.stopped, run.credits_unknown, len(harness.api.generations)) == ("refused-submits", 20, 6)
    assert (run.count(Result.UNKNOWN), exit_code_of(run)) == (5, 3)


def test_402_pauses_and_running_jobs_finish(root: Path) -> None:
    """Without credits nothing more is submitted, what runs is finished, exit is 5, and more credits finish the rest."""
    harness = _proven(root, "a", "b", "c", "d", balance=12)
    run = harness.ran()
    assert (run.stopped, sorted(results(run).values())) == ("credits", ["done", "done", "pending", "pending"])
    assert exit_code_of(run) == 5
    harness.api.habits.balance = None
    assert (set(results(harness.apply()).values()), harness.api.credits) == ({"done"}, 20)
    assert harness.plan().empty


def test_401_stops_at_once(root: Path) -> None:
    """A wrong key ends the run after one request, names the variable, and exits 3."""
    harness = _harness(root, "a", "b", key="another")
    run = harness.ran()
    assert (run.stopped, {seen.name for seen in harness.api.requests}) == ("unauthorized", {"list templates"})
    assert len(harness.api.requests) == 2, "both addresses where an API is known to answer"
    assert ("WRITERZROOM_API_KEY" in run.hint, exit_code_of(run)) == (True, 3)
    assert "test-key-123456" not in repr(run)


def test_a_key_that_is_revoked_leaves_the_jobs_open(root: Path) -> None:
    """401 while jobs run stops at once; with a new key they are polled and not paid for again."""
    harness = _proven(root, "a", "b")
    asked = harness.api.count("status")
    harness.api.fault(lambda name, n: name == "status" and n > asked + 4, 401)
    harness.api.habits.duration = 300
    assert harness.ran().stopped == "unauthorized"
    assert {job.state for job in harness.state.open_jobs.values()} == {JobState.RUNNING}
    harness.api.heal()
    assert (set(results(harness.apply()).values()), harness.api.credits) == ({"done"}, 12)


def test_403_on_a_list_stops_the_submits(root: Path) -> None:
    """A key that may not even list says something about all items: nothing more is submitted, exit 3."""
    harness = _proven(root, "a", "b", request_ids="ignore", auto_save=False, extra="")
    harness.api.fault(on("submit", 2), "reset")
    harness.api.fault(on("list content"), 403)
    run = harness.ran()
    assert (run.stopped, exit_code_of(run)) == ("unauthorized", 3)


# --- on another machine --------------------------------------------------------------------------------------


def test_without_an_answer_to_the_question_nothing_is_submitted(root: Path) -> None:
    """A server that does not say whether it knows our id might run the job already: the item waits."""
    harness = _harness(root, "one", request_ids="overwrite")
    harness.api.fault(on("status"), 503)
    assert (results(harness.apply()), harness.api.count("submit")) == ({"one": "pending"}, 0)
    harness.api.heal()
    assert results(harness.apply()) == {"one": "done"}


def test_ids_that_a_server_made_itself_once_prove_nothing_later(root: Path) -> None:
    """A job under another id than ours: from then on no silence about our id counts, whatever later jobs are called."""
    harness = _harness(root, "one", "three", "two", request_ids="ignore", auto_save=False)
    harness.api.fault(on("submit", 3), "drop")

    def honour_ids(event: Event) -> None:
        if (event.kind, event.step, event.item) == ("step-done", "submit", "one"):
            harness.api.habits.request_ids = "replay"

    run = harness.apply(emit=honour_ids)
    assert (sorted(results(run).values()), harness.api.count("submit")) == (["done", "done", "unknown"], 3)


# --- attempts -----------------------------------------------------------------------------------------------


def test_a_failed_job_is_tried_once_more_then_blocked(root: Path) -> None:
    """Recorded and not tried again in that apply; the next apply tries once more; then it is blocked."""
    harness = _proven(root, "bad", "good", fails=lambda inputs: "boom" if "bad" in inputs["topic"] else "")
    first = harness.ran()
    assert (results(first), exit_code_of(first)) == ({"bad": "failed", "good": "done"}, 3)
    assert harness.open_job("bad").state is JobState.FAILED
    assert results(harness.apply()) == {"bad": "failed"}
    before = len(harness.api.generations)
    blocked = harness.ran()
    assert (results(blocked), "boom" in blocked.outcomes[0].error) == ({"bad": "blocked"}, True)
    assert exit_code_of(blocked) == 3
    assert len(harness.api.generations) == before == 4
    assert len({each.request_id for each in harness.api.generations}) == before


@pytest.mark.parametrize("way", ["spec", "revision", "replace"])
def test_a_blocked_item_is_freed(root: Path, way: str) -> None:
    """A new spec, `revision` or `--replace` is another attempt; success makes an end of the failed ones at its request."""
    broken = True
    harness = _proven(root, fails=lambda inputs: "boom" if broken and "bad" in inputs["topic"] else "")
    harness.edit("content/blog.yaml", "All about zero", "All that is bad")
    for _ in range(2):
        harness.apply()
    assert harness.actions() == {"zero": "blocked"}
    broken, failing = False, harness.read("content/blog.yaml")
    choice: dict[str, Any] = {}
    if way == "spec":
        harness.edit("content/blog.yaml", "All that is bad", "All that is good")
    elif way == "revision":
        harness.edit("content/blog.yaml", "  - id: zero\n", "  - id: zero\n    revision: 2\n")
    else:
        choice = {"replace": ("zero",)}
    before = harness.api.credits
    assert (results(harness.apply(**choice)), harness.plan().empty) == ({"zero": "done"}, True)
    assert harness.api.credits == before + 4
    assert f"All about All that is {'good' if way == 'spec' else 'bad'}" in harness.read("out/zero.md")
    # Of the earlier request it stays known that it fails: going back to it is blocked as it was.
    assert len(harness.state.open_jobs) == (0 if way == "replace" else 2)
    if way != "replace":
        harness.write("content/blog.yaml", failing)
        assert harness.actions() == {"zero": "blocked"}


# --- what a lost machine may have started is asked for before it is paid, whatever became of the runs since ---------


@pytest.mark.parametrize("at", range(1, 24, 5))
def test_a_run_that_was_killed_while_it_asked(tmp_path: Path, at: int) -> None:
    """The next one has a journal, which says nothing of what the machine before had started."""
    harness = Harness(tmp_path, FakeApi(duration=300, auto_save=False, request_ids="overwrite")).applied("first")
    lock = harness.read("contentops.lock")
    harness.write("content/blog.yaml", blog("first", "p", "q", "r"))
    harness.apply(deadline=60)
    assert harness.api.credits == 16
    # Another machine, from the last lock that reached git.
    shutil.rmtree(tmp_path / ".contentops")
    harness.write("contentops.lock", lock)
    harness.edit("contentops.yaml", "api: {", "api: {max_in_flight: 1, ")
    harness.write("content/blog.yaml", blog("first", "new", "p", "q", "r"))
    harness.death = Death(at)
    with contextlib.suppress(Killed):
        harness.apply()
    harness.death = None
    harness.apply()
    assert (harness.plan().empty, harness.api.credits) == (True, 20)


# --- stops: an interrupt at any moment, a deadline, checkpoints ----------------------------------------------------

ITEMS = ("one", "two", "three")


def _stopped_at(harness: Harness, turn: int) -> tuple[Run | None, bool]:
    """Apply, interrupted when the `turn`-th event comes; whether it came."""
    stop, seen = Stop(), 0

    def emit(_: Event) -> None:
        nonlocal seen
        seen += 1
        if seen == turn:
            stop.request()

    return harness.apply(stop=stop, emit=emit), seen >= turn


@pytest.mark.parametrize(
    ("habits", "first", "every"),
    [({}, 1, 4), ({"auto_save": False}, 1, 3), ({"request_ids": "ignore", "auto_save": False}, 3, 4)],
    ids=["kind", "stores nothing itself", "ignores ids"],
)
def test_an_interrupt_loses_nothing(
    root: Path, habits: dict[str, Any], first: int, every: int, takes_seconds: None
) -> None:
    """Interrupted at each event in turn: exit 130, what is reported is true, and the next apply finishes the rest."""
    two = ITEMS[:2]
    for turn in range(first, 200, every):
        harness = _harness(root / f"at-{turn}", *two, **habits)
        run, came = _stopped_at(harness, turn)
        assert run is not None
        if not came:
            break
        if run.stopped:
            assert (run.stopped, exit_code_of(run)) == ("interrupted", 130)
        assert set(results(run)) == set(two)
        assert set(results(run).values()) <= {"done", "pending"}, turn
        assert {f"out/{one.id}.md" for one in run.outcomes if one.steps} >= set(harness.tree()), "written is reached"
        spent = harness.api.credits
        assert run.credits == spent, turn
        again = harness.apply()
        assert again is None or set(results(again).values()) <= {"done"}, turn
        assert (again.credits if again else 0) + spent == 8, turn
        assert (len(harness.tree()), harness.plan().empty) == (2, True)
    else:
        pytest.fail("the events never ended")


def test_an_interrupt_brings_the_answer_of_a_submit_home(root: Path) -> None:
    """A submit under way when the stop comes is recorded with its job id."""
    harness = _harness(root, *ITEMS, latency=16.0)
    stop = Stop()

    def emit(event: Event) -> None:
        if event.kind == "waiting" and harness.api.count("submit") == 1:
            stop.request()

    harness.apply(stop=stop, emit=emit)
    assert [job.state for job in harness.state.open_jobs.values()] == [JobState.RUNNING]
    assert harness.state.open_jobs[next(iter(harness.state.open_jobs))].job_id


def test_an_interrupt_during_the_look_for_a_lost_submit_has_a_reason(root: Path) -> None:
    """The item is unknown, and says why."""
    harness, stop = _proven(root, "one"), Stop()

    def look() -> httpx.Response:
        stop.request()
        return httpx.Response(503)

    submits = harness.api.count("submit") + 1
    harness.api.fault(on("submit", submits), "reset")
    harness.api.fault(lambda name, _: name == "status" and harness.api.count("submit") == submits, look)
    run = harness.ran(stop=stop)
    assert [(one.result, one.error) for one in run.outcomes] == [("unknown", "the answer to its submit was lost")]


def test_a_deadline_pauses(root: Path) -> None:
    """At `--deadline` the run checkpoints, says how to go on, and exits 5; jobs go on at the server."""
    harness = _harness(root, *ITEMS)
    run = harness.ran(deadline=110)
    assert (run.stopped, exit_code_of(run)) == ("deadline", 5)
    assert 110 <= harness.timeline.now < 120
    assert results(run) == {"one": "done", "three": "pending", "two": "pending"} or run.count(Result.DONE) == 1
    assert "contentops apply" in run.hint
    running = {job.item for job in harness.state.open_jobs.values() if job.state is JobState.RUNNING}
    assert running == {one.id for one in run.outcomes if one.hint.startswith("its job is still running")} != set()
    assert (set(results(harness.apply()).values()), harness.api.credits) == ({"done"}, 12)


def test_a_deadline_before_a_long_429_pauses_at_once(root: Path) -> None:
    """Waiting beyond the deadline for the server's permission is no use."""
    import httpx

    harness = _harness(root, *ITEMS)
    harness.api.fault(on("submit"), lambda: httpx.Response(429, json={"error": "x"}, headers={"Retry-After": "600"}))
    assert harness.ran(deadline=300).stopped
    assert harness.timeline.now < 30


def test_checkpoints_come_while_a_run_goes_on(root: Path) -> None:
    """At least every minute the jobs say what is known, so that git may take them at any time."""
    harness = _harness(root, *ITEMS, duration=400, rpm=60)
    seen: list[tuple[float, bool]] = []

    def emit(event: Event) -> None:
        if event.kind == "waiting":
            jobs = harness.root / "contentops.jobs"
            seen.append((harness.timeline.now, jobs.exists() and '"running"' in jobs.read_text()))

    harness.apply(emit=emit)
    assert not seen[0][1]
    assert all(there for at, there in seen if 70 < at < 400)


@pytest.mark.parametrize("fault", [401, 402, 422], ids=["401", "402", "422"])
def test_the_lock_is_written_however_the_run_ends(root: Path, fault: int) -> None:
    """Whatever stopped the run, the lock holds everything and the journal nothing."""
    harness = _harness(root, *ITEMS)
    harness.api.fault(lambda name, n: name == "submit" and n > 1, fault)
    harness.apply()
    assert (harness.root / "contentops.lock").exists()
    assert ((harness.root / ".contentops/journal.jsonl").read_bytes(), len(harness.state.records)) == (b"", 1)


def test_an_answer_of_no_changes_nothing(root: Path) -> None:
    """Where a person declines, nothing is sent and nothing written."""
    harness = _harness(root, *ITEMS)
    before = harness.bytes()
    _, run = apply_operation.apply(
        harness.project, Choice(), ApplyOptions(), confirm=lambda _: False, emit=lambda _: None,
        runtime=harness.runtime(),
    )  # fmt: skip
    assert run is None
    assert harness.bytes() == before
    assert not harness.api.requests


# --- the same command again after a stop: it finishes what it began and pays for nothing twice ----------------------


def _applied(root: Path, **habits: Any) -> Harness:
    return Harness(root, FakeApi(duration=30, auto_save=False, **habits)).applied("one")


def test_a_replacement_that_was_not_saved_yet_is_finished(tmp_path: Path, each_kill: EachKill) -> None:
    """Killed at any step before the server has its text, and run again: one replacement is paid for."""
    finished = 0
    whole = _applied(tmp_path / "whole")
    (content,) = whole.api.contents.values()
    before = content.body
    for where, harness in each_kill(whole, tmp_path, lambda: whole.apply(replace=("one",))).items():
        (stored,) = harness.api.contents.values()
        if stored.body != before:
            continue
        (change,) = harness.plan(replace=("one",)).changes
        finished += "submit" not in change.names and "makes another one" in change.hint
        assert results(harness.apply(replace=("one",))) == {"one": "done"}
        assert harness.api.credits == 8, where
        assert stored.body != before
    assert finished


def test_a_replacement_asked_for_after_a_failed_save_is_paid_for(tmp_path: Path) -> None:
    """Where the run before came to its end, the person has seen the text: asking for another one means that."""
    harness = _applied(tmp_path)
    harness.api.fault(on("save", 2), 422)
    assert results(harness.apply(replace=("one",))) == {"one": "failed"}
    assert (results(harness.apply(replace=("one",))), harness.api.credits) == ({"one": "done"}, 12)


def test_an_edit_that_is_kept_settles_a_lost_submit(tmp_path: Path) -> None:
    """The file is the item's text from then on; what became of the submit is a note, not a block."""
    harness = _applied(tmp_path, request_ids="ignore")
    harness.write("content/blog.yaml", blog("one", year=2027))
    harness.api.fault(on("submit", 2), "drop")
    assert results(harness.apply()) == {"one": "unknown"}
    harness.edit("out/one.md", "All about", "Everything about")
    assert results(harness.apply(on_edit=OnEdit.KEEP)) == {"one": "done"}
    plan = harness.plan()
    assert plan.empty, plan.changes
    assert [note.kind for note in plan.notes if note.id == "one"] == ["unknown-outcome"]
    assert "Everything about" in (tmp_path / "out/one.md").read_text("utf-8")
