"""Two people's edits of one text, in the file and in WriterzRoom: one text of both, or a conflict that a person settles."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from contentops.documents.clean import body_digest
from contentops.model import ItemId, OnEdit
from contentops.planning.remote_edits import conflict_folder
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import state_after_each_kill

if TYPE_CHECKING:
    from pathlib import Path


INTRO = "All about All about one in 2026."
THEIRS = "## Introduction\n\nTheir words.\n\n## Closing\n\nTake 1.\n"


def both_edited(root: Path, *, edit: tuple[str, str] = ("Take 1.", "My words."), title: str = "") -> Harness:
    """One item, generated, with a section of one person's in the file and one of another's on the server."""
    harness = Harness(root, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    harness.edit("out/one.md", *edit)
    harness.api.edit(harness.record("one").content_id, THEIRS, title=title)
    return harness


def on_server(harness: Harness) -> str:
    """What the server has."""
    return harness.api.contents[harness.record("one").content_id].body


def test_edits_of_two_sections_become_one_text(tmp_path: Path) -> None:
    """For nothing, in the file and on the server; a person's from then on, and no change is left."""
    harness = both_edited(tmp_path, title="Their title")
    generated = harness.record("one").generated
    (change,) = harness.plan(refresh=True).changes
    assert (change.action, change.names, change.credits) == ("merge", ("fetch", "write", "save"), 0)
    assert results(harness.apply(refresh=True)) == {"one": "done"}
    text = harness.read("out/one.md")
    assert all(words in text for words in ("My words.", "Their words.", "title: Their title"))
    assert not any(words in text for words in ("Take 1.", INTRO))
    assert "My words." in on_server(harness)
    assert "Their words." in on_server(harness)
    record = harness.record("one")
    assert record.generated == generated
    assert record.saved is not None
    assert record.saved.body == body_digest(on_server(harness))
    assert harness.plan().empty
    assert harness.plan(refresh=True).empty
    assert harness.api.credits == 4


def test_generate_edit_here_edit_there_change_and_merge(tmp_path: Path) -> None:
    """The whole story: both people's sections stay, the rest would be the new text's, and the plan is empty after."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    harness.edit("out/one.md", "Take 1.", "My words.\n\n## More\n\nMine.")
    harness.api.edit(harness.record("one").content_id, THEIRS)
    harness.write("content/blog.yaml", blog("one", year=2027))
    assert harness.actions(refresh=True) == {"one": "blocked"}
    (change,) = harness.plan(refresh=True, on_edit=OnEdit.MERGE).changes
    assert (change.action, change.names, change.credits) == ("merge", ("submit", "poll", "write", "save"), 4)
    (kept,) = [reason.after for reason in change.reasons if reason.kind == "kept-sections"]
    assert kept == ["## Introduction", "## Closing", "## More"]
    assert results(harness.apply(refresh=True, on_edit=OnEdit.MERGE)) == {"one": "done"}
    text = harness.read("out/one.md")
    assert all(words in text for words in ("My words.", "Their words.", "Mine."))
    assert body_digest(on_server(harness)) == body_digest(text.split("---\n", 2)[2])
    assert harness.api.credits == 8
    assert harness.plan().empty
    assert harness.plan(refresh=True).empty


def test_an_edit_there_alone_stays_under_a_new_text(tmp_path: Path) -> None:
    """What no one touched comes from the new generation, in file and server."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    harness.api.edit(harness.record("one").content_id, f"## Introduction\n\n{INTRO}\n\n## Closing\n\nTheir words.\n")
    harness.write("content/blog.yaml", blog("one", year=2027))
    assert results(harness.apply(refresh=True, on_edit=OnEdit.MERGE)) == {"one": "done"}
    assert "in 2027." in harness.read("out/one.md")
    assert "Their words." in harness.read("out/one.md")
    assert "Their words." in on_server(harness)
    assert harness.plan(refresh=True).empty


def test_keep_brings_both_together_and_generates_nothing(tmp_path: Path) -> None:
    """Their one text answers the new request."""
    harness = both_edited(tmp_path)
    harness.write("content/blog.yaml", blog("one", year=2027))
    assert results(harness.apply(refresh=True, on_edit=OnEdit.KEEP)) == {"one": "done"}
    assert "My words." in on_server(harness)
    assert "Their words." in harness.read("out/one.md")
    assert harness.api.credits == 4
    assert harness.plan(refresh=True).empty


