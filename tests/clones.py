"""Clones of one remote, each on a machine of its own, for the tests of `contentops commit`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contentops.errors import ContentopsError
from contentops.operations.commit import CommitOptions, check_waiting
from contentops.operations.opening import open_project
from tests.running import Completed, Run

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


def git(root: Path, *arguments: str) -> str:
    """What git prints; it runs as a person would run it."""
    ended = subprocess.run(["git", *NOBODY, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


def commit(root: Path, message: str = "Work") -> str:
    """Commits everything; gives the commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")


def manifest(*items: str, topic: str = "{}") -> str:
    """One item per id, far enough apart for git to merge changes of neighbours."""
    return "items:\n" + "\n".join(
        f"  - id: {item}\n    inputs:\n      topic: {topic.format(item)}\n      target_audience: readers\n    # -\n    # -\n"
        for item in items
    )


PROTECTED = 'while read -r _ _ ref; do [ "$ref" != refs/heads/main ] || { echo "main is protected" >&2; exit 1; }; done'
"""A hook that lets no one push to main."""
posix = pytest.mark.skipif(sys.platform == "win32", reason="hooks are POSIX scripts")


class Machine:
    """A clone on a machine of its own."""

    def __init__(self, root: Path, invoke: Run) -> None:
        self.root = root
        self._invoke = invoke

    def git(self, *arguments: str, code: int = 0) -> str:
        """What git prints; it has to end with `code`."""
        ended = subprocess.run(
            ["git", *NOBODY, *arguments], cwd=self.root, capture_output=True, text=True, check=False, env=os.environ
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
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
        """`contentops commit`, to the branch itself."""
        direct = () if "--no-push" in arguments else ("--direct",)
        return self.propose(*direct, *arguments, code=code, runner=runner, **env)

    def propose(self, *arguments: str, code: int = 0, runner: dict[str, str] | None = None, **env: str) -> Completed:
        """`contentops commit`, new texts to a branch with a pull request."""
        ended = self._invoke("commit", *arguments, cwd=self.root, env={**WHO, **env, **(runner or {})})
        assert ended.code == code, ended.stdout + ended.stderr
        return ended

    def waits(self, environment: str = "") -> str:
        """The code and the message with which an apply in CI would be refused here; empty: it would not."""
        try:
            check_waiting(open_project(str(self.root), environment, ()), CommitOptions())
        except ContentopsError as error:
            return f"{error.code}: {error.message} {error.hint}"
        return ""

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
    """A bare remote, `remote.git` in a folder, and the machines that clone it."""

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
        return git(self.remote, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def tip(self, branch: str = "main") -> str:
        """The commit of a branch."""
        return git(self.remote, "rev-parse", f"refs/heads/{branch}")

    def content(self, path: str, branch: str = "main") -> str:
        """A file of a branch; empty where there is none."""
        command = ["git", "cat-file", "blob", f"refs/heads/{branch}:{path}"]
        return subprocess.run(command, cwd=self.remote, check=False, capture_output=True, text=True).stdout

    def paths(self, branch: str = "main") -> list[str]:
        """The files of a branch."""
        return git(self.remote, "ls-tree", "-r", "--name-only", f"refs/heads/{branch}").split()

    def subjects(self, branch: str = "main") -> list[str]:
        """The first lines of the commits of a branch, the newest first."""
        return git(self.remote, "log", "--format=%s", f"refs/heads/{branch}").splitlines()

    def other(self, path: str, text: str, old: str = "") -> Machine:
        """A person on another machine that has pushed a file, or (with `old`) an edit of one, to main."""
        names = (f"other-{number}" for number in range(99))
        machine = self.clone(next(name for name in names if not (self._folder / name).exists()))
        machine.edit(path, old, text) if old else machine.write(path, text)
        machine.git("add", path)
        machine.git("commit", "--quiet", f"--message={path}")
        machine.git("push", "--quiet")
        return machine


_MADE: dict[str, Path] = {}
"""Folders that were made once: a world, and a world with a machine `first` that has applied."""


def copy_once(name: str, target: Path, make: Callable[[Path], object], factory: pytest.TempPathFactory) -> None:
    """Fills `target` with what `make` makes: once, and copied ever after."""
    if name not in _MADE:
        template = factory.mktemp("made")
        make(template)
        _MADE[name] = template
    shutil.copytree(_MADE[name], target, dirs_exist_ok=True, symlinks=True)
    for config in target.glob("*/.git/config"):
        config.write_text(config.read_text("utf-8").replace(_MADE[name].as_uri(), target.as_uri()), "utf-8")


def make_world(invoke: Run, target: Path, factory: pytest.TempPathFactory) -> World:
    """A remote in `target` whose main branch declares three items, and no results yet."""

    def make(folder: Path) -> None:
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", folder / "remote.git"], check=True)
        seed = Machine(folder / "seed", invoke)
        seed.write("contentops.yaml", PROJECT)
        seed.write("content/blog.yaml", manifest("one", "two", "three"))
        seed.git("init", "--quiet", "--initial-branch=main")
        seed.git("add", "--all")
        seed.git("commit", "--quiet", "--message=Three articles")
        seed.git("push", "--quiet", (folder / "remote.git").as_uri(), "main")

    copy_once("world", target, make, factory)
    return World(target, invoke)


def make_first(invoke: Run, target: Path, factory: pytest.TempPathFactory) -> Machine:
    """A machine beside `make_world`'s remote in `target` that has applied and not committed."""

    def make(folder: Path) -> None:
        make_world(invoke, folder, factory).clone("first").apply()

    copy_once("first", target, make, factory)
    machine = Machine(target / "first", invoke)
    machine.git("update-index", "--refresh")
    return machine


@pytest.fixture
def world(processes: None, invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A remote whose main branch declares three items, and no results yet."""
    return make_world(invoke, tmp_path, tmp_path_factory)


@pytest.fixture
def first(world: World, invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that has applied and not committed."""
    return make_first(invoke, tmp_path, tmp_path_factory)
