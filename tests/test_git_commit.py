"""`contentops commit`: real git, a real remote, several machines and the people at them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contentops.ci.push import ATTEMPTS, _push, _rejection, alone, open_clone
from contentops.errors import ContentopsError
from contentops.operations.commit import CommitOptions, CommitReport, commit
from contentops.operations.opening import open_project
from tests.clones import NOBODY, PROJECT, WHO, Machine, World, manifest, posix
from tests.processes import KEY, Served, killed
from tests.running import Build, Run

MINE = "## A person's heading"
LFS = "*.lock filter=lfs diff=lfs merge=lfs -text\n"
OUT_OF_LFS = "contentops*.lock text eol=lf merge=union -filter"
ORDERED = [".gitattributes", "contentops.jobs"]
"""What the commit of the jobs has."""
MADE = ["contentops.lock", "out/one.md", "out/three.md", "out/two.md"]
"""What the commit of the results has."""
JOBS = "content: jobs of an apply"


@pytest.fixture
def done(first: Machine) -> Machine:
    """A machine that has applied, committed and pushed."""
    first.commit()
    return first


def publish(machine: Machine, pauses: list[float], **options: float) -> CommitReport:
    """`contentops commit` without its pauses, which are noted."""
    for name, value in (("user.name", "Author"), ("user.email", "author@example.com")):
        machine.git("config", name, value)
    project = open_project(str(machine.root), "", ())
    return commit(project, CommitOptions(direct=True, **options), pause=pauses.append)  # type: ignore[arg-type]


def standing(machine: Machine) -> tuple[str, ...]:
    """All of a clone that a commit could change: branch, commit, index and folder."""
    head = machine.git("rev-parse", "HEAD", "--symbolic-full-name", "HEAD")
    status = machine.git("status", "--porcelain", "--untracked-files=all")
    return head, machine.git("ls-files", "--stage"), status, machine.git("diff")


def hook(machine: Machine, name: str, script: str) -> Path:
    """A hook of a clone."""
    path = machine.root / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_results_are_committed_to_the_branch(world: World, first: Machine) -> None:
    """First the jobs, then lock and outputs; the message counts and names them and starts no workflow; then nothing."""
    ended = first.commit()
    assert (first.files("HEAD~1"), first.files()) == (ORDERED, MADE)
    assert first.git("log", "-1", "--format=%B", "HEAD~1").strip() == JOBS
    assert first.git("log", "-1", "--format=%B").strip() == "content: 3 created\n\n+ one\n+ three\n+ two\n\n[skip ci]"
    assert world.tip() == first.git("rev-parse", "HEAD").strip()
    assert (ended.stdout[:21], ended.stdout[-19:]) == ("Committed 6 files as ", "\nPushed to `main`.\n")
    assert first.git("status", "--porcelain") == ""
    assert first.commit().stdout == "Nothing to commit: lock and outputs are unchanged.\n"
    assert world.clone("second").changes() == []


def test_json_says_the_same(first: Machine) -> None:
    """For programs; and without the mark that starts no workflow.

    What a shell or a hook left behind for another repository, or other paths, leads git nowhere else.
    """
    names = ("GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY")
    env = dict.fromkeys(names, "/elsewhere") | {"GIT_ICASE_PATHSPECS": "1", "GIT_LITERAL_PATHSPECS": "1"}
    found = first.commit("--json", "--no-skip-ci", runner=env).json
    assert found == {
        "format_version": "1.0", "commit": first.git("rev-parse", "HEAD").strip(),
        "message": "content: 3 created\n\n+ one\n+ three\n+ two\n", "files": [*ORDERED, *MADE], "target": "main",
        "branch": "main", "why": "", "attempts": 1, "pull_request": "", "ignored": [], "edited": [], "others": 0,
        "stays": False,
    }  # fmt: skip


def test_without_a_push_it_commits_here(world: World, first: Machine) -> None:
    """The commit is a person's to push then, as any other; other changes stay."""
    first.write("notes.md", "mine")
    assert "1 other changed file" in first.commit("--no-push").stderr
    assert first.git("log", "--format=%s").splitlines() == ["content: 3 created", JOBS, "Three articles"]
    assert (first.git("status", "--porcelain"), world.subjects()) == ("?? notes.md\n", ["Three articles"])
    first.git("push", "--quiet")
    assert world.clone("second").changes() == []


