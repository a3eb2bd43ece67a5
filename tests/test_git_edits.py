"""`contentops commit`: what is a result and what is a person's, and paths that git will not take."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.test_git_commit import WHO, Machine, World, make_world, manifest
from tests.test_git_results import content, paths, pushed_by_another, subjects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

MINE = "## A person's heading"


@pytest.fixture
def world(project: Build, invoke: Run, tmp_path: Path) -> World:
    """A remote whose main branch declares three items, and no results yet."""
    return make_world(project, invoke, tmp_path)


@pytest.fixture
def first(world: World) -> Machine:
    """A machine that has applied and not committed."""
    machine = world.clone("first")
    machine.apply()
    return machine


# --- a person's words --------------------------------------------------------------------------------------


def test_an_edit_is_left_alone_and_named(world: World, first: Machine) -> None:
    """What no apply made is not committed as a result; the rest is, and a flag takes it along."""
    first.commit()
    first.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    first.apply()
    first.edit("out/one.md", "## Introduction", MINE)
    ended = first.commit()
    assert "warning[edited]: left alone, edited or removed by hand: `out/one.md`; `--edits`" in ended.stderr
    assert first.files() == ["contentops.lock", "out/two.md"]
    assert first.git("status", "--porcelain", "out") == " M out/one.md\n"
    found = first.commit("--edits", "--json").json
    assert found["edited"] == []
    assert first.files() == ["out/one.md"]
    assert MINE in content(world, "out/one.md")


def test_an_edit_of_a_file_that_was_never_committed(world: World, first: Machine) -> None:
    """It stays here, untracked, and is told each time."""
    first.edit("out/one.md", "## Introduction", MINE)
    for _ in range(2):
        assert first.commit("--json").json["edited"] == ["out/one.md"]
    assert "out/one.md" not in paths(world)
    assert MINE in (first.root / "out/one.md").read_text("utf-8")


def test_an_edit_that_was_saved_is_a_result(world: World, first: Machine) -> None:
    """What the server took is recorded."""
    first.commit()
    first.edit("out/one.md", "## Introduction", MINE)
    first.apply()
    assert first.commit("--json").json["edited"] == []
    assert MINE in content(world, "out/one.md")


def test_an_edit_that_an_apply_moved_goes_along(world: World, first: Machine) -> None:
    """The words were committed before: moved, and with other front matter, they are no news, and are not lost."""
    first.edit("contentops.yaml", "base_url: local", "base_url: local, save: off")
    first.edit("out/one.md", "## Introduction", MINE)
    first.commit("--edits")
    first.edit("content/blog.yaml", "id: one\n", "id: one\n    output: out/uno.md\n    metadata: {author: me}\n")
    first.apply()
    assert first.commit("--json").json["edited"] == []
    assert "out/one.md" not in paths(world)
    assert MINE in content(world, "out/uno.md")
    assert "author: me" in content(world, "out/uno.md")


def test_a_file_somebody_removed_is_left_alone(world: World, first: Machine) -> None:
    """A record still owns it: the next apply restores it, so that its absence is no result; a flag takes it along."""
    first.commit()
    (first.root / "out/one.md").unlink()
    ended = first.commit()
    assert "removed by hand: `out/one.md`" in ended.stderr
    assert "out/one.md" in paths(world)
    first.commit("--edits")
    assert "out/one.md" not in paths(world)


def test_a_file_somebody_removed_before_it_was_committed(world: World, first: Machine) -> None:
    """Its record goes out without it, so it is named; not where that was asked for."""
    (first.root / "out/one.md").unlink()
    for _ in range(2):
        assert first.commit("--json").json["edited"] == ["out/one.md"]
    assert "out/one.md" not in paths(world)
    assert first.commit("--edits", "--json").json["edited"] == []


@pytest.mark.parametrize("flags", [[], ["--edits"]], ids=["plain", "edits"])
def test_a_link_is_no_output(world: World, first: Machine, flags: list[str]) -> None:
    """Whatever it leads to, it is never committed."""
    first.commit()
    (first.root / "out/one.md").unlink()
    (first.root / "out/one.md").symlink_to("/etc/passwd")
    assert first.commit(*flags, "--json").json["edited"] == ["out/one.md"]
    assert content(world, "out/one.md").startswith("---")


def test_other_rules_of_git_stay_here(world: World, first: Machine) -> None:
    """`.gitattributes` goes along with our line alone; where a person has changed it too, it is theirs."""
    first.write(".gitattributes", "*.png binary\n" + (first.root / ".gitattributes").read_text("utf-8"))
    ended = first.commit()
    assert ".gitattributes" not in paths(world)
    assert "1 other changed file" in ended.stderr


def test_the_rule_joins_those_of_the_branch(world: World, first: Machine) -> None:
    """Where others pushed rules of their own meanwhile, ours is one more line."""
    pushed_by_another(world, ".gitattributes", "*.png binary\n")
    first.commit()
    assert content(world, ".gitattributes") == "*.png binary\ncontentops*.lock text eol=lf merge=union\n"


def test_edits_that_a_person_committed_are_theirs_to_push(world: World, first: Machine) -> None:
    """Below our commit, unpushed: the results go out without them, and a link that was committed does neither."""
    first.commit()
    first.edit("out/one.md", "## Introduction", MINE)
    (first.root / "out/three.md").unlink()
    (first.root / "out/three.md").symlink_to("/etc/passwd")
    first.git("commit", "--quiet", "--all", "--message=content: a better heading")
    first.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    first.apply("--select", "two")
    first.commit()
    assert subjects(world)[0] == "content: 1 rewritten"
    assert MINE not in content(world, "out/one.md")
    assert content(world, "out/three.md").startswith("---")
    assert content(world, "out/two.md") == (first.root / "out/two.md").read_text("utf-8")


def test_results_that_a_person_committed_go_along(world: World, first: Machine) -> None:
    """Committed by hand under another name, they are results all the same; the person's commit stays here."""
    first.git("add", "contentops.lock", "out")
    first.git("commit", "--quiet", "--message=Texts")
    head = first.git("rev-parse", "HEAD")
    found = first.commit("--json").json
    assert found["earlier"] is True
    assert subjects(world) == ["content: 3 created", "Three articles"]
    assert world.clone("second").changes() == []
    assert first.git("rev-parse", "HEAD") == head


