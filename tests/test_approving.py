"""Approvals end to end: draft marks, disclosure, promotion of approved texts, and what binds an approval to a text."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from contentops.documents.front_matter import split
from contentops.errors import ContentopsError, InputError, Refused, UsageError
from contentops.model import ApprovalState, ItemId, Verdict
from contentops.operations import plan as plan_operation
from contentops.operations.texts.approving import Decided, Decision, decide_texts
from contentops.planning.plan_inputs import Choice
from contentops.state.approvals import FILE
from tests.fakes.harness import Harness, blog, results
from tests.test_promote import Room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REQUIRED = "approval: required"


def in_git(root: Path, name: str = "Kim Reader", email: str = "kim@example.test") -> None:
    """Make `root` a repository in which git knows who works."""
    if not (root / ".git").exists():
        subprocess.run(["git", "init", "-q", str(root)], check=True)
    for key, value in (("user.name", name), ("user.email", email)):
        subprocess.run(["git", "-C", str(root), "config", key, value], check=True)


def commit(root: Path) -> None:
    """Commit all that is there."""
    subprocess.run(["git", "-C", str(root), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(root), "commit", "-q", "-m", "results"], check=True)


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
    decision = Decision(verdict=verdict, note=note or ("no" if verdict is Verdict.SENT_BACK else ""), **more)
    return decide_texts(harness.project, Choice(select=ids), decision, runtime=harness.runtime())


def front(harness: Harness, item: str = "one") -> dict[str, Any]:
    """The front matter of an item's file, without our block."""
    return dict(split(harness.read(f"out/{item}.md")).front.items())


def states(harness: Harness, *select: str) -> dict[str, str]:
    """The approval of each item, by `status`."""
    items, _ = plan_operation.status(harness.project, Choice(select=select), runtime=harness.runtime())
    return {item.id: str(item.approval) for item in items}


def test_a_text_is_a_draft_until_it_is_approved(tmp_path: Path) -> None:
    """The mark comes with the text, goes with the approval for nothing, and comes back with one changed letter."""
    harness = with_approval(tmp_path)
    assert front(harness)["draft"] is True
    assert harness.plan().empty
    assert states(harness) == {"one": "waiting"}
    assert harness.plan().approvals == {ApprovalState.WAITING: 1}
    calls = len(harness.api.requests)
    decided = decide(harness, "one")
    assert len(harness.api.requests) == calls
    assert [line.item for line in decided.lines] == ["one"]
    assert "draft" not in front(harness)
    assert states(harness) == {"one": "approved"}
    assert harness.plan().empty
    harness.edit("out/one.md", "All", "Al")
    assert states(harness) == {"one": "changed"}
    (change,) = harness.plan().changes
    assert (change.approval, change.credits, change.front) == (ApprovalState.CHANGED, 0, {"draft": True})
    harness.apply()
    assert front(harness)["draft"] is True
