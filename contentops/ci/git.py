"""Runs git without a shell or questions to the user, and turns its messages into contentops errors."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from contentops.errors import ContentopsError, UsageError
from contentops.execution.commands import find_program, git_environment, is_program
from contentops.sanitize import redact

PATIENCE = 300.0
"""Seconds that a git command may take if it calls a remote or reads the history."""
_LOCAL = frozenset(
    f"GIT_{name}"
    for name in (
        # What git itself calls local to a repository, without settings.
        *("ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR", "DIR", "GRAFT_FILE", "IMPLICIT_WORK_TREE", "INDEX_FILE"),
        *("INTERNAL_SUPER_PREFIX", "NO_REPLACE_OBJECTS", "OBJECT_DIRECTORY", "PREFIX", "REPLACE_REF_BASE"),
        *("SHALLOW_FILE", "WORK_TREE"),
        "NAMESPACE",
        # What changes the meaning of our paths.
        *("GLOB_PATHSPECS", "ICASE_PATHSPECS", "LITERAL_PATHSPECS", "NOGLOB_PATHSPECS"),
    )
)
"""Variables that lead git to another repository than the folder's, or to other files in it."""
_SETTINGS = {
    # Otherwise a folder that looks like a bare repository is one, and its settings name commands to run.
    "safe.bareRepository": "explicit",
    # A server that sends nothing for a minute is given up.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    # Git loses the entries of a split index without a checksum.
    "index.skipHash": "false",
}
LOOK = {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
"""Variables for commands that only read: git does not lock the index, and a partial clone fetches nothing."""
_USER = re.compile(r"://[^/\s]*@")
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN")
_ROOM = 300
"""The most characters of a git message that are shown."""
_GRACE = 5.0
_AT_ONCE = 8
_LATE = 124


class GitFailed(ContentopsError):
    """The error if git cannot be run, or if a git command failed."""

    code = "git-failed"


class GitResult(NamedTuple):
    """The result of a git command: exit code, output, messages without secrets, and whether it timed out."""

    code: int
    stdout: bytes
    errors: str
    late: bool = False

    @property
    def text(self) -> str:
        """Return the output as text, without white space at both ends. Invalid UTF-8 becomes surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape").strip()


def run_git(root: Path | str, *arguments: str, stdin: bytes = b"") -> str:
    """Run a git command that only reads, and return its output. Invalid UTF-8 becomes surrogates.

    Raises UsageError if `root` is in no repository, and GitFailed if git is missing or ends with an error.
    """
    return _output(root, arguments, try_git(root, *arguments, stdin=stdin, extra=LOOK))


def in_repository(root: Path | str) -> bool:
    """Return whether a folder seems to be in a git repository. It does not run git."""
    folder = Path(root).resolve()
    return any(os.access(place / ".git", os.F_OK) for place in (folder, *folder.parents))


def require_repository(root: Path | str) -> None:
    """Raise UsageError if a folder is in no git repository. Raises GitFailed like `run_git`."""
    if not in_repository(root):
        raise _no_repository(root)
    run_git(root, "rev-parse", "--git-dir")


def _no_repository(root: Path | str) -> UsageError:
    hint = "run it inside a clone, or make the folder one with `git init`"
    return UsageError(f"`{root}` is not in a git repository", code="no-repository", hint=hint)


def read_blobs(root: Path | str, names: Iterable[str], extra: Mapping[str, str] = LOOK) -> dict[str, bytes]:
    """Return the contents of files that git stores, each with its name from `names` as the key.

    A name is an object id, or `COMMIT:./PATH` with a path below `root`. Missing files are left out. `extra` is added to
    git's environment. Raises GitFailed.
    """
    asked = list(dict.fromkeys(names))
    stdin = "".join(f"{name}\n" for name in asked).encode("utf-8", "surrogateescape")
    ended = try_git(root, "cat-file", "--batch", stdin=stdin, extra=extra)
    if ended.code:
        raise failure(root, ["cat-file"], ended)
    blobs: dict[str, bytes] = {}
    at = 0
    for name in asked:
        end = ended.stdout.index(b"\n", at)
        kind, size = [*ended.stdout[at:end].rsplit(b" ", 2), b""][1:3]
        at = end + 1
        if size.isdigit():
            if kind == b"blob":
                blobs[name] = ended.stdout[at : at + int(size)]
            at += int(size) + 1
    return blobs


def each_blob(root: Path | str, names: Iterable[str], extra: Mapping[str, str] = LOOK) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of files that git stores, a few at a time to save memory.

    See `read_blobs` for the names. Raises GitFailed.
    """
    asked = list(names)
    for start in range(0, len(asked), _AT_ONCE):
        yield from read_blobs(root, asked[start : start + _AT_ONCE], extra).items()


def file_at(root: Path | str, commit: str, path: str, extra: Mapping[str, str] = LOOK) -> bytes | None:
    """Return the content of a file at a commit, or None if it did not exist there.

    Raises GitFailed, also if a partial clone lacks the file.
    """
    named = try_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:./{path}", extra=extra)
    if named.code:
        return None
    data = read_blobs(root, [named.text], extra).get(named.text)
    if data is None:
        raise GitFailed(
            f"git does not have a file of commit {commit[:12]}: `{path}`", hint="fetch the whole commit first"
        )
    return data


def try_git(
    root: Path | str,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> GitResult:
    """Run a git command, and return its exit code and output even if the command fails.

    `extra` is added to git's environment. The command may take `timeout` seconds. Raises GitFailed if git cannot be
    started.
    """
    environ = {name: value for name, value in git_environment(os.environ).items() if name not in _LOCAL}
    # The C locale keeps the messages we look for.
    environ |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    program = find_program("git", os.environ.get("PATH", os.defpath), windows=os.name == "nt", usable=is_program)
    if not program:
        raise GitFailed("`git` was not found", code="no-git", hint="install git, and put it on the path")
    try:
        child = subprocess.Popen(  # noqa: S603 - no shell; what a person wrote comes after `--end-of-options`
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
    """Stop a running git command.

    It is terminated first, so that it removes its lock files and ends its children, and then killed.
    """
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)
    child.kill()


def masked(text: str) -> str:
    """Return a text in which user names, passwords and tokens are masked, so that people may see the text."""
    for token in filter(None, map(os.environ.get, _TOKENS)):
        text = redact(text, token, "***")
    return _USER.sub("://***@", text)


def failure(root: Path | str, arguments: Sequence[str], ended: GitResult) -> ContentopsError:
    """Return the error for a failed git command, with git's own message."""
    if "not a git repository" in ended.errors:
        return _no_repository(root)
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    return GitFailed(f"`git {verb}` failed: {reason_of(ended)}")


def _output(root: Path | str, arguments: Sequence[str], ended: GitResult) -> str:
    if ended.code:
        raise failure(root, arguments, ended)
    return ended.stdout.decode("utf-8", "surrogateescape")


def reason_of(ended: GitResult) -> str:
    """Return git's own message about a failure, shortened and on one line."""
    return " ".join(ended.errors.split())[:_ROOM].rstrip(".") or f"it ended with {ended.code}"


def is_shallow(root: Path | str) -> bool:
    """Return whether a clone is shallow, which means that it lacks earlier commits."""
    with contextlib.suppress(GitFailed):
        asked = ("rev-parse", "--is-shallow-repository")
        return in_repository(root) and try_git(root, *asked, extra=LOOK).text == "true"
    return False


def first_commit(root: Path | str) -> str:
    """Return the first commit of the current branch.

    The first parent of each commit is followed. Every complete clone gives the same commit. The result is empty if
    there is no git, if there is no commit, or if the clone is shallow.
    """
    asked = ("--no-replace-objects", "rev-list", "--first-parent", "--max-parents=0", "HEAD")
    with contextlib.suppress(GitFailed):
        if in_repository(root) and not is_shallow(root):
            ended = try_git(root, *asked, extra=LOOK, timeout=PATIENCE)
            return "" if ended.code else ended.text
    return ""


REMOTE = "origin"
"""The remote that results are pushed to."""


class Clone(Struct, frozen=True, kw_only=True):
    """A clone of a git repository, with additional variables for its git commands."""

    root: str
    extra: Mapping[str, str] = field(default_factory=dict)
    patience: float = PATIENCE
    """Seconds that a call of the remote or a hook may take."""
    address: str = ""
    """The address for pushes, if it differs from the address for fetches."""

    @property
    def source(self) -> str:
        """Return the name or the address of the remote repository for fetches and pushes."""
        return self.address or REMOTE

    def run(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run a git command and return its output, without white space at both ends. Raises GitFailed."""
        return self.read(*arguments, stdin=stdin).strip()

    def read(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run a git command and return its output. Invalid UTF-8 becomes surrogates. Raises GitFailed."""
        return _output(self.root, arguments, self.attempt(*arguments, stdin=stdin))

    def names(self, *arguments: str) -> list[str]:
        """Run a git command with `-z` and return the file names that it prints. Raises GitFailed."""
        return [name for name in self.read(*arguments).split("\0") if name]

    def attempt(self, *arguments: str, stdin: bytes = b"", timeout: float | None = None) -> GitResult:
        """Run a git command, and return its exit code and output even if the command fails."""
        return try_git(self.root, *arguments, stdin=stdin, extra=self.extra, timeout=timeout)

    def reach(self, *arguments: str) -> GitResult:
        """Run a git command for at most `patience` seconds. Return its result, even if it fails."""
        return self.attempt(*arguments, timeout=self.patience)

    def head(self) -> str:
        """Return the commit that is checked out. It is empty before the first commit."""
        return self.attempt("rev-parse", "--verify", "--quiet", "HEAD").text

    def base(self) -> str:
        """Return the commit that is checked out, or the empty tree before the first commit. Raises GitFailed."""
        return self.head() or self.run("hash-object", "-t", "tree", "--stdin")
