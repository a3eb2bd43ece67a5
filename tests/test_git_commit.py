"""`contentops commit`: real git, real remotes, several machines at once."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from contentops.ci.git import Clone
from contentops.ci.github.token import credentials
from contentops.ci.publish import Where, publish
from contentops.ci.push import ATTEMPTS
from contentops.ci.worktree import alone
from contentops.errors import ContentopsError
from contentops.operations.workspace import World as Outside
from contentops.operations.workspace import open_project
from contentops.reporting.commit_text import Made, commit_message, made
from tests.fakes.github import TOKEN, FakeGitHub
from tests.plans import make_entry, make_record
from tests.processes import KEY, Served, applying
from tests.running import Completed, Run  # noqa: TC001 - pytest reads annotations of fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build

PROJECT = """\
version: 1
project: acme-blog
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
guards: {max_changed_ratio: 1}
environments: {staging: {output: "staging/{{ item.id }}.md"}}
"""
NOBODY = ("-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")
WHO = {
    "GIT_AUTHOR_NAME": "Author",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "Author",
    "GIT_COMMITTER_EMAIL": "author@example.com",
}


def manifest(*items: str, topic: str = "{}") -> str:
    """One item per id, far enough apart for git to merge changes of neighbours."""
    return "items:\n" + "\n".join(
        f"  - id: {item}\n    inputs:\n      topic: {topic.format(item)}\n      target_audience: readers\n    # -\n    # -\n"
        for item in items
    )


posix = pytest.mark.skipif(sys.platform == "win32", reason="hooks are POSIX scripts")


class Machine:
    """A clone on a machine of its own."""

    def __init__(self, root: Path, invoke: Run) -> None:
        self.root = root
        self._invoke = invoke

    def git(self, *arguments: str) -> str:
        """What git prints; it has to end well."""
        ended = subprocess.run(
            ["git", *NOBODY, *arguments], cwd=self.root, capture_output=True, text=True, check=False, env=os.environ
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def write(self, path: str, text: str) -> None:
        """A file of the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def apply(self, *arguments: str) -> None:
        """Applies; has to end well."""
        ended = self._invoke("apply", "--yes", *arguments, cwd=self.root)
        assert ended.code == 0, ended.stdout + ended.stderr

    def commit(self, *arguments: str, code: int = 0, runner: dict[str, str] | None = None, **env: str) -> Completed:
        """`contentops commit`."""
        ended = self._invoke("commit", *arguments, cwd=self.root, env={**WHO, **env, **(runner or {})})
        assert ended.code == code, ended.stdout + ended.stderr
        return ended

    def files(self, commit: str = "HEAD") -> list[str]:
        """The paths a commit touches."""
        return sorted(
            self.git("show", "--format=", "--name-only", "--no-renames", "-z", commit).strip("\0\n").split("\0")
        )

    def changes(self) -> list[str]:
        """The ids the plan has something to do for."""
        ended = self._invoke("plan", "--json", cwd=self.root)
        assert ended.code == 0, ended.stdout + ended.stderr
        return [change["id"] for change in ended.json["changes"]]

    def edit(self, path: str, old: str, new: str) -> None:
        """A person edits a file."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text
        self.write(path, text.replace(old, new))


class World:
    """A bare remote and the machines that clone it."""

    def __init__(self, folder: Path, invoke: Run) -> None:
        self.remote = folder / "remote.git"
        self._folder, self._invoke = folder, invoke

    def clone(self, name: str, *arguments: str) -> Machine:
        """Another machine with what was pushed."""
        address = self.remote.as_uri()
        subprocess.run(
            ["git", "clone", "--quiet", *arguments, address, name], cwd=self._folder, check=True, env=os.environ
        )
        return Machine(self._folder / name, self._invoke)

    def hook(self, name: str, script: str) -> None:
        """A hook of the remote."""
        path = self.remote / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def branches(self) -> list[str]:
        """What the remote has."""
        said = subprocess.run(
            ["git", "for-each-ref", "--format=%(refname:short)", "refs/heads"],
            cwd=self.remote,
            check=True,
            capture_output=True,
            text=True,
        )
        return said.stdout.split()

    def tip(self, branch: str = "main") -> str:
        """The commit of a branch."""
        said = subprocess.run(
            ["git", "rev-parse", f"refs/heads/{branch}"], cwd=self.remote, check=True, capture_output=True, text=True
        )
        return said.stdout.strip()


def make_world(project: Build, invoke: Run, folder: Path) -> World:
    """A remote whose main branch declares three items, and no results yet."""
    made = World(folder, invoke)
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(made.remote)], check=True)
    seed = Machine(
        project({"contentops.yaml": PROJECT, "content/blog.yaml": manifest("one", "two", "three")}, at="seed"), invoke
    )
    seed.git("init", "--quiet", "--initial-branch=main")
    seed.git("add", "--all")
    seed.git("commit", "--quiet", "--message=Three articles")
    seed.git("push", "--quiet", made.remote.as_uri(), "main")
    return made


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


# --- what is committed -------------------------------------------------------------------------------------


def test_results_become_one_commit_on_the_branch(world: World, first: Machine) -> None:
    """Outputs, lock and the merge rule; the message counts and names them and starts no workflow."""
    ended = first.commit()
    assert first.files() == [".gitattributes", "contentops.lock", "out/one.md", "out/three.md", "out/two.md"]
    assert first.git("log", "-1", "--format=%B").strip() == ("content: 3 created\n\n+ one\n+ three\n+ two\n\n[skip ci]")
    assert world.tip() == first.git("rev-parse", "HEAD").strip()
    assert ended.stdout.startswith("Committed 5 files as ")
    assert ended.stdout.endswith("Pushed to `main`.\n")
    assert world.clone("second").changes() == []


def test_nothing_to_commit_is_no_failure(world: World, first: Machine) -> None:
    """A second commit says so, exits with 0 and pushes nothing."""
    first.commit()
    before = world.tip()
    assert first.commit().stdout == "Nothing to commit: lock and outputs are as committed.\n"
    assert world.tip() == before


def test_nothing_to_commit_before_the_first_apply(world: World) -> None:
    """A project without a lock has no results."""
    assert "Nothing to commit" in world.clone("fresh").commit().stdout


def test_other_changes_stay_as_they_are(first: Machine) -> None:
    """Whatever else is changed, new or staged is neither committed nor unstaged, and counted."""
    first.write("notes.md", "mine")
    first.edit("content/blog.yaml", "readers", "everybody")
    first.write("staged.md", "mine as well")
    first.git("add", "staged.md")
    ended = first.commit()
    assert "content/blog.yaml" not in first.files()
    assert first.git("status", "--porcelain") == " M content/blog.yaml\nA  staged.md\n?? notes.md\n"
    assert "3 other changed files" in ended.stderr


def test_moved_and_removed_files_go_along(first: Machine) -> None:
    """The paths that the last committed lock owned count as well."""
    first.commit()
    first.write(
        "content/blog.yaml", manifest("two", "three").replace("id: two\n", "id: two\n    output: out/zwei.md\n")
    )
    first.apply("--prune")
    first.commit()
    assert first.files() == ["contentops.lock", "out/one.md", "out/two.md", "out/zwei.md"]
    message = first.git("log", "-1", "--format=%B")
    assert message.startswith("content: 1 moved, 1 removed\n\n> two\n- one\n")


def test_what_only_the_journal_knows_is_committed(first: Machine) -> None:
    """A killed apply leaves facts in the journal; the commit brings them into the lock first."""
    lock = (first.root / "contentops.lock").read_bytes()
    journal = first.root / ".contentops" / "journal.jsonl"
    journal.write_bytes(lock)
    (first.root / "contentops.lock").unlink()
    first.commit()
    assert (first.root / "contentops.lock").read_bytes() == lock
    assert "contentops.lock" in first.files()


def test_an_environment_commits_its_own(first: Machine) -> None:
    """Lock and outputs of one environment, and its name in the message."""
    first.apply("--env", "staging")
    first.commit("--env", "staging", "--no-push")
    assert [name for name in first.files() if not name.startswith(".")] == [
        "contentops.staging.lock",
        "staging/one.md",
        "staging/three.md",
        "staging/two.md",
    ]
    assert "Environment: staging" in first.git("log", "-1", "--format=%B")


def test_a_project_below_the_root_of_the_repository(world: World, invoke: Run) -> None:
    """Paths are the project's, wherever it lies in the clone."""
    machine = world.clone("first")
    machine.write("site/contentops.yaml", PROJECT.replace("acme-blog", "site"))
    machine.write("site/content/blog.yaml", manifest("inner"))
    machine.write("out/inner.md", "not the project's")
    inner = Machine(machine.root / "site", invoke)
    inner.apply()
    inner.commit("--no-push")
    assert machine.files() == ["site/.gitattributes", "site/contentops.lock", "site/out/inner.md"]


