"""What of a plan file is done, still holds, or is not as it was reviewed: by name, and never silently."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from contentops.errors import Refused
from contentops.model import Change, Drain, OnEdit, Submit
from contentops.model.plan_file import plan_file
from contentops.operations.apply import Approval
from contentops.planning.reviewed_item import ReviewedItem, difference
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.death import Death
from tests.fakes.scene import Scene, results
from tests.fakes.sides import a_file, a_record, a_situation, a_spec, an_entry, plan_of
from tests.plans import plan_document
from tests.reviewing import apply_file, check_file, review, what_is_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.running import Run

WORDS = "MY OWN WORDS"


def _item(id_: str, topic: str, *more: str) -> str:
    lines = "".join(f"    {line}\n" for line in more)
    return f"  - id: {id_}\n    inputs: {{topic: '{topic}', target_audience: readers}}\n{lines}"


def _declare(scene: Scene, *items: str) -> None:
    scene.write("content/b.yaml", f"items:\n{''.join(items) or '  []'}")


def _say(scene: Scene, reviewed: dict[str, Any]) -> str:
    """Why a plan file is refused, before a single request."""
    before = len(scene.api.requests)
    with pytest.raises(Refused) as caught:
        apply_file(scene, reviewed)
    assert len(scene.api.requests) == before
    if caught.value.code == "already-applied":
        with contextlib.suppress(Refused):  # of what is left beside it
            assert check_file(scene, reviewed).empty
    else:
        with pytest.raises(Refused):
            check_file(scene, reviewed)
    return f"{caught.value.code}: {caught.value.message}"


def _stop(scene: Scene, reviewed: dict[str, Any], *, after: str) -> None:
    """Ends a run of the plan file at the first journal write after a request."""
    for at in range(1, 200):
        scene.death = Death(at)
        with contextlib.suppress(Killed):
            apply_file(scene, reviewed)
        scene.death = None
        if any(str(entry.state) == after for entry in scene.state.entries.values()):
            return
    raise AssertionError(after)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two items as they were made."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    _declare(scene, _item("a", "A"), _item("b", "B"))
    scene.apply()
    return scene


# --- money -------------------------------------------------------------------------------------------------


def test_a_submit_is_repeated_once_however_often_the_file_is_applied(tmp_path: Path) -> None:
    """`--resubmit-unknown` was reviewed for one more submit; the answer to that one is lost as well."""
    scene = Scene(tmp_path, FakeApi(duration=30, request_ids="ignore", auto_save=False, names_request=False))
    _declare(scene, _item("w", "W"))
    scene.apply()
    _declare(scene, _item("w", "W"), _item("a", "A"))
    for number in range(2, 9):
        scene.api.fault(on("submit", number), "reset")
    scene.apply()
    reviewed = review(scene, resubmit_unknown=True)
    assert reviewed["summary"]["credits"] == 4
    before = scene.api.credits
    for _ in range(4):
        assert results(apply_file(scene, reviewed)) == {"a": "unknown"}
    assert scene.api.credits == before + 4


def test_what_was_sent_again_under_its_own_id_is_done(tmp_path: Path) -> None:
    """The record says the first attempt, as the server took its id once more; applied again, the file has done it all."""
    scene = Scene(tmp_path, FakeApi(duration=30, request_ids="ignore", auto_save=False))
    _declare(scene, _item("w", "W"))
    scene.apply()
    _declare(scene, _item("w", "W"), _item("a", "A"))
    scene.api.fault(on("submit", 2), "reset")
    scene.apply()
    reviewed = review(scene, resubmit_unknown=True)
    assert results(apply_file(scene, reviewed)) == {"a": "done"}
    assert scene.record("a").attempt == 1
    with pytest.raises(Refused) as caught:
        apply_file(scene, reviewed)
    assert caught.value.code == "already-applied"


@pytest.mark.parametrize("approved", [0, 7])
def test_approved_credits_bind_a_plan_file(scene: Scene, approved: int) -> None:
    """Without a budget too."""
    _declare(scene, _item("a", "A2"), _item("b", "B2"))
    reviewed = review(scene)
    before = scene.api.credits
    with pytest.raises(Refused) as caught:
        apply_file(scene, reviewed, Approval(credits=approved))
    assert (caught.value.code, f"it costs 8 credits, and {approved} were approved" in caught.value.message) == (
        "approved-credits",
        True,
    )
    assert caught.value.hint == "if that is meant: `--approve-credits 8`"
    assert scene.api.credits == before
    assert results(apply_file(scene, reviewed, Approval(credits=8))) == {"a": "done", "b": "done"}


def test_approved_credits_bind_an_apply_below_its_budget(tmp_path: Path) -> None:
    """What a person approves is a limit, and never only an exception to another one."""
    scene = Scene(tmp_path, FakeApi(duration=30), extra="budget: {credits_per_apply: 100}")
    _declare(scene, _item("a", "A"), _item("b", "B"))
    with pytest.raises(Refused) as caught:
        scene.apply(approval=Approval(credits=4))
    assert caught.value.code == "approved-credits"
    assert scene.api.credits == 0
    scene.apply(approval=Approval(credits=8))
    assert scene.api.credits == 8


def test_a_check_says_what_an_apply_would_refuse(tmp_path: Path, invoke: Run) -> None:
    """As `plan` does, in words and as JSON, and with its exit code."""
    scene = Scene(tmp_path, FakeApi(duration=30))
    _declare(scene, _item("a", "A"))
    assert invoke("plan", "--out", "plan.json", cwd=tmp_path).code == 0
    scene.edit("contentops.yaml", "project: acme-blog", "project: acme-blog\nbudget: {credits_per_apply: 1}")
    ended = invoke("plan", "--check", "plan.json", cwd=tmp_path)
    cost = "it costs 4 credits; `budget.credits_per_apply` is 1"
    assert ended.code == 0
    assert ended.stdout.splitlines() == [
        "The plan still holds: 1 change, 4 credits.",
        f"apply would refuse: {cost} (to go on all the same: `--approve-credits 4`)",
    ]
    (refusal,) = invoke("plan", "--check", "plan.json", "--json", cwd=tmp_path).json["refusals"]
    assert (refusal["guard"], refusal["flag"]) == ("budget-credits", "--approve-credits 4")


# --- done, or not ------------------------------------------------------------------------------------------


def test_an_item_that_lost_its_tag_is_applied_all_the_same(scene: Scene) -> None:
    """The file names its items; what chose them is not asked again."""
    _declare(scene, _item("a", "A2", "tags: [hot]"), _item("b", "B2", "tags: [hot]"), _item("c", "C"))
    reviewed = review(scene, select=("tag:hot",))
    _declare(scene, _item("a", "A2"), _item("b", "B2", "tags: [hot]"), _item("c", "C"))
    plan = what_is_left(scene, reviewed)
    assert [change.id for change in plan.changes] == ["a", "b"]
    assert "left alone, as the plan file does not name them: 1 of today's changes" in [
        one.message for one in plan.notes
    ]
    assert results(apply_file(scene, reviewed)) == {"a": "done", "b": "done"}


@pytest.mark.parametrize(
    ("today", "why"),
    [
        ((), "`a`: no manifest declares it any more"),
        ((_item("a", "A2", "protected: true"),), "`a`: it is protected now"),
        ((_item("a", "A2", "protected: true", "output: out/x.md"),), "`a`: it is protected now"),
        ((_item("a", "A2", "output: out/x.md"),), "`a`: it would move"),
        ((_item("a", "A"),), "`a`: its request is another one now"),
    ],
    ids=["gone", "protected", "protected and moved", "moved", "taken back"],
)
def test_what_no_one_will_do_is_not_done(scene: Scene, today: tuple[str, ...], why: str) -> None:
    """That today's plan has nothing to say of an item does not mean that it is as it was reviewed."""
    _declare(scene, _item("a", "A2"), _item("b", "B2"))
    reviewed = review(scene, select=("a",))
    _declare(scene, *today, _item("b", "B2"))
    assert _say(scene, reviewed).startswith(f"stale-plan: the plan is stale: {why}")


