"""The lines of locks that were committed since a moment: in all environments, on all branches that this clone knows."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ci.git import LOOK, PATIENCE, GitFailed, is_shallow, reason_of, require_repository, try_git
from contentops.errors import UsageError
from contentops.model import LockedLine, OpenEntry, Record
from contentops.state.codec import parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.ci.git import GitResult

_SKEW = timedelta(days=2)
"""So much earlier may the clock of a commit be than that of its texts."""
_LOG = (
    # Branches, tags, and what they were before they were rewritten or deleted.
    *("log", "--all", "--reflog", "--full-history", "--format=commit %H", "--no-show-signature", "--patch", "--text"),
    # Of a merge, what no parent has.
    "-c",
    *("--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
)
_LOCKS = ":(glob)contentops*.lock"
_FILE = re.compile(r'diff --(?:git|combined) .*?contentops(?:\.([^/"]+))?\.lock"?')


class CommittedLines(Struct, frozen=True, kw_only=True):
    """The lines that commits added to locks or removed from them."""

    lines: tuple[LockedLine, ...] = ()
    gaps: tuple[str, ...] = ()
    """Why it is not all there was, each a sentence."""


def committed_since(root: str, start: datetime, last: str) -> CommittedLines:
    """Return the lines of locks in commits since a moment.

    `last`: a commit that was counted before, empty for none. It is read even if no branch has it any more.
    """
    try:
        require_repository(root)
        known = bool(last) and not _git(root, "cat-file", "-e", f"{last}^{{commit}}").code
        since = f"--since={start - _SKEW:%Y-%m-%dT%H:%M:%SZ}"
        ended = _git(root, *_LOG, since, *([last] if known else []), "--", _LOCKS)
        gaps = [_cut_off(root, start)] if is_shallow(root) else []
    except UsageError:
        return CommittedLines(gaps=("the project is not in a git repository, so there are no earlier locks",))
    except GitFailed as error:
        return CommittedLines(gaps=(f"earlier locks cannot be read: {error.message}",))
    if ended.code:
        return CommittedLines(gaps=(f"earlier locks cannot be read: {reason_of(ended)}",))
    if last and not known:
        gaps.append(f"git's history was rewritten: commit {last[:10]}, which an apply has counted, is gone")
    lines = tuple(_lines(ended.stdout.decode("utf-8", "replace")))
    return CommittedLines(lines=lines, gaps=tuple(filter(None, gaps)))


def head_of(root: str) -> str:
    """Return the commit that is checked out; empty where there is none."""
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "HEAD").text
    except GitFailed:
        return ""


def _git(root: str, *arguments: str) -> GitResult:
    return try_git(root, *arguments, extra=LOOK, timeout=PATIENCE)


def _cut_off(root: str, start: datetime) -> str:
    """Return that a shallow clone lacks commits since a moment; empty where it has all of them."""
    file = Path(root, _git(root, "rev-parse", "--git-path", "shallow").text)
    times = _git(root, "log", "--no-walk", "--format=%ct", *file.read_text("ascii").split()).text.split()
    if all(datetime.fromtimestamp(int(time), UTC) < start - _SKEW for time in times):
        return ""
    hint = "`git fetch --unshallow` fetches them, in CI `fetch-depth: 0`"
    return f"this clone is shallow, so earlier locks are missing; {hint}"


def _lines(log: str) -> Iterator[LockedLine]:
    """Yield the lines that patches add and remove; a damaged one is left out, as a commit repaired it."""
    environment = ""
    for text in log.split("\n"):
        if text.startswith(("+{", "-{", "++{", "+++{")):
            with contextlib.suppress(ValueError):
                line = parse_line(text.lstrip("+-"))
                if isinstance(line, Record | OpenEntry):
                    yield LockedLine(environment, line)
        elif (file := _FILE.fullmatch(text)) is not None:
            environment = file[1] or ""
