"""Approvals end to end: draft marks, disclosure, promotion of approved texts, and what binds an approval to a text."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contentops.documents.front_matter import split
from contentops.errors import ContentopsError, InputError, Refused, UsageError
from contentops.model import ApprovalState, ItemId, OnEdit, Verdict
from contentops.operations import plan as plan_operation
from contentops.operations.approving import Decided, Decision, decide_texts
from contentops.planning.sides import Choice
from contentops.reporting.summary import empty_sentence, plan_sentence
from contentops.state.approvals import FILE, parse
from tests.clones import git
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill
from tests.reviewing import apply_file, review
from tests.test_promote import Room

REQUIRED = "approval: required"


def in_git(root: Path, name: str = "Kim Reader", email: str = "kim@example.test") -> None:
    """Make `root` a repository in which git knows who works."""
    git(root, "init", "--quiet")
    git(root, "config", "user.name", name)
    git(root, "config", "user.email", email)


def with_approval(root: Path, rule: str = REQUIRED, *, extra: str = "", ids: tuple[str, ...] = ("one",)) -> Harness:
    """A project whose items have this rule, applied once."""
    harness = Harness(root, extra=extra)
    harness.edit("contentops.yaml", "style: general_blog}", f"style: general_blog, {rule}}}")
    harness.write("content/blog.yaml", blog(*ids))
    in_git(root)
    assert set(results(harness.apply()).values()) == {"done"}
    return harness


def decide(harness: Harness, *ids: str, verdict: Verdict = Verdict.APPROVED, note: str = "", **more: Any) -> Decided:
    """What `approve` and `send-back` do."""
    harness.timeline.now += 60  # the last word counts
    decision = Decision(verdict=verdict, note=note or ("no" if verdict is Verdict.SENT_BACK else ""), **more)
    return decide_texts(harness.project, Choice(select=ids), decision, runtime=harness.runtime())


def front(harness: Harness, item: str = "one") -> dict[str, Any]:
    """The front matter of an item's file, without our block."""
    return dict(split(harness.read(f"out/{item}.md")).front.items())


def states(harness: Harness, *select: str) -> dict[str, str]:
    """The approval of each item, by `status`."""
    items, _ = plan_operation.status(harness.project, Choice(select=select), runtime=harness.runtime())
    return {item.id: str(item.approval) for item in items}


def test_an_approval_can_need_a_note(tmp_path: Path) -> None:
    """One without a note is refused, one that was given before does not count, and the plan names the texts."""
    harness = with_approval(tmp_path, extra="editor: Kim Reader\n", ids=("one", "two"))
    decide(harness, "one", "two")
    assert "draft" not in front(harness)
    harness.edit("contentops.yaml", REQUIRED, "approval: {required: true, note: required}")
    assert "2 texts can be approved only with a note: `one`, `two`" in [note.message for note in harness.plan().notes]
    harness.apply()
    assert (front(harness)["draft"], states(harness)) == (True, {"one": "waiting", "two": "waiting"})
    for note in ("", " \u200b\u2060", "\u3164\ufe0f"):
        with pytest.raises(InputError) as caught:
            decide(harness, "one", note=note)
        (finding,) = caught.value.diagnostics()
        assert (finding.code, finding.hint) == (
            "note-missing", 'say what you checked: `contentops approve one --note "..."`',
        )  # fmt: skip
    decide(harness, "one", note="Figures checked against the price list.")
    assert ("draft" not in front(harness), states(harness)) == (True, {"one": "approved", "two": "waiting"})
    assert [note.items for note in harness.plan().notes] == [("two",)]
    # Who is responsible is in the block of each text.
    assert split(harness.read("out/two.md")).provenance["editor"] == "Kim Reader"