def test_the_first_commit_of_a_repository(first: Machine, world: World) -> None:
    """Without a push only: nothing can be on top of nothing."""
    first.git("checkout", "--quiet", "--orphan", "new")
    first.git("rm", "--quiet", "--cached", "-r", ".")
    assert "error[unpushed-commits]: this clone has no commits" in first.commit("--branch=main", code=4).stderr
    first.commit("--no-push")
    assert (first.files(), first.git("log", "--format=%s").splitlines()) == (MADE, ["content: 3 created", JOBS])


def test_moved_and_removed_files_go_along(world: World, done: Machine) -> None:
    """The paths that the last committed lock owned count as well."""
    done.write("content/blog.yaml", manifest("two", "three").replace("id: two\n", "id: two\n    output: out/zwei.md\n"))
    done.apply("--prune")
    done.commit()
    assert done.files() == ["contentops.lock", "out/one.md", "out/two.md", "out/zwei.md"]
    assert done.git("log", "-1", "--format=%B").startswith("content: 1 moved, 1 removed\n\n> two\n- one\n")


def test_what_only_the_journal_knows_is_committed(first: Machine) -> None:
    """A killed apply leaves facts in the journal; the commit brings them into the lock first."""
    lock = (first.root / "contentops.lock").read_bytes()
    (first.root / ".contentops/journal.jsonl").write_bytes(lock)
    (first.root / "contentops.lock").unlink()
    first.commit()
    assert (first.root / "contentops.lock").read_bytes() == lock
    assert "contentops.lock" in first.files()


def test_an_environment_commits_its_own(world: World, first: Machine) -> None:
    """Lock and outputs of one environment, its name in the message; the other, which ordered its texts, comes later."""
    first.apply("--env", "staging")
    first.commit("--env", "staging")
    texts = [f"staging/{name}.md" for name in ("one", "three", "two")]
    assert first.files() == [".gitattributes", "contentops.staging.lock", *texts]
    assert "Environment: staging" in first.git("log", "-1", "--format=%B")
    first.commit()
    assert world.subjects() == ["content: 3 created", JOBS, "content: 3 created", "Three articles"]
    assert first.git("status", "--porcelain") == ""


def test_one_commit_at_a_time_in_a_clone(world: World, first: Machine) -> None:
    """Whatever project or environment it is of: they have one index and one HEAD."""
    before = standing(first)
    clone = open_clone(str(first.root), {}, push=True, patience=60)
    with alone(clone), pytest.raises(ContentopsError) as failed:
        publish(first, [], patience=0.1)
    assert (failed.value.code, standing(first), world.subjects()) == ("lock-held", before, ["Three articles"])
    first.commit()


def test_a_project_below_the_root_of_the_repository(world: World, invoke: Run) -> None:
    """Paths are the project's, wherever it lies in the clone, also on top of what others pushed."""
    machine = world.clone("first")
    machine.write("site/contentops.yaml", PROJECT.replace("acme-blog", "site"))
    machine.write("site/content/blog.yaml", manifest("inner"))
    machine.write("out/inner.md", "not the project's")
    inner = Machine(machine.root / "site", invoke)
    inner.apply()
    world.other("site/README.md", "hello")
    inner.commit()
    assert machine.files("HEAD~1") == ["site/.gitattributes", "site/contentops.jobs"]
    assert machine.files() == ["site/contentops.lock", "site/out/inner.md"]
    assert (inner.root / "README.md").exists()


def test_a_lock_can_not_name_hidden_files(done: Machine) -> None:
    """A record that claims a workflow does not get it committed."""
    done.edit("contentops.lock", '"out/one.md"', '".github/workflows/ci.yml"')
    done.write(".github/workflows/ci.yml", "on: push")
    done.commit("--no-push")
    assert done.files() == ["contentops.lock"]