def test_a_lock_can_not_name_hidden_files(first: Machine) -> None:
    """A record that claims a workflow does not get it committed."""
    first.commit()
    first.edit("contentops.lock", '"out/one.md"', '".github/workflows/ci.yml"')
    first.write(".github/workflows/ci.yml", "on: push")
    first.commit("--no-push")
    assert first.files() == ["contentops.lock"]


def test_outputs_that_git_ignores_are_named(first: Machine) -> None:
    """They cannot come back, so a person hears of it."""
    first.write(".gitignore", "out/two.md\n")
    ended = first.commit("--no-push")
    assert "warning[ignored]: git ignores `out/two.md`, so it is not committed" in ended.stderr
    assert "out/two.md" not in first.files()


def test_an_unfinished_merge_is_not_committed(first: Machine) -> None:
    """A file with conflict markers is never added."""
    first.commit()
    first.git("checkout", "--quiet", "-b", "other", "HEAD~1")
    first.git("clean", "-dfq")
    first.write("out/one.md", "another")
    first.git("add", "--all")
    first.git("commit", "--quiet", "--message=Another")
    subprocess.run(["git", *NOBODY, "merge", "main"], cwd=first.root, capture_output=True, check=False)
    ended = first.commit("--no-push", code=4)
    assert "error[unmerged]: git has not merged `out/one.md` yet" in ended.stderr