def test_a_text_is_a_draft_until_it_is_approved(tmp_path: Path) -> None:
    """The mark comes with the text, goes with the approval for nothing, and comes back with one changed letter."""
    harness = with_approval(tmp_path)
    assert front(harness)["draft"] is True
    assert (harness.plan().empty, states(harness)) == (True, {"one": "waiting"})
    assert harness.plan().approvals == {ApprovalState.WAITING: 1}
    calls = len(harness.api.requests)
    decided = decide(harness, "one")
    assert (len(harness.api.requests), [line.item for line in decided.lines]) == (calls, ["one"])
    assert "draft" not in front(harness)
    assert (states(harness), harness.plan().empty) == ({"one": "approved"}, True)
    harness.edit("out/one.md", "All", "Al")
    assert states(harness) == {"one": "changed"}
    with pytest.raises(InputError) as caught:  # a page that shows an older text approves nothing
        decide(harness, "one", texts={ItemId("one"): decided.lines[0].text})
    assert [one.code for one in caught.value.diagnostics()] == ["text-changed"]
    (change,) = harness.plan().changes
    assert (change.approval, change.credits, change.front) == (ApprovalState.CHANGED, 0, {"draft": True})
    harness.apply()
    assert front(harness)["draft"] is True


@pytest.mark.parametrize("who", ["the same person", "another person"])
@pytest.mark.parametrize("said", [Verdict.APPROVED, Verdict.SENT_BACK])
def test_what_was_said_is_withdrawn_and_the_text_is_a_draft_again(tmp_path: Path, said: Verdict, who: str) -> None:
    """By whomever, with the step that follows a verdict: no note and no verdict of another is erased, nor paid."""
    harness = with_approval(tmp_path)
    assert decide(harness, "one", verdict=Verdict.WITHDRAWN).known == ("one",)
    assert not (tmp_path / FILE).exists()
    decide(harness, "one", verdict=said)
    calls = len(harness.api.requests)
    if who != "the same person":
        in_git(tmp_path, "Ben Other", "ben@example.test")
    decided = decide(harness, "one", verdict=Verdict.WITHDRAWN)
    assert [line.verdict for line in decided.lines] == [Verdict.WITHDRAWN]
    assert (states(harness), front(harness)["draft"], harness.plan().empty) == ({"one": "waiting"}, True, True)
    lines = parse((tmp_path / FILE).read_bytes()).lines
    assert sorted(line.verdict for line in lines) == sorted({Verdict.WITHDRAWN, said})
    assert len(harness.api.requests) == calls
    decide(harness, "one")
    assert (states(harness), "draft" in front(harness)) == ({"one": "approved"}, False)


@pytest.mark.parametrize(("said", "other"), [
    (Verdict.APPROVED, Verdict.SENT_BACK), (Verdict.SENT_BACK, Verdict.APPROVED), (Verdict.WITHDRAWN, Verdict.APPROVED),
])  # fmt: skip
def test_a_verdict_is_given_again_after_another_person_said_something_else(
    tmp_path: Path, said: Verdict, other: Verdict
) -> None:
    """The last word counts: it is recorded again once another one came after it."""
    harness = with_approval(tmp_path)
    decide(harness, "one", verdict=Verdict.SENT_BACK, note="first")
    for person, verdict in (("Kim", said), ("Ben", other), ("Kim", said)):
        in_git(tmp_path, person, f"{person.lower()}@example.test")
        assert decide(harness, "one", verdict=verdict).lines
    assert not decide(harness, "one", verdict=said).lines
    wanted = {Verdict.APPROVED: "approved", Verdict.SENT_BACK: "sent-back", Verdict.WITHDRAWN: "waiting"}
    assert states(harness) == {"one": wanted[said]}


@pytest.mark.parametrize(("preset", "mark"), [
    ("", {"draft": True}),
    ("hugo", {"draft": True}),
    ("jekyll", {"published": False}),
    ("pelican", {"status": "draft"}),
])  # fmt: skip
def test_each_preset_has_its_mark(tmp_path: Path, preset: str, mark: dict[str, Any]) -> None:
    """The mark is written in the words of the generator, and what the manifest says comes back with the approval."""
    harness = with_approval(
        tmp_path, f"{REQUIRED}, metadata: {{order: 3}}", extra=f"preset: {preset}" if preset else ""
    )
    assert mark.items() <= front(harness).items()
    harness.write("contentops.approvals", '{"contentops_approvals":1}\n')
    decide(harness, "one")
    assert not mark.keys() & front(harness).keys()
    assert harness.plan().empty


