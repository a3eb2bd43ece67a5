"""`commit`: new texts wait on a branch with a pull request until someone has read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clones import Machine, World, manifest
from tests.fakes.github import FakeGitHub
from tests.running import Run  # noqa: TC001 - pytest reads annotations of fixtures

if TYPE_CHECKING:
    from collections.abc import Mapping

THREE = ["out/one.md", "out/three.md", "out/two.md"]


def propose(machine: Machine, hub: FakeGitHub | None = None) -> Mapping[str, object]:
    """`commit`, and what it says of itself."""
    found: Mapping[str, object] = machine.propose("--json", runner=hub.env() if hub else None).json
    return found


def merge(world: World, name: str, how: str) -> None:
    """What the button on the page of the pull request does; the branch stays."""
    person = world.clone(f"merging-{how}")
    person.git("fetch", "--quiet", "origin", name)
    person.git("merge", "--quiet", how, "FETCH_HEAD", *(["--no-edit"] if how == "--no-ff" else []))
    if how == "--squash":
        person.git("commit", "--quiet", "--message=Results")
    person.git("push", "--quiet")


def add(machine: Machine, *items: str) -> None:
    """A person declares more items here, and applies."""
    machine.write("content/more.yaml", manifest(*items))
    machine.apply()


def test_new_texts_come_by_pull_request(world: World, first: Machine) -> None:
    """It names them; the branch stays as it was, and the next apply waits for the merge. Twice is once."""
    tip = world.tip()
    with FakeGitHub() as hub:
        ended = first.propose(runner=hub.env(GITHUB_RUN_ID="77"))
        again = first.propose(runner=hub.env(GITHUB_RUN_ID="78"))
        (pull,) = hub.pulls
    (name,) = set(world.branches()) - {"main"}
    assert "Not on `main`: new texts are read before they are merged.\nPushed to `contentops-results/" in ended.stdout
    assert f"Pull request: {pull['html_url']}" in ended.stdout
    assert f"Pushed to `{name}`." in again.stdout
    assert (world.tip(), pull["head"]["label"], pull["base"]["ref"]) == (tip, f"acme:{name}", "main")
    assert "An apply has written 3 new texts." in pull["body"]
    assert "\n- `out/one.md`\n- `out/three.md`\n- `out/two.md`\n" in pull["body"]
    assert "[skip ci]" not in first.git("log", "-1", "--format=%B", world.tip(name))
    assert f"are on `{name}`" in world.clone("second").waits()


@pytest.mark.parametrize("how", ["--no-ff", "--squash"])
def test_after_a_merge_the_next_texts_have_a_pull_request_of_their_own(world: World, first: Machine, how: str) -> None:
    """Also where no one has deleted the branch of the one before."""
    with FakeGitHub() as hub:
        name = propose(first, hub)["branch"]
        assert isinstance(name, str)
        merge(world, name, how)
        hub.pulls.clear()
        runner = world.clone("runner")
        add(runner, "four")
        found = propose(runner, hub)
        (pull,) = hub.pulls
    assert (found["branch"] != name, found["texts"]) == (True, ["out/four.md"])
    assert pull["head"]["label"] == f"acme:{found['branch']}"
    assert world.tip(name) != world.tip(str(found["branch"]))


def test_more_texts_have_a_branch_of_their_own(world: World, first: Machine) -> None:
    """It has the earlier ones too, and the branch that a person edits meanwhile stays theirs."""
    with FakeGitHub() as hub:
        name = str(propose(first, hub)["branch"])
        person = world.clone("person")
        person.git("checkout", "--quiet", name)
        person.edit("out/one.md", "## Introduction", "## A person's heading")
        person.git("commit", "--quiet", "--all", "--message=Better")
        person.git("push", "--quiet")
        tip = world.tip(name)
        add(first, "four")
        later = str(propose(first, hub)["branch"])
        assert len(hub.pulls) == 2
    assert (later != name, world.tip(name)) == (True, tip)
    assert {"out/four.md", *THREE} <= set(world.paths(later))


def test_what_is_no_new_text_goes_to_the_branch(world: World, first: Machine) -> None:
    """A file that moved: no one has to read it again."""
    first.commit()
    first.edit("content/blog.yaml", "id: two\n", "id: two\n    output: out/zwei.md\n")
    first.apply()
    assert "Pushed to `main`." in first.propose().stdout
    assert "out/zwei.md" in world.paths()


def test_the_branch_itself_needs_a_push(invoke: Run) -> None:
    """Two options that exclude each other."""
    assert invoke("commit", "--direct", "--no-push").code == 64