def test_json_says_the_same(first: Machine) -> None:
    """For programs."""
    found = first.commit("--json").json
    assert (found["branch"], found["target"], found["why"], found["attempts"]) == ("main", "main", "", 1)
    assert len(found["files"]) == 5
    assert found["commit"] == first.git("rev-parse", "HEAD").strip()


def test_a_commit_that_shall_start_workflows(first: Machine) -> None:
    """`--no-skip-ci` leaves the mark out."""
    first.commit("--no-skip-ci")
    assert "[skip ci]" not in first.git("log", "-1", "--format=%B")


# --- the branch moves --------------------------------------------------------------------------------------


def test_the_branch_moved_meanwhile(world: World, first: Machine) -> None:
    """The commit is put on top of what others pushed; nothing of theirs is lost."""
    second = world.clone("second")
    second.write("README.md", "hello")
    second.git("add", "README.md")
    second.git("commit", "--quiet", "--message=Read me")
    second.git("push", "--quiet")
    found = first.commit("--json").json
    assert (found["branch"], found["attempts"]) == ("main", 1)
    assert found["commit"] == world.tip() == first.git("rev-parse", "HEAD").strip()
    assert (first.root / "README.md").read_text() == "hello"
    assert first.git("status", "--porcelain") == ""


def test_two_machines_commit_at_once(world: World, first: Machine) -> None:
    """Different items: both commits reach the branch, the locks are merged line by line, nothing is left to do."""
    second = world.clone("second")
    second.write("content/more.yaml", manifest("alpha"))
    second.git("add", "content")
    second.git("commit", "--quiet", "--message=Alpha")
    second.git("push", "--quiet")
    second.apply("--select", "alpha")
    second.commit()
    first.commit()
    third = world.clone("third")
    assert third.changes() == []
    assert third.git("log", "--format=%s").splitlines()[:2] == [
        "content: 3 created",
        "content: 1 created",
    ]


def test_one_commit_at_a_time_in_a_clone(world: World, first: Machine) -> None:
    """Whatever project or environment it is of: they have one index and one HEAD."""
    first.apply("--env", "staging")
    project = open_project(str(first.root), "staging", ())
    with alone(Clone(root=str(first.root), remote="origin")), pytest.raises(ContentopsError) as failed:
        publish(project, Where(patience=0.1), pause=lambda _seconds: None)
    assert failed.value.code == "lock-held"
    assert world.branches() == ["main"]
    assert first.git("log", "--format=%s").splitlines() == ["Three articles"]
    first.commit("--env", "staging")
    assert first.git("log", "--format=%s").splitlines() == ["content: 3 created", "Three articles"]