@pytest.mark.parametrize("line", ["Draft: false\n", "DRAFT: false\n"])
@pytest.mark.parametrize("other", ["", "words", "request"])
def test_a_mark_in_other_letters_goes(tmp_path: Path, line: str, other: str) -> None:
    """Hugo reads keys without their case and would publish the text, whatever else changed in it meanwhile."""
    harness = with_approval(tmp_path, extra="preset: hugo")
    harness.edit("out/one.md", "draft: true\n", line)
    if other == "words":
        harness.edit("out/one.md", "All", "Al")
    if other == "request":
        harness.write("content/blog.yaml", blog("one", year=2027))
    (change,) = harness.plan().changes
    key = "DRAFT" if "DRAFT" in line else "Draft"
    assert (key, False, None) in [
        (one.field.removeprefix("metadata."), one.before, one.after) for one in change.reasons
    ]
    harness.apply()
    assert (front(harness), harness.plan().empty) == ({"draft": True}, True)
    decide(harness, "one")
    assert front(harness) == {}


def test_the_rule_can_come_later(tmp_path: Path) -> None:
    """Texts that are approved before the rule is set get no mark; the others do, for nothing; `off` takes it away."""
    harness = with_approval(tmp_path, "mode: standard", ids=("one", "two"))
    assert states(harness) == {"one": "none", "two": "none"}
    decide(harness, "one")
    harness.edit("contentops.yaml", "mode: standard", REQUIRED)
    (change,) = harness.plan().changes
    assert (change.id, change.names, change.credits) == ("two", ("update",), 0)
    harness.apply()
    harness.edit("contentops.yaml", REQUIRED, 'approval: "off"')
    harness.apply()
    assert "draft" not in front(harness, "two")


def test_an_approved_text_that_is_written_again_is_no_draft(tmp_path: Path) -> None:
    """Also where no record is left, as in another environment: the next plan is empty."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    for path in (tmp_path / "contentops.lock", tmp_path / "out/one.md", *tmp_path.glob(".contentops/*journal*")):
        path.unlink()
    assert harness.actions() == {"one": "finish"}
    harness.apply()
    assert ("draft" in front(harness), harness.plan().empty) == (False, True)


def test_an_approved_text_that_comes_back_is_no_draft(tmp_path: Path) -> None:
    """The text that was paid for is known, so that its approval is known when it is written."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    harness.edit("content/blog.yaml", "2026", "2027")
    harness.apply()
    assert front(harness)["draft"] is True
    harness.edit("content/blog.yaml", "2027", "2026")
    assert harness.actions() == {"one": "finish"}
    harness.apply()
    assert ("draft" in front(harness), harness.plan().empty) == (False, True)


def test_an_approval_is_about_words_alone(tmp_path: Path) -> None:
    """A rename, a move, other front matter, other line ends and another clone change nothing; a title does."""
    harness = with_approval(tmp_path, f"{REQUIRED}, metadata: {{weight: 1}}")
    decide(harness, "one")
    harness.edit("content/blog.yaml", "id: one", "id: uno")
    harness.write("content/moved.yaml", "moved: [{from: one, to: uno}]\n")
    harness.edit("contentops.yaml", "weight: 1", "weight: 2")
    harness.apply()
    assert states(harness) == {"uno": "approved"}
    path = harness.root / "out/uno.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert states(harness) == {"uno": "approved"}
    harness.edit("out/uno.md", "title: ", "title: My ")
    assert states(harness) == {"uno": "changed"}


