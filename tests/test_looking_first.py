"""Words that were written in WriterzRoom: looked at before anything is paid for in their place, and remembered."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import Refused
from contentops.model import OnEdit, Outcome, Run
from tests.clones import git
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, know_server, results
from tests.repositories import in_git
from tests.reviewing import apply_file, review

THEIRS = "## Introduction\n\nTheir words.\n"


def _harness(tmp_path: Path, *ids: str, **habits: Any) -> Harness:
    harness = Harness(tmp_path, FakeApi(duration=30, **{"auto_save": False, **habits}))
    harness.write("content/blog.yaml", blog(*(ids or ("one", "two"))))
    harness.apply()
    return harness


def _edit(harness: Harness, item: str, body: str = THEIRS) -> str:
    content = harness.record(item).content_id
    harness.api.edit(content, body)
    return content


def _next_year(harness: Harness, *ids: str) -> None:
    harness.write("content/blog.yaml", blog(*(ids or ("one", "two")), year=2027))


def _outcome(run: Run | None) -> Outcome:
    assert run is not None
    (found,) = [one for one in run.outcomes if one.id == "one"]
    return found


def _asked(harness: Harness) -> dict[str, int]:
    return {name: harness.api.count(name) for name in ("list content", "get content", "submit")}


def _since(harness: Harness, before: dict[str, int]) -> tuple[int, ...]:
    return tuple(harness.api.count(name) - number for name, number in before.items())


# --- before it is paid for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reviewed", [False, True], ids=["", "a plan file"])
@pytest.mark.parametrize("habits", [{}, {"auto_save": True}, {"create_only": True}], ids=str)
def test_nothing_is_paid_for_over_words_written_there(
    tmp_path: Path, habits: dict[str, Any], *, reviewed: bool
) -> None:
    """The request changed and the text was edited there: that item is blocked by name, the other goes on.

    Also where it was reviewed before the edit.
    """
    harness = _harness(tmp_path, **habits)
    _next_year(harness)
    plan = review(harness) if reviewed else {}
    content = _edit(harness, "one")
    before = _asked(harness)
    run = apply_file(harness, plan) if reviewed else harness.apply()
    assert (results(run), content in _outcome(run).error) == ({"one": "blocked", "two": "done"}, True)
    assert (harness.api.contents[content].body, harness.record("one").content_id) == (THEIRS, content)
    assert (_since(harness, before)[2], harness.api.charged("All about one in 2027")) == (1, 0)
    assert harness.actions() == {"one": "blocked"}


@pytest.mark.parametrize(
    ("choice", "paid", "words"),
    [(OnEdit.KEEP, 0, "in 2026"), (OnEdit.OVERWRITE, 1, "in 2027")],
    ids=["keep", "overwrite"],
)
def test_a_choice_decides_before_a_credit_is_spent(tmp_path: Path, choice: OnEdit, paid: int, words: str) -> None:
    """`keep` answers with the file, `overwrite` generates and keeps a copy."""
    harness = _harness(tmp_path)
    _edit(harness, "one")
    _next_year(harness)
    before = _asked(harness)
    run = harness.apply(select=("one",), on_edit=choice)
    assert (results(run), _since(harness, before)[2]) == ({"one": "done"}, paid)
    assert words in harness.read("out/one.md")
    there = harness.api.contents[harness.record("one").content_id].body
    assert (there if choice is OnEdit.KEEP else harness.read(_outcome(run).copy)) == THEIRS


def test_a_run_lists_once_however_often_it_looks(tmp_path: Path) -> None:
    """A canary finds one edited item after the other; a plan file names one edit, and others are in question."""
    ids = ("one", "two", "three", "four")
    harness = _harness(tmp_path / "canary", *ids)
    for item in ids[:3]:
        _edit(harness, item)
    _next_year(harness, *ids)
    before = _asked(harness)
    harness.apply(canary=1)
    assert _since(harness, before)[::2] == (1, 1)
    harness = _harness(tmp_path / "file", *ids)
    _edit(harness, "one")
    harness.plan(refresh=True)
    harness.write("content/blog.yaml", blog("one") + blog("two", year=2027).removeprefix("items:\n"))
    plan, before = review(harness, on_edit=OnEdit.OVERWRITE), _asked(harness)
    assert results(apply_file(harness, plan)) == {"one": "done", "two": "done"}
    assert _since(harness, before)[::2] == (1, 1)


@pytest.mark.parametrize("fault", [401, 503, "refuse"], ids=str)
def test_what_cannot_be_looked_at_is_not_paid_for(tmp_path: Path, fault: Any) -> None:
    """The server does not answer the look: those items wait, named; a new item goes on."""
    harness = _harness(tmp_path)
    harness.write("content/blog.yaml", blog("one", year=2027) + blog("two", "three").removeprefix("items:\n"))
    harness.api.fault(on("list content"), fault)
    run = harness.apply()
    assert (results(run)["one"], "contentops apply" in _outcome(run).error) == ("blocked", True)
    assert (harness.api.charged("All about one in 2027"), harness.api.charged("All about three in 2026")) == (0, 1)
    harness.api.heal()
    assert results(harness.apply())["one"] == "done"


# --- plan files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [None, OnEdit.OVERWRITE])
def test_a_content_that_is_only_stored_again_is_as_it_was_reviewed(tmp_path: Path, choice: OnEdit | None) -> None:
    """Its stamp alone is another one."""
    harness = _harness(tmp_path)
    _next_year(harness)
    plan = review(harness, on_edit=choice)
    _edit(harness, "one", harness.api.contents[harness.record("one").content_id].body)
    assert results(apply_file(harness, plan)) == {"one": "done", "two": "done"}


def test_words_written_there_after_the_review_are_not_replaced_by_a_text_that_waited(tmp_path: Path) -> None:
    """`--on-edit overwrite` was said of the content as it was."""
    harness = _harness(tmp_path, "two")
    follows = "  - id: one\n    inputs: {topic: 'On {{ ref(\"two\").title }}', target_audience: readers}\n"
    follows += "    on_source_change: regenerate\n"
    harness.write("content/blog.yaml", blog("two") + follows)
    harness.apply()
    harness.write("content/blog.yaml", blog("two", year=2027) + follows)
    plan = review(harness, on_edit=OnEdit.OVERWRITE)
    content = _edit(harness, "one")
    with pytest.raises(Refused, match=f"`one`: content `{content}` has changed since"):
        apply_file(harness, plan)
    assert harness.api.contents[content].body == THEIRS


# --- remembered ------------------------------------------------------------------------------------------------


def _noted(harness: Harness, **choice: Any) -> list[str]:
    """The items whose edit in WriterzRoom a plan notes; it has no change."""
    plan = harness.plan(**choice)
    assert plan.empty
    return [str(note.id) for note in plan.notes if note.kind == "edited-on-server"]


def test_what_was_saved_elsewhere_since_is_not_remembered(tmp_path: Path) -> None:
    """Another clone pulled the edit and went on: what this one's cache has is no edit of that."""
    harness = _harness(tmp_path / "here")
    _edit(harness, "one")
    harness.plan(refresh=True)
    shutil.copytree(tmp_path / "here", tmp_path / "there", ignore=shutil.ignore_patterns(".contentops"))
    other = Harness(tmp_path / "there", harness.api, timeline=harness.timeline)
    other.pull()
    other.edit("out/one.md", "Their words", "Our words")
    other.apply()
    for name in ("contentops.lock", "out/one.md"):
        shutil.copy(other.root / name, harness.root / name)
    assert _noted(harness) == _noted(harness, refresh=True) == []