def test_a_shallow_clone_catches_up(world: World, first: Machine) -> None:
    """A runner has one commit of the history, and rebases all the same."""
    shallow = world.clone("shallow", "--depth=1")
    shallow.write("content/more.yaml", manifest("alpha"))
    shallow.apply("--select", "alpha")
    first.commit()
    assert shallow.commit("--json").json["branch"] == "main"


def test_the_same_results_twice(world: World, first: Machine) -> None:
    """What somebody pushed already is no commit any more, and no failure."""
    other = world.clone("other")
    for path in ("contentops.lock", ".gitattributes", "out/one.md", "out/two.md", "out/three.md"):
        other.write(path, (first.root / path).read_text(encoding="utf-8"))
    other.commit()
    assert first.commit("--json").json["commit"] == world.tip()


@posix
def test_a_branch_that_keeps_moving(world: World, first: Machine) -> None:
    """After a bounded number of attempts, with growing pauses, the results go to a branch of their own."""
    second = world.clone("second")
    elsewhere = f"env -u GIT_DIR -u GIT_PREFIX git -C '{second.root}' {' '.join(NOBODY)}"
    hook = first.root / ".git" / "hooks" / "pre-push"
    # It runs when the remote was asked where it is and before anything is sent.
    hook.write_text(
        f"#!/bin/sh\nread -r _ _ ref _\ncase $ref in */main) {elsewhere} commit -q --allow-empty -m Again;"
        f" {elsewhere} push -q;; esac\n"
    )
    hook.chmod(0o755)
    pauses: list[float] = []
    first.git("config", "user.name", "Author")
    first.git("config", "user.email", "author@example.com")
    done = publish(open_project(str(first.root), "", ()), Where(), pause=pauses.append)
    head = first.git("rev-parse", "HEAD")[:12]
    assert (done.branch, done.attempts) == (f"contentops/acme-blog/{head}", ATTEMPTS)
    assert world.tip(done.branch) == done.commit
    assert done.why == "`main` kept moving"
    assert pauses == [1, 2, 4, 8]


def own_branch(machine: Machine, run: str) -> str:
    """The branch for results that the branch did not take."""
    return f"contentops/acme-blog/{run}-{machine.git('rev-parse', 'HEAD')[:12]}"


def test_others_changed_the_same_output(world: World, first: Machine) -> None:
    """A conflict is undone, not solved: the clone is as before, and the results wait on a branch."""
    second = world.clone("second")
    second.write("out/one.md", "written by hand")
    second.git("add", "out")
    second.git("commit", "--quiet", "--message=By hand")
    second.git("push", "--quiet")
    tip = world.tip()
    ended = first.commit(GITHUB_RUN_ID="77", GITHUB_RUN_ATTEMPT="2")
    name = own_branch(first, "77-2")
    assert "Not on `main`: `main` moved, and others changed the same files: `out/one.md`." in ended.stdout
    assert f"`gh pr create --base main --head {name} --fill`" in ended.stdout
    assert world.branches() == [name, "main"]
    assert world.tip() == tip
    assert first.git("status", "--porcelain") == ""
    assert first.git("log", "-1", "--format=%s") == "content: 3 created\n"
    assert not (first.root / ".git" / "rebase-merge").exists()


def test_other_changes_are_in_nobodys_way(world: World, first: Machine) -> None:
    """The results go on top of what others pushed; a person's unfinished work stays as it is, staged or not."""
    second = world.clone("second")
    second.write("README.md", "hello")
    second.git("add", "README.md")
    second.git("commit", "--quiet", "--message=Read me")
    second.git("push", "--quiet")
    first.edit("content/blog.yaml", "readers", "everybody")
    first.write("staged.md", "mine as well")
    first.git("add", "staged.md")
    first.commit()
    assert world.tip() == first.git("rev-parse", "HEAD").strip()
    assert first.git("status", "--porcelain") == " M content/blog.yaml\nA  staged.md\n"
    assert (first.root / "README.md").read_text() == "hello"


