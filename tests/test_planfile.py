"""Plan files: what holds is applied as reviewed, all else is stale by name, and nothing is sent for it."""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import Refused
from contentops.model import JobState, OnEdit, Run
from contentops.model.plan_file import plan_file
from contentops.planning.guards import Overrides
from contentops.planning.review import check_ceiling
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, results
from tests.fakes.kills import Death
from tests.plans import sealed
from tests.reviewing import apply_file, apply_within, check_file, review, what_is_left

Meanwhile = Callable[[Harness], object]

WORDS = "MY OWN WORDS"


def item(id_: str, topic: str, *more: str) -> str:
    """An entry of a manifest."""
    lines = "".join(f"    {line}\n" for line in more)
    return f"  - id: {id_}\n    inputs: {{topic: '{topic}', target_audience: readers}}\n{lines}"


A, B, C = item("a", "A"), item("b", "B"), item("c", "C")
A2, B2 = item("a", "A2"), item("b", "B2")


def declare(*items: str) -> Meanwhile:
    """What writes the manifest."""
    return lambda harness: harness.write("content/b.yaml", f"items:\n{''.join(items) or '  []'}")


def both(*steps: Meanwhile) -> Meanwhile:
    """One after the other."""
    return lambda harness: [step(harness) for step in steps]


def change(old: str, new: str) -> Meanwhile:
    """A person edits a file."""
    return lambda harness: harness.edit("out/a.md", old, new)


edit = change("Closing", WORDS)


def apply(harness: Harness) -> None:
    """Another apply, of all there is to do."""
    harness.apply()


def apply_a(harness: Harness) -> None:
    """Another apply, of one item."""
    harness.apply(select=("a",))


def fetch_back(harness: Harness) -> None:
    """Git brings back what was there before another apply; its text is still in the cache."""
    before = {path: harness.read(path) for path in ("contentops.lock", "out/a.md")}
    apply_a(harness)
    for path, text in before.items():
        harness.write(path, text)


def begin_a(harness: Harness) -> None:
    """Another apply has submitted, and its job takes long."""
    harness.api.habits.duration = 36_000
    apply_a(harness)
    harness.timeline.now += 36_000
    harness.api.habits.duration = 30


def another_request(harness: Harness) -> None:
    """Another apply, of a request that is taken back."""
    declare(item("a", "A3"), item("b", "B"))(harness)
    harness.apply()
    declare(A2, B2)(harness)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Two items as they were made."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    declare(A, B)(harness)
    harness.apply()
    return harness


def review_of(harness: Harness, *items: str, **choice: Any) -> dict[str, Any]:
    """The plan file of these items."""
    declare(*items)(harness)
    return review(harness, **choice)


def refusal(harness: Harness, reviewed: Mapping[str, Any]) -> str:
    """Why a plan file is refused, before a single request; `plan --check` refuses what is stale, too."""
    before = len(harness.api.requests)
    with pytest.raises(Refused) as caught:
        apply_file(harness, reviewed)
    assert (len(harness.api.requests), caught.value.exit_code) == (before, 4)
    if caught.value.code != "already-applied":
        with pytest.raises(Refused):
            check_file(harness, reviewed)
    return f"{caught.value.code}: {caught.value.message}"


# --- what holds ----------------------------------------------------------------------------------------------

HOLDS: dict[str, tuple[Meanwhile, dict[str, str]]] = {
    "nothing else was done": (declare(A2, B2), {"a": "regenerate", "b": "regenerate"}),
    "an item is protected now": (declare(item("a", "A2", "protected: true"), B2), {"a": "update", "b": "regenerate"}),
    "an item is not saved any more": (declare(item("a", "A2", "save: false"), B2), dict.fromkeys("ab", "regenerate")),
    "another merge adds an item": (declare(A2, B2, C), {"a": "regenerate", "b": "regenerate"}),
    "an item lost its tag": (declare(item("a", "A2"), B2), {"a": "regenerate", "b": "regenerate"}),
    "another apply did one item": (apply_a, {"b": "regenerate"}),
    "git took that back, and the text is in the cache": (fetch_back, {"a": "finish", "b": "regenerate"}),
    "another apply waits for a text": (begin_a, {"a": "finish", "b": "regenerate"}),
    "another request came and went": (another_request, {"a": "regenerate", "b": "regenerate"}),
}