def test_a_text_that_is_sent_back_stays_a_draft(tmp_path: Path) -> None:
    """It is selected by its state, until someone approves it later: what is said in the same second does not count."""
    harness = with_approval(tmp_path, ids=("one", "two"))
    decide(harness, "one", verdict=Verdict.SENT_BACK, note="The sum is missing.")
    assert states(harness) == {"one": "sent-back", "two": "waiting"}
    assert list(states(harness, "approval:sent-back")) == ["one"]
    in_git(tmp_path, "Ada Other", "ada@example.test")
    harness.timeline.now -= 60
    decide(harness, "one")
    assert states(harness)["one"] == "sent-back"
    assert front(harness)["draft"] is True
    in_git(tmp_path)
    decide(harness, "approval:sent-back")
    assert states(harness)["one"] == "approved"
    assert "draft" not in front(harness)


def test_disclosure_follows_the_text(tmp_path: Path) -> None:
    """It says how a generated text was made, and falls back by itself when the text changes."""

    def disclosed() -> tuple[str, str]:
        found = front(harness)
        assert harness.plan().empty
        return found["ai_disclosure"], found["digital_source_type"].rpartition("/")[2]

    harness = with_approval(tmp_path, "mode: standard", extra="disclosure: true")
    assert disclosed() == ("ai-autonomous", "trainedAlgorithmicMedia")
    decide(harness, "one")
    assert disclosed() == ("ai-assisted", "trainedAlgorithmicMedia")
    harness.edit("out/one.md", "All", "Al")
    harness.apply()
    assert disclosed() == ("ai-autonomous", "compositeWithTrainedAlgorithmicMedia")
    harness.edit("contentops.yaml", "disclosure: true", "")
    harness.apply()
    assert "ai_disclosure" not in front(harness)


STAGES = """\
environments:
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {promote_from: staging, output: "live/{{ item.id }}.md", defaults: {approval: required}}
"""


def stages(root: Path, *ids: str) -> tuple[Room, Room]:
    """Staging, applied, and prod, which takes approved texts only."""
    staging, prod = Room(root, "staging", extra=STAGES), Room(root, "prod", extra=STAGES)
    prod.timeline, prod.api = staging.timeline, staging.api
    staging.write("content/b.yaml", blog(*ids))
    in_git(root)
    staging.apply()
    return staging, prod


def test_approved_texts_alone_are_promoted(tmp_path: Path) -> None:
    """The others wait, which is no error; a promoted text is approved there, too, and has no mark."""
    staging, prod = stages(tmp_path, "a", "b", "c")
    staging.edit("staging/b.md", "All", "Al")
    decide(staging, "a", "b")
    decide(staging, "c", verdict=Verdict.SENT_BACK)
    plan = prod.plan()
    assert {str(change.id): str(change.action) for change in plan.changes} == {"a": "promote", "b": "promote"}
    assert (plan.not_promoted, plan.credits, plan.refusals) == (1, 0, ())
    assert [note.id for note in plan.notes if note.kind == "waiting-for-approval"] == ["c"]
    assert plan_sentence(plan) == "2 to promote, 0 unchanged, 1 waiting for approval. 0 credits."
    items, _ = plan_operation.status(prod.project, Choice(), runtime=prod.runtime())
    assert [item.state for item in items if item.id == "c"] == ["waiting"]
    assert results(prod.apply()) == {"a": "done", "b": "done"}
    assert "draft" not in prod.read("live/a.md")
    assert (states(prod), prod.plan().empty) == ({"a": "approved", "b": "approved", "c": "none"}, True)
    staging.edit("staging/a.md", "Al", "AL")
    again = prod.plan()
    assert (again.empty, again.not_promoted) == (True, 2)
    decide(staging, "a")
    assert (results(prod.apply()), prod.api.generations) == ({"a": "done"}, staging.api.generations)
    prod.edit("live/a.md", "AL", "al")
    prod.apply()
    assert "draft: true" in prod.read("live/a.md")


