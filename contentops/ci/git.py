"""Runs git: a child process without a shell, without prompts, and with its own messages in our errors."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from contentops.errors import ContentopsError, UsageError
from contentops.execution.child_environment import git_environment
from contentops.execution.commands import find_program, is_program
from contentops.sanitize import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

PATIENCE = 300.0
"""Seconds that a call over the network, or through the history, may take."""
_LOCAL = frozenset(
    f"GIT_{name}"
    for name in (
        # What git itself calls local to a repository, but for settings.
        *("ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR", "DIR", "GRAFT_FILE", "IMPLICIT_WORK_TREE", "INDEX_FILE"),
        *("INTERNAL_SUPER_PREFIX", "NO_REPLACE_OBJECTS", "OBJECT_DIRECTORY", "PREFIX", "REPLACE_REF_BASE"),
        *("SHALLOW_FILE", "WORK_TREE"),
        "NAMESPACE",
        # What gives our paths another meaning.
        *("GLOB_PATHSPECS", "ICASE_PATHSPECS", "LITERAL_PATHSPECS", "NOGLOB_PATHSPECS"),
    )
)
"""What would lead git to another repository than that of the folder, or to other files in it."""
_SETTINGS = {
    # A folder of the project that looks like a repository would be one, and its settings name commands to run.
    "safe.bareRepository": "explicit",
    # A server that sends nothing for a minute is not coming back.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    # Git loses the entries of an index that is split and has no checksum.
    "index.skipHash": "false",
}
LOOK = {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
"""For looks: no index lock is taken from under someone, and a partial clone does not reach for the network."""
_USER = re.compile(r"://[^/\s]*@")
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_ROOM = 300
"""Characters of a message of git that ours keep."""
_GRACE = 5.0
_LATE = 124


class GitFailed(ContentopsError):
    """Git cannot be run, or ended with an error."""

    code = "git-failed"


class GitResult(NamedTuple):
    """How git ended: its exit code, what it printed, its messages without secrets, and whether it was ended by us."""

    code: int
    stdout: bytes
    errors: str
    late: bool = False

    @property
    def text(self) -> str:
        """What it printed, without space around it; bytes that are no UTF-8 are surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape").strip()


def run_git(root: Path | str, *arguments: str, stdin: bytes = b"") -> str:
    """What git prints when it is run in `root`, for looks alone; bytes that are no UTF-8 come back as surrogates.

    Raises UsageError where `root` lies in no repository, GitFailed where git is missing or ends with an error.
    """
    ended = try_git(root, *arguments, stdin=stdin, extra=LOOK)
    if ended.code:
        raise failure(root, arguments, ended)
    return ended.stdout.decode("utf-8", "surrogateescape")


def read_blobs(root: Path | str, names: Iterable[str], extra: Mapping[str, str] = LOOK) -> dict[str, bytes]:
    """The bytes of files in git's store, by what names them: a content, or `COMMIT:./PATH` with a path below `root`.

    What is not there is left out. `extra` is added to git's environment. Raises GitFailed.
    """
    asked = list(dict.fromkeys(names))
    stdin = "".join(f"{name}\n" for name in asked).encode("utf-8", "surrogateescape")
    ended = try_git(root, "cat-file", "--batch", stdin=stdin, extra=extra)
    if ended.code:
        raise failure(root, ["cat-file"], ended)
    found: dict[str, bytes] = {}
    at = 0
    for name in asked:
        end = ended.stdout.index(b"\n", at)
        kind, size = [*ended.stdout[at:end].rsplit(b" ", 2), b""][1:3]
        at = end + 1
        if size.isdigit():
            if kind == b"blob":
                found[name] = ended.stdout[at : at + int(size)]
            at += int(size) + 1
    return found


def file_at(root: Path | str, commit: str, path: str, extra: Mapping[str, str] = LOOK) -> bytes | None:
    """A file below `root` as it was at a commit; None where there was none.

    Raises GitFailed where git fails, and where a partial clone lacks the file.
    """
    named = try_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:./{path}", extra=extra)
    if named.code:
        return None
    found = read_blobs(root, [named.text], extra).get(named.text)
    if found is None:
        raise GitFailed(f"git lacks a file of commit {commit[:12]}: `{path}`", hint="fetch the whole commit first")
    return found


