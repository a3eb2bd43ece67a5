"""`contentops commit`: which commits travel, what happens after a push that failed, and where results wait."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from contentops.ci.git import Clone
from contentops.ci.publish import Where, publish
from contentops.ci.push import Target, _rejection, _try_push
from contentops.errors import ContentopsError
from contentops.operations.workspace import open_project
from tests.test_git_commit import PROJECT, PROTECTED, WHO, Machine, World, make_world, manifest, own_branch, posix

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run


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


def subjects(world: World, branch: str = "main") -> list[str]:
    """The first lines of the commits of a branch of the remote, the newest first."""
    said = subprocess.run(
        ["git", "log", "--format=%s", branch], cwd=world.remote, check=True, capture_output=True, text=True
    )
    return said.stdout.splitlines()


def paths(world: World, branch: str = "main") -> list[str]:
    """The files of a branch of the remote."""
    said = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", branch], cwd=world.remote, check=True, capture_output=True, text=True
    )
    return said.stdout.splitlines()


def content(world: World, path: str, branch: str = "main") -> str:
    """A file of a branch of the remote."""
    said = subprocess.run(
        ["git", "show", f"{branch}:{path}"], cwd=world.remote, check=True, capture_output=True, text=True
    )
    return said.stdout


def pushed_by_another(world: World, path: str, text: str, *, name: str = "second") -> Machine:
    """Another machine that has pushed a file to main."""
    second = world.clone(name)
    second.write(path, text)
    second.git("add", path)
    second.git("commit", "--quiet", f"--message={path}")
    second.git("push", "--quiet")
    return second


# --- a push that failed ------------------------------------------------------------------------------------


def test_what_an_earlier_run_could_not_push_is_pushed_by_the_next(world: World, first: Machine) -> None:
    """Nothing is new then, and still the commit goes out, as it is."""
    first.commit("--no-push")
    assert first.commit("--no-push").stdout.startswith("Nothing to commit")
    head = first.git("rev-parse", "HEAD").strip()
    ended = first.commit()
    assert ended.stdout == f"An earlier run committed 5 files as {head[:12]}: content: 3 created\nPushed to `main`.\n"
    assert world.tip() == head
    assert first.commit().stdout.startswith("Nothing to commit")


def test_a_remote_that_was_gone_for_a_while(world: World, first: Machine) -> None:
    """The failure exits with 1, and so does the next run as long as the remote is gone."""
    address = first.git("remote", "get-url", "origin").strip()
    first.git("remote", "set-url", "origin", address + "-gone")
    project = open_project(str(first.root), "", ())
    first.git("config", "user.name", "Author")
    first.git("config", "user.email", "author@example.com")
    for _ in range(2):
        with pytest.raises(ContentopsError) as failed:
            publish(project, Where(), pause=lambda _seconds: None)
        assert failed.value.code == "not-published"
    first.git("remote", "set-url", "origin", address)
    assert first.commit("--json").json["earlier"] is True
    assert world.clone("second").changes() == []


def test_two_runs_whose_pushes_failed(world: World, first: Machine) -> None:
    """The results of both go out, also on top of what others have pushed meanwhile."""
    first.commit("--no-push")
    first.edit("content/blog.yaml", "topic: one", "topic: one, anew")
    first.apply()
    first.commit("--no-push")
    pushed_by_another(world, "README.md", "hello")
    found = first.commit("--json").json
    assert found["earlier"] is True
    assert subjects(world)[:2] == ["content: 3 created", "README.md"]
    assert content(world, "out/one.md") == (first.root / "out/one.md").read_text("utf-8")
    assert content(world, "contentops.lock") == (first.root / "contentops.lock").read_text("utf-8")


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_a_push_that_is_interrupted(world: World, first: Machine, how: signal.Signals) -> None:
    """Main moved, a hook is slow, and somebody stops it: tree and branch are whole, and the next run pushes."""
    pushed_by_another(world, "README.md", "hello")
    hook = first.root / ".git" / "hooks" / "pre-push"
    hook.write_text("#!/bin/sh\ntouch started\nexec sleep 30\n")
    hook.chmod(0o755)
    child = subprocess.Popen(
        [sys.executable, "-m", "contentops", "commit"],
        cwd=first.root,
        env={**os.environ, **WHO},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with child:
        deadline = time.monotonic() + 60
        while not (first.root / "started").exists():
            assert time.monotonic() < deadline
            assert child.poll() is None
        os.killpg(child.pid, how)
        child.communicate(timeout=60)
    hook.unlink()
    (first.root / "started").unlink()
    assert first.git("symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert first.git("status", "--porcelain") == ""
    assert (first.root / "out/one.md").exists()
    assert not (first.root / ".git/rebase-merge").exists()
    assert first.commit("--json").json["branch"] == "main"
    assert "README.md" in paths(world)
    assert "out/one.md" in paths(world)


# --- which commits travel ----------------------------------------------------------------------------------


def test_other_commits_stay_here(world: World, first: Machine) -> None:
    """A person's unpushed work is theirs to push: the results go without it, and the clone stays as it is."""
    first.write("draft.md", "unfinished")
    first.git("add", "draft.md")
    first.git("commit", "--quiet", "--message=Work in progress")
    ended = first.commit()
    assert subjects(world) == ["content: 3 created", "Three articles"]
    assert "draft.md" not in paths(world)
    assert first.git("log", "--format=%s") == "content: 3 created\nWork in progress\nThree articles\n"
    assert "note: `main` is left as it is here" in ended.stderr
    first.git("pull", "--quiet", "--rebase")
    assert first.git("log", "--format=%s") == "Work in progress\ncontent: 3 created\nThree articles\n"