def test_a_clone_that_can_not_follow_stays(world: World, first: Machine) -> None:
    """Where others pushed a file that a person has here too, the results are pushed and nothing here is touched."""
    second = world.clone("second")
    second.write("README.md", "theirs")
    second.git("add", "README.md")
    second.git("commit", "--quiet", "--message=Read me")
    second.git("push", "--quiet")
    first.write("README.md", "mine")
    ended = first.commit()
    assert "note: `main` is left as it is here" in ended.stderr
    assert (first.root / "README.md").read_text() == "mine"
    assert first.git("log", "--format=%s") == "content: 3 created\nThree articles\n"
    assert second.git("ls-remote", "origin", "main").split()[0] == world.tip()
    assert world.clone("third").changes() == []
    assert "Nothing to commit" in first.commit().stdout


# --- the branch refuses ------------------------------------------------------------------------------------

PROTECTED = 'while read -r _ _ ref; do [ "$ref" != refs/heads/main ] || { echo "main is protected" >&2; exit 1; }; done'


def test_a_protected_branch(world: World, first: Machine) -> None:
    """The results go to a branch, whose checks may run; the message says what to do."""
    world.hook("pre-receive", PROTECTED)
    tip = world.tip()
    ended = first.commit(GITHUB_RUN_ID="77", GITHUB_REPOSITORY="acme/blog", GITHUB_SERVER_URL="https://github.example")
    assert "`main` takes no push: pre-receive hook declined" in ended.stdout
    assert world.tip() == tip
    message = first.git("log", "-1", "--format=%B", world_branch(first, own_branch(first, "77-1")))
    assert "[skip ci]" not in message
    assert "Run: https://github.example/acme/blog/actions/runs/77" in message


def world_branch(machine: Machine, name: str) -> str:
    """A branch of the remote, fetched."""
    machine.git("fetch", "--quiet", "origin", name)
    return "FETCH_HEAD"


def test_results_that_wait_stop_the_next_apply(world: World, first: Machine) -> None:
    """Until the branch is merged and gone, a run from main would pay again, so it is told to stop; others are not."""
    assert "No results" in first.commit("--check-waiting").stdout
    world.hook("pre-receive", PROTECTED)
    first.commit(GITHUB_RUN_ID="77")
    second = world.clone("second")
    ended = second.commit("--check-waiting", code=4)
    waits = own_branch(first, "77-1")
    assert f"error[results-waiting]: results of an earlier run wait on `{waits}`" in ended.stderr
    second.commit("--env", "staging", "--check-waiting", "--json")


def test_a_remote_that_takes_nothing(world: World, first: Machine) -> None:
    """The commit stays here, and the message says which it is."""
    world.hook("pre-receive", "exit 1")
    ended = first.commit(code=1)
    assert "error[not-published]" in ended.stderr
    assert first.git("rev-parse", "--short=12", "HEAD").strip() in ended.stderr


def test_a_remote_that_is_gone(first: Machine, world: World) -> None:
    """No answer is tried again, then said; results are committed."""
    world.remote.rename(world.remote.with_name("gone"))
    first.git("config", "user.name", "Author")
    first.git("config", "user.email", "author@example.com")
    pauses: list[float] = []
    with pytest.raises(ContentopsError) as failed:
        publish(open_project(str(first.root), "", ()), Where(), pause=pauses.append)
    assert failed.value.code == "not-published"
    assert len(pauses) == ATTEMPTS - 1
    assert "contentops.lock" in first.files()


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "branch", ["--upload-pack=touch pwned", "a b", "x:refs/heads/main", "+main", "a..b", "$(touch pwned)", "ends.lock"]
)
def test_hostile_branch_names(world: World, first: Machine, branch: str) -> None:
    """They are refused, or they are names; never an option, another ref, or a command."""
    tip = world.tip()
    ended = first._invoke("commit", f"--branch={branch}", cwd=first.root, env=WHO)
    assert ended.code in {0, 64}
    assert world.tip() == tip
    assert not list(first.root.rglob("pwned"))
    assert [name for name in world.branches() if name not in {"main", branch}] == []


@pytest.mark.parametrize("remote", ["nowhere", "", "ext::sh -c touch% pwned", "-x"])
def test_a_remote_is_one_of_the_clone(first: Machine, remote: str) -> None:
    """An address or an option is no remote, and nothing is committed."""
    ended = first.commit(f"--remote={remote}", code=64)
    assert "error[no-remote]" in ended.stderr
    assert "known: `origin`" in ended.stderr
    assert first.git("log", "--format=%s") == "Three articles\n"


