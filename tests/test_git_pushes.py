"""`contentops commit`: what it says was pushed is what was pushed, and nothing else is touched on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.test_git_commit import WHO, Machine, World, make_world, posix
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
    """A machine that has applied and committed nothing but some work of a person, which is not pushed."""
    machine = world.clone("first")
    machine.git("commit", "--quiet", "--allow-empty", "--message=Work in progress")
    machine.apply()
    return machine


@pytest.fixture
def done(world: World) -> Machine:
    """A machine that has applied, committed and pushed."""
    machine = world.clone("first")
    machine.apply()
    machine.commit()
    return machine


def hook(machine: Machine, name: str, script: str) -> None:
    """A hook of a clone."""
    path = machine.root / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# --- what is told and what is pushed -----------------------------------------------------------------------


def test_an_edit_that_was_asked_for_is_pushed(world: World, first: Machine) -> None:
    """Above a person's work as well: whether it is a result was decided when it was committed."""
    first.commit()
    first.edit("out/one.md", "## Introduction", MINE)
    found = first.commit("--edits", "--json").json
    assert (found["branch"], found["commit"], found["files"]) == ("main", world.tip(), ["out/one.md"])
    assert MINE in content(world, "out/one.md")
    assert "Work in progress" not in subjects(world)


def test_an_edit_beside_results_is_pushed(world: World, first: Machine) -> None:
    """What is named, counted and pushed is one."""
    first.commit()
    first.edit("out/one.md", "## Introduction", MINE)
    first.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    first.apply("--select", "two")
    found = first.commit("--edits", "--json").json
    assert found["files"] == ["contentops.lock", "out/one.md", "out/two.md"]
    assert first.git("diff", "--name-only", world.tip() + "^", world.tip()).split() == found["files"]


@posix
def test_texts_that_a_hook_reformats_are_pushed(world: World, first: Machine) -> None:
    """The lock tells of them, so they go with it, whatever became of them in the commit."""
    hook(first, "pre-commit", 'sed -i.old "s/^## /## - /" out/*.md && rm out/*.old && git add out')
    found = first.commit("--json").json
    assert len(found["files"]) == 5
    assert "## - " in content(world, "out/one.md")
    assert {"out/one.md", "out/two.md", "out/three.md", "contentops.lock"} <= set(paths(world))
    assert first.commit().stdout.startswith("Nothing to commit")


@posix
def test_texts_that_a_filter_changes_are_pushed(world: World, first: Machine) -> None:
    """What git stores need not be what stands in the file."""
    (first.root / ".git/info").mkdir(exist_ok=True)
    (first.root / ".git/info/attributes").write_text("*.md filter=rot\n")
    for name, command in (("clean", "tr a-z b-za"), ("smudge", "tr b-za a-z")):
        first.git("config", f"filter.rot.{name}", command)
    first.commit()
    assert "Cpodmvtjpo" in content(world, "out/one.md")
    assert "out/two.md" in paths(world)


def test_an_edit_that_a_person_committed_above_results(world: World, first: Machine) -> None:
    """What an apply made goes out with its record, and the edit is named: it is theirs to push."""
    first.commit("--no-push")
    first.edit("out/one.md", "## Introduction", MINE)
    first.git("commit", "--quiet", "--all", "--message=A better heading")
    found = first.commit("--json")
    assert found.json["unpushed"] == ["out/one.md"]
    assert "## Introduction" in content(world, "out/one.md")
    assert "not pushed, as commits of your own changed it: `out/one.md`" in first.commit().stderr