def test_results_above_unpushed_work_twice(world: World, first: Machine) -> None:
    """What the branch has of an earlier push is ours, and no conflict."""
    first.git("commit", "--quiet", "--allow-empty", "--message=Work in progress")
    first.commit()
    assert first.commit().stdout.startswith("Nothing to commit")
    first.edit("content/blog.yaml", "topic: one", "topic: one, anew")
    first.apply()
    found = first.commit("--json").json
    assert (found["branch"], found["why"]) == ("main", "")
    assert content(world, "contentops.lock") == (first.root / "contentops.lock").read_text("utf-8")
    assert "Work in progress" not in subjects(world)


def test_merges_of_a_person_are_not_flattened(world: World, first: Machine) -> None:
    """Whatever the history here looks like, main gets one commit, and the history here stays."""
    first.git("checkout", "--quiet", "-b", "topic")
    first.git("commit", "--quiet", "--allow-empty", "--message=On a topic")
    first.git("checkout", "--quiet", "main")
    first.git("merge", "--quiet", "--no-ff", "--message=Merge it", "topic")
    before = first.git("rev-parse", "HEAD").strip()
    pushed_by_another(world, "README.md", "hello")
    first.commit()
    assert subjects(world) == ["content: 3 created", "README.md", "Three articles"]
    assert first.git("rev-parse", "HEAD^").strip() == before


def test_results_of_a_topic_branch_for_main(world: World, first: Machine) -> None:
    """`--branch main` brings results to main, not the topic."""
    first.git("checkout", "--quiet", "-b", "topic")
    first.write("draft.md", "unfinished")
    first.git("add", "draft.md")
    first.git("commit", "--quiet", "--message=Topic")
    first.commit("--branch", "main")
    assert subjects(world) == ["content: 3 created", "Three articles"]
    assert "draft.md" not in paths(world)
    assert first.git("log", "--format=%s", "topic") == "content: 3 created\nTopic\nThree articles\n"
    assert first.git("log", "--format=%s", "main") == "Three articles\n"


def test_a_branch_that_is_not_there_yet(world: World, first: Machine) -> None:
    """Made with the results where all below them is there; else a person has to push it first."""
    first.git("checkout", "--quiet", "-b", "topic")
    first.commit()
    assert subjects(world, "topic") == ["content: 3 created", "Three articles"]
    first.git("checkout", "--quiet", "-b", "other")
    first.git("commit", "--quiet", "--allow-empty", "--message=Mine")
    first.edit("content/blog.yaml", "topic: one", "topic: one, anew")
    first.apply()
    ended = first.commit(code=1)
    assert "error[not-published]: `other` is not at `origin`" in ended.stderr
    assert "`git push origin HEAD:other`" in ended.stderr
    assert world.branches() == ["main", "topic"]
    first.commit(GITHUB_RUN_ID="9")
    assert own_branch(first, "9-1") in world.branches()


@pytest.mark.parametrize("depth", [[], ["--depth=1"]], ids=["whole", "shallow"])
def test_what_was_taken_off_a_branch_stays_off(world: World, depth: list[str]) -> None:
    """Somebody removed a commit by force: our results come without it, and without what it changed."""
    innocent = world.tip()
    second = pushed_by_another(world, "secret.md", "hunter2")
    machine = world.clone("machine", *depth)
    machine.apply()
    second.git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    machine.commit()
    assert subjects(world) == ["content: 3 created", "Three articles"]
    assert "secret.md" not in paths(world)
    assert "out/one.md" in paths(world)


