"""Runs git: a child process without a shell, without prompts, and with its words in our errors."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from contentops.errors import ContentopsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What git sets for its hooks, relative to a folder that need not be ours."""
_WORDS = 300


class GitFailed(ContentopsError):
    """Git can not be run, or ended with an error."""

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
    """How git ended: its exit code, what it printed, and its words."""

    code: int
    stdout: bytes
    words: str


def try_git(root: Path | str, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> Ended:
    """Runs git in `root`, `extra` added to its environment, however it ends.

    Raises GitFailed only where git can not be started at all.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _HOOKS}
    # The C locale keeps the words we look for.
    environ |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
    try:
        ended = subprocess.run(  # noqa: S603 - no shell; what a person wrote stands after `--end-of-options`
            ["git", *arguments],  # noqa: S607 - the git a person uses
            cwd=root,
            env=environ,
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitFailed("`git` is not there", code="no-git", hint="install git, and make sure it is found") from error
    except (OSError, ValueError) as error:
        raise GitFailed(f"git can not be run: {error}") from error
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace").strip())


def failure(root: Path | str, arguments: Sequence[str], ended: Ended) -> ContentopsError:
    """The error to raise for a git that failed, with its own words."""
    if "not a git repository" in ended.words:
        hint = "run it inside a clone, or make the folder one with `git init`"
        return UsageError(f"`{root}` lies in no git repository", code="no-repository", hint=hint)
    said = " ".join(ended.words.split())[:_WORDS].rstrip(".") or f"it ended with {ended.code}"
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    return GitFailed(f"`git {verb}` failed: {said}")
