"""Approvals under everything else that happens to an item: whose text it is, who counts, and what is left for later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from contentops.ci.file_history import text_authors
from contentops.digest import digest_text
from contentops.errors import InputError, Refused
from contentops.model import ItemId, OnEdit, Verdict, text_digest
from contentops.operations.texts.approving import Decision, decide_texts
from contentops.planning.plan_inputs import Choice
from contentops.state.approvals import FILE, read
from tests.clones import git
from tests.fakes.harness import Harness, blog, results
from tests.reviewing import apply_file, review
from tests.test_approving import REQUIRED, commit, decide, front, in_git, states, with_approval
from tests.test_promote import Room

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

OTHERS = "approval: {by_author: false}"
KIM, ADA = ("Kim Reader", "kim@example.test"), ("Ada Other", "ada@example.test")


def marks(harness: Harness, item: str = "one") -> bool:
    """Whether the text of an item has the draft mark."""
    return front(harness, item).get("draft") is True


# --- whose text it is ----------------------------------------------------------------------------------------


def refuse_author(harness: Harness, item: str = "one") -> None:
    """Whoever works here is refused, as the text is theirs."""
    with pytest.raises(InputError) as caught:
        decide(harness, item)
    assert [one.code for one in caught.value.diagnostics()] == ["by-author"]


def edited_by(harness: Harness, who: tuple[str, str], old: str, new: str) -> None:
    """Someone edits the text of `one`, and commits it."""
    in_git(harness.root, *who)
    harness.edit("out/one.md", old, new)
    commit(harness.root)


def test_a_later_commit_of_other_things_makes_no_one_the_author(tmp_path: Path) -> None:
    """Kim edited the words, and Ada or a run committed front matter since: Kim's approval does not count."""
    harness = with_approval(tmp_path, f"{OTHERS}, metadata: {{weight: 1}}")
    commit(tmp_path)
    edited_by(harness, KIM, "All", "Al")
    edited_by(harness, ADA, "weight: 1", "weight: 3")
    in_git(tmp_path, *KIM)
    refuse_author(harness)
    in_git(tmp_path, *ADA)
    decide(harness, "one")
    assert states(harness) == {"one": "approved"}


def test_the_last_editor_is_the_author(tmp_path: Path) -> None:
    """Of the words as they are now; a changed title is an edit too."""
    harness = with_approval(tmp_path, OTHERS)
    commit(tmp_path)
    edited_by(harness, KIM, "All", "Al")
    edited_by(harness, ADA, "title: ", "title: My ")
    refuse_author(harness)
    in_git(tmp_path, *KIM)
    decide(harness, "one")
    assert states(harness) == {"one": "approved"}


def test_who_wrote_an_adopted_text_is_its_author(tmp_path: Path, invoke: Run) -> None:
    """No job made it, so it is a person's from the start; and no disclosure says that a model made it."""
    harness = Harness(tmp_path, extra="disclosure: true")
    harness.edit("contentops.yaml", "style: general_blog}", f"style: general_blog, {OTHERS}}}")
    harness.write("content/blog.yaml", blog("one"))
    harness.write("out/one.md", "---\ntitle: Mine\n---\n\nWords.\n")
    in_git(tmp_path, *KIM)
    commit(tmp_path)
    adopted = invoke("adopt", "out/one.md", "--yes", cwd=tmp_path)
    assert adopted.code == 0, adopted.stderr
    harness.apply()
    assert front(harness) == {"draft": True}
    refuse_author(harness)
    in_git(tmp_path, *ADA)
    decide(harness, "one")
    assert front(harness) == {}


STAGES = """\
environments:
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {promote_from: staging, output: "live/{{ item.id }}.md", defaults: {approval: {by_author: false}}}
"""


def test_the_rule_of_the_environment_that_takes_the_text_counts(tmp_path: Path) -> None:
    """Where the author approved in staging, which allows it, prod still waits for someone else."""
    staging, prod = Room(tmp_path, "staging", extra=STAGES), Room(tmp_path, "prod", extra=STAGES)
    prod.timeline, prod.api = staging.timeline, staging.api
    staging.write("content/b.yaml", blog("a"))
    in_git(tmp_path, *KIM)
    staging.apply()
    staging.edit("staging/a.md", "All", "Al")
    commit(tmp_path)
    (line,) = decide(staging, "a").lines
    assert line.author
    assert states(staging) == {"a": "approved"}
    assert (prod.plan().empty, prod.plan().not_promoted) == (True, 1)
    in_git(tmp_path, *ADA)
    decide(staging, "a")
    assert results(prod.apply()) == {"a": "done"}
    assert states(prod) == {"a": "approved"}