@pytest.mark.parametrize("case", HOLDS)
def test_what_holds(harness: Harness, case: str) -> None:
    """Also where less is left to do or to pay; the rest is applied, and the second time there is nothing left."""
    meanwhile, left = HOLDS[case]
    reviewed = review_of(harness, item("a", "A2", "tags: [hot]"), item("b", "B2", "tags: [hot]"), select=("tag:hot",))
    meanwhile(harness)
    before = harness.api.credits
    plan = what_is_left(harness, reviewed)
    assert {change.id: change.action for change in plan.changes} == left
    notes = [note.message for note in plan.notes if note.kind == "left-alone"]
    assert notes == ["left alone, as the plan file does not name them: 1 of today's changes"] * ("adds" in case)
    run = apply_file(harness, reviewed)
    assert run is not None
    assert (results(run), run.plan_id) == (dict.fromkeys(left, "done"), reviewed["id"])
    assert harness.api.credits == before + 4 * list(left.values()).count("regenerate")
    assert refusal(harness, reviewed).startswith("already-applied")


def test_an_earlier_text_is_not_saved_in_place_of_the_reviewed_words(harness: Harness) -> None:
    """A job made it too, but this plan orders no text."""
    earlier = harness.read("out/a.md")
    declare(A2, B)(harness)
    harness.apply()
    edit(harness)
    reviewed = review(harness)
    harness.write("out/a.md", earlier)
    assert "`a`: `out/a.md` has changed since" in refusal(harness, reviewed)


def test_a_reviewed_record_does_not_allow_an_update(harness: Harness) -> None:
    """A file that is kept without its front matter keeps none when the plan file is applied again."""
    declare(item("a", "A", "metadata: {k: v}"), B)(harness)
    harness.apply()
    harness.edit("out/a.md", "k: v\n", "")
    edit(harness)
    (harness.root / "contentops.lock").unlink()
    shutil.rmtree(harness.root / ".contentops")
    reviewed = review(harness, on_edit=OnEdit.OVERWRITE)
    (steps,) = (change["steps"] for change in reviewed["changes"] if change["id"] == "a")
    assert steps == ["record", "save"]
    apply_file(harness, reviewed)
    assert "`a`: it would update, which is not in the plan" in refusal(harness, reviewed)


def test_what_another_apply_did_is_done(harness: Harness) -> None:
    """All of it, front matter and title included; a record of a text that was pulled keeps the title we wrote."""
    reviewed = review_of(harness, item("a", "A2", "metadata: {k: v, title: '  Another '}"), B2)
    harness.apply()
    assert check_file(harness, reviewed).empty
    assert refusal(harness, reviewed).startswith("already-applied")
    declare(A, B)(harness)
    harness.apply()
    harness.api.edit(harness.record("a").content_id, "## Closing\n\nThere.\n", title="New there")
    reviewed = review_of(harness, A, item("b", "B3"), refresh=True)
    apply_file(harness, reviewed)
    with pytest.raises(Refused, match="already applied"):
        apply_file(harness, reviewed)


def test_a_moved_item_that_was_not_generated_is_not_done(harness: Harness) -> None:
    """The move has written the plan's id into the record; the submit is still to come."""
    reviewed = review_of(harness, item("a", "A2", "output: out/x/a.md"), B2)
    harness.api.fault(on("submit", 3), 402)
    assert "pending" in results(apply_file(harness, reviewed)).values()
    assert set(results(apply_file(harness, reviewed)).values()) == {"done"}
    assert refusal(harness, reviewed).startswith("already-applied")
    assert (harness.api.credits, harness.plan().empty) == (16, True)


def test_what_was_blocked_stays_blocked_or_is_done(harness: Harness) -> None:
    """Nothing was to be done, so nothing is missed; but nothing more is done either."""
    edit(harness)
    reviewed = review_of(harness, A2, B2)
    assert {change["id"]: change["blocked"] for change in reviewed["changes"]} == {"a": "edited", "b": ""}
    harness.edit("out/a.md", WORDS, "Other words")
    assert results(apply_file(harness, reviewed)) == {"a": "blocked", "b": "done"}
    declare(item("a", "A2", "on_edit: overwrite"), B2)(harness)
    assert "`a`: it would save, submit, write, which is not in the plan" in refusal(harness, reviewed)