def test_outputs_that_can_not_be_committed_are_named(world: World, first: Machine) -> None:
    """Git ignores them, or another repository holds them: each commit says so."""
    subprocess.run(["git", "init", "--quiet", str(first.root / "nested")], check=True)
    first.write("content/more.yaml", manifest("beta").replace("id: beta\n", "id: beta\n    output: nested/beta.md\n"))
    first.apply()
    first.write(".gitignore", "out/two.md\n")
    first.commit()
    assert first.files() == ["contentops.lock", "out/one.md", "out/three.md"]
    assert first.commit("--json").json["ignored"] == ["nested/beta.md", "out/two.md"]
    assert "git ignores `nested/beta.md` and 1 more" in first.commit().stderr


def test_edits_are_left_alone_and_named(world: World, first: Machine) -> None:
    """What no apply made, and what someone removed, is not committed as a result; a flag takes texts along."""
    first.edit("out/one.md", "## Introduction", MINE)
    (first.root / "out/two.md").unlink()
    if posix_links := sys.platform != "win32":
        (first.root / "out/three.md").unlink()
        (first.root / "out/three.md").symlink_to("one.md")
    ended = first.commit()
    assert "warning[edited]: not committed, edited or removed by hand: `out/one.md` and 2 more" in ended.stderr
    assert first.files() == ["contentops.lock"]
    assert first.commit("--json").json["edited"] == ["out/one.md", "out/three.md", "out/two.md"]
    found = first.commit("--edits", "--json").json
    assert (found["files"], found["edited"]) == (["out/one.md"], ["out/three.md"] if posix_links else [])
    assert MINE in world.content("out/one.md")
    (first.root / "out/one.md").unlink()
    assert "Nothing to commit" in first.commit().stdout
    first.commit("--edits")
    assert "out/one.md" not in world.paths()


def test_an_edit_that_an_apply_took_is_a_result(world: World, first: Machine) -> None:
    """Saved by the server; or committed before, and moved with other front matter."""
    first.edit("out/two.md", "## Introduction", MINE)
    first.apply()
    first.edit("contentops.yaml", "base_url: local", "base_url: local, save: off")
    first.edit("out/one.md", "## Introduction", MINE)
    assert first.commit("--json").json["edited"] == ["out/one.md"]
    assert MINE in world.content("out/two.md")
    first.commit("--edits")
    first.edit("content/blog.yaml", "id: one\n", "id: one\n    output: out/uno.md\n    metadata: {author: me}\n")
    first.apply()
    assert first.commit("--json").json["edited"] == []
    assert ("out/one.md" in world.paths(), MINE in world.content("out/uno.md")) == (False, True)


def test_other_rules_of_git(world: World, first: Machine) -> None:
    """`.gitattributes` goes along where our lines alone are new; a person's own change stays here."""
    first.commit()
    rules = [f"contentops*.{kind} text eol=lf merge=union" for kind in ("jobs", "lock")]
    assert sorted(world.content(".gitattributes").splitlines()) == rules
    second = world.clone("second")
    second.write(".gitattributes", "*.jpg binary\n")
    second.edit("content/blog.yaml", "topic: two", "topic: two, again")
    second.apply()
    second.commit()
    assert ".gitattributes" not in {*second.files("HEAD~1"), *second.files()}
    assert "*.jpg binary" in (second.root / ".gitattributes").read_text()


def stopped(machine: Machine, *words: str) -> None:
    """Stops half-way between a branch `side` and main, which differ in `notes.md`."""
    for branch in ("side", "main"):
        machine.git("checkout", "--quiet", "-B", branch, "origin/main")
        machine.write("notes.md", branch)
        machine.git("add", "notes.md")
        machine.git("commit", "--quiet", f"--message={branch}")
    command = ["git", *words, "side"]
    ended = subprocess.run(command, cwd=machine.root, env={**os.environ, **WHO}, capture_output=True, check=False)
    assert ended.returncode


def merging(machine: Machine) -> None:
    """A merge that is resolved, and not committed."""
    stopped(machine, "merge")
    machine.write("notes.md", "resolved")
    machine.git("add", "notes.md")


