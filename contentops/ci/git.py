"""Runs git: a child process without a shell, without prompts, and with its words in our errors."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from contentops.errors import ContentopsError, UsageError
from contentops.sanitize import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PATIENCE = 300.0
"""Seconds that a call over the network may take."""
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
_USER = re.compile(r"://[^/\s]*@")
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_WORDS = 300
_GRACE = 5.0
_LATE = 124


class GitFailed(ContentopsError):
    """Git cannot be run, or ended with an error."""

    code = "git-failed"


def run_git(root: Path | str, *arguments: str, stdin: bytes = b"") -> str:
    """What git prints when it is run in `root`; bytes that are no UTF-8 come back as surrogates.

    Raises UsageError where `root` lies in no repository, GitFailed where git is missing or ends with an error.
    """
    return git_bytes(root, *arguments, stdin=stdin).decode("utf-8", "surrogateescape")


def git_bytes(root: Path | str, *arguments: str, stdin: bytes = b"") -> bytes:
    """The same as bytes, for the contents of files."""
    # A look must not take the index lock from under somebody; nor may a partial clone reach for the network.
    ended = try_git(root, *arguments, stdin=stdin, extra={"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"})
    if ended.code:
        raise failure(root, arguments, ended)
    return ended.stdout


class Ended(NamedTuple):
    """How git ended: its exit code, what it printed, its words without secrets, and whether it was ended by us."""

    code: int
    stdout: bytes
    words: str
    late: bool = False


def try_git(
    root: Path | str,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Ended:
    """Runs git in `root`, `extra` added to its environment, however it ends; after `timeout` seconds it is ended.

    Raises GitFailed only where git cannot be started at all.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    # The C locale keeps the words we look for.
    environ |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    try:
        child = subprocess.Popen(  # noqa: S603 - no shell; what a person wrote stands after `--end-of-options`
            ["git", *settings, *arguments],  # noqa: S607 - the git a person uses
            cwd=root,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise GitFailed("`git` is not there", code="no-git", hint="install git, and make sure it is found") from error
    except (OSError, ValueError) as error:
        raise GitFailed(f"git cannot be run: {error}") from error
    with child:
        try:
            stdout, stderr = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            _stop(child)
            return Ended(_LATE, b"", f"there was no answer within {timeout:g} seconds", late=True)
        except BaseException:
            _stop(child)
            raise
    return Ended(child.returncode, stdout, masked(stderr.decode("utf-8", "replace").strip()))


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


def failure(root: Path | str, arguments: Sequence[str], ended: Ended) -> ContentopsError:
    """The error to raise for a git that failed, with its own words."""
    if "not a git repository" in ended.words:
        hint = "run it inside a clone, or make the folder one with `git init`"
        return UsageError(f"`{root}` lies in no git repository", code="no-repository", hint=hint)
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    return GitFailed(f"`git {verb}` failed: {said(ended)}")


def said(ended: Ended) -> str:
    """The words of a git that failed, on one line and not too many."""
    # Some refusals, as that of a commit of nothing, are told where the answer would be.
    words = ended.words or masked(ended.stdout[: _WORDS * 4].decode("utf-8", "replace"))
    return " ".join(words.split())[:_WORDS].rstrip(".") or f"it ended with {ended.code}"


class Clone(Struct, frozen=True, kw_only=True):
    """A clone, its remote, and what its git commands get beside the environment of the process."""

    root: str
    remote: str
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
        """What git prints, without the line break at its end. Raises GitFailed."""
        return self.read(*arguments, stdin=stdin, extra=extra).decode("utf-8", "surrogateescape").strip()

    def read(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        """What git prints, byte by byte. Raises GitFailed."""
        ended = self.attempt(*arguments, stdin=stdin, extra=extra)
        if ended.code:
            raise failure(self.root, arguments, ended)
        return ended.stdout

    def attempt(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Ended:
        """The same, however it ends."""
        return try_git(self.root, *arguments, stdin=stdin, extra={**self.extra, **(extra or {})}, timeout=timeout)

    def reach(self, *arguments: str) -> Ended:
        """A call of the remote, however it ends, and within bounded time."""
        return self.attempt(*arguments, timeout=self.patience)

    def head(self) -> str:
        """The commit that is checked out, or empty before the first."""
        return self.attempt("rev-parse", "--verify", "--quiet", "HEAD").stdout.decode("ascii").strip()

    def folder(self) -> str:
        """Where `root` lies in the repository: empty, or with a slash at its end. Raises GitFailed."""
        return self.read("rev-parse", "--show-prefix").rstrip(b"\n").decode("utf-8", "surrogateescape")