def test_a_replaced_item_that_is_gone_is_told_like_any_other(scene: Scene) -> None:
    """The file has `--replace` for it; no one typed that now."""
    reviewed = review(scene, replace=("a",))
    _declare(scene, _item("b", "B"))
    assert "`a`: no manifest declares it any more" in _say(scene, reviewed)


@pytest.mark.parametrize("again", [_item("a", "A"), _item("a", "A2")], ids=["as it was", "as another"])
def test_what_is_declared_again_is_not_removed(scene: Scene, again: str) -> None:
    """And whoever reviewed its removal hears of it."""
    _declare(scene, _item("b", "B"))
    reviewed = review(scene, prune=True)
    assert [change["action"] for change in reviewed["changes"]] == ["remove"]
    _declare(scene, again, _item("b", "B"))
    assert "`a`: a manifest declares it again" in _say(scene, reviewed)


def test_what_another_apply_did_is_done(scene: Scene) -> None:
    """All of it: nothing is left; a part: the rest is applied."""
    _declare(scene, _item("a", "A2", "metadata: {k: v}"), _item("b", "B2"))
    reviewed = review(scene)
    scene.apply(select=("a",))
    assert results(apply_file(scene, reviewed)) == {"b": "done"}
    assert _say(scene, reviewed).startswith("already-applied")


