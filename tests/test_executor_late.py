"""Submits that arrive after their answer was lost: the silence of a server is no proof as long as one may."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, blog, results

if TYPE_CHECKING:
    from pathlib import Path


def _known(root: Path) -> Harness:
    """A server that uses our ids, starts a run again for a repeated one, and showed its first job at once."""
    api = FakeApi(duration=3.0, request_ids="overwrite")
    harness = Harness(root, api)
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/second.yaml", blog("second"))
    return harness


@pytest.mark.parametrize(
    ("fault", "late", "shown_before"),
    [("504", 0.0, True), ("504", 13.0, True), ("reset", 3.0, True), ("slow", 130.0, True), ("reset", 20.0, False)],
    ids=["gateway", "gateway before its backend", "reset", "no answer for minutes", "no job was shown before"],
)
def test_a_job_that_turns_up_late_is_not_paid_for_again(
    tmp_path: Path, fault: Any, late: float, *, shown_before: bool
) -> None:
    """The answer is lost and the job shown only seconds later: it is waited for. What counts starts when we gave up."""
    harness = _known(tmp_path)
    if not shown_before:
        shutil.rmtree(harness.root / ".contentops" / "cache")
    harness.api.habits.early_404 = late
    harness.api.fault(on("submit", 2), fault)
    assert results(harness.apply()) == {"second": "done"}
    assert harness.api.count("submit") == 2
    assert harness.api.credits == 8


@pytest.mark.parametrize("pause", [0.0, 4.0, 9.0])
def test_a_kill_during_a_submit_leaves_time_for_it_to_arrive(tmp_path: Path, pause: float) -> None:
    """The next run, however soon, does not take a job that is not shown yet for one that never was."""
    harness = _known(tmp_path)
    harness.api.fault(on("submit", 2), "kill-after")
    harness.api.habits.early_404 = 12.0
    with pytest.raises(Killed):
        harness.apply()
    harness.timeline.now += pause
    assert results(harness.apply()) == {"second": "done"}
    assert harness.api.credits == 8


def test_one_stumble_of_the_server_is_no_proof(tmp_path: Path) -> None:
    """Long after a lost submit, a single 404 may come from an instance that does not know the job: it is asked twice."""
    harness = _known(tmp_path)
    harness.api.fault(on("submit", 2), "kill-after")
    with pytest.raises(Killed):
        harness.apply()
    harness.timeline.now += 3600
    harness.api.fault(on("status", harness.api.count("status") + 1), 404)
    assert results(harness.apply()) == {"second": "done"}
    assert harness.api.credits == 8


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
    assert results(harness.apply()) == {"third": "unknown"}
    assert harness.api.credits == 12


def test_a_submit_that_never_arrived_is_sent_again_soon(tmp_path: Path) -> None:
    """Once nothing can arrive any more it is proven lost: one more submit in the same run, under the same id."""
    harness = _known(tmp_path)
    harness.api.fault(on("submit", 2), "drop")
    began = harness.timeline.now
    assert results(harness.apply()) == {"second": "done"}
    assert harness.api.credits == 8
    assert harness.timeline.now - began < 60.0
    _, lost, again = [seen for seen in harness.api.requests if seen.name == "submit"]
    assert again.time - lost.time >= 5.0
    assert lost.body["request_id"] == again.body["request_id"] == again.headers["idempotency-key"]


def test_an_unlearned_job_is_late_at_its_timeout(tmp_path: Path) -> None:
    """Doubling gaps do not carry the last poll far beyond `job_timeout`."""
    api = FakeApi(duration=100_000.0)
    harness = Harness(tmp_path, api, rpm=10, extra="")
    harness.edit("contentops.yaml", "requests_per_minute: 10", "requests_per_minute: 10, job_timeout: 100s")
    harness.write("content/first.yaml", blog("first"))
    began = harness.timeline.now
    assert results(harness.apply()) == {"first": "late"}
    assert 100.0 <= harness.timeline.now - began < 115.0
    assert harness.api.count("status") <= 8