def test_no_branch_is_checked_out(first: Machine) -> None:
    """On a detached head, the branch is the one of the workflow, or has to be named."""
    first.git("checkout", "--quiet", "--detach")
    assert "error[no-branch]" in first.commit(code=64).stderr
    assert first.commit("--json", GITHUB_REF="refs/heads/main").json["branch"] == "main"


def test_outside_a_repository(project: Build, invoke: Run) -> None:
    """A folder that git does not know is told so."""
    root = project({"contentops.yaml": PROJECT, "content/blog.yaml": manifest("one")})
    assert (
        "error[no-repository]" in invoke("commit", cwd=root, env={"GIT_CEILING_DIRECTORIES": str(root.parent)}).stderr
    )


# --- who, and with which key -------------------------------------------------------------------------------


def test_a_runner_without_an_identity_commits_as_the_bot(first: Machine) -> None:
    """GitHub's own bot, only there, and only where nobody is set."""
    ended = first._invoke("commit", "--no-push", cwd=first.root, env={"GITHUB_ACTIONS": "true"})
    assert ended.code == 0, ended.stderr
    assert first.git("log", "-1", "--format=%an").strip() == "github-actions[bot]"


@pytest.mark.parametrize(
    ("address", "server", "given"),
    [
        ("https://github.com/acme/blog", "https://github.com", True),
        ("https://github.com.evil.example/acme/blog", "https://github.com", False),
        ("https://elsewhere.example/acme/blog", "https://github.com", False),
        ("git@github.com:acme/blog", "https://github.com", False),
        ("http://github.com/acme/blog", "http://github.com", False),
        ("http://127.0.0.1:1/acme/blog", "http://127.0.0.1:1", True),
    ],
    ids=["ours", "looks like ours", "elsewhere", "ssh", "unencrypted", "loopback"],
)
def test_the_token_goes_to_its_server_alone(address: str, server: str, *, given: bool) -> None:
    """As settings of the child process, for one address; redirects are not followed."""
    found = credentials(address, {"GITHUB_TOKEN": "t0ken", "GITHUB_SERVER_URL": server, "GIT_CONFIG_COUNT": "1"})
    assert bool(found) is given
    if given:
        assert found["GIT_CONFIG_COUNT"] == "4"
        assert found["GIT_CONFIG_KEY_3"] == f"http.{server}/.followRedirects"
        assert "t0ken" not in json.dumps(found)


# --- the message -------------------------------------------------------------------------------------------


def _state(records: dict[str, object], entries: dict[str, object] | None = None) -> object:
    from contentops.model import State

    return State(lineage="l", records=records, entries=entries or {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"a": {}}, {"created": ("a",)}),
        ({"a": {}}, {}, {"removed": ("a",)}),
        ({"a": {}}, {"a": {"job_id": "j2"}}, {"rewritten": ("a",)}),
        ({"a": {}}, {"a": {"output": "b.md"}}, {"moved": ("a",)}),
        ({"a": {}}, {"b": {"moved_from": "a"}}, {"moved": ("b",)}),
        ({"a": {}}, {"a": {"content_id": "c"}}, {"saved": ("a",)}),
        ({"a": {}}, {"a": {"metadata": {"x": 1}}}, {"updated": ("a",)}),
        ({"a": {}}, {"a": {}}, {}),
    ],
    ids=["created", "removed", "rewritten", "moved", "renamed", "saved", "updated", "same"],
)
def test_what_was_made(
    before: dict[str, dict[str, object]], after: dict[str, dict[str, object]], expected: dict[str, tuple[str, ...]]
) -> None:
    """Each record is counted once, as what happened to it."""

    def records(stated: dict[str, dict[str, object]]) -> dict[str, object]:
        return {
            name: make_record(name if not fields.get("moved_from") else "a", **{"id": name, **fields})
            for name, fields in stated.items()
        }

    assert made(_state(records(before)), _state(records(after))).items == expected  # type: ignore[arg-type]