def test_an_edit_after_the_apply_is_left_alone(scene: Scene) -> None:
    """The plan is done with the item, so its words are not told to the server unreviewed."""
    _declare(scene, _item("a", "A2"), _item("b", "B"))
    reviewed = review(scene)
    apply_file(scene, reviewed)
    scene.edit("out/a.md", "Closing", WORDS)
    assert scene.actions() == {"a": "save"}
    assert _say(scene, reviewed).startswith("already-applied")
    assert not any(WORDS in content.body for content in scene.api.contents.values())


def test_done_items_are_counted_beside_what_is_left(scene: Scene) -> None:
    """One is edited after it was applied, the other one was not reached."""
    _declare(scene, _item("a", "A2"), _item("b", "B2"))
    reviewed = review(scene)
    scene.api.fault(on("submit", 4), 402)
    assert results(apply_file(scene, reviewed)) == {"a": "done", "b": "pending"}
    scene.edit("out/a.md", "Closing", WORDS)
    plan = what_is_left(scene, reviewed)
    assert [change.id for change in plan.changes] == ["b"]
    assert "left alone, as the plan is done with them: 1 of today's changes" in [one.message for one in plan.notes]


def test_a_moved_item_that_was_not_generated_is_not_done(scene: Scene) -> None:
    """The move has written the plan's id into the record; the submit is still to come."""
    _declare(scene, _item("a", "A2", "output: out/x/a.md"), _item("b", "B2"))
    reviewed = review(scene)
    scene.api.fault(on("submit", 3), 402)
    assert "pending" in results(apply_file(scene, reviewed)).values()
    assert set(results(apply_file(scene, reviewed)).values()) == {"done"}
    assert _say(scene, reviewed).startswith("already-applied")
    assert scene.api.credits == 16
    assert scene.plan().empty


def test_a_job_that_fails_holds_up_no_one_else(scene: Scene) -> None:
    """An item whose requests this very plan saw fail is told as held back, run for run."""
    scene.api.habits.fails = lambda inputs: "boom" if inputs.get("topic") == "A2" else ""
    _declare(scene, _item("a", "A2"), _item("b", "B2"), _item("c", "C"))
    reviewed = review(scene)
    for number in (5, 7):
        scene.api.fault(on("submit", number), 402)
    ends = [results(apply_file(scene, reviewed)) for _ in range(3)]
    assert ends == [
        {"a": "failed", "b": "done", "c": "pending"},
        {"a": "failed", "c": "pending"},
        {"a": "blocked", "c": "done"},
    ]
    assert results(apply_file(scene, reviewed)) == {"a": "blocked"}


def test_a_replacement_that_fails_is_not_tried_for_ever(scene: Scene) -> None:
    """`--replace` stands in the file, and goes past what is known of failures; the file does not."""
    scene.api.habits.fails = lambda _: "boom"
    reviewed = review(scene, replace=("a",))
    ends = [results(apply_file(scene, reviewed)) for _ in range(5)]
    assert ends == [{"a": "failed"}] * 2 + [{"a": "blocked"}] * 3


# --- words -------------------------------------------------------------------------------------------------


def test_an_edit_after_the_submit_is_not_overwritten(scene: Scene) -> None:
    """`--on-edit overwrite` was said of the file as it was; then no one had edited it."""
    _declare(scene, _item("a", "A2"), _item("b", "B2"))
    reviewed = review(scene, on_edit=OnEdit.OVERWRITE)
    _stop(scene, reviewed, after="running")
    scene.edit("out/a.md", "Closing", WORDS)
    assert "`a`: `out/a.md` has changed since" in _say(scene, reviewed)
    assert WORDS in scene.read("out/a.md")


def test_an_edit_of_what_a_killed_run_wrote_is_not_saved(tmp_path: Path) -> None:
    """The text is in the file, its save is still to come, and a person was quicker."""
    scene = Scene(tmp_path, FakeApi(duration=30, auto_save=False))
    _declare(scene, _item("a", "A"))
    reviewed = review(scene)
    scene.api.fault(on("save", 1), "kill")
    with contextlib.suppress(Killed):
        apply_file(scene, reviewed)
    scene.edit("out/a.md", "Closing", WORDS)
    assert "`a`: `out/a.md` has changed since" in _say(scene, reviewed)


