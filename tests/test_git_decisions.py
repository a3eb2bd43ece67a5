"""`contentops commit`: what somebody did on the branch to results that came from here stays done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.test_git_commit import Machine, World, make_world, manifest
from tests.test_git_results import content, paths, subjects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

EDITED = "## A better heading"


@pytest.fixture
def world(project: Build, invoke: Run, tmp_path: Path) -> World:
    """A remote whose main branch declares three items, and no results yet."""
    return make_world(project, invoke, tmp_path)


@pytest.fixture(params=["stays", "killed"])
def first(world: World, request: pytest.FixtureRequest) -> Machine:
    """A machine whose results are at the remote, while its branch stands where it stood before the push."""
    machine = world.clone("first")
    machine.apply()
    if request.param == "stays":
        machine.git("commit", "--quiet", "--allow-empty", "--message=Work in progress")
        machine.commit()
        return machine
    # On top of what another pushed, and stopped right after the push.
    other(world, "other", "README.md", "hello")
    machine.commit("--no-push")
    machine.commit()
    machine.git("reset", "--quiet", "--hard", "HEAD@{1}")
    return machine


def other(world: World, name: str, path: str, text: str, old: str = "") -> Machine:
    """Another machine that has pushed a file, or (with `old`) an edit of one."""
    machine = world.clone(name)
    machine.edit(path, old, text) if old else machine.write(path, text)
    machine.git("add", path)
    machine.git("commit", "--quiet", f"--message={path}")
    machine.git("push", "--quiet")
    return machine


def reverted(world: World) -> Machine:
    """Another machine that has reverted the results, with git."""
    machine = world.clone("reverter")
    machine.git("revert", "--no-edit", "HEAD")
    machine.git("push", "--quiet")
    return machine


def test_a_revert_stands(world: World, first: Machine) -> None:
    """Nothing is new here, so the results do not come back, however often it is run."""
    reverted(world)
    tip = world.tip()
    for _ in range(2):
        assert first.commit().stdout == "Nothing to commit: lock and outputs are as committed.\n"
    assert world.tip() == tip
    assert "out/one.md" not in paths(world)


def test_what_stays_as_it_is_there_is_named(world: World, first: Machine) -> None:
    """Somebody may wonder where a text went."""
    reverted(world)
    found = first.commit("--json")
    assert found.json["overtaken"] == ["out/one.md", "out/three.md", "out/two.md"]


def test_a_removed_item_stays_removed(world: World, first: Machine) -> None:
    """Another machine pruned it: neither its record nor its file comes back."""
    second = world.clone("second")
    second.write("content/blog.yaml", manifest("two", "three"))
    second.git("commit", "--quiet", "--all", "--message=Without one")
    second.git("push", "--quiet")
    second.apply("--prune")
    second.commit()
    first.commit()
    assert "out/one.md" not in paths(world)
    assert '"id":"one"' not in content(world, "contentops.lock")
    assert world.clone("third").changes() == []


def test_an_edit_stands_and_is_in_nobodys_way(world: World, first: Machine) -> None:
    """The next results go to the branch itself, and the older text is not offered to anybody."""
    other(world, "second", "out/one.md", EDITED, old="## Introduction")
    first.commit()
    first.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    first.apply()
    found = first.commit("--json").json
    assert (found["branch"], found["why"]) == ("main", "")
    assert EDITED in content(world, "out/one.md")
    assert content(world, "out/two.md") == (first.root / "out/two.md").read_text("utf-8")
    assert world.branches() == ["main"]


def test_a_newer_text_of_a_reverted_one_is_offered(world: World, first: Machine) -> None:
    """Somebody did not want the first: whether the second is wanted is not decided here."""
    reverted(world)
    first.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    first.apply()
    found = first.commit("--json").json
    assert "others changed the same files: `out/two.md`" in found["why"]
    assert "out/two.md" not in paths(world)


def test_a_message_tells_of_what_is_new(world: World, first: Machine) -> None:
    """What was pushed before is not counted again."""
    first.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    first.apply()
    first.commit()
    assert subjects(world)[0] in {"content: 1 rewritten", "content: 3 created"}
    assert content(world, "out/two.md") == (first.root / "out/two.md").read_text("utf-8")


def behind(world: World) -> Machine:
    """A machine with a commit of a person below its pushed results."""
    machine = world.clone("behind")
    machine.apply()
    machine.git("commit", "--quiet", "--allow-empty", "--message=Work in progress")
    machine.commit()
    return machine


def test_what_was_taken_off_by_force_stays_off(world: World) -> None:
    """Also where the clone could not follow its own push, so that its history knows nothing of it."""
    innocent = world.tip()
    machine = behind(world)
    world.clone("second").git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    assert machine.commit().stdout.startswith("Nothing to commit")
    assert world.tip() == innocent


def test_what_was_taken_off_by_force_stays_off_after_a_merge(world: World) -> None:
    """The next pull keeps the dropped commits here, below a merge: they are no news for all that."""
    innocent = world.tip()
    machine = world.clone("machine")
    machine.apply()
    machine.commit()
    second = world.clone("second")
    second.git("reset", "--quiet", "--hard", innocent)
    second.write("README.md", "hello")
    second.git("add", "README.md")
    second.git("commit", "--quiet", "--message=README.md")
    second.git("push", "--quiet", "--force")
    machine.git("pull", "--quiet", "--no-rebase", "--no-edit")
    tip = world.tip()
    assert machine.commit("--json").json["overtaken"] == ["out/one.md", "out/three.md", "out/two.md"]
    assert world.tip() == tip
    machine.write("content/more.yaml", manifest("alpha"))
    machine.apply("--select", "alpha")
    machine.commit()
    assert {"out/alpha.md", "README.md"} < set(paths(world))
    assert "out/one.md" not in paths(world)
    assert '"id":"one"' not in content(world, "contentops.lock")


def test_what_was_taken_off_here_as_well_is_new(world: World) -> None:
    """Whoever sets the clone back too, and makes the texts again, wants them pushed."""
    innocent = world.tip()
    machine = behind(world)
    world.clone("second").git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    machine.git("fetch", "--quiet")
    machine.git("reset", "--quiet", "--hard", "origin/main")
    machine.apply()
    machine.commit()
    assert "out/one.md" in paths(world)


def test_each_message_tells_of_its_own(world: World) -> None:
    """Behind its remote, a clone still knows what it has told of."""
    machine = behind(world)
    machine.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    machine.apply()
    machine.commit()
    assert subjects(world) == ["content: 1 rewritten", "content: 3 created", "Three articles"]


def test_what_is_as_it_was_goes_out_again(world: World) -> None:
    """Behind its remote, what a clone made and took back since leaves nothing behind there."""
    machine = behind(world)
    manifests = manifest("one", "two", "three")
    machine.write("content/blog.yaml", manifests.replace("id: one\n", "id: one\n    output: moved/one.md\n"))
    machine.write("content/more.yaml", manifest("alpha"))
    machine.apply()
    machine.commit()
    assert {"moved/one.md", "out/alpha.md"} < set(paths(world))
    machine.write("content/blog.yaml", manifests)
    (machine.root / "content/more.yaml").unlink()
    machine.apply("--prune")
    machine.commit()
    assert [path for path in paths(world) if path.endswith(".md")] == ["out/one.md", "out/three.md", "out/two.md"]
    assert '"id":"alpha"' not in content(world, "contentops.lock")
    assert content(world, "contentops.lock") == (machine.root / "contentops.lock").read_text("utf-8")


def test_no_mark_is_left_once_the_clone_follows(world: World) -> None:
    """The refs are there for as long as they are needed."""
    machine = behind(world)
    marks = machine.git("for-each-ref", "--format=%(refname)", "refs/contentops").split()
    assert [mark.split("/")[2] for mark in marks] == ["here", "there"]
    machine.git("pull", "--quiet", "--rebase")
    machine.git("push", "--quiet")
    machine.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    machine.apply()
    other(world, "second", "README.md", "hello")
    machine.commit()
    assert machine.git("for-each-ref", "refs/contentops") == ""


def test_an_offer_that_was_merged_and_edited(world: World) -> None:
    """The texts came by another way, and were changed there: they are not offered again."""
    machine = world.clone("machine")
    machine.git("commit", "--quiet", "--allow-empty", "--message=Work in progress")
    machine.apply()
    world.hook("update", '[ "$1" != refs/heads/main ]')
    machine.commit()
    (world.remote / "hooks/update").unlink()
    (name,) = (one for one in world.branches() if one != "main")
    second = world.clone("second")
    second.git("merge", "--quiet", "--no-ff", "--message=Merge the results", f"origin/{name}")
    second.edit("out/one.md", "## Introduction", EDITED)
    second.git("commit", "--quiet", "--all", "--message=A better heading")
    second.git("push", "--quiet", "origin", "main", f":{name}")
    assert machine.commit().stdout.startswith("Nothing to commit")
    assert machine.commit("--check-waiting").code == 0
    assert world.branches() == ["main"]
    assert EDITED in content(world, "out/one.md")


def test_a_clone_that_can_not_move_its_branch_keeps_its_tree(world: World) -> None:
    """A ref that is locked: what others pushed does not stay behind as if a person had staged it."""
    machine = world.clone("machine")
    machine.apply()
    machine.commit("--no-push")
    other(world, "second", "README.md", "hello")
    lock = machine.root / ".git/refs/heads/main.lock"
    lock.touch()
    ended = machine.commit()
    assert "note: `main` is left as it is here" in ended.stderr
    assert machine.git("status", "--porcelain") == ""
    assert not (machine.root / "README.md").exists()
    lock.unlink()
    machine.commit()
    assert machine.git("rev-parse", "HEAD").strip() == world.tip()