def unmerged(machine: Machine) -> None:
    """A stash that does not fit."""
    path = "content/blog.yaml"
    machine.edit(path, "topic: one", "topic: mine")
    machine.git("stash", "push", "--quiet", "--", path)
    machine.edit(path, "topic: one", "topic: another")
    machine.git("commit", "--quiet", "--message=Another", path)
    subprocess.run(["git", *NOBODY, "stash", "pop"], cwd=machine.root, capture_output=True, check=False)


def stage(machine: Machine) -> None:
    """Someone is about to commit."""
    machine.write("notes.md", "mine")
    machine.git("add", "notes.md", "out/one.md")


@pytest.mark.parametrize(("begin", "arguments", "expected"), [
    (merging, (), (4, "unmerged", "`git merge --abort`")),
    (lambda machine: stopped(machine, "rebase"), (), (4, "unmerged", "`git rebase --abort`")),
    (unmerged, (), (4, "unmerged", "merged `content/blog.yaml`")),
    (stage, (), (4, "staged-changes", "`notes.md` and 1 more")),
    (lambda machine: machine.git("commit", "-q", "--allow-empty", "-m", "Work"), (), (4, "unpushed-commits", "`git push origin HEAD:main`")),
    (lambda machine: machine.git("checkout", "-qb", "topic"), (), (1, "not-published", "`git push origin HEAD:t")),
    (lambda machine: machine.git("checkout", "-q", "--detach"), (), (64, "no-branch", "`BRANCH_NAME`")),
    (lambda machine: machine.write(".gitignore", "*.lock\n"), (), (4, "ignored-lock", "`!contentops.lock`")),
    (lambda machine: machine.write(".gitattributes", LFS), (), (4, "lock-in-lfs", f"put `{OUT_OF_LFS}`")),
    (lambda machine: machine.git("remote", "rename", "origin", "far"), (), (64, "no-remote", "known: `far`")),
    (lambda _: None, ("--branch=--upload-pack=touch pwned",), (64, "no-branch", "cannot be the name of a branch")),
    (lambda _: None, ("--branch=+main",), (1, "not-published", "`+main` does not exist at `origin`")),
], ids=[
    *("merge", "rebase", "unmerged", "staged", "unpushed", "a branch of no one", "no branch", "ignored lock", "lock in LFS"),
    *("no remote", "an option", "a forced branch"),
])  # fmt: skip
def test_what_is_refused_and_touches_nothing(
    world: World,
    first: Machine,
    begin: Callable[[Machine], object],
    arguments: tuple[str, ...],
    expected: tuple[int, str, str],
) -> None:
    """By name, with what to do; the clone and the remote stay to the last byte."""
    begin(first)
    before, tip, (code, name, hint) = standing(first), world.tip(), expected
    ended = first.commit(*arguments, code=code)
    assert (f"error[{name}]: " in ended.stderr, hint in ended.stderr) == (True, True)
    assert (standing(first), world.tip(), world.branches()) == (before, tip, ["main"])
    assert not list(first.root.rglob("pwned"))


def test_a_lock_that_a_person_removed_is_named_and_not_committed(world: World, done: Machine) -> None:
    """No apply removes it: without it the next clone would know none of its files."""
    tip = world.tip()
    (done.root / "contentops.lock").unlink()
    ended = done.commit()
    assert "edited or removed by hand: `contentops.lock`" in ended.stderr
    assert (world.tip(), ended.stdout) == (tip, "Nothing to commit: lock and outputs are unchanged.\n")


def test_a_lock_in_lfs_is_refused_before_anything_is_made(world: World, invoke: Run) -> None:
    """As a pointer no other clone could read it; `doctor` says so too, and the line that both name mends it."""
    machine = world.clone("first")
    machine.write(".gitattributes", LFS)
    ended = invoke("apply", "--yes", cwd=machine.root)
    assert (ended.code, "error[lock-in-lfs]" in ended.stderr, f"`{OUT_OF_LFS}`" in ended.stderr) == (4, True, True)
    assert not (machine.root / "out").exists()
    told = f"failed  state: `.gitattributes` gives `contentops.lock` to Git LFS\n        hint: put `{OUT_OF_LFS}`"
    assert told in invoke("doctor", cwd=machine.root).stdout
    machine.write(".gitattributes", f"{LFS}{OUT_OF_LFS}\n")
    machine.apply()
    machine.commit()
    assert world.content("contentops.lock").count("\n") == 4