def test_the_authors_of_many_texts(tmp_path: Path) -> None:
    """The first commit in a row that has the text; none for what is not committed, is gone, or is no text."""
    in_git(tmp_path, *KIM)
    names = ["[slug].md", "b c.md", "ü.md", "same.md", "new.md", "broken.md"]
    for name in names[:4]:
        (tmp_path / name).write_text("---\ntitle: T\n---\n\nWords.\n")
    (tmp_path / "broken.md").write_bytes(b"\xff")
    commit(tmp_path)
    in_git(tmp_path, *ADA)
    (tmp_path / "[slug].md").write_text("---\ntitle: T\n---\n\nOther words.\n")
    (tmp_path / "same.md").write_bytes(b"---\r\ndraft: true\r\ntitle: T\r\n---\r\n\r\nWords.\r\n")
    commit(tmp_path)
    words, other = (text_digest("T", digest_text(body)) for body in ("Words.\n", "Other words.\n"))
    texts = dict.fromkeys(names, words) | {"[slug].md": other, "b c.md": other}
    assert text_authors(str(tmp_path), texts) == {
        "[slug].md": ADA[1],
        "b c.md": "",
        "ü.md": KIM[1],
        "same.md": KIM[1],
        "new.md": "",
        "broken.md": "",
    }


# --- who counts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_in_the_future_is_no_trap(tmp_path: Path, verdict: Verdict) -> None:
    """A clock was wrong once: what the person says now would not count, so it is refused with what to do."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    harness.write(FILE, re.sub('"at":"....', '"at":"2999', harness.read(FILE)))
    before = harness.read(FILE)
    with pytest.raises(Refused, match="dated 2999-") as caught:
        decide(harness, "one", verdict=verdict, note="no")
    assert caught.value.code == "verdict-in-future"
    assert harness.read(FILE) == before
    in_git(tmp_path, *ADA)
    decide(harness, "one", verdict=Verdict.SENT_BACK)
    assert states(harness) == {"one": "sent-back"}


def test_a_yes_again_keeps_its_note(tmp_path: Path) -> None:
    """Said again without a note, it is known already; with another note, that one is kept."""
    harness = with_approval(tmp_path)
    decide(harness, "one", note="Fine.")
    again = decide(harness, "one")
    assert (again.lines, again.known) == ((), ("one",))
    assert decide(harness, "one", note="Fine, with the new sum.").lines
    assert [line.note for line in read(harness.read(FILE)).lines] == ["Fine, with the new sum."]


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


def test_two_projects_of_a_repository_have_a_file_each(tmp_path: Path) -> None:
    """An approval in one says nothing of an equal text in the other."""
    in_git(tmp_path)
    one, two = (with_approval(tmp_path / name) for name in ("first", "second"))
    decide(one, "one")
    assert (states(one), states(two)) == ({"one": "approved"}, {"one": "waiting"})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob(FILE)) == [f"first/{FILE}"]


# --- the mark, under everything else ---------------------------------------------------------------------------


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


def test_a_title_of_the_manifest_is_another_text(tmp_path: Path) -> None:
    """The mark comes back in the one write that changes the title."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    harness.edit("contentops.yaml", REQUIRED, f"{REQUIRED}, metadata: {{title: New}}")
    (change,) = harness.plan().changes
    assert (change.title, change.front, change.credits) == ("New", {"draft": True}, 0)
    harness.apply()
    assert states(harness) == {"one": "changed"}
    assert harness.plan().empty


def test_another_preset_has_another_mark(tmp_path: Path) -> None:
    """The old one goes and the new one comes in one write; an approved text has neither."""
    harness = with_approval(tmp_path, extra="preset: hugo")
    harness.edit("contentops.yaml", "preset: hugo", "preset: jekyll")
    (change,) = harness.plan().changes
    assert change.front == {"draft": None, "published": False}
    harness.apply()
    decide(harness, "one")
    harness.edit("contentops.yaml", "preset: jekyll", "preset: hugo")
    assert harness.plan().empty


def test_a_block_of_provenance_is_no_word(tmp_path: Path) -> None:
    """Switched off, it goes from the file, and the text stays approved."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    harness.write("contentops.yaml", harness.read("contentops.yaml") + "provenance: false\n")
    harness.apply()
    assert states(harness) == {"one": "approved"}
    assert not marks(harness)


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


def test_git_names_the_project_folder_literally(tmp_path: Path) -> None:
    """A path with signs of a pattern, as site generators use it, names one file."""
    harness = with_approval(tmp_path, f"{OTHERS}, output: 'out/[{{{{ item.id }}}}].md'")
    commit(tmp_path)
    in_git(tmp_path, *KIM)
    harness.edit("out/[one].md", "All", "Al")
    commit(tmp_path)
    in_git(tmp_path, *ADA)
    decide(harness, "one")
    assert states(harness) == {"one": "approved"}
    assert git(tmp_path, "status", "--porcelain", "--", FILE)