def test_results_that_were_taken_off_stay_off(world: World, first: Machine) -> None:
    """Records and texts that a person removed from the branch do not come back with the next results."""
    innocent = world.tip()
    first.commit()
    second = world.clone("second")
    first.write("content/more.yaml", manifest("alpha"))
    first.apply("--select", "alpha")
    second.git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    first.git("fetch", "--quiet")
    first.commit()
    lock = content(world, "contentops.lock")
    assert '"id":"alpha"' in lock
    assert '"id":"one"' not in lock
    assert "out/one.md" not in paths(world)
    assert "out/alpha.md" in paths(world)


def test_both_sides_changed_the_same_record(world: World, first: Machine) -> None:
    """Where two machines made the same item anew, the second's text waits on a branch; none is overwritten."""
    first.commit()
    second = world.clone("second")
    for machine, word in ((first, "mine"), (second, "theirs")):
        machine.edit("content/blog.yaml", "topic: one", f"topic: one, {word}")
        machine.apply()
    second.commit()
    ended = first.commit()
    assert "others changed the same files: `out/one.md`" in ended.stdout
    assert content(world, "out/one.md") == (second.root / "out/one.md").read_text("utf-8")
    name = f"contentops/acme-blog/{first.git('rev-parse', 'HEAD')[:12]}"
    assert content(world, "out/one.md", name) == (first.root / "out/one.md").read_text("utf-8")


def test_a_file_where_a_folder_is_needed(world: World, first: Machine) -> None:
    """What cannot stand beside what others pushed waits on a branch."""
    pushed_by_another(world, "out", "a file")
    ended = first.commit()
    assert "others changed the same files" in ended.stdout
    assert content(world, "out") == "a file"


def test_a_damaged_lock_on_the_branch(world: World, first: Machine) -> None:
    """It is not repaired by guessing: the results wait."""
    pushed_by_another(world, "contentops.lock", "<<<<<<< broken\n")
    ended = first.commit()
    assert "others changed the same files: `contentops.lock`" in ended.stdout


def test_a_signed_clone_signs(world: World, first: Machine) -> None:
    """A commit that is put on top of others' is signed where the clone's own are; a key that is none stops it."""
    pushed_by_another(world, "README.md", "hello")
    first.commit("--no-push")
    first.git("config", "commit.gpgsign", "true")
    first.git("config", "gpg.program", str(first.root / "no-such-program"))
    ended = first.commit(code=1)
    assert "gpg" in ended.stderr
    assert "out/one.md" not in paths(world)


def test_a_clone_that_can_not_sign(world: World, first: Machine) -> None:
    """Before its own commit or on top of others': the next run goes on from there."""
    first.git("config", "gpg.program", str(world.remote / "no-gpg"))
    first.git("config", "commit.gpgsign", "true")
    told = first.commit(code=1).stderr
    assert "error[git-failed]: `git commit` failed: " in told
    assert "hint: nothing that was made is lost: mend that, then run `contentops commit` again" in told
    first.git("config", "commit.gpgsign", "false")
    first.commit("--no-push")
    pushed_by_another(world, "README.md", "hello")
    first.git("config", "commit.gpgsign", "true")
    assert "`git commit-tree` failed: " in first.commit(code=1).stderr
    first.git("config", "commit.gpgsign", "false")
    first.commit()
    assert subjects(world) == ["content: 3 created", "README.md", "Three articles"]


# --- branches of their own ---------------------------------------------------------------------------------


def test_a_run_can_offer_more_than_once(world: World, first: Machine) -> None:
    """Two applies in one job, and another project in another: each set of results has a branch of its own."""
    world.hook("pre-receive", PROTECTED)
    first.commit(GITHUB_RUN_ID="9")
    one = own_branch(first, "9-1")
    first.edit("content/blog.yaml", "topic: one", "topic: one, anew")
    first.apply()
    first.commit(GITHUB_RUN_ID="9")
    assert world.branches() == sorted([one, own_branch(first, "9-1"), "main"])


def test_what_waits_already_is_not_offered_again(world: World, first: Machine) -> None:
    """Another run on the same clone finds its results where the first one left them."""
    world.hook("pre-receive", PROTECTED)
    first.commit(GITHUB_RUN_ID="9")
    before = world.branches()
    ended = first.commit(GITHUB_RUN_ID="10")
    assert f"Pushed to `{own_branch(first, '9-1')}`." in ended.stdout
    assert world.branches() == before