def test_outside_a_repository(project: Build, invoke: Run) -> None:
    """A folder that git does not know is told so."""
    root = project({"contentops.yaml": PROJECT, "content/blog.yaml": manifest("one")})
    ended = invoke("commit", cwd=root, env={"GIT_CEILING_DIRECTORIES": str(root.parent)})
    assert "error[no-repository]" in ended.stderr


def test_a_branch_by_its_full_name_and_none_checked_out(world: World, first: Machine) -> None:
    """As a runner has them: detached, the branch is the one of the workflow, or is named."""
    first.git("checkout", "--quiet", "--detach")
    assert first.commit("--json", GITHUB_REF="refs/heads/main").json["branch"] == "main"
    assert first.git("rev-parse", "HEAD").strip() == world.tip()
    first.edit("content/blog.yaml", "topic: two", "topic: two, again")
    first.apply()
    found = first.commit("--json", "--branch=refs/heads/main").json
    assert found["files"] == ["contentops.jobs", "contentops.lock", "out/two.md"]


@posix
def test_a_clone_that_can_not_sign(world: World, first: Machine) -> None:
    """Commits are signed where the clone's own are; a key that is none stops it, and nothing has changed."""
    first.git("config", "gpg.program", str(world.remote / "no-gpg"))
    first.git("config", "commit.gpgsign", "true")
    before = standing(first)
    assert ("`git commit-tree` failed: " in first.commit(code=1).stderr, standing(first)) == (True, before)
    first.git("config", "commit.gpgsign", "false")
    first.commit()
    assert world.subjects() == ["content: 3 created", JOBS, "Three articles"]


def test_the_branch_moved_meanwhile(world: World, first: Machine) -> None:
    """The commit is put on top of what others pushed; nothing of theirs is lost, and none of a person's work here."""
    world.other("README.md", "hello")
    first.edit("content/blog.yaml", "readers", "everyone")
    first.write("notes.md", "mine")
    found = first.commit("--json").json
    assert (found["branch"], found["attempts"], found["others"], found["stays"]) == ("main", 1, 2, False)
    assert found["commit"] == world.tip() == first.git("rev-parse", "HEAD").strip()
    assert (first.root / "README.md").read_text() == "hello"
    assert first.git("status", "--porcelain") == " M content/blog.yaml\n?? notes.md\n"


def test_a_shallow_clone_catches_up(world: World, first: Machine) -> None:
    """A runner has one commit of the history, with a lock in it."""
    first.commit()
    shallow = world.clone("shallow", "--depth=1")
    shallow.write("content/more.yaml", manifest("alpha"))
    shallow.apply("--select", "alpha")
    first.edit("out/one.md", "## Introduction", "## A start")
    first.apply()
    first.commit("--edits")
    assert shallow.commit("--json").json["branch"] == "main"


def test_a_person_edits_the_text_at_the_remote_meanwhile(world: World, done: Machine) -> None:
    """Their words stay on the branch, ours wait on one of their own, and git shows both where a person merges them."""
    done.edit("content/blog.yaml", "topic: one", "topic: one, again")
    done.apply()
    title = next(line for line in (done.root / "out/one.md").read_text("utf-8").splitlines() if "again" in line)
    theirs = world.other("out/one.md", MINE, title.replace(", again", ""))
    tip, before = world.tip(), standing(done)
    found = done.commit("--json").json
    assert found["why"] == "`main` moved, and others changed the same files: `out/one.md`"
    assert (world.tip(), standing(done), MINE in world.content("out/one.md")) == (tip, before, True)
    assert "one, again" in world.content("out/one.md", found["branch"])
    # The person reads both, and decides.
    theirs.git("pull", "--quiet", "--no-rebase", "--no-edit", "-X", "ours", "origin", found["branch"])
    assert MINE in (theirs.root / "out/one.md").read_text("utf-8")
    theirs.git("push", "--quiet")
    theirs.git("push", "--quiet", "origin", f":{found['branch']}")
    # Here, the words of the branch come once the file is not changed any more.
    done.git("checkout", "--quiet", "--", "out/one.md")
    done.commit()
    assert MINE in (done.root / "out/one.md").read_text("utf-8")