# --- nothing else ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["for this command", "for good"])
def test_an_index_that_git_loses(world: World, done: Machine, how: str) -> None:
    """Split and without a checksum: whatever git makes of it, nothing but results is pushed."""
    pushed_by_another(world, "README.md", "hello")
    done.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    done.apply()
    before = set(paths(world))
    settings = {"core.splitIndex": "true", "index.skipHash": "true"}
    env = {"GIT_CONFIG_COUNT": "2"}
    for at, (name, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    if how == "for good":
        for name, value in settings.items():
            done.git("config", name, value)
        env = {}
    done._invoke("commit", cwd=done.root, env={**WHO, **env})
    assert before <= set(paths(world))
    assert before <= set(done.git("ls-files").splitlines())


@posix
def test_a_commit_that_loses_files_is_taken_back(world: World, done: Machine) -> None:
    """A hook (or git itself) that drops a file from the commit: nothing is committed, and nothing pushed."""
    done.edit("content/blog.yaml", "topic: two", "topic: two, anew")
    done.apply()
    head, tip = done.git("rev-parse", "HEAD"), world.tip()
    hook(done, "pre-commit", "git rm --quiet --cached contentops.yaml")
    ended = done.commit(code=1)
    assert "error[git-failed]: git's commit would have removed `contentops.yaml`, which is no result" in ended.stderr
    assert (done.git("rev-parse", "HEAD"), world.tip()) == (head, tip)


@pytest.mark.parametrize("path", ["out/one.md", "contentops.lock"])
def test_what_only_the_index_has_is_a_persons(done: Machine, path: str) -> None:
    """Staged and put back in the folder, or taken out of the index: the file itself is as it was committed."""
    old = (done.root / path).read_text("utf-8")
    done.write(path, old + "\n")
    done.git("add", path)
    done.write(path, old)
    assert done.commit().stdout.startswith("Nothing to commit")
    assert done.git("status", "--porcelain") == f"MM {path}\n"
    done.git("rm", "--quiet", "--cached", "--force", path)
    assert done.commit().stdout.startswith("Nothing to commit")
    assert done.git("status", "--porcelain") == f"D  {path}\n?? {path}\n"


@posix
def test_a_hook_sees_paths_as_always(world: World, first: Machine) -> None:
    """How we name paths to git does not change what a linter or a scanner of secrets finds by pattern."""
    hook(first, "pre-commit", "git diff --cached --name-only -- '*.md' > found")
    first.commit()
    assert (first.root / "found").read_text().split() == ["out/one.md", "out/three.md", "out/two.md"]


@pytest.mark.parametrize(
    "env",
    [
        {"GIT_ICASE_PATHSPECS": "1"},
        {"GIT_LITERAL_PATHSPECS": "1"},
        {"GIT_NAMESPACE": "elsewhere"},
        {"GIT_COMMON_DIR": "/elsewhere"},
        {"GIT_OBJECT_DIRECTORY": "/elsewhere"},
    ],
    ids=lambda env: next(iter(env)),
)
def test_the_environment_leads_git_nowhere_else(world: World, first: Machine, env: dict[str, str]) -> None:
    """What a shell or a hook left behind for another repository, or other paths."""
    first.commit(runner=env)
    assert "out/one.md" in paths(world)


# --- where to, and how often -------------------------------------------------------------------------------


@posix
def test_a_hook_that_takes_no_push_is_asked_once(first: Machine) -> None:
    """It is no network that may come back."""
    hook(first, "pre-push", "echo x >> pushes; echo tests failed >&2; exit 1")
    ended = first.commit(code=1)
    assert "error[not-published]: the commit could not be pushed: tests failed" in ended.stderr
    assert (first.root / "pushes").read_text() == "x\n"


def test_a_branch_by_its_full_name(world: World, first: Machine) -> None:
    """As the variables of a runner have it."""
    assert first.commit("--branch", "refs/heads/main", "--json").json["branch"] == "main"
    assert world.branches() == ["main"]


def test_a_remote_that_is_pushed_to_elsewhere(world: World, first: Machine) -> None:
    """What is at the place that is pushed to counts, not what is at the one that is fetched from."""
    fork = world.remote.with_name("fork.git")
    subprocess.run(["git", "clone", "--quiet", "--bare", str(world.remote), str(fork)], check=True, env=os.environ)
    pushed_by_another(world, "README.md", "hello")
    first.git("remote", "set-url", "--push", "origin", fork.as_uri())
    found = first.commit("--json").json
    assert (found["branch"], found["why"], found["attempts"]) == ("main", "", 1)
    said = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "main"], cwd=fork, check=True, capture_output=True, text=True
    )
    assert "out/one.md" in said.stdout.split()
    assert "out/one.md" not in paths(world)


def test_a_lock_that_was_committed_damaged(world: World, done: Machine) -> None:
    """Mended here, it says how to go on: one error, with a command that helps."""
    whole = (done.root / "contentops.lock").read_text("utf-8")
    pushed_by_another(world, "contentops.lock", f"<<<<<<< a\n{whole}=======\n>>>>>>> b\n")
    done.git("pull", "--quiet", "--rebase")
    done.write("contentops.lock", whole)
    for _ in range(2):
        ended = done.commit(code=1)
        assert ended.stderr.count("error[") == 1
        assert "error[conflict-markers]: `contentops.lock` was committed in" in ended.stderr
        assert "`git commit contentops.lock` and `git push`" in ended.stderr
        done.git("commit", "--quiet", "--allow-empty", "--message=Mended", "contentops.lock")
    done.git("push", "--quiet")
    assert done.commit().stdout.startswith("Nothing to commit")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_pipe_is_no_plan_file(done: Machine) -> None:
    """It may never end."""
    os.mkfifo(done.root / "plan.json")
    ended = done._invoke("show", "plan.json", cwd=done.root)
    assert ended.code == 1
    assert "`plan.json` is no regular file" in ended.stderr