def test_a_job_that_fails_holds_up_no_one_else(harness: Harness) -> None:
    """An item whose requests this very plan saw fail is told as held back, run for run."""
    harness.api.habits.fails = lambda inputs: "boom" if inputs.get("topic") == "A2" else ""
    reviewed = review_of(harness, A2, B2, C)
    for number in (5, 7):
        harness.api.fault(on("submit", number), 402)
    ends = [results(apply_file(harness, reviewed)) for _ in range(4)]
    assert ends == [
        {"a": "failed", "b": "done", "c": "pending"},
        {"a": "failed", "c": "pending"},
        {"a": "blocked", "c": "done"},
        {"a": "blocked"},
    ]


# --- what is stale -------------------------------------------------------------------------------------------


def meta(*stated: str) -> Meanwhile:
    """The front matter of an item that is updated, and of one that is new."""
    return declare(item("a", "A", *stated), B2, item("c", "C", *stated))


title_there = change("title: ", "draft: reviewed\ntitle: Mine, not ")
"""The front matter was written by hand already, with another title."""


def key(value: str, topic: str = "A") -> Meanwhile:
    """The front matter of an item has one key."""
    return declare(item("a", topic, f"metadata: {{k: {value}}}"), B)


def waiting(harness: Harness) -> None:
    """An item was made from the text of another one, which is generated again."""
    made_from = [item("b", "B"), item("a", 'On {{ ref("b").title }}', "on_source_change: regenerate")]
    declare(*made_from)(harness)
    harness.apply()
    declare(item("b", "B2"), made_from[1])(harness)


REVIEWED: dict[str, tuple[Meanwhile, dict[str, Any]]] = {
    "regenerate": (declare(A2, B2), {}), "overwrite": (both(edit, declare(A2, B2)), {"on_edit": OnEdit.OVERWRITE}),
    "save": (both(edit, declare(A, B2)), {}), "update": (meta("metadata: {draft: reviewed}"), {}),
    "title": (meta("metadata: {title: Reviewed}"), {}), "prune": (declare(B2), {"prune": True}),
    "replace": (declare(A, B), {"replace": ("a",)}),
    "waiting": (waiting, {"on_edit": OnEdit.OVERWRITE}),
    "key": (both(key("v"), apply, key("v2")), {"on_edit": OnEdit.OVERWRITE}),
    "key and text": (both(key("v"), apply, key("v2", "A2")), {"on_edit": OnEdit.OVERWRITE}),
}  # fmt: skip
ANOTHER = "its front matter has changed: "


STALE: list[tuple[str, Meanwhile, str]] = [
    ("regenerate", declare(B2), "`a`: not declared in any manifest any more"),
    ("regenerate", declare(item("a", "A2", "output: out/x.md"), B2), "`a`: it would move, which is not in the plan"),
    ("regenerate", declare(item("a", "A3"), B2), "`a`: its request has changed"),
    ("regenerate", declare(A, B2), "`a`: its request has changed"),
    ("regenerate", edit, "`a`: `out/a.md` has changed since"),
    ("regenerate", both(apply_a, edit), "`a`: `out/a.md` has changed since"),
    ("regenerate", both(apply, title_there), "`a`: `out/a.md` has changed since"),
    ("overwrite", change(WORDS, "more"), "`a`: `out/a.md` has changed since"),
    ("save", change(WORDS, "more"), "`a`: `out/a.md` has changed since"),
    ("save", title_there, "`a`: `out/a.md` has changed since"),
    ("update", edit, "`a`: `out/a.md` has changed since"),
    ("update", meta("metadata: {draft: other}"), f"`a`: {ANOTHER}`draft`; `c`: {ANOTHER}`draft`"),
    ("update", meta("metadata: {draft: reviewed, layout: wide}"), f"`a`: {ANOTHER}`layout`; `c`: {ANOTHER}`layout`"),
    ("update", meta("metadata: {draft: reviewed, title: X}"), f"`a`: {ANOTHER}`title`; `c`: {ANOTHER}`title`"),
    ("update", meta(), f"`c`: {ANOTHER}`draft`"),
    ("update", both(meta("metadata: {draft: other}"), apply_a), f"`c`: {ANOTHER}`draft`"),
    ("update", title_there, "`a`: `out/a.md` has changed since"),
    ("title", meta(), f"`c`: {ANOTHER}`title`"),
    ("prune", declare(A, B2), "`a`: declared in a manifest again"),
    ("prune", declare(A2, B2), "`a`: declared in a manifest again"),
    ("prune", edit, "`a`: `out/a.md` has changed since"),
    ("replace", declare(B), "`a`: not declared in any manifest any more"),
    ("waiting", edit, "`a`: `out/a.md` has changed since"),
    ("key", change("k: v\n", "k: mine\n"), "`a`: `out/a.md` has changed since"),
    ("key and text", change("k: v\n", "k: mine\n"), "`a`: `out/a.md` has changed since"),
]