@pytest.mark.parametrize("path", [".git/index.lock", ".git/refs/heads/main.lock"])
def test_a_clone_that_cannot_follow_yet(world: World, first: Machine, path: str) -> None:
    """Another git holds it: the results are pushed, nothing is half moved, and the next run follows."""
    world.other("README.md", "hello")
    before = standing(first)
    (first.root / path).touch()
    assert first.commit("--json").json["stays"] is True
    (first.root / path).unlink()
    assert (standing(first), "`main` has these results already" in first.commit().stdout) == (before, True)
    assert (first.root / "README.md").read_text() == "hello"
    assert (first.git("rev-parse", "HEAD").strip(), first.git("status", "--porcelain")) == (world.tip(), "")


def rewrite_one(machine: Machine) -> None:
    """The same item made again, another way."""
    machine.edit("content/blog.yaml", "topic: one", f"topic: one, by {machine.root.name}")
    machine.apply("--select", "one")


def committed(machine: Machine, path: str, text: str) -> None:
    """A file that git is about to commit, also in place of a folder."""
    machine.git("rm", "--quiet", "-r", path)
    machine.write(path, text)
    machine.git("add", path)


@pytest.mark.parametrize(("theirs", "words"), [
    (rewrite_one, "others changed the same files: `out/one.md`"),
    (lambda machine: committed(machine, "out", "a file"), "others changed the same files: `out"),
    (lambda machine: committed(machine, "contentops.lock", "{"), "the merge cannot be used: `contentops.lock` in commit"),
], ids=["the same item", "a file for a folder", "a damaged lock"])  # fmt: skip
def test_what_others_contradict_waits(
    world: World, done: Machine, theirs: Callable[[Machine], object], words: str
) -> None:
    """None is overwritten, and nothing is repaired by guessing."""
    second = world.clone("second")
    theirs(second)
    second.git("add", "out")
    second.git("commit", "--quiet", "--all", "--message=Theirs")
    second.git("push", "--quiet")
    tip = world.tip()
    rewrite_one(done)
    done.write("content/more.yaml", manifest("alpha"))
    done.apply()
    assert f"`main` moved, and {words}" in done.commit().stdout
    assert "one, by first" in world.content("out/one.md", next(name for name in world.branches() if name != "main"))
    assert world.tip() == tip


@posix
def test_a_branch_that_keeps_moving(world: World, first: Machine) -> None:
    """After a bounded number of attempts, with growing pauses, the results go to a branch of their own."""
    second = world.clone("second")
    elsewhere = f"env -u GIT_DIR -u GIT_PREFIX git -C '{second.root}' {' '.join(NOBODY)}"
    # It runs when the remote was asked where it is and before anything is sent.
    script = f"{elsewhere} commit -q --allow-empty -m Again; {elsewhere} push -q"
    hook(first, "pre-push", f"read -r _ _ ref _\ncase $ref in */main) {script};; esac")
    pauses: list[float] = []
    done = publish(first, pauses)
    assert (done.attempts, done.why, pauses) == (ATTEMPTS, "`main` kept moving", [1, 2, 4, 8])
    assert world.tip(done.branch) == done.commit
    assert {*ORDERED, *MADE} <= set(world.paths(done.branch))


def test_a_push_says_where_the_branch_is(world: World, first: Machine) -> None:
    """A branch that was set back since it was looked at is not set forward again, though nothing would be forced."""
    innocent = world.tip()
    second = world.other("secret.md", "hunter2")
    clone = open_clone(str(first.root), {}, push=True, patience=60)
    first.git("fetch", "--quiet")
    tip = first.git("rev-parse", "origin/main").strip()
    child = first.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "ours").strip()
    second.git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    assert (_rejection(_push(clone, child, "main", tip)), world.tip()) == ("stale info", innocent)


