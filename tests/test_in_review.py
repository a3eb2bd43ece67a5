"""What the plan of a pull request says of the texts that its approval approves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.model import ApprovalState, ItemId, TextInReview
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import plan_markdown
from tests.merges import Desk, make_drafts
from tests.plans import make_plan, plan_document, sealed
from tests.running import Run  # noqa: TC001 - pytest reads annotations of fixtures
from tests.test_approving import decide, stages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clones import Machine
    from tests.fakes.github import FakeGitHub


def in_review(number: int) -> tuple[TextInReview, ...]:
    """So many texts, with names that try to be more."""
    return tuple(TextInReview(id=ItemId(f"`*{n}*` @all"), output=f"out/{n}|<b>.md") for n in range(number))


@pytest.fixture
def checkout(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, hub: FakeGitHub) -> Machine:
    """The merge that a runner checks out for a pull request, which edits two texts that wait for approval."""
    desk = Desk(make_drafts(invoke, tmp_path, tmp_path_factory), hub, invoke)

    def change(author: Machine) -> None:
        for item in ("one", "two"):
            author.edit(f"out/{item}.md", "## Introduction", "## A start")
        author.edit("out/three.md", "draft: true", "draft: true\nlayout: wide")
        author.write("notes.md", "no text")

    desk.propose(7, change)
    runner = desk.runner()
    runner.git("fetch", "--quiet", "origin", "refs/pull/7/head")
    runner.git("merge", "--quiet", "--no-ff", "--message=Merge", "FETCH_HEAD")
    return runner


def plan(machine: Machine, invoke: Run, *arguments: str, **env: str) -> list[str]:
    """The ids of the texts in review, by the plan of the pull request."""
    ended = invoke("plan", "--json", *arguments, cwd=machine.root, env={"GITHUB_BASE_REF": "main", **env})
    assert ended.code == 0, ended.stderr
    return [one["id"] for one in ended.json.get("approves", [])]


def test_the_texts_that_a_pull_request_changes(checkout: Machine, invoke: Run) -> None:
    """Named in its plan and its comment; not those whose front matter alone changes, or that are approved or unselected."""
    assert plan(checkout, invoke) == ["one", "two"]
    assert plan(checkout, invoke, GITHUB_BASE_REF="") == []
    assert plan(checkout, invoke, "--exclude", "two") == ["one"]
    page = invoke("plan", "--format", "markdown", cwd=checkout.root, env={"GITHUB_BASE_REF": "main"}).stdout
    assert "**Approving this pull request approves 2 texts:**\n\n- `one` in `out/one.md`\n- `two`" in page
    assert plan(checkout, invoke, "--replace", "two", "--on-edit", "overwrite") == ["one"]
    checkout.git("config", "user.name", "Reader")
    checkout.git("config", "user.email", "reader@example.com")
    assert invoke("approve", "one", cwd=checkout.root).code == 0
    assert plan(checkout, invoke) == ["two"]


def test_a_merge_request_of_gitlab(checkout: Machine, invoke: Run) -> None:
    """Is compared with the commit that GitLab names; with one that is not here, nothing is said."""
    base = checkout.git("rev-parse", "HEAD^1").strip()
    for named, ids in ((base, ["one", "two"]), ("0" * 39 + "1", [])):
        assert plan(checkout, invoke, GITHUB_BASE_REF="", CI_MERGE_REQUEST_DIFF_BASE_SHA=named) == ids


def test_a_text_that_waits_to_be_promoted(tmp_path: Path) -> None:
    """It is in the environment that texts are taken from; the plan of the one that takes them names it."""
    staging, prod = stages(tmp_path, "a", "b")
    in_review = frozenset({"staging/a.md"})
    assert staging.plan(in_review=in_review).approves == ()
    assert prod.plan(in_review=in_review).approves == (TextInReview(id=ItemId("a"), output="staging/a.md"),)
    decide(staging, "a")
    assert prod.plan(in_review=in_review).approves == ()


def test_the_plan_file_keeps_them() -> None:
    """Read back, the comment says the same; a plan of no pull request has no such key."""
    made = make_plan(approvals={ApprovalState.WAITING: 2}, approves=in_review(2))
    document = sealed(plan_document(made))
    assert plan_of(document).approves == made.approves
    assert plan_markdown(plan_of(document)) == plan_markdown(made)
    assert "approves" not in plan_document(make_plan())


def test_the_comment_names_twenty() -> None:
    """And counts the others; whatever a name says is code."""
    page = plan_markdown(make_plan(approves=in_review(23)))
    assert "**Approving this pull request approves 23 texts:**" in page
    assert "- `` `*0*` @all `` in `out/0|<b>.md`\n" in page
    assert (page.count(" in `out/"), "\n- and 3 more\n" in page) == (20, True)