# --- front matter ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "keys"),
    [
        ("{draft: NOT reviewed}", "`draft`"),
        ("{draft: reviewed, layout: wide}", "`layout`"),
        ("{draft: reviewed, title: Other}", "`title`"),
        ("{}", "`draft`"),
        ("{draft: false, canonical_url: x, title: Y}", "`canonical_url`, `draft`, `title`"),
    ],
)
def test_front_matter_no_one_reviewed_is_not_written(scene: Scene, metadata: str, keys: str) -> None:
    """Whether an item is updated or new."""
    _declare(scene, _item("a", "A", "metadata: {draft: reviewed}"), _item("b", "B"))
    updated = review(scene)
    _declare(scene, _item("a", "A"), _item("b", "B"), _item("c", "C", "metadata: {draft: reviewed}"))
    created = review(scene)
    _declare(scene, _item("a", "A", f"metadata: {metadata}"), _item("b", "B"))
    assert f"`a`: its front matter is another one now: {keys}" in _say(scene, updated)
    _declare(scene, _item("a", "A"), _item("b", "B"), _item("c", "C", f"metadata: {metadata}"))
    assert f"`c`: its front matter is another one now: {keys}" in _say(scene, created)


def test_a_title_that_is_not_stated_any_more_is_another_one(scene: Scene) -> None:
    """The text's own title would be written."""
    _declare(scene, _item("a", "A"), _item("b", "B"), _item("c", "C", "metadata: {title: Reviewed}"))
    reviewed = review(scene)
    _declare(scene, _item("a", "A"), _item("b", "B"), _item("c", "C"))
    assert "`c`: its front matter is another one now: `title`" in _say(scene, reviewed)


def test_front_matter_that_another_apply_wrote_otherwise_is_told(scene: Scene) -> None:
    """Today's plan has nothing to do for the item, and it is not as reviewed."""
    _declare(scene, _item("a", "A", "metadata: {k: reviewed}"), _item("b", "B"))
    reviewed = review(scene)
    _declare(scene, _item("a", "A", "metadata: {k: other}"), _item("b", "B"))
    scene.apply()
    assert "`a`: its front matter is another one now: `k`" in _say(scene, reviewed)


# --- targets -----------------------------------------------------------------------------------------------


def test_a_target_that_only_an_unnamed_item_would_free_is_not_free(scene: Scene) -> None:
    """Both move in today's plan, but only one of them was reviewed."""
    _declare(scene, _item("a", "A", "output: out/b2.md"), _item("b", "B"))
    reviewed = review(scene)
    _declare(scene, _item("a", "A"), _item("b", "B", "output: out/b2.md"))
    scene.apply()
    _declare(scene, _item("a", "A", "output: out/b2.md"), _item("b", "B"))
    assert "`a`: it is blocked now: `out/b2.md` exists" in _say(scene, reviewed)


# --- the last line of defence ------------------------------------------------------------------------------


def _again(change: Change, **fields: Any) -> Change:
    """The change with another submit."""
    steps = tuple(structs.replace(step, **fields) if isinstance(step, Submit) else step for step in change.steps)
    return structs.replace(change, steps=steps)


def _elsewhere(change: Change) -> Change:
    assert change.spec is not None
    return structs.replace(change, spec=structs.replace(change.spec, output="out/b.md"))


def _more(change: Change) -> Change:
    return structs.replace(change, steps=(Drain(entry=an_entry(a_spec())), *change.steps))


@pytest.mark.parametrize(
    ("today", "why"),
    [
        (lambda change: change, ""),
        (lambda change: _again(change, credits=5), "it costs 5 credits now, not 4"),
        (lambda change: _again(change, credits=3), ""),
        (lambda change: _again(change, attempt=3), "it would be submitted once more; see `contentops state resolve a`"),
        (_elsewhere, "it would write another file, which the plan does not say"),
        (_more, "it would drain, which the plan does not say"),
    ],
    ids=["same", "dearer", "cheaper", "again", "elsewhere", "more"],
)
def test_more_than_was_reviewed_is_refused_whatever_brought_it_about(
    today: Callable[[Change], Change], why: str
) -> None:
    """Price, number of the submit, target and steps are each held against the file."""
    spec = a_spec()
    file = a_file(spec.output)
    sides = [spec], [a_record(spec)], [file]
    plan = plan_of(*sides, replace=("a",))
    item = ReviewedItem(
        inputs=a_situation(*sides, replace=("a",)),
        plan_id="p",
        reviewed=plan_file(plan_document(plan)).changes[0],
        spec=spec,
        record=a_record(spec),
        change=today(plan.changes[0]),
    )
    assert difference(item) == why