def test_what_was_taken_off_a_branch_stays_off(world: World) -> None:
    """Someone removed a commit by force while an apply paid: nothing is pushed until the clone has removed it too."""
    innocent = world.tip()
    second = world.other("secret.md", "hunter2")
    machine = world.clone("machine", "--depth=1")
    machine.apply()
    second.git("push", "--quiet", "--force", "origin", f"{innocent}:main")
    said = " ".join(machine.commit(code=4).stderr.split())
    hint = "`git fetch origin main` and `git reset --keep FETCH_HEAD` remove them here"
    assert ("error[unpushed-commits]" in said, hint in said) == (True, True)
    assert (world.tip(), world.branches()) == (innocent, ["main"])
    machine.git("fetch", "--quiet", "origin", "main")
    machine.git("reset", "--quiet", "--keep", "FETCH_HEAD")
    machine.commit()
    assert {*ORDERED, *MADE} <= set(world.paths())
    assert "secret.md" not in world.subjects()


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_a_push_that_is_interrupted(world: World, first: Machine, how: signal.Signals) -> None:
    """Main moved, a hook is slow, and someone stops it: the clone is as it was, and the next run pushes."""
    world.other("README.md", "hello")
    path = hook(first, "pre-push", ": > .git/started\nexec sleep 600")
    before = standing(first)
    child = subprocess.Popen(
        [sys.executable, "-m", "contentops", "commit", "--direct"], cwd=first.root, env={**os.environ, **WHO},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with child:
        deadline = time.monotonic() + 60
        while not (first.root / ".git/started").exists():
            assert time.monotonic() < deadline
            assert child.poll() is None
        os.killpg(child.pid, how)
        child.communicate(timeout=60)
    path.unlink()
    assert (standing(first), first.commit("--json").json["branch"]) == (before, "main")
    assert {*ORDERED, *MADE, "README.md"} <= set(world.paths())


def test_a_killed_apply_goes_on_from_the_pushed_commit(world: World, tmp_path: Path) -> None:
    """What a run had submitted when it died is in git after the commit; the next machine pays for none of it again."""
    with Served(tmp_path / "store.db", stage_seconds=0.03) as server:
        local = "base_url: local"
        dying = world.other("contentops.yaml", f'base_url: "{server.base_url}", requests_per_minute: 0', local)
        assert killed(dying.root, '"step-done"', '"submit"')
        dying.commit()
        assert server.jobs()
        next_one = world.clone("next")
        assert not (next_one.root / ".contentops").exists()
        ended = next_one._invoke("apply", "--yes", cwd=next_one.root, env={"WRITERZROOM_API_KEY": KEY})
        assert ended.code == 0, ended.stdout + ended.stderr
        next_one.commit()
        assert len(server.jobs()) == len(server.charges()) == 3
        assert world.clone("last").changes() == []


def test_a_remote_that_is_gone_for_a_while(first: Machine, world: World) -> None:
    """No answer is tried again, then said; the results are still in this folder, and the next run pushes."""
    world.remote.rename(world.remote.with_name("gone"))
    before = standing(first)
    pauses: list[float] = []
    with pytest.raises(ContentopsError) as failed:
        publish(first, pauses)
    assert (failed.value.code, len(pauses)) == ("not-published", ATTEMPTS - 1)
    assert "run `contentops commit` again" in failed.value.hint
    assert standing(first) == before
    world.remote.with_name("gone").rename(world.remote)
    first.commit()
    assert world.clone("second").changes() == []


@posix
def test_a_hook_that_takes_no_push_is_asked_once(first: Machine) -> None:
    """It is no network that may come back."""
    hook(first, "pre-push", "echo x >> .git/pushes; echo tests failed >&2; exit 1")
    ended = first.commit(code=1)
    assert "error[not-published]: the results could not be pushed: tests failed" in ended.stderr
    assert (first.root / ".git/pushes").read_text() == "x\n"
