"""Stops: an interrupt at any moment, a deadline, checkpoints; what was not reached is pending and goes on later."""

from pathlib import Path
from typing import Any

import pytest

from contentops.execution.primitives import Stop
from contentops.model import Event, JobState, OnEdit, Result, Run
from contentops.operations import apply as apply_operation
from contentops.operations.apply import ApplyOptions
from contentops.planning.sides import Choice
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill

ITEMS = ("one", "two", "three")


def _harness(root: Path, *items: str, rpm: int = 0, **habits: Any) -> Harness:
    return Harness(root, FakeApi(**({"duration": 60} | habits)), rpm=rpm).declared(*(items or ITEMS))


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
    harness = _harness(root, latency=16.0)
    stop = Stop()

    def emit(event: Event) -> None:
        if event.kind == "waiting" and harness.api.count("submit") == 1:
            stop.request()

    harness.apply(stop=stop, emit=emit)
    assert [job.state for job in harness.state.open_jobs.values()] == [JobState.RUNNING]
    assert harness.state.open_jobs[next(iter(harness.state.open_jobs))].job_id


def test_a_deadline_pauses(root: Path) -> None:
    """At `--deadline` the run checkpoints, says how to go on, and exits 5; jobs go on at the server."""
    harness = _harness(root)
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

    harness = _harness(root)
    harness.api.fault(on("submit"), lambda: httpx.Response(429, json={"error": "x"}, headers={"Retry-After": "600"}))
    run = harness.ran(deadline=300)
    assert run.stopped
    assert harness.timeline.now < 30


def test_checkpoints_come_while_a_run_goes_on(root: Path) -> None:
    """At least every minute the jobs say what is known, so that git may take them at any time."""
    harness = _harness(root, duration=400, rpm=60)
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
    harness = _harness(root)
    harness.api.fault(lambda name, n: name == "submit" and n > 1, fault)
    harness.apply()
    assert (harness.root / "contentops.lock").exists()
    assert ((harness.root / ".contentops/journal.jsonl").read_bytes(), len(harness.state.records)) == (b"", 1)


def test_an_answer_of_no_changes_nothing(root: Path) -> None:
    """Where a person declines, nothing is sent and nothing written."""
    harness = _harness(root)
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
