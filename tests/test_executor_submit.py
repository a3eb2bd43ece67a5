"""Submits: what every answer means, when a run stops, and what becomes of a lost answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from contentops.model import JobState, Result
from contentops.operations import records as mending
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, on
from tests.fakes.clock import EPOCH
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Event


def _scene(root: Path, *items: str, rpm: int = 0, extra: str = "", **habits: Any) -> Scene:
    scene = Scene(root, FakeApi(**({"duration": 60} | habits)), rpm=rpm, extra=extra)
    scene.write("content/blog.yaml", blog(*(items or ("one",))))
    return scene


def _proven(root: Path, *items: str, rpm: int = 0, extra: str = "", **habits: Any) -> Scene:
    """A scene whose server has completed a job before, for an item named `zero`."""
    scene = _scene(root, "zero", rpm=rpm, extra=extra, **habits)
    scene.apply()
    scene.write("content/blog.yaml", blog("zero", *items))
    return scene


def _answer(status: int, json: Any = None, **kwargs: Any) -> Any:
    return lambda: httpx.Response(status, json=json, **kwargs)


# --- outcomes of a submit ----------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, str]] = {
    "400": (_answer(400, {"detail": "topic is too long"}), "topic is too long"),
    "403": (_answer(403, {"error": {"message": "no access"}}), "no access"),
    "404 of a route": (_answer(404, {"detail": "Not Found"}), "api.base_url"),
    "405": (_answer(405, {"detail": "Method Not Allowed"}), "api.base_url"),
    "413": (_answer(413, {"detail": "too large"}), "too large"),
    "422": (_answer(422, {"detail": [{"loc": ["body", "x"], "msg": "field required"}]}), "field required"),
    "template not found": (_answer(500, {"detail": "Template blog_article_generator not found"}), "not found"),
    "redirect": (_answer(307, None, headers={"location": "https://login.example.test/x?token=1"}), "redirects"),
}


@pytest.mark.parametrize(("fault", "words"), REFUSED.values(), ids=REFUSED)
def test_a_refused_submit_fails_its_item_alone(root: Path, fault: Any, words: str) -> None:
    """The item ends with the server's words, nothing is paid for or left open, the others go on, and exit is 3."""
    scene = _proven(root, "bad", "good")
    scene.api.fault(on("submit", 2), fault)
    run = scene.apply()
    assert run is not None
    assert results(run) == {"bad": "failed", "good": "done"}
    assert words in run.outcomes[0].error
    assert exit_code_of(run) == 3
    assert run.credits == 4
    assert not scene.state.entries
    assert scene.api.charged("All about bad in 2026") == 0
    assert results(scene.apply()) == {"bad": "done"}