@pytest.mark.parametrize("taken", ["contentops", "contentops/acme-blog"])
def test_a_branch_with_the_name_of_the_folder(world: World, first: Machine, taken: str) -> None:
    """The second folder takes the results, and is looked at for those that wait."""
    second = world.clone("second")
    second.git("push", "--quiet", "origin", f"main:refs/heads/{taken}")
    world.hook("pre-receive", PROTECTED)
    first.commit(GITHUB_RUN_ID="9")
    name = f"contentops-results/acme-blog/9-1-{first.git('rev-parse', 'HEAD')[:12]}"
    assert name in world.branches()
    assert f"wait on `{name}`" in second.commit("--check-waiting", code=4).stderr


@pytest.mark.parametrize(
    "name",
    ["contentops/try-it", "contentops/5-1", "contentops/other/5-1-0123456789ab", "contentops/acme-blog/mine"],
)
def test_branches_of_others_stop_nobody(world: World, first: Machine, name: str) -> None:
    """A person's branch, and another project's results."""
    first.git("push", "--quiet", "origin", f"main:refs/heads/{name}")
    assert "No results" in first.commit("--check-waiting").stdout


@pytest.mark.parametrize(
    ("project", "environment", "expected"),
    [
        ("acme-blog", "", r"contentops/acme-blog/1-1-0123456789ab"),
        ("acme-blog", "eu.west", r"contentops/acme-blog/eu-west-[0-9a-f]{8}/1-1-0123456789ab"),
        ("a & b", "", r"contentops/a-b-[0-9a-f]{8}/1-1-0123456789ab"),
        ("日本", "", r"contentops/[0-9a-f]{8}/1-1-0123456789ab"),
        ("x" * 100, "", r"contentops/x{60}-[0-9a-f]{8}/1-1-0123456789ab"),
    ],
)
def test_names_of_branches(project: str, environment: str, expected: str) -> None:
    """Project and environment are parts that git takes, and no two share one."""
    target = Target(branch="main", project=project, environment=environment, run="1-1")
    name = target.own("contentops", "0123456789abcdef")
    assert re.fullmatch(expected, name)
    assert target.is_own(name)
    others = [(project + "!", environment), (project, environment + "x"), ("a-b", ""), ("eu", "west")]
    assert not any(Target(branch="main", project=one, environment=two).is_own(name) for one, two in others)


def test_environments_wait_apart(world: World, first: Machine) -> None:
    """The results of one environment hold up no other."""
    world.hook("pre-receive", PROTECTED)
    first.apply("--env", "staging")
    first.commit("--env", "staging", GITHUB_RUN_ID="9")
    assert "No results" in first.commit("--check-waiting").stdout
    assert "contentops/acme-blog/staging/9-1-" in first.commit("--env", "staging", "--check-waiting", code=4).stderr


def test_environments_whose_pushes_failed(world: World, first: Machine) -> None:
    """Both go out, lock and all, though the clone notes of the first push that it could not follow it."""
    second = world.clone("second")
    second.write("content/blog.yaml", manifest("four"))
    second.apply("--env", "staging")
    second.commit("--env", "staging")
    first.apply("--env", "staging")
    for environment in ([], ["--env", "staging"]):
        first.commit("--no-push", *environment)
    first.commit()
    assert first.commit("--env", "staging", "--json").json["message"].startswith("content: 3 created\n")
    lock = content(world, "contentops.staging.lock")
    assert [item for item in ("one", "two", "three", "four") if f'"id":"{item}"' not in lock] == []


def test_projects_of_one_repository_wait_apart(world: World, invoke: Run) -> None:
    """Two projects push into one repository: the names of their branches differ."""
    machine = world.clone("both")
    machine.write("site/contentops.yaml", PROJECT.replace("acme-blog", "site"))
    machine.write("site/content/blog.yaml", manifest("inner"))
    inner = Machine(machine.root / "site", invoke)
    inner.apply()
    world.hook("pre-receive", PROTECTED)
    inner.commit(GITHUB_RUN_ID="9")
    assert "contentops/site/9-1-" in inner.commit("--check-waiting", code=4).stderr
    assert "No results" in machine.commit("--check-waiting").stdout


def test_a_push_says_where_the_branch_is(world: World, first: Machine) -> None:
    """A branch that was set back since it was looked at is not set forward again, though nothing would be forced."""
    innocent = world.tip()
    second = pushed_by_another(world, "secret.md", "hunter2")
    clone = Clone(root=str(first.root), remote="origin")
    first.git("fetch", "--quiet")
    tip = first.git("rev-parse", "origin/main").strip()
    child = first.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "ours").strip()
    second.git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    ended = _try_push(clone, child, "main", tip)
    assert _rejection(ended) == "stale info"
    assert world.tip() == innocent
