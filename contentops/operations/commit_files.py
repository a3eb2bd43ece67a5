"""Commit the files that one action of a person changed, in their name, and leave everything else as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentops.ci.git import failure, try_git
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Project

_LITERAL: Final = {"GIT_LITERAL_PATHSPECS": "1"}
_PATIENCE: Final = 60.0
"""Seconds that a commit may take: a hook may run, or a key ask for its passphrase."""
_SUBJECT: Final = 72


def commit_files(project: Project, files: Iterable[str], subject: str) -> str:
    """Commit those of `files` (paths in the project) that differ from git's; return the commit, empty for none.

    What a person has staged of other files stays staged, and is not committed. Files that git ignores are left out.
    Raises GitFailed with git's own message, such as that of a hook, and UsageError outside a repository.
    """
    root, named = project.root, sorted({file for file in files if file})
    others = _names(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *named)
    changed = _names(root, "ls-files", "-z", "--modified", "--deleted", "--", *named)
    if not (others or changed):
        return ""
    if others:
        # So that `--only` knows them; their contents are not staged.
        _git(root, "add", "--intent-to-add", "--", *others)
    message = clip(visible(subject), _SUBJECT)
    _git(root, "commit", "--quiet", "--only", f"--message={message}", "--", *dict.fromkeys((*others, *changed)))
    return try_git(root, "rev-parse", "HEAD").text


def _names(root: str, *arguments: str) -> list[str]:
    return [name for name in _git(root, *arguments).split("\0") if name]


def _git(root: str, *arguments: str) -> str:
    ended = try_git(root, *arguments, extra=_LITERAL, timeout=_PATIENCE)
    if ended.code:
        raise failure(root, arguments, ended)
    return ended.stdout.decode("utf-8", "surrogateescape")