def test_a_changed_request_waits_for_its_approved_text(tmp_path: Path) -> None:
    """Prod keeps the text it has, pays for nothing, and is not blocked."""
    staging, prod = stages(tmp_path, "a")
    decide(staging, "a")
    prod.apply()
    before = prod.read("live/a.md")
    staging.write("content/b.yaml", blog("a", year=2027))
    staging.apply()
    plan = prod.plan()
    assert (plan.empty, plan.not_promoted) == (True, 1)
    assert empty_sentence(plan) == "No changes. 1 item waits for approval."
    assert prod.apply() is None
    assert prod.read("live/a.md") == before


@pytest.mark.parametrize(("spoil", "code"), [
    (lambda root: (root / "out/one.md").write_text("---\ntitle: T\n---\n"), "empty-text"),
    (lambda root: (root / "out/one.md").write_bytes(b"\xff\xfe"), "unreadable-file"),
    (lambda root: git(root, "config", "--unset", "user.email"), "no-identity"),
    (lambda root: (root / FILE).write_text('{"contentops_approvals":2}\n'), "newer-state"),
    (lambda root: (root / FILE).write_text("<<<<<<< ours\n"), "conflict-markers"),
])  # fmt: skip
def test_what_cannot_be_approved(tmp_path: Path, spoil: Callable[[Path], object], code: str) -> None:
    """The message says why, and nothing is recorded."""
    harness = with_approval(tmp_path)
    spoil(tmp_path)
    before = (tmp_path / FILE).read_bytes() if (tmp_path / FILE).exists() else None
    with pytest.raises(ContentopsError) as caught:
        decide(harness, "one")
    assert [one.code for one in caught.value.diagnostics()] == [code]
    assert ((tmp_path / FILE).read_bytes() if (tmp_path / FILE).exists() else None) == before


def test_ci_is_no_person(tmp_path: Path) -> None:
    """Under CI no one approves but through the host; a note is needed to send back, and has a limit."""
    harness = with_approval(tmp_path)
    runtime = harness.runtime()
    runtime.environ["CI"] = "true"  # type: ignore[index]
    with pytest.raises(Refused) as caught:
        decide_texts(harness.project, Choice(select=("one",)), Decision(verdict=Verdict.APPROVED), runtime=runtime)
    assert caught.value.code == "approve-in-ci"
    for note in ("", "x" * 2001):
        decision = Decision(verdict=Verdict.SENT_BACK, note=note)
        with pytest.raises(UsageError, match="note"):
            decide_texts(harness.project, Choice(select=("one",)), decision, runtime=harness.runtime())


PUBLISHING = "approval: {publish: true}"


def statuses(harness: Harness) -> list[str]:
    """The status of each stored content."""
    return [content.status for content in harness.api.contents.values()]


def test_the_server_publishes_what_is_approved(tmp_path: Path) -> None:
    """The next apply sets the status, and takes it back before words are saved that no one approved.

    What someone deleted there is published nowhere: there is no status to take back.
    """
    harness = with_approval(tmp_path, PUBLISHING)
    assert (statuses(harness), harness.plan().empty) == (["draft"], True)
    decide(harness, "one")
    (change,) = harness.plan().changes
    assert (change.names, change.credits) == (("publish",), 0)
    harness.apply()
    assert (statuses(harness), harness.plan().empty) == (["published"], True)
    assert harness.plan(refresh=True).empty
    harness.edit("out/one.md", "All", "Al")
    (change,) = harness.plan().changes
    assert change.names == ("update", "publish", "save")
    harness.apply()
    assert (statuses(harness), harness.plan().empty) == (["draft"], True)
    decide(harness, "one")
    harness.apply()
    assert (statuses(harness), harness.plan().empty) == (["published"], True)
    harness.api.contents.clear()
    harness.edit("out/one.md", "Al", "A")
    assert (results(harness.apply()), statuses(harness)) == ({"one": "done"}, ["draft"])