def test_a_revert_here_is_theirs_to_push(world: World, first: Machine) -> None:
    """Reverted with git and not pushed: nothing of it goes out, also where later results do."""
    first.commit()
    tip = world.tip()
    first.git("revert", "--no-edit", "HEAD")
    found = first.commit("--json").json
    assert (found["commit"], found["unpushed"]) == ("", ["out/one.md", "out/three.md", "out/two.md"])
    assert world.tip() == tip
    first.write("content/more.yaml", manifest("alpha"))
    first.apply("--select", "alpha")
    first.commit()
    assert {"out/alpha.md", "out/one.md"} <= set(paths(world))
    lock = content(world, "contentops.lock")
    assert all(f'"id":"{name}"' in lock for name in ("alpha", "one", "two", "three"))


def test_a_revert_of_what_was_not_pushed(world: World, first: Machine) -> None:
    """Lock and texts go out as they were before it, so that they fit."""
    first.commit()
    for topic in ("anew", "once more"):
        first.write("content/blog.yaml", manifest("one", "two", "three", topic=f"{{}}, {topic}"))
        first.apply()
        first.commit("--no-push")
    before = first.git("show", "HEAD:out/one.md")
    first.git("revert", "--no-edit", "HEAD")
    first.commit()
    assert content(world, "out/one.md") == before
    assert content(world, "contentops.lock") == first.git("show", "HEAD~1:contentops.lock")


# --- a person in the middle of something -------------------------------------------------------------------


@pytest.fixture
def conflicting(world: World, first: Machine) -> Machine:
    """A machine with a branch `side` that conflicts with main in a file that is no output."""
    first.commit()
    first.git("checkout", "--quiet", "-b", "side", "HEAD~1")
    first.write("notes.md", "side")
    first.git("add", "notes.md")
    first.git("commit", "--quiet", "--message=Side")
    first.git("checkout", "--quiet", "main")
    first.write("notes.md", "main")
    first.git("add", "notes.md")
    first.git("commit", "--quiet", "--message=Notes")
    return first


