"""Approvals under everything else that happens to an item: who counts, and what is left for later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from contentops.errors import Refused
from contentops.model import ItemId, OnEdit, Verdict
from contentops.operations.texts.approving import Decision, decide_texts
from contentops.planning.plan_inputs import Choice
from contentops.state.approvals import FILE, read
from tests.fakes.harness import Harness, blog, results
from tests.reviewing import apply_file, review
from tests.test_approving import REQUIRED, decide, front, in_git, states, with_approval

if TYPE_CHECKING:
    from pathlib import Path


ADA = ("Ada Other", "ada@example.test")


def marks(harness: Harness, item: str = "one") -> bool:
    """Whether the text of an item has the draft mark."""
    return front(harness, item).get("draft") is True


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_in_the_future_is_no_trap(tmp_path: Path, verdict: Verdict) -> None:
    """A clock was wrong once: what anyone says now would not count, so it is refused with what to do."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    harness.write(FILE, re.sub('"at":"....', '"at":"2999', harness.read(FILE)))
    before = harness.read(FILE)
    for who in (("Kim Reader", "kim@example.test"), ADA):
        in_git(tmp_path, *who)
        with pytest.raises(Refused, match="is dated 2999-") as caught:
            decide(harness, "one", verdict=verdict, note="no")
        assert caught.value.code == "verdict-in-future"
        assert harness.read(FILE) == before


def test_two_items_with_one_text_have_one_approval(tmp_path: Path) -> None:
    """It is the text that was read; what changes in one of them is another text."""
    harness = with_approval(tmp_path, ids=("one", "two"))
    harness.write("out/two.md", harness.read("out/one.md").replace("item: one", "item: two"))
    decide(harness, "one")
    assert states(harness) == {"one": "approved", "two": "approved"}
    decide(harness, "two", verdict=Verdict.SENT_BACK)
    assert states(harness) == {"one": "sent-back", "two": "sent-back"}
    harness.edit("out/two.md", "All", "Al")
    assert states(harness) == {"one": "sent-back", "two": "waiting"}


@pytest.mark.parametrize("on_edit", list(OnEdit))
def test_no_policy_of_edits_keeps_the_mark(tmp_path: Path, on_edit: OnEdit) -> None:
    """A person removes it, puts it back, and edits the text: it is there exactly while the text is not approved."""
    harness = with_approval(tmp_path, f"{REQUIRED}, on_edit: {on_edit}")
    harness.edit("out/one.md", "draft: true", "draft: false")
    harness.apply()
    assert marks(harness)
    decide(harness, "one")
    assert not marks(harness)
    harness.edit("out/one.md", "All", "Al")
    harness.apply()
    assert marks(harness)
    decide(harness, "one")
    assert not marks(harness)
    assert harness.plan().empty


def test_a_protected_text_is_approved_too(tmp_path: Path) -> None:
    """Its words are protected, and the mark is none of them."""
    harness = with_approval(tmp_path, f"{REQUIRED}, protected: true")
    assert marks(harness)
    decide(harness, "one")
    assert not marks(harness)
    assert harness.plan().empty


def blocked(harness: Harness) -> None:
    """The text is edited, and its request changes."""
    harness.edit("out/one.md", "All", "Al")
    harness.write("content/blog.yaml", blog("one", year=2030))


def moving(harness: Harness) -> None:
    """Its file is to move."""
    harness.edit("contentops.yaml", REQUIRED, f"{REQUIRED}, output: 'new/{{{{ item.id }}}}.md'")


def test_the_mark_of_a_blocked_item_follows_its_text(tmp_path: Path) -> None:
    """Whatever blocks the next text, the one that is there is marked, or is a draft no more, for nothing."""
    harness = with_approval(tmp_path)
    blocked(harness)
    decide(harness, "one")
    assert not marks(harness)
    assert harness.actions() == {"one": "blocked"}
    harness.edit("out/one.md", "Al about", "Nothing about")
    (change,) = harness.plan().changes
    assert (str(change.action), change.names, change.credits) == ("blocked", ("update",), 0)
    assert results(harness.apply()) == {"one": "blocked"}
    assert marks(harness)
    assert harness.plan().changes[0].names == ()
    decide(harness, "one")
    decide(harness, "one", verdict=Verdict.SENT_BACK, note="libel")
    assert marks(harness)


