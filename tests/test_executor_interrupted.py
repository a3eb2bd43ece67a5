"""The same command again after a stop: it finishes what it began and pays for nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.model import OnEdit
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import state_after_each_kill

if TYPE_CHECKING:
    from pathlib import Path


def _applied(root: Path, **habits: Any) -> Harness:
    harness = Harness(root, FakeApi(duration=30, auto_save=False, **habits))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    return harness


def test_a_replacement_that_was_not_saved_yet_is_finished(tmp_path: Path) -> None:
    """Killed at any step before the server has its text, and run again: one replacement is paid for."""
    finished = 0
    whole = _applied(tmp_path / "whole")
    (content,) = whole.api.contents.values()
    before = content.body
    for where, harness in state_after_each_kill(whole, tmp_path, lambda: whole.apply(replace=("one",))).items():
        (stored,) = harness.api.contents.values()
        if stored.body != before:
            continue
        (change,) = harness.plan(replace=("one",)).changes
        finished += "submit" not in change.names and "makes another one" in change.hint
        assert results(harness.apply(replace=("one",))) == {"one": "done"}
        assert harness.api.credits == 8, where
        assert stored.body != before
    assert finished


def test_once_it_is_saved_the_next_one_is_paid_for(tmp_path: Path) -> None:
    """Asking again after an apply that came to its end asks for another text."""
    harness = _applied(tmp_path)
    for credits_ in (8, 12):
        harness.apply(replace=("one",))
        assert harness.api.credits == credits_


def test_a_replacement_asked_for_after_a_failed_save_is_paid_for(tmp_path: Path) -> None:
    """Where the run before came to its end, the person has seen the text: asking for another one means that."""
    harness = _applied(tmp_path)
    harness.api.fault(on("save", 2), 422)
    assert results(harness.apply(replace=("one",))) == {"one": "failed"}
    assert results(harness.apply(replace=("one",))) == {"one": "done"}
    assert harness.api.credits == 12


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