@pytest.mark.parametrize("verb", ["rebase", "merge", "cherry-pick", "revert"])
def test_what_a_person_is_in_the_middle_of_is_not_touched(conflicting: Machine, verb: str) -> None:
    """Stopped and half resolved: refused before anything is written, and the resolution is still there."""
    machine = conflicting
    what = "main" if verb == "revert" else "side"
    if verb == "revert":
        machine.git("checkout", "--quiet", "side")
    ended = subprocess.run(
        ["git", verb, what], cwd=machine.root, env={**os.environ, **WHO}, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0, ended.stdout
    machine.write("notes.md", "resolved")
    machine.git("add", "notes.md")
    before = machine.git("rev-parse", "HEAD"), machine.git("status", "--porcelain")
    told = machine.commit("--branch", "main", code=4).stderr
    assert "error[unmerged]" in told
    assert f"`git {verb} --abort`" in told
    assert (machine.root / "notes.md").read_text() == "resolved"
    assert (machine.git("rev-parse", "HEAD"), machine.git("status", "--porcelain")) == before


def test_a_bisection_is_not_disturbed(first: Machine) -> None:
    """Nothing is committed on the commit that is being looked at."""
    first.commit()
    first.git("bisect", "start")
    ended = first.commit("--branch", "main", code=4)
    assert "`git bisect reset`" in ended.stderr


# --- paths that git will not take --------------------------------------------------------------------------


def test_an_ignored_lock_is_refused(world: World, first: Machine) -> None:
    """Without the lock the outputs are worth nothing: said before an apply in CI, and before a commit."""
    first.write(".gitignore", "*.lock\n")
    head = first.git("rev-parse", "HEAD")
    for arguments in ([], ["--no-push"], ["--check-waiting"]):
        ended = first.commit(*arguments, code=4)
        assert "error[ignored-lock]: git ignores `contentops.lock`" in ended.stderr
        assert "`!contentops.lock`" in ended.stderr
    assert first.git("rev-parse", "HEAD") == head
    first.write(".gitignore", "*.lock\n!contentops.lock\n")
    first.commit()
    assert "contentops.lock" in paths(world)


def test_a_lock_that_git_has_is_not_ignored(world: World, first: Machine) -> None:
    """A rule that came later does not count for a file that is in git."""
    first.commit()
    first.write(".gitignore", "*.lock\n")
    assert "No results" in first.commit("--check-waiting").stdout


def test_outputs_in_an_ignored_folder_are_named(first: Machine) -> None:
    """Each commit says so, whether or not there is something else to commit."""
    first.write(".gitignore", "out/\n")
    told = "warning[ignored]: git ignores `out/one.md` and 2 more, so it is not committed"
    assert told in first.commit().stderr
    assert told in first.commit().stderr
    assert first.files() == [".gitattributes", "contentops.lock"]


def test_outputs_in_another_repository_are_named(world: World, first: Machine) -> None:
    """A submodule, and a repository that nobody added."""
    first.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", world.remote.as_uri(), "sub")
    first.git("commit", "--quiet", "--message=A submodule")
    subprocess.run(["git", "init", "--quiet", str(first.root / "nested")], check=True)
    first.write(
        "content/more.yaml",
        manifest("alpha", "beta", "gamma")
        .replace("id: alpha\n", "id: alpha\n    output: sub/alpha.md\n")
        .replace("id: beta\n", "id: beta\n    output: nested/beta.md\n"),
    )
    first.write(".gitignore", "gamma.md\n")
    first.apply()
    ended = first.commit("--no-push")
    assert "warning[ignored]: another repository holds `nested/beta.md` and 1 more" in ended.stderr
    assert "warning[ignored]: git ignores `out/gamma.md`, so" in ended.stderr
    assert "out/one.md" in first.files()


def test_a_sparse_checkout_without_the_outputs(world: World) -> None:
    """What an apply wrote outside of it is committed."""
    machine = world.clone("sparse")
    machine.git("sparse-checkout", "set", "--no-cone", "/*", "!/out/")
    machine.apply()
    pushed_by_another(world, "README.md", "hello")
    machine.commit()
    assert {"out/one.md", "out/two.md", "contentops.lock", "README.md"} <= set(paths(world))


def test_a_staged_file_that_was_pruned_again(world: World, first: Machine) -> None:
    """Never committed and gone: it is taken out of the index, and stops nothing."""
    first.commit("--no-push")
    first.git("rm", "--quiet", "--cached", "out/one.md")
    first.git("commit", "--quiet", "--message=Not in git")
    first.git("add", "out/one.md")
    first.write("content/blog.yaml", manifest("two", "three"))
    first.apply("--prune")
    assert "AD out/one.md" in first.git("status", "--porcelain")
    first.commit()
    assert "out/one.md" not in first.git("status", "--porcelain")
    assert "out/one.md" not in paths(world)


def test_a_staged_file_that_was_removed_by_hand(world: World, first: Machine) -> None:
    """It stays staged, is named, and stops nothing."""
    first.git("add", "--all")
    (first.root / "out/one.md").unlink()
    ended = first.commit()
    assert "removed by hand: `out/one.md`" in ended.stderr
    assert first.git("status", "--porcelain") == "AD out/one.md\n"
    assert "out/two.md" in paths(world)


@pytest.mark.parametrize("given", ["AUTHOR", "COMMITTER"])
def test_a_runner_with_half_an_identity(first: Machine, given: str) -> None:
    """The other half is the bot's."""
    env = {name: value for name, value in WHO.items() if given in name}
    ended = first._invoke("commit", "--no-push", cwd=first.root, env={"GITHUB_ACTIONS": "true", **env})
    assert ended.code == 0, ended.stderr
    names = first.git("log", "-1", "--format=%an,%cn").strip()
    assert names == ("Author,github-actions[bot]" if given == "AUTHOR" else "github-actions[bot],Author")


def test_a_project_folder_that_is_a_repository_too(world: World, invoke: Run) -> None:
    """Files that look like a repository name a command to run: git does not take them for one."""
    machine = world.clone("first")
    site = Machine(machine.root / "site", invoke)
    for path in ("contentops.yaml", "content/blog.yaml"):
        site.write(path, (machine.root / path).read_text("utf-8"))
    site.apply()
    ran = machine.root / "ran"
    site.write("HEAD", "ref: refs/heads/main\n")
    site.write("refs/heads/.keep", "")
    site.write("objects/.keep", "")
    site.write(
        "config", f'[core]\n\trepositoryformatversion = 0\n\tworktree = ..\n\tfsmonitor = "touch {ran}; false"\n'
    )
    # Git itself takes it for one.
    subprocess.run(["git", "status"], cwd=site.root, env=os.environ, capture_output=True, check=False)
    assert ran.exists()
    ran.unlink()
    ended = site.commit("--no-push", code=1)
    assert "error[git-failed]" in ended.stderr
    assert not ran.exists()
    site._invoke("plan", "--changed-from", "HEAD", cwd=site.root)
    assert not ran.exists()
