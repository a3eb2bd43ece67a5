"""What is paid is what was reviewed: `plan --check` asks about the whole tree, `apply --reviewed` has a ceiling."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import Refused
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.reviewing import apply_within, check_file, review
from tests.running import Build, Run

MANY = tuple(f"item-{number:02}" for number in range(25))
META = "    metadata: {tag: new}\n"


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """One item, nothing made yet."""
    return Harness(tmp_path, FakeApi(duration=30)).declared("a")


def refused(harness: Harness, ceiling: Mapping[str, Any], **choice: Any) -> str:
    """How an apply within a ceiling is refused; nothing is sent."""
    before = len(harness.api.requests)
    with pytest.raises(Refused) as caught:
        apply_within(harness, ceiling, **choice)
    assert (len(harness.api.requests), caught.value.code, caught.value.exit_code) == (before, "unreviewed", 4)
    return caught.value.message


def unchecked(harness: Harness, reviewed: Mapping[str, Any]) -> str:
    """How a check is refused for what was not reviewed."""
    with pytest.raises(Refused) as caught:
        check_file(harness, reviewed)
    assert (caught.value.code, caught.value.exit_code) == ("unreviewed", 4)
    return caught.value.message


@pytest.mark.parametrize("refuse", [refused, unchecked])
@pytest.mark.parametrize("manifest", [blog("a"), "items: []\n"], ids=["another item", "nothing at all"])
def test_items_that_another_merge_brings(
    harness: Harness, refuse: Callable[[Harness, Mapping[str, Any]], str], manifest: str
) -> None:
    """Reviewed was one item, or none; what stands there now costs 100 credits more."""
    harness.write("content/blog.yaml", manifest)
    reviewed = review(harness)
    harness.write("content/more.yaml", blog(*MANY))
    found = refuse(harness, reviewed)
    assert "25 changes are not in the reviewed plan, for 100 credits" in found
    assert "`item-00`: create for 4 credits, which is not in it" in found
    assert "and 5 more" in found


@pytest.mark.parametrize(("made", "reviewed", "today", "why"), [
    ("", blog("a"), blog("a", year=2027), "its request has changed"),
    ("", blog("a"), blog("a").replace("inputs:", "mode: premium\n    inputs:"), "it costs 5 credits now, not 4"),
    (blog("a"), blog("a") + META, blog("a", year=2027) + META, "it would submit, which is not in the plan"),
    (blog("a", "z"), blog("a", "z"), blog("z"), "remove, which is not in it"),
], ids=["another request", "dearer", "free before", "removed"])  # fmt: skip
def test_what_goes_beyond_the_review_of_an_item(
    harness: Harness, made: str, reviewed: str, today: str, why: str
) -> None:
    """Whatever the flags of the apply are."""
    if made:
        harness.write("content/blog.yaml", made)
        harness.apply()
    harness.write("content/blog.yaml", reviewed)
    document = review(harness)
    harness.write("content/blog.yaml", today)
    assert f"`a`: {why}" in refused(harness, document, prune=True)


def test_what_was_reviewed_or_less_is_applied_and_asked_for_again(harness: Harness) -> None:
    """An item that is made or gone by now is fine; the second run of the same ceiling has nothing to do."""
    harness.write("content/blog.yaml", blog("a", "b", "c"))
    reviewed = review(harness)
    harness.apply(select=("a",))
    harness.write("content/blog.yaml", blog("a", "b"))
    assert results(apply_within(harness, reviewed)) == {"b": "done"}
    assert apply_within(harness, reviewed) is None
    assert harness.api.credits == 8


# --- the command line ------------------------------------------------------------------------------------------

SITE = {
    "contentops.yaml": "version: 1\nproject: x\napi: {base_url: 'https://api.example.test/v1'}\n",
    "content/a.yaml": (
        "defaults: {template: blog_article_generator, style: general_blog}\n"
        "items: [{id: a, inputs: {topic: T, target_audience: readers}}]\n"
    ),
}
MORE = "items: [{id: b, template: x, style: y, inputs: {topic: T}}]\n"


def test_a_check_says_what_an_apply_would_refuse(project: Build, invoke: Run) -> None:
    """As `plan` does, in words and as JSON, and with its exit code; it prices the tree, and not the file."""
    root = project(SITE)
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    (root / "contentops.yaml").write_text(SITE["contentops.yaml"] + "budget: {credits_per_apply: 1}\n")
    ended = invoke("plan", "--check", "plan.json", cwd=root)
    cost = "it costs 4 credits; `budget.credits_per_apply` is 1, and one text costs 4"
    assert ended.code == 0
    assert ended.stdout.splitlines() == [
        "The plan is still valid: 1 change, 4 credits.",
        f"apply would refuse: {cost} (to continue anyway: `--approve-credits 4`)",
    ]
    (refusal,) = invoke("plan", "--check", "plan.json", "--json", cwd=root).json["refusals"]
    assert (refusal["guard"], refusal["flag"]) == ("budget-credits", "--approve-credits 4")
    limit = ("plan", "--check", "plan.json", "--max-credits", "4")
    (root / "contentops.yaml").write_text(SITE["contentops.yaml"])
    assert invoke(*limit, cwd=root).code == 0
    (root / "content/b.yaml").write_text(MORE)
    ended = invoke(*limit, cwd=root)
    assert (ended.code, "error[unreviewed]" in ended.stderr) == (4, True)
    (root / "contentops.yaml").write_text(SITE["contentops.yaml"] + "guards: {unreviewed: allow}\n")
    ended = invoke(*limit, cwd=root)
    assert (ended.code, "the plan costs 8 credits" in ended.stderr) == (4, True)
    assert invoke("plan", "--check", "plan.json", "--json", cwd=root).json["credits"] == 8


def test_an_apply_within_what_was_reviewed(project: Build, invoke: Run) -> None:
    """The list is told and the plan shown, with exit code 4, before there is a key to pay with."""
    root = project(SITE)
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    (root / "content/b.yaml").write_text(MORE)
    ended = invoke("apply", "--yes", "--reviewed", "plan.json", cwd=root)
    assert (ended.code, "  + b" in ended.stdout) == (4, True), ended.stdout + ended.stderr
    assert "1 change is not in the reviewed plan, for 4 credits: `b`: create for 4" in ended.stderr
    assert "`guards: {unreviewed: allow}`" in ended.stderr
    (root / "content/b.yaml").unlink()
    assert "error[no-key]" in invoke("apply", "--yes", "--reviewed", "plan.json", cwd=root).stderr


def test_a_reviewed_plan_that_is_not_there_or_was_edited(project: Build, invoke: Run) -> None:
    """The first allows nothing, the second is refused; a plan file has a review of its own."""
    root = project(SITE)
    ended = invoke("apply", "--yes", "--reviewed", "none.json", cwd=root)
    assert (ended.code, "error[unreviewed]" in ended.stderr, "does not exist" in ended.stderr) == (4, True, True)
    assert invoke("plan", "--out", "plan.json", cwd=root).code == 0
    document = json.loads((root / "plan.json").read_text())
    (root / "edited.json").write_text(json.dumps(document | {"changes": []}))
    assert "error[edited-plan]" in invoke("apply", "--yes", "--reviewed", "edited.json", cwd=root).stderr
    assert invoke("apply", "plan.json", "--reviewed", "plan.json", cwd=root).code == 64


@pytest.mark.parametrize("command", [("apply", "--yes", "--reviewed"), ("plan", "--check")])
def test_another_plan_than_the_one_that_was_shown(project: Build, invoke: Run, command: tuple[str, ...]) -> None:
    """A plan that is whole and sealed, and allows more than the one whose checksum a pull request shows."""
    root = project(SITE)
    assert invoke("plan", "--out", "shown.json", cwd=root).code == 0
    (root / "content/b.yaml").write_text(MORE)
    assert invoke("plan", "--out", "other.json", cwd=root).code == 0
    checksum = json.loads((root / "shown.json").read_text())["checksum"]
    ended = invoke(*command, f"other.json@{checksum}", cwd=root)
    assert (ended.code, "error[not-shown]: `other.json` is not the plan that was shown" in ended.stderr) == (4, True)
    assert "error[unreviewed]" in invoke(*command, f"shown.json@{checksum}", cwd=root).stderr