@pytest.mark.parametrize(("kind", "meanwhile", "why"), STALE)
def test_what_is_stale(harness: Harness, kind: str, meanwhile: Meanwhile, why: str) -> None:
    """The item is named, with what is different, and nothing is sent."""
    before, choice = REVIEWED[kind]
    before(harness)
    reviewed = review(harness, **choice)
    assert "a" in {change["id"] for change in reviewed["changes"]}
    meanwhile(harness)
    assert refusal(harness, reviewed).startswith(f"stale-plan: the plan is stale: {why}")


def test_a_target_that_is_taken_meanwhile_blocks_its_item_alone(harness: Harness) -> None:
    """Where another item would free it, but that move is not in the file, too."""
    moved = item("a", "A", "output: out/b2.md")
    reviewed = review_of(harness, moved, B, C)
    harness.write("out/b2.md", "Mine.\n")
    assert results(apply_file(harness, reviewed)) == {"a": "blocked", "c": "done"}
    assert harness.read("out/b2.md") == "Mine.\n"
    (harness.root / "out/b2.md").unlink()
    declare(A, item("b", "B", "output: out/b2.md"), C)(harness)
    harness.apply()
    declare(moved, B, C)(harness)
    assert results(apply_file(harness, reviewed)) == {"a": "blocked"}


@pytest.mark.parametrize(("stated", "why"), [
    ({"credits_worst": 3}, "it costs 4 credits now, not 3"),
    ({"attempt": 0}, "it would be submitted again; see `contentops report --runs --select a`"),
    ({"target": "out/x.md"}, "it would write a file that is not in the plan"),
    ({"steps": ["submit", "poll", "write"]}, "it would save, which is not in the plan"),
])  # fmt: skip
def test_more_than_was_reviewed_is_refused_whatever_brought_it_about(
    harness: Harness, stated: dict[str, Any], why: str
) -> None:
    """Price, number of the submit, target and steps are each compared with the file."""
    reviewed = review_of(harness, A2, B)
    reviewed["changes"][0] |= stated
    assert refusal(harness, sealed(reviewed)) == f"stale-plan: the plan is stale: `a`: {why}"


def test_an_edit_after_the_submit_is_not_overwritten(harness: Harness) -> None:
    """`--on-edit overwrite` was said of the file as it was; then no one had edited it."""
    reviewed = review_of(harness, A2, B2, on_edit=OnEdit.OVERWRITE)
    for at in range(1, 200):
        harness.death = Death(at)
        with contextlib.suppress(Killed):
            apply_file(harness, reviewed)
        harness.death = None
        if any(job.state is JobState.RUNNING for job in harness.state.open_jobs.values()):
            break
    edit(harness)
    assert "`a`: `out/a.md` has changed since" in refusal(harness, reviewed)
    assert WORDS in harness.read("out/a.md")


def test_an_edit_of_what_the_plan_wrote_is_not_saved(tmp_path: Path) -> None:
    """The text is in the file; its save is still to come, or was done, and a person was quicker."""
    harness = Harness(tmp_path, FakeApi(duration=30, auto_save=False))
    reviewed = review_of(harness, A)
    harness.api.fault(on("save", 1), "kill")
    with contextlib.suppress(Killed):
        apply_file(harness, reviewed)
    edit(harness)
    assert "`a`: `out/a.md` has changed since" in refusal(harness, reviewed)
    harness.edit("out/a.md", WORDS, "Closing")
    apply_file(harness, reviewed)
    edit(harness)
    assert "`a`: `out/a.md` has changed since" in refusal(harness, reviewed)
    assert not any(WORDS in content.body for content in harness.api.contents.values())


# --- money -------------------------------------------------------------------------------------------------


def test_a_replacement_is_paid_for_once_and_is_not_tried_for_ever(harness: Harness) -> None:
    """`--replace` stands in the file, and goes past what is known of failures; the file does not."""
    reviewed = review(harness, replace=("a",))
    assert (results(apply_file(harness, reviewed)), harness.api.credits) == ({"a": "done"}, 12)
    assert refusal(harness, reviewed).startswith("already-applied")
    harness.api.habits.fails = lambda _: "boom"
    reviewed = review(harness, replace=("a",))
    assert [results(apply_file(harness, reviewed)) for _ in range(2)] == [{"a": "failed"}] * 2
    assert "`a`: it would be submitted again; see `contentops report --runs --select a`" in refusal(harness, reviewed)