def test_an_edit_there_is_not_published(tmp_path: Path) -> None:
    """Words that someone wrote in WriterzRoom after the approval are not the approved ones."""
    harness = with_approval(tmp_path, PUBLISHING)
    decide(harness, "one")
    (content,) = harness.api.contents.values()
    content.body += "Another line.\n"
    assert (results(harness.apply()), statuses(harness)) == ({"one": "blocked"}, ["draft"])


def test_a_server_without_a_status_says_so(tmp_path: Path) -> None:
    """The item is blocked by name, and a text that was never published needs no way back."""
    harness = with_approval(tmp_path, PUBLISHING)
    harness.api.habits.put = False
    decide(harness, "one")
    run = harness.ran()
    assert "cannot set the status" in run.outcomes[0].error
    assert "remove `publish`" in run.outcomes[0].hint


def test_a_kill_while_publishing_ends_alike(tmp_path: Path, each_kill: EachKill) -> None:
    """Whenever a run is killed, the same apply again ends with the approved text published, and nothing to do."""
    harness = with_approval(tmp_path, PUBLISHING)
    decide(harness, "one")
    copies = each_kill(harness, tmp_path.parent / f"{tmp_path.name}-copies", harness.apply)
    assert len(copies) > 4
    for after in copies.values():
        after.apply()
        assert (statuses(after), after.plan().empty) == (["published"], True)


def test_a_title_of_a_person_in_prod_is_not_approved_with_the_body(tmp_path: Path) -> None:
    """A promotion that keeps the title of the file makes another text, which is a draft at once."""
    staging, prod = stages(tmp_path, "a")
    decide(staging, "a")
    prod.apply()
    prod.edit("live/a.md", "title: ", "title: Lies, not ")
    staging.edit("staging/a.md", "Closing", "The end")
    decide(staging, "a")
    prod.apply()
    assert "title: Lies" in prod.read("live/a.md")
    assert "draft: true" in prod.read("live/a.md")
    assert prod.plan().empty


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("All about", "All \u202eabout\u202c"),
        ("All about", f"All about{chr(0x200B) * 10}"),
        ("title: ", "title: \u202e"),
        ("title: ", f"title: {'x' * 310} "),
    ],
)
def test_words_that_no_digest_knows_are_approved_by_no_one(tmp_path: Path, old: str, new: str) -> None:
    """Characters that turn or hide words make another text of it, which cannot be approved before they are gone."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    path = tmp_path / "out/one.md"
    path.write_text(path.read_text().replace(old, new, 1))
    assert states(harness) == {"one": "changed"}
    with pytest.raises(InputError) as caught:
        decide(harness, "one")
    assert [one.code for one in caught.value.diagnostics()] == ["hidden-characters"]
    harness.apply()
    assert "draft: true" in path.read_text()


# --- approvals under everything else that happens to an item: who counts, and what is left for later ----------------


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
        assert (caught.value.code, harness.read(FILE)) == ("verdict-in-future", before)


@pytest.mark.parametrize("policy", [*(f"on_edit: {each}" for each in OnEdit), "protected: true"])
def test_no_policy_of_edits_keeps_the_mark(tmp_path: Path, policy: str) -> None:
    """A person removes it, puts it back, and edits the text: it is there exactly while the text is not approved."""
    harness = with_approval(tmp_path, f"{REQUIRED}, {policy}")
    assert marks(harness)
    for old, new in (("draft: true", "draft: false"), ("All", "Al")):
        harness.edit("out/one.md", old, new)
        harness.apply()
        assert marks(harness)
        decide(harness, "one")
        assert not marks(harness)
        assert harness.plan().empty


def blocked(harness: Harness) -> None:
    """The text is edited, and its request changes."""
    harness.edit("out/one.md", "All", "Al")
    harness.write("content/blog.yaml", blog("one", year=2030))


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
    with pytest.raises(Refused, match="front matter has changed: `draft`"):
        apply_file(harness, shown)
    assert harness.read("out/one.md") == before
    again = review(harness)
    assert results(apply_file(harness, again)) == {"one": "blocked"}
    assert marks(harness)