AMBIGUOUS: dict[str, Any] = {
    "408": _answer(408, {"detail": "timeout"}),
    "500": _answer(500, {"detail": "Internal server error"}),
    "502": _answer(502, html="<h1>Bad gateway</h1>"),
    "503": _answer(503, {"detail": "busy"}, headers={"retry-after": "7"}),
    "504": "504",
    "carried out, then 500": "500-after",
    "reset before": "drop",
    "reset after": "reset",
    "a page": "html",
    "cut short": "truncated",
    "no answer": "slow",
    "303": _answer(303, None, headers={"location": "/elsewhere"}),
    "an answer that is no job": _answer(200, {"hello": "world"}),
    "409": _answer(409, {"error": {"message": "request_id was used before"}}),
}


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("kind", ["replay", "overwrite", "reject"])
def test_a_lost_answer_is_resolved_by_our_id(root: Path, fault: Any, kind: Any) -> None:
    """Where the server honours our id, a lost answer ends as one finished, once charged text in the same run."""
    scene = _proven(root, "one", "two", request_ids=kind)
    scene.api.fault(on("submit", 2), fault)
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "done", "two": "done"}
    assert exit_code_of(run) == 0
    assert [scene.api.charged(f"All about {item} in 2026") for item in ("one", "two")] == [1, 1]
    assert run.credits == 8
    assert scene.plan().empty


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_lost_answer_is_never_sent_again_where_our_id_means_nothing(root: Path, fault: Any) -> None:
    """Where the server makes its own ids, a lost answer ends as unknown, whatever it was; apply does not pay again."""
    scene = _proven(root, "one", "two", request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit", 2), fault)
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "unknown", "two": "done"}
    assert "state resolve one" in run.outcomes[0].hint
    assert (run.credits, run.credits_unknown) == (4, 4)
    assert exit_code_of(run) == 3
    before = len(scene.api.generations)
    for _ in range(3):
        run = scene.apply()
        assert results(run) == {"one": "unknown"}
        assert run is not None
        assert run.credits_unknown == 0, "an earlier run spent it, if anyone did"
    assert len(scene.api.generations) == before
    assert scene.entry("one").state is JobState.UNKNOWN


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_unknown_outcome_at_first_contact_holds_the_run(root: Path, fault: Any) -> None:
    """Nothing is submitted after it: at most one text can have been paid for, and the summary says so."""
    scene = _scene(root, *[f"i{turn}" for turn in range(6)], request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit"), fault)
    run = scene.apply()
    assert run is not None
    assert scene.api.count("submit") == 1
    assert run.stopped == "first-contact"
    assert "no one knows what became of the first submit on this server" in run.message
    assert "state resolve i0" in run.hint
    assert results(run) == {"i0": "unknown"} | {f"i{turn}": "pending" for turn in range(1, 6)}
    assert (run.credits, run.credits_unknown) == (0, 4)
    assert exit_code_of(run) == 3
    scene.api.heal()
    assert results(scene.apply()) == {"i0": "unknown"} | {f"i{turn}": "done" for turn in range(1, 6)}


def test_a_first_submit_that_is_found_again_goes_on(root: Path) -> None:
    """Its answer was lost, and the server knows its id: the run goes on as if nothing had happened."""
    scene = _scene(root, "one", "two", auto_save=False)
    scene.api.fault(on("submit", 1), "reset")
    run = scene.apply()
    assert results(run) == {"one": "done", "two": "done"}
    assert run is not None
    assert (run.credits, run.credits_unknown) == (8, 0)


def test_a_first_job_that_does_not_end_holds_the_run(root: Path) -> None:
    """A run has one job of its own under way until one has completed; the next run may add one, and no more."""
    scene = _scene(root, "i1", "i2", "i3", duration=50_000)
    ends = [
        {"i1": "late", "i2": "pending", "i3": "pending"},
        {"i1": "late", "i2": "late", "i3": "pending"},
    ]
    for number, end in enumerate(ends, start=1):
        run = scene.apply()
        assert run is not None
        assert (results(run), run.stopped, run.credits) == (end, "first-contact", 4)
        assert scene.api.credits == 4 * number
    scene.timeline.now += 50_000
    scene.api.habits.duration = 60
    assert results(scene.apply()) == dict.fromkeys(("i1", "i2", "i3"), "done")
    assert scene.api.credits == 12


def test_stored_content_with_our_id_answers_a_lost_submit(root: Path) -> None:
    """Where jobs cannot be asked for, the stored content that carries our id is the text; it is charged once."""
    scene = _scene(root, "one", "two", duration=30)
    scene.api.fault(on("submit", 1), "reset")
    scene.api.fault(lambda name, _: name == "status" and not scene.api.contents, 500)
    run = scene.apply()
    assert results(run) == {"one": "done", "two": "done"}
    assert scene.api.credits == 8
    assert len(scene.api.contents) == 2


@pytest.mark.parametrize("off", [-120.0, 0.0, 600.0])
def test_a_server_whose_clock_is_off_loses_no_text(root: Path, off: float) -> None:
    """What carries our id is ours whatever its time; those likeliest by their time are looked at first."""
    scene = _proven(root, "one", request_ids="ignore")
    for number in range(12):
        scene.api._create(f"Other {number}", "Words.\n", {}, at=scene.timeline.now - 890)
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    scene.timeline.now += 300
    scene.api._settle(scene.timeline.now)
    (stored,) = [each for each in scene.api.contents.values() if "All about one" in each.body]
    stored.created += off
    stored.metadata["request_id"] = scene.entry("one").request_id
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == 1


def test_the_second_look_reads_no_content_again(root: Path) -> None:
    """Ten strangers of that time do not use up what the look at the end of the run needs."""
    scene = _proven(root, "one", request_ids="ignore", names_request=True)
    for number in range(7):
        scene.api._create(f"Other {number}", "Words.\n", {"request_id": [number]}, at=scene.timeline.now)
    scene.api.fault(on("submit", 2), "reset")
    before = scene.api.count("get content")
    scene.apply()
    assert scene.api.count("get content") - before <= 8


def test_strangers_are_listed_as_candidates(root: Path) -> None:
    """Content of that time that does not carry our id is named, not adopted."""
    scene = _proven(root, "one", request_ids="ignore", names_request=False)
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    scene.timeline.now += 100
    run = scene.apply()
    assert run is not None
    (outcome,) = run.outcomes
    (lost,) = [each for each in scene.api.contents.values() if each.id != scene.record("zero").content_id]
    assert outcome.result is Result.UNKNOWN
    assert lost.id in outcome.error


def test_at_most_ten_contents_are_fetched(root: Path) -> None:
    """A look for a lost text costs a bounded number of requests, whatever the account holds."""
    scene = _proven(root, *[f"i{turn:02}" for turn in range(20)], request_ids="ignore", names_request=False)
    scene.api.fault(lambda name, n: name == "submit" and n > 17, "reset")
    scene.apply(deadline=None)
    before = scene.api.count("get content")
    scene.write("content/blog.yaml", blog("zero"))
    for _ in range(2):
        scene.apply()
    assert scene.api.count("get content") - before <= 20


def test_a_404_that_proves_nothing_is_no_proof(root: Path) -> None:
    """A server that hid a job it had accepted is never believed when it says that it does not know our id."""
    scene = _proven(root, "one", "two", early_404=40.0, duration=90, auto_save=False, request_ids="overwrite")
    scene.api.fault(on("submit", 2), "reset")
    runs = [scene.apply() for _ in range(3)]
    assert scene.api.charged("All about one in 2026") == 1
    assert scene.api.charged("All about two in 2026") == 1
    assert results(runs[0])["two"] == "done"
    assert scene.plan().empty


def test_a_submit_that_never_arrives_gives_up(root: Path) -> None:
    """A submit that is lost again and again is unknown in the end, not sent for ever."""
    scene = _proven(root, "one")
    scene.api.fault(lambda name, n: name == "submit" and n > 1, "drop")
    assert results(scene.apply()) == {"one": "unknown"}
    assert scene.api.count("submit") <= 6
    scene.api.heal()
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 8


def test_a_person_may_pay_again(root: Path) -> None:
    """`--resubmit-unknown` submits what is unknown again, and says so in the plan."""
    scene = _proven(root, "one", request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    assert scene.plan().credits == 0
    plan = scene.plan(resubmit_unknown=True)
    assert plan.credits == 4
    assert results(scene.apply(resubmit_unknown=True)) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == 2
    assert scene.record("one").attempt == 1
    assert scene.plan().empty


@pytest.mark.parametrize(("request_ids", "paid", "ids"), [("replay", 1, 1), ("ignore", 2, 1), ("reject", 2, 2)])
def test_what_is_unknown_is_sent_again_under_its_own_id(root: Path, request_ids: str, paid: int, ids: int) -> None:
    """Free where the server replays it; under a new id, as a new attempt, only where that one is refused."""
    unseen = (2, 3) if request_ids == "reject" else (2,)
    scene = _proven(root, "one", request_ids=request_ids, auto_save=False)
    scene.api.fault(on("submit", 2), "reset")
    scene.api.fault(lambda name, _: name == "status" and scene.api.count("submit") in unseen, 403)
    assert results(scene.apply()) == {"one": "unknown"}
    assert results(scene.apply(resubmit_unknown=True)) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == paid
    sent = [seen for seen in scene.api.requests if seen.name == "submit"][1:]
    assert len({seen.body["request_id"] for seen in sent}) == ids
    assert [seen.headers["idempotency-key"] for seen in sent] == [seen.body["request_id"] for seen in sent]
    assert scene.record("one").attempt == ids
    assert not scene.state.entries
    assert scene.plan().empty


def test_resubmit_looks_first(root: Path) -> None:
    """Even as a person's choice nothing is paid for twice where the job can be found."""
    scene = _proven(root, "one", auto_save=False)
    scene.api.fault(on("submit", 2), "reset")
    scene.api.fault(lambda name, _: name == "status" and scene.api.count("submit") == 2, 503)
    assert results(scene.apply()) == {"one": "unknown"}
    scene.api.heal()
    assert results(scene.apply(resubmit_unknown=True)) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == 1


def test_a_person_names_the_job(root: Path) -> None:
    """`state resolve --job` makes the next apply poll that job; it costs nothing."""
    scene = _proven(root, "one", request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    mending.resolve(scene.project, "one", job=scene.api.generations[1].job_id)
    assert scene.actions() == {"one": "finish"}
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == 1
    assert scene.plan().empty


def test_a_person_names_the_content(root: Path) -> None:
    """`state resolve --content` makes the next apply take that text and own that content."""
    scene = _proven(root, "one", request_ids="ignore", names_request=False)
    scene.api.fault(on("submit", 2), "reset")
    for _ in range(2):
        scene.apply()
        scene.timeline.now += 100
    (lost,) = [each for each in scene.api.contents.values() if each.id != scene.record("zero").content_id]
    mending.resolve(scene.project, "one", content=lost.id)
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == 1
    assert scene.record("one").content_id == lost.id
    assert "All about one" in scene.read("out/one.md")
    assert len(scene.api.contents) == 2
    assert scene.plan().empty


def test_a_person_lets_go(root: Path) -> None:
    """`state resolve --forget` drops the lost submit; the next apply submits again."""
    scene = _proven(root, "one", request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit", 2), "drop")
    scene.apply()
    mending.resolve(scene.project, "one", forget=True)
    assert scene.actions() == {"one": "create"}
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.charged("All about one in 2026") == 1


def test_an_unknown_submit_of_an_earlier_spec_holds_no_one(root: Path) -> None:
    """The item goes on with its new spec; the old submit stays a note until a person resolves it."""
    scene = _proven(root, "one", request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    scene.edit("content/blog.yaml", "All about one in 2026", "All about one today")
    assert results(scene.apply()) == {"one": "done"}
    assert scene.entry("one").state is JobState.UNKNOWN
    assert [note.kind for note in scene.plan().notes] == ["unknown-outcome"]


# --- sends that surely never arrived ------------------------------------------------------------------------


def test_a_refused_connection_is_tried_again(root: Path) -> None:
    """No connection means that nothing was sent: the same submit goes out until it arrives, within a minute."""
    scene = _proven(root, "one")
    scene.api.fault(lambda name, n: name == "submit" and 1 < n < 5, "refuse")
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 8


def test_a_server_that_is_down_fails_the_item_without_an_open_submit(root: Path) -> None:
    """After a minute without a connection the item gives up; nothing is open and nothing unknown."""
    scene = _proven(root, "one")
    scene.api.fault(on("submit"), "refuse")
    before = scene.timeline.now
    assert results(scene.apply()) == {"one": "failed"}
    assert 60 <= scene.timeline.now - before <= 130
    assert not scene.state.entries


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Retry-After-Ms", "33000"),
        ("RateLimit", '"default";r=0;t=33'),
        ("X-RateLimit-Reset", "33"),
        ("X-RateLimit-Reset", "a point in time"),
    ],
)
def test_a_429_waits_as_asked_and_submits_once(root: Path, header: str, value: str) -> None:
    """Every other form of Retry-After is kept; the submit was turned away, so it is sent again and paid for once."""
    scene = _proven(root, "one")

    def told() -> httpx.Response:
        asked = value if "a point" not in value else str(int(EPOCH + scene.timeline.now + 34))
        return httpx.Response(429, json={"error": "slow down"}, headers={header: asked})

    scene.api.fault(on("submit", 2), told)
    assert results(scene.apply()) == {"one": "done"}
    first, second = [seen.time for seen in scene.api.requests if seen.name == "submit"][1:]
    assert 33.0 <= second - first <= 36.0
    assert scene.api.credits == 8


def test_a_server_that_allows_few_jobs_at_once_gets_all_done(root: Path) -> None:
    """429s for too many unfinished jobs slow the run down and never end it."""
    items = [f"i{turn:02}" for turn in range(12)]
    scene = _proven(root, *items, rpm=30, max_active=3, duration=100)
    assert set(results(scene.apply()).values()) == {"done"}
    assert len(scene.api.generations) == 13


# --- when the run stops -------------------------------------------------------------------------------------


def test_first_contact_sends_one(root: Path) -> None:
    """Until a job has completed on this server one job is in flight."""
    scene = _scene(root, "a", "b", "c", duration=100)
    scene.apply()
    starts = [each.started for each in scene.api.generations]
    assert starts[1] >= scene.api.generations[0].ends
    assert starts[2] - starts[1] < 5


def test_a_failing_first_job_stops_before_the_second_submit(root: Path) -> None:
    """The first job on a server that fails stops the run with exit 3, after one submit."""
    scene = _scene(root, "a", "b", "c", fails=lambda _: "style profile broken")
    run = scene.apply()
    assert run is not None
    assert scene.api.count("submit") == 1
    assert run.stopped == "first-contact"
    assert "style profile broken" in run.message
    assert results(run) == {"a": "failed", "b": "pending", "c": "pending"}
    assert exit_code_of(run) == 3


def test_first_contact_is_over_once_the_lock_has_a_completed_job(root: Path) -> None:
    """On another machine, with the lock alone, the server is known: all go at once."""
    scene = _proven(root, "a", "b", "c", duration=100)
    other = _clone(scene, root / "other")
    other.apply()
    starts = [each.started for each in scene.api.generations[1:]]
    assert max(starts) - min(starts) < 5


def _clone(scene: Scene, root: Path, **kwargs: Any) -> Scene:
    """The same project on another machine: what git has, without `.contentops`."""
    other = Scene(root, scene.api, timeline=scene.timeline, **kwargs)
    for path, (data, _) in scene.bytes().items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return other


def test_five_refusals_in_a_row_stop_the_run(root: Path) -> None:
    """A server that refuses everything is not asked about every item; exit 3."""
    scene = _scene(root, *[f"i{turn:02}" for turn in range(20)])
    scene.api.fault(on("submit"), 422)
    run = scene.apply()
    assert run is not None
    assert run.stopped == "refused-submits"
    assert scene.api.count("submit") == 5
    assert run.count(Result.FAILED) == 5
    assert run.count(Result.PENDING) == 15
    assert exit_code_of(run) == 3


def test_refusals_with_an_acceptance_between_do_not_stop(root: Path) -> None:
    """Four refusals, a job, four more: the run goes on."""
    scene = _scene(root, *[f"i{turn:02}" for turn in range(10)])
    scene.api.fault(lambda name, n: name == "submit" and n != 5, 422)
    run = scene.apply()
    assert run is not None
    assert run.stopped in ("", "refused-submits")
    assert scene.api.count("submit") == 10


def test_five_lost_answers_in_a_row_stop_the_run(root: Path) -> None:
    """A server whose gateway loses every answer is not paid for every item."""
    scene = _proven(root, *[f"i{turn:02}" for turn in range(20)], request_ids="ignore", auto_save=False)
    scene.edit("contentops.yaml", "requests_per_minute: 0", "requests_per_minute: 0, max_in_flight: 1")
    scene.api.fault(on("submit"), "504")
    run = scene.apply()
    assert run is not None
    assert run.stopped == "refused-submits"
    assert run.credits_unknown == 20
    assert len(scene.api.generations) == 6
    assert run.count(Result.UNKNOWN) == 5
    assert exit_code_of(run) == 3


def test_402_pauses_and_running_jobs_finish(root: Path) -> None:
    """Without credits nothing more is submitted, what runs is finished, exit is 5, and more credits finish the rest."""
    scene = _proven(root, "a", "b", "c", "d", balance=12)
    run = scene.apply()
    assert run is not None
    assert run.stopped == "credits"
    assert sorted(results(run).values()) == ["done", "done", "pending", "pending"]
    assert exit_code_of(run) == 5
    scene.api.habits.balance = None
    assert set(results(scene.apply()).values()) == {"done"}
    assert scene.api.credits == 20
    assert scene.plan().empty


def test_401_stops_at_once(root: Path) -> None:
    """A wrong key ends the run after one request, names the variable, and exits 3."""
    scene = _scene(root, "a", "b", key="another")
    run = scene.apply()
    assert run is not None
    assert run.stopped == "unauthorized"
    assert {seen.name for seen in scene.api.requests} == {"list templates"}
    assert len(scene.api.requests) == 2, "both addresses where an API is known to answer"
    assert "WRITERZROOM_API_KEY" in run.hint
    assert exit_code_of(run) == 3
    assert "test-key-123456" not in repr(run)


def test_a_key_that_is_revoked_leaves_the_jobs_open(root: Path) -> None:
    """401 while jobs run stops at once; with a new key they are polled and not paid for again."""
    scene = _proven(root, "a", "b")
    asked = scene.api.count("status")
    scene.api.fault(lambda name, n: name == "status" and n > asked + 4, 401)
    scene.api.habits.duration = 300
    run = scene.apply()
    assert run is not None
    assert run.stopped == "unauthorized"
    assert {entry.state for entry in scene.state.entries.values()} == {JobState.RUNNING}
    scene.api.heal()
    assert set(results(scene.apply()).values()) == {"done"}
    assert scene.api.credits == 12


def test_403_on_a_list_stops_the_submits(root: Path) -> None:
    """A key that may not even list says something about all items: nothing more is submitted, exit 3."""
    scene = _proven(root, "a", "b", request_ids="ignore", auto_save=False, extra="")
    scene.api.fault(on("submit", 2), "reset")
    scene.api.fault(on("list content"), 403)
    run = scene.apply()
    assert run is not None
    assert run.stopped == "unauthorized"
    assert exit_code_of(run) == 3


# --- on another machine --------------------------------------------------------------------------------------


def test_a_submit_of_a_lost_machine_is_found_by_its_id(root: Path) -> None:
    """Without journal and lock, our ids are asked for first, and what runs is not paid for again."""
    scene = _scene(root, "one", "two")
    scene.api.fault(on("status", 3), "kill")
    with pytest.raises(BaseException):  # noqa: B017 - the process dies
        scene.apply()
    other = Scene(root / "other", scene.api, timeline=scene.timeline)
    other.write("content/blog.yaml", blog("one", "two"))
    assert results(other.apply()) == {"one": "done", "two": "done"}
    assert scene.api.credits == 8


def test_no_more_than_five_ids_are_asked_for(root: Path) -> None:
    """Once five in a row are unknown, submits go out without asking."""
    scene = _scene(root, *[f"i{turn}" for turn in range(9)], auto_save=False)
    scene.apply()
    ours = {each.request_id for each in scene.api.generations}
    first = next(turn for turn, seen in enumerate(scene.api.requests) if seen.status == 202)
    asked = [
        s for s in scene.api.requests if s.name == "status" and s.status == 404 and s.path.rsplit("/", 1)[-1] in ours
    ]
    assert 1 <= len(asked) <= 5
    assert first == 3, "the lists of templates and styles, one id, and the submit"


def test_without_an_answer_to_the_question_nothing_is_submitted(root: Path) -> None:
    """A server that does not say whether it knows our id might run the job already: the item waits."""
    scene = _scene(root, "one", request_ids="overwrite")
    scene.api.fault(on("status"), 503)
    run = scene.apply()
    assert results(run) == {"one": "pending"}
    assert scene.api.count("submit") == 0
    scene.api.heal()
    assert results(scene.apply()) == {"one": "done"}


def test_ids_that_a_server_made_itself_once_prove_nothing_later(root: Path) -> None:
    """A job under another id than ours: from then on no silence about our id counts, whatever later jobs are called."""
    scene = _scene(root, "one", "three", "two", request_ids="ignore", auto_save=False)
    scene.api.fault(on("submit", 3), "drop")

    def honour_ids(event: Event) -> None:
        if (event.kind, event.step, event.item) == ("step-done", "submit", "one"):
            scene.api.habits.request_ids = "replay"

    run = scene.apply(emit=honour_ids)
    assert sorted(results(run).values()) == ["done", "done", "unknown"]
    assert scene.api.count("submit") == 3


# --- attempts -----------------------------------------------------------------------------------------------


def test_a_failed_job_is_tried_once_more_then_blocked(root: Path) -> None:
    """Recorded and not tried again in that apply; the next apply tries once more; then it is blocked."""
    scene = _proven(root, "bad", "good", fails=lambda inputs: "boom" if "bad" in inputs["topic"] else "")
    first = scene.apply()
    assert first is not None
    assert results(first) == {"bad": "failed", "good": "done"}
    assert exit_code_of(first) == 3
    assert scene.entry("bad").state is JobState.FAILED
    assert results(scene.apply()) == {"bad": "failed"}
    before = len(scene.api.generations)
    blocked = scene.apply()
    assert blocked is not None
    assert results(blocked) == {"bad": "blocked"}
    assert "boom" in blocked.outcomes[0].error
    assert exit_code_of(blocked) == 3
    assert len(scene.api.generations) == before == 4
    assert len({each.request_id for each in scene.api.generations}) == before


@pytest.mark.parametrize("way", ["spec", "revision", "replace"])
def test_a_blocked_item_is_freed(root: Path, way: str) -> None:
    """A new spec, `revision` or `--replace` is another attempt; success makes an end of the failed ones at its request."""
    broken = True
    scene = _proven(root, fails=lambda inputs: "boom" if broken and "bad" in inputs["topic"] else "")
    scene.edit("content/blog.yaml", "All about zero", "All that is bad")
    for _ in range(2):
        scene.apply()
    assert scene.actions() == {"zero": "blocked"}
    broken, failing = False, scene.read("content/blog.yaml")
    choice: dict[str, Any] = {}
    if way == "spec":
        scene.edit("content/blog.yaml", "All that is bad", "All that is good")
    elif way == "revision":
        scene.edit("content/blog.yaml", "  - id: zero\n", "  - id: zero\n    revision: 2\n")
    else:
        choice = {"replace": ("zero",)}
    before = scene.api.credits
    assert results(scene.apply(**choice)) == {"zero": "done"}
    assert scene.plan().empty
    assert scene.api.credits == before + 4
    assert ("All about All that is good" if way == "spec" else "All about All that is bad") in scene.read("out/zero.md")
    # Of the earlier request it stays known that it fails: going back to it is blocked as it was.
    assert len(scene.state.entries) == (0 if way == "replace" else 2)
    if way != "replace":
        scene.write("content/blog.yaml", failing)
        assert scene.actions() == {"zero": "blocked"}


def test_replace_pays_once_for_one_choice(root: Path) -> None:
    """`--replace` generates another text of the same spec under a new id, and a repeat of the apply is empty."""
    scene = _proven(root)
    assert results(scene.apply(replace=("zero",))) == {"zero": "done"}
    assert scene.api.charged("All about zero in 2026") == 2
    assert "Take 2." in scene.read("out/zero.md")
    assert scene.record("zero").attempt == 2
    assert scene.plan().empty