@pytest.mark.parametrize("is_ceiling", [False, True])
def test_a_replacement_is_paid_for_once_although_git_takes_it_back(harness: Harness, *, is_ceiling: bool) -> None:
    """The generations that its checks allow are no other replacements."""
    reviewed = review_of(harness, item("a", "A", "checks: {excludes: [Nothing], retries: 2}"), B, replace=("a",))
    before = {path: harness.read(path) for path in ("contentops.lock", "out/a.md")}

    def again() -> Run | None:
        return apply_within(harness, reviewed, replace=("a",)) if is_ceiling else apply_file(harness, reviewed)

    assert results(again()) == {"a": "done"}
    for path, text in before.items():
        harness.write(path, text)
    with pytest.raises(Refused, match="`a`: it would be submitted again"):
        again()
    assert harness.api.credits == 12


def test_a_section_is_not_the_replacement_that_was_reviewed(harness: Harness) -> None:
    """Although it has the same number: the file is not said to be applied."""
    reviewed = review(harness, replace=("a",))
    harness.apply(sections={"a": "Closing"}, select=("a",))
    before = harness.api.credits
    assert "`a`: it would be submitted again" in refusal(harness, reviewed)
    assert (harness.made_by("a").section, harness.api.credits) == ("Closing", before)


def test_a_replacement_of_another_request_is_not_the_reviewed_one(harness: Harness) -> None:
    """Although it has the same number."""
    reviewed = review(harness, replace=("a",))
    declare(A2, B)(harness)
    harness.apply()
    harness.apply(replace=("a",))
    declare(A, B)(harness)
    before = harness.api.credits
    assert results(apply_file(harness, reviewed)) == {"a": "done"}
    assert (harness.made_by("a").attempt, harness.api.credits) == (2, before + 4)


def test_a_ceiling_allows_each_attempt_once(harness: Harness) -> None:
    """A job that failed for nothing is tried again, and a text that came is not paid for once more."""
    guards = harness.project.guards
    reviewed = review_of(harness, A2, B2)
    harness.api.habits.fails = lambda _: "boom"
    harness.apply()
    check_ceiling(harness.plan(), guards, plan_file(reviewed))
    harness.api.habits.fails = FakeApi().habits.fails
    harness.apply()
    reviewed = review(harness, replace=("a",))
    check_ceiling(harness.plan(replace=("a",)), guards, plan_file(reviewed))
    harness.apply(replace=("a",))
    with pytest.raises(Refused, match="`a`: it would be submitted again"):
        check_ceiling(harness.plan(replace=("a",)), guards, plan_file(reviewed))


@pytest.mark.parametrize("approved", [0, 7])
def test_approved_credits_bind_a_plan_file(harness: Harness, approved: int) -> None:
    """Without a budget too."""
    reviewed = review_of(harness, A2, B2)
    with pytest.raises(Refused) as caught:
        apply_file(harness, reviewed, Overrides(credits=approved))
    assert caught.value.code == "approved-credits"
    assert f"it costs 8 credits, and {approved} were approved" in caught.value.message
    assert (caught.value.hint, harness.api.credits) == ("if that is meant: `--approve-credits 8`", 8)
    assert results(apply_file(harness, reviewed, Overrides(credits=8))) == {"a": "done", "b": "done"}


def test_approved_credits_bind_an_apply_below_its_budget(tmp_path: Path) -> None:
    """What a person approves is a limit, and never only an exception to another one."""
    harness = Harness(tmp_path, FakeApi(duration=30), extra="budget: {credits_per_apply: 100}")
    declare(A, B)(harness)
    with pytest.raises(Refused) as caught:
        harness.apply(overrides=Overrides(credits=4))
    assert (caught.value.code, harness.api.credits) == ("approved-credits", 0)
    harness.apply(overrides=Overrides(credits=8))
    assert harness.api.credits == 8


# --- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["project", "environment", "server", "lineage"])
def test_a_plan_of_another_project(harness: Harness, key: str) -> None:
    """A plan is applied where it was made for, and is a ceiling there alone."""
    declare(A2, B)(harness)
    reviewed = sealed({**review(harness), key: "other"})
    assert refusal(harness, reviewed).startswith(f"other-plan: the plan was made for another {key}: `other`, ")
    with pytest.raises(Refused, match=f"another {key}"):
        apply_within(harness, reviewed)