def test_edits_that_meet_block_and_are_kept(tmp_path: Path) -> None:
    """Nothing is written or saved; what was saved and both edits lie in `.contentops`."""
    harness = both_edited(tmp_path, edit=(INTRO, "My words."))
    before, stored = harness.read("out/one.md"), on_server(harness)
    (change,) = harness.plan(refresh=True).changes
    assert (change.blocked, change.steps) == ("edit-conflict", ())
    (met,) = [reason for reason in change.reasons if reason.kind == "conflict"]
    assert (met.field, met.before, met.after, met.detail) == ("text", None, None, "both edits change 1 place")
    for _ in range(2):
        assert results(harness.apply(refresh=True)) == {"one": "blocked"}
    assert (harness.read("out/one.md"), on_server(harness)) == (before, stored)
    kept = {path.name: path.read_text("utf-8") for path in (tmp_path / ".contentops/conflicts/one").iterdir()}
    assert kept.keys() == {"base.md", "file.md", "writerzroom.md"}
    assert INTRO in kept["base.md"]
    assert kept["file.md"] == before
    assert "Their words." in kept["writerzroom.md"]
    assert ".contentops/conflicts/one`" in change.hint
    assert conflict_folder("prod", ItemId("one")) == "conflicts/prod/one"  # of two environments that have the item


@pytest.mark.parametrize("choice", [None, OnEdit.KEEP], ids=["", "keep"])
def test_a_title_of_theirs_stays_over_that_of_the_manifest(tmp_path: Path, choice: OnEdit | None) -> None:
    """A person wrote it in WriterzRoom; the file still has the stated one."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one").replace("    inputs", "    metadata: {title: Stated}\n    inputs"))
    harness.apply()
    harness.edit("out/one.md", "Take 1.", "My words.")
    harness.api.edit(harness.record("one").content_id, THEIRS, title="Their title")
    assert results(harness.apply(refresh=True, on_edit=choice)) == {"one": "done"}
    assert all(words in harness.read("out/one.md") for words in ("My words.", "Their words.", "title: Their title"))
    assert harness.api.contents[harness.record("one").content_id].title == "Their title"
    assert harness.plan(refresh=True).empty


def test_titles_that_differ_conflict(tmp_path: Path) -> None:
    """A person makes them the same."""
    harness = both_edited(tmp_path, title="Their title")
    title = next(line for line in harness.read("out/one.md").splitlines() if line.startswith("title: "))
    harness.edit("out/one.md", title, "title: My title")
    (change,) = harness.plan(refresh=True).changes
    assert change.blocked == "edit-conflict"
    assert [reason.field for reason in change.reasons if reason.kind == "conflict"] == ["title"]


def test_without_what_was_saved_nothing_is_merged(tmp_path: Path, processes: None) -> None:
    """What would bring it is said."""
    harness = both_edited(tmp_path)
    shutil.rmtree(tmp_path / ".contentops" / "cache")
    (change,) = harness.plan(refresh=True).changes
    assert change.blocked == "no-merge-base"


@pytest.mark.parametrize("year", [2026, 2027], ids=["two people", "and a new text"])
def test_stopped_anywhere_it_ends_the_same(root: Path, year: int, processes: None) -> None:
    """Run again, file, server and charges are those of a run that no one stopped."""
    harness = both_edited(root / "undisturbed", edit=("Take 1.", "Take 1.\n\nMy words."))
    harness.write("content/blog.yaml", blog("one", year=year))
    stops = state_after_each_kill(harness, root, lambda: harness.apply(refresh=True, on_edit=OnEdit.MERGE))
    assert len(stops) > 5
    text, paid = body_digest(harness.read("out/one.md").split("---\n", 2)[2]), harness.api.credits
    for where, stop in stops.items():
        left = stop.settle(refresh=True, on_edit=OnEdit.MERGE)
        assert left.empty, (where, left.changes)
        assert body_digest(stop.read("out/one.md").split("---\n", 2)[2]) == text, where
        assert body_digest(on_server(stop)) == text, where
        assert stop.api.credits == paid, where