def try_git(
    root: Path | str,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> GitResult:
    """Runs git in `root`, `extra` added to its environment, however it ends; after `timeout` seconds it is ended.

    Raises GitFailed only where git cannot be started at all.
    """
    environ = {name: value for name, value in git_environment(os.environ).items() if name not in _LOCAL}
    # The C locale keeps the messages we look for.
    environ |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    program = find_program("git", os.environ.get("PATH", os.defpath), windows=os.name == "nt", usable=is_program)
    if not program:
        raise GitFailed("`git` was not found", code="no-git", hint="install git, and put it on the path")
    try:
        child = subprocess.Popen(  # noqa: S603 - no shell; what a person wrote stands after `--end-of-options`
            [program, *settings, *arguments],
            cwd=root,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        raise GitFailed(f"git cannot be run: {error}") from error
    with child:
        try:
            stdout, stderr = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            _stop(child)
            return GitResult(_LATE, b"", f"there was no answer within {timeout:g} seconds", late=True)
        except BaseException:
            _stop(child)
            raise
    return GitResult(child.returncode, stdout, masked(stderr.decode("utf-8", "replace").strip()))


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Asks first: git then takes its lock files and its own children with it."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)
    child.kill()


def masked(text: str) -> str:
    """`text` without the names, passwords and tokens in addresses, and without any form of the workflow's token."""
    for token in filter(None, map(os.environ.get, _TOKENS)):
        text = redact(text, token, "***")
    return _USER.sub("://***@", text)


def failure(root: Path | str, arguments: Sequence[str], ended: GitResult) -> ContentopsError:
    """The error to raise for a git that failed, with its own message."""
    if "not a git repository" in ended.errors:
        hint = "run it inside a clone, or make the folder one with `git init`"
        return UsageError(f"`{root}` lies in no git repository", code="no-repository", hint=hint)
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    return GitFailed(f"`git {verb}` failed: {reason_of(ended)}")


def reason_of(ended: GitResult) -> str:
    """Why git failed, in its own words on one line, and not too many."""
    return " ".join(ended.errors.split())[:_ROOM].rstrip(".") or f"it ended with {ended.code}"


def is_shallow(root: Path | str) -> bool:
    """Whether `root` lies in a clone that lacks earlier commits."""
    with contextlib.suppress(GitFailed):
        return try_git(root, "rev-parse", "--is-shallow-repository", extra=LOOK).text == "true"
    return False


def first_commit(root: Path | str) -> str:
    """The commit that the history of what is checked out began with, the same in every whole clone.

    Of histories that were merged into it, none counts. Empty where git shows none: there is no git, no commit, or the
    clone is shallow.
    """
    asked = ("--no-replace-objects", "rev-list", "--first-parent", "--max-parents=0", "HEAD")
    with contextlib.suppress(GitFailed):
        if not is_shallow(root):
            ended = try_git(root, *asked, extra=LOOK, timeout=PATIENCE)
            return "" if ended.code else ended.text
    return ""


class TreeEntry(NamedTuple):
    """What stands at a path of a tree: git's mode and name of the content; both empty where nothing does."""

    mode: str = ""
    oid: str = ""


class Clone(Struct, frozen=True, kw_only=True):
    """A clone, its remote, and what its git commands get beside the environment of the process."""

    root: str
    remote: str = "origin"
    extra: Mapping[str, str] = field(default_factory=dict)
    patience: float = PATIENCE
    """Seconds that a call of the remote may take."""
    address: str = ""
    """Where pushes go, if the remote's fetches come from somewhere else."""

    @property
    def source(self) -> str:
        """What to fetch from: the place that is pushed to."""
        return self.address or self.remote

    def run(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        """What git prints, without space around it. Raises GitFailed."""
        return self.read(*arguments, stdin=stdin, extra=extra).strip()

    def read(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        """What git prints; bytes that are no UTF-8 are surrogates. Raises GitFailed."""
        ended = self.attempt(*arguments, stdin=stdin, extra=extra)
        if ended.code:
            raise failure(self.root, arguments, ended)
        return ended.stdout.decode("utf-8", "surrogateescape")

    def names(self, *arguments: str) -> list[str]:
        """The names that git prints with `-z`. Raises GitFailed."""
        return [name for name in self.read(*arguments).split("\0") if name]

    def attempt(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> GitResult:
        """The same, however it ends."""
        return try_git(self.root, *arguments, stdin=stdin, extra={**self.extra, **(extra or {})}, timeout=timeout)

    def reach(self, *arguments: str) -> GitResult:
        """A call of the remote, however it ends, and within bounded time."""
        return self.attempt(*arguments, timeout=self.patience)

    def head(self) -> str:
        """The commit that is checked out, or empty before the first."""
        return self.attempt("rev-parse", "--verify", "--quiet", "HEAD").text

    def changes(self, before: str, after: str) -> dict[str, tuple[TreeEntry, TreeEntry]]:
        """What differs between two commits or trees, by path in the repository: before and after. Raises GitFailed."""
        parts = iter(self.read("diff-tree", "-r", "-z", "--no-renames", before, after).split("\0"))
        found = {}
        for about in filter(None, parts):
            old_mode, new_mode, old, new, _ = about[1:].split(" ")
            found[next(parts)] = (_entry(old_mode, old), _entry(new_mode, new))
        return found


def _entry(mode: str, oid: str) -> TreeEntry:
    return TreeEntry(mode, oid) if oid.strip("0") else TreeEntry()