def test_credits_count_once() -> None:
    """A job that was committed while it ran is not paid again when its text comes."""
    entry = make_entry(credits=4)
    running = _state({}, {entry.request_id: entry})
    done = _state({"guide": make_record(request_id=entry.request_id, credits=4)})
    assert made(_state({}), running).credits == 4  # type: ignore[arg-type]
    assert made(running, done).credits == 0  # type: ignore[arg-type]
    assert made(_state({}), done).credits == 4  # type: ignore[arg-type]


def test_a_long_message_is_cut() -> None:
    """Fifty ids, then how many more; a hostile id stays on its line and starts or stops no workflow."""
    names = tuple(f"item-{number:03}" for number in range(60))
    what = Made(items={"created": ("a\n[skip ci] @all", *names)}, open=2, credits=244)  # type: ignore[arg-type]
    text = commit_message(what, environment="", run="", skip=False)
    assert text.startswith("content: 61 created, 2 open (244 credits)\n\n+ a\\n(skip ci] @all\n")
    assert text.endswith("and 11 more\n")
    assert len(text.splitlines()) == 53


# --- the pull request --------------------------------------------------------------------------------------


def test_a_pull_request_is_opened_for_a_protected_branch(world: World, first: Machine) -> None:
    """With a token, the results wait in a pull request that says why."""
    world.hook("pre-receive", PROTECTED)
    with FakeGitHub() as hub:
        ended = first.commit(runner=hub.env(GITHUB_RUN_ID="77"))
        (pull,) = hub.pulls
    assert f"Pull request: {pull['html_url']}" in ended.stdout
    assert (pull["head"]["label"], pull["base"]["ref"]) == (f"acme:{own_branch(first, '77-1')}", "main")
    assert pull["title"] == "content: 3 created"
    assert "Merge it before the next apply" in pull["body"]


def test_a_pull_request_that_is_not_allowed(world: World, first: Machine) -> None:
    """The results are on the branch all the same, and a person is told how to go on."""
    world.hook("pre-receive", PROTECTED)
    with FakeGitHub() as hub:
        hub.faults.append(("POST", lambda: (403, {"message": f"may not create pull requests {TOKEN}"}, {})))
        ended = first.commit(runner=hub.env(GITHUB_RUN_ID="77"))
    assert "warning[github]: no pull request was made" in ended.stderr
    assert f"`gh pr create --base main --head {own_branch(first, '77-1')} --fill`" in ended.stdout
    assert TOKEN not in ended.stderr + ended.stdout


def test_git_over_http_gets_the_token(first: Machine) -> None:
    """The child process authorises itself to the server of the workflow, and the token is in no file of the clone."""
    first.git("config", "user.name", "Author")
    first.git("config", "user.email", "author@example.com")
    with FakeGitHub() as server:
        first.git("remote", "set-url", "origin", f"{server.api}/acme/blog")
        outside = Outside(environ={**os.environ, **server.env(GITHUB_SERVER_URL=server.api)})
        with pytest.raises(ContentopsError) as failed:
            publish(open_project(str(first.root), "", ()), Where(), world=outside, pause=lambda _seconds: None)
        assert server.tokens == {"basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()}
    assert failed.value.code == "not-published"
    assert TOKEN not in failed.value.message
    files = [path for path in (first.root / ".git").rglob("*") if path.is_file()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


# --- a machine dies ----------------------------------------------------------------------------------------


def test_a_killed_apply_goes_on_from_the_pushed_commit(world: World, tmp_path: Path) -> None:
    """What a run had submitted when it died is in git after the commit; the next machine pays for none of it again."""
    with Served(tmp_path / "store.db", stage_seconds=0.5) as server:
        dying = world.clone("dying")
        dying.edit("contentops.yaml", "base_url: local", f'base_url: "{server.base_url}", requests_per_minute: 0')
        dying.git("commit", "--quiet", "--all", "--message=A server")
        dying.git("push", "--quiet")
        with applying(dying.root) as apply:
            apply.until("step-done", "submit")
            apply.kill()
        dying.commit()
        assert server.jobs()
        next_one = world.clone("next")
        assert not (next_one.root / ".contentops").exists()
        ended = next_one._invoke("apply", "--yes", cwd=next_one.root, env={"WRITERZROOM_API_KEY": KEY})
        assert ended.code == 0, ended.stdout + ended.stderr
        next_one.commit()
        assert len(server.jobs()) == len(server.charges()) == 3
        assert world.clone("last").changes() == []