# --- recorded before -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [True, False], ids=["", "without cache"])
@pytest.mark.parametrize("title", ["", "Their title"], ids=["body", "title too"])
def test_a_reverted_pull_is_no_new_edit(tmp_path: Path, title: str, *, cache: bool, processes: None) -> None:
    """Git has the text of the server in an earlier lock: the file that was brought back is saved over it."""
    harness = _harness(tmp_path)
    in_git(harness, "generated")
    before = harness.read("out/one.md")
    content = harness.record("one").content_id
    harness.api.edit(content, THEIRS, title=title)
    harness.pull()
    in_git(harness, "pulled")
    git(harness.root, "revert", "--no-edit", "HEAD")
    assert harness.read("out/one.md") == before
    if not cache:
        shutil.rmtree(tmp_path / ".contentops")
        know_server(tmp_path, "https://api.example.test/v1")
    (change,) = harness.plan(refresh=True).changes
    assert (change.action, "recorded-before" in {reason.kind for reason in change.reasons}) == ("save", True)
    assert (results(harness.apply(refresh=True)), harness.read("out/one.md")) == ({"one": "done"}, before)
    assert ("All about one" in harness.api.contents[content].body, _noted(harness, refresh=True)) == (True, [])
    assert harness.pull() == ()
    _edit(harness, "one", "New words.\n")
    assert _noted(harness, refresh=True) == ["one"]
