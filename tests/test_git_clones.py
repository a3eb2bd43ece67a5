"""Real git between clones: lock and outputs alone carry the state, and merges of them need no mending."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clones import Machine, manifest
from tests.processes import KEY, PROJECT, Served, killed
from tests.running import Build, Run


class Clone(Machine):
    """A working copy on a machine of its own."""

    def save(self, message: str) -> None:
        """Commits everything that is not ignored."""
        self.git("add", "--all")
        self.git("commit", "--message", message)

    def clone(self, name: str) -> Clone:
        """A second machine with the committed files alone."""
        self.git("clone", "--quiet", ".", f"../{name}")
        return Clone(self.root.parent / name, self._invoke)

    def pull(self, other: Clone, *, conflict: bool = False) -> None:
        """Merges what the other clone has committed."""
        said = self.git("pull", "--no-rebase", "--no-edit", str(other.root), "main", code=int(conflict))
        assert ("CONFLICT" in said) is conflict

    def without_one(self) -> Clone:
        """A person takes the first item out of the manifest, and prunes it; a clone of before."""
        second, text = self.clone("second"), (self.root / "content/blog.yaml").read_text(encoding="utf-8")
        self.write("content/blog.yaml", text.replace(text[text.index("  - id: one") : text.index("  - id: two")], ""))
        self.apply("--prune")
        self.save("Without one")
        return second

    def rename_one(self) -> None:
        """A person gives the first item another id."""
        text = (self.root / "content/blog.yaml").read_text(encoding="utf-8")
        moved = "moved: [{from: one, to: uno}]\n"
        self.write("content/blog.yaml", moved + text.replace("id: one\n", "id: uno\n"))

    def apply(self, *arguments: str) -> None:
        """Applies; has to end well."""
        ended = self._invoke("apply", "--yes", *arguments, cwd=self.root, env={"WRITERZROOM_API_KEY": KEY})
        assert ended.code == 0, ended.stdout + ended.stderr

    def plan(self) -> Any:
        """The plan as JSON."""
        ended = self._invoke("plan", "--json", cwd=self.root)
        assert ended.code == 0, ended.stdout + ended.stderr
        return ended.json

    def actions(self) -> dict[str, str]:
        """The planned action by item."""
        return {change["id"]: change["action"] for change in self.plan()["changes"]}

    def records(self) -> list[str]:
        """The ids of the lock's lines, in its order."""
        lines = (self.root / "contentops.lock").read_text(encoding="utf-8").splitlines()
        return [line.split('"id":"', 1)[1].split('"', 1)[0] for line in lines if '"id":"' in line]


@pytest.fixture
def first(project: Build, invoke: Run, served: Served, request: pytest.FixtureRequest) -> Clone:
    """A repository whose three items are applied and committed."""
    root = project(
        {
            "contentops.yaml": PROJECT.format(base_url=served.base_url, extra=""),
            "content/blog.yaml": manifest("one", "two", "three", topic=f"{{}} ({request.node.name})"),
        },
        at="first",
    )
    made = Clone(root, invoke)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.apply()
    made.save("Three articles")
    return made


def test_a_clone_plans_like_the_machine_that_applied(first: Clone) -> None:
    """Edited, missing, changed, new, moved and gone items: the same plan, byte for byte, with and without a cache."""
    second = first.clone("second")
    assert first.plan()["changes"] == []
    for clone in (first, second):
        clone.edit("out/one.md", "## Introduction", "## A person's heading")
        (clone.root / "out" / "two.md").unlink()
        clone.edit("content/blog.yaml", "topic: one ", "topic: one, again ")
        clone.edit("content/blog.yaml", "  - id: three\n", "  - id: three\n    output: out/elsewhere.md\n")
        clone.write("content/more.yaml", manifest("four"))
    assert first.plan() == second.plan()
    assert second.actions() == {"four": "create", "one": "blocked", "three": "move", "two": "restore"}


# --- going back and forth ----------------------------------------------------------------------------------


def test_an_older_commit_is_as_clean_as_it_was(first: Clone) -> None:
    """Checked out, each commit agrees with itself, on the machine with a cache and a journal of later things."""
    first.edit("content/blog.yaml", "topic: one ", "topic: one, again ")
    first.apply()
    first.save("One again")
    for commit in ("HEAD~1", "main"):
        first.git("checkout", "--quiet", commit)
        assert first.plan()["changes"] == [], commit


def test_a_pull_under_an_open_journal(first: Clone, served: Served, request: pytest.FixtureRequest) -> None:
    """An apply dies here, another machine finishes the same item and is pulled: paid once, nothing left to do."""
    first.edit("content/blog.yaml", "topic: one ", "topic: one, again ")
    first.save("Ask for another")
    second = first.clone("second")
    assert killed(first.root, '"step-done"', '"submit"')
    second.apply()
    second.save("One again")
    first.pull(second)
    assert [action for action in first.actions().values() if action != "none"] == []
    first.apply()
    # Its own order is a line of its own, if its intent is of another second and its answer was lost.
    assert (first.git("status", "--porcelain", "--", ":!contentops.jobs"), first.actions()) == ("", {})
    assert len(served.charges(f"one, again ({request.node.name})")) == 1


# --- merges ------------------------------------------------------------------------------------------------


def test_renamed_here_and_edited_there(first: Clone, served: Served) -> None:
    """A rename of the id meets an edit of the text in the same file: both survive, and nothing is paid."""
    second = first.clone("second")
    first.rename_one()
    first.apply()
    first.save("Uno")
    second.edit("out/one.md", "## Introduction", "## A person's heading")
    second.apply()
    second.save("A better heading")
    paid = served.charges()
    first.pull(second)
    assert first.plan()["summary"]["credits"] == 0
    first.apply()
    assert first.plan()["changes"] == []
    assert "## A person's heading" in (first.root / "out" / "uno.md").read_text()
    assert not (first.root / "out" / "one.md").exists()
    assert served.charges() == paid


@pytest.mark.parametrize(
    ("added", "merged"),
    [("zeta", ["three", "two", "zeta"]), ("beta", ["beta", "one", "three", "two"])],
    ids=["apart", "on neighbouring lines of the lock"],
)
def test_deleted_here_and_another_applied_there(first: Clone, added: str, merged: list[str]) -> None:
    """A pruned item stays gone; where a union brings its line back, it is a note that `--prune` answers for good."""
    second = first.without_one()
    second.write("content/other.yaml", manifest(added))
    second.apply()
    second.save("Another")
    first.pull(second)
    assert (first.records(), first.plan()["changes"]) == (merged, [])
    assert not (first.root / "out" / "one.md").exists()
    first.apply("--prune")
    assert (first.records(), first.plan()["changes"]) == (sorted({"two", "three", added}), [])


def test_deleted_here_and_generated_anew_there(first: Clone, served: Served) -> None:
    """What one side deleted and the other paid for is an orphan, told and kept, until someone prunes it."""
    second = first.without_one()
    second.edit("content/blog.yaml", "topic: one ", "topic: one, again ")
    second.apply()
    second.save("One again")
    first.pull(second, conflict=True)
    first.git("checkout", "--ours", "--", "content/blog.yaml")
    first.git("add", "out/one.md")
    first.save("Merge")
    plan = first.plan()
    assert (plan["changes"], "one" in str(plan["notes"])) == ([], True)
    assert (first.root / "out" / "one.md").exists()
    first.apply("--prune")
    assert first.records() == ["three", "two"]
    assert not (first.root / "out" / "one.md").exists()