def test_a_plan_file_marks_a_blocked_text_only_as_reviewed(tmp_path: Path) -> None:
    """A text that is edited after the review is not marked by that plan, which is stale; one that was done stays done."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    blocked(harness)
    decide(harness, "one")
    shown = review(harness)
    harness.edit("out/one.md", "Al about", "Nothing about")
    before = harness.read("out/one.md")
    with pytest.raises(Refused, match="not in the plan"):
        apply_file(harness, shown)
    assert harness.read("out/one.md") == before
    again = review(harness)
    assert results(apply_file(harness, again)) == {"one": "blocked"}
    assert marks(harness)


def test_other_changes_of_an_item_are_left_for_later(tmp_path: Path) -> None:
    """The approval is recorded, nothing else is done, and a warning says that the mark stays until then."""
    harness = with_approval(tmp_path)
    moving(harness)
    before, calls = harness.read("out/one.md"), len(harness.api.requests)
    decided = decide(harness, "one")
    assert (len(decided.lines), len(harness.api.requests)) == (1, calls)
    assert "other changes of `one` are planned" in decided.warning
    assert harness.read("out/one.md") == before
    assert states(harness) == {"one": "approved"}


@pytest.mark.parametrize("change", ["moving", "new request"])
def test_front_matter_that_is_right_already_is_not_left_for_later(tmp_path: Path, change: str) -> None:
    """An approved text has no mark, edited or not: one more approval says nothing of an apply, sending it back does."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    if change == "moving":
        moving(harness)
        harness.edit("out/one.md", "All about", "Nothing about")
    else:
        harness.write("content/blog.yaml", blog("one", year=2030))
    assert [str(one.action) for one in harness.plan().changes] == ["move" if change == "moving" else "regenerate"]
    assert decide(harness, "one").warning == ""
    assert not marks(harness)
    sent_back = decide(harness, "one", verdict=Verdict.SENT_BACK)
    assert ("follows with" in sent_back.warning) is (not marks(harness))


def test_no_key_is_needed_to_approve(tmp_path: Path) -> None:
    """An editor has none."""
    harness = with_approval(tmp_path)
    runtime = harness.runtime()
    del runtime.environ["WRITERZROOM_API_KEY"]  # type: ignore[attr-defined]
    decided = decide_texts(
        harness.project, Choice(select=("one",)), Decision(verdict=Verdict.APPROVED), runtime=runtime
    )
    assert decided.warning == ""
    assert not marks(harness)


def test_an_approved_text_that_comes_back_has_no_mark(tmp_path: Path) -> None:
    """An earlier request is declared again: its text is paid for and read already, and the plan is empty afterwards."""
    harness = with_approval(tmp_path, extra="disclosure: true")
    decide(harness, "one")
    approved = front(harness)
    for year in (2027, 2026):
        harness.write("content/blog.yaml", blog("one", year=year))
        harness.apply()
        assert (marks(harness), front(harness) == approved) == (year == 2027, year == 2026)
        assert harness.plan().empty
    harness.edit("out/one.md", "title: ", "title: My ")
    for year in (2027, 2026):
        harness.write("content/blog.yaml", blog("one", year=year))
        harness.apply(on_edit=OnEdit.OVERWRITE)
        assert marks(harness)
        assert harness.plan().empty


def test_a_verdict_that_was_pulled_changes_the_plan(tmp_path: Path) -> None:
    """The file of approvals came or went with a commit of someone else."""
    harness = with_approval(tmp_path)
    assert harness.plan().empty
    decided = decide(harness, "one")
    text = harness.read(FILE)
    (tmp_path / FILE).unlink()
    (change,) = harness.plan().changes
    assert change.front == {"draft": True}
    harness.apply()
    harness.write(FILE, text)
    (change,) = harness.plan().changes
    assert (change.id, change.front) == (ItemId("one"), {"draft": None})
    assert decided.lines == read(text).lines
