"""Reads earlier versions of a file from git: texts that no cache has."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

from contentops.ci.git import LOOK, PATIENCE, GitFailed, is_shallow, read_blobs, run_git, try_git
from contentops.ci.results import body_of
from contentops.documents.front_matter import split
from contentops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.digest import Digest

VERSIONS = 50
"""Commits of a file that are read, the newest ones."""
_AT_ONCE = 8
"""Files that are read together: few, to save memory."""
_FILE_LOG = ("--full-history", f"--max-count={VERSIONS}", "--raw", "--no-abbrev", "-z")
_VERSION = re.compile(rb"commit ([0-9a-f]{40,64})|:\d{6} \d{6} ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) ")


class Version(NamedTuple):
    """A file as it was at a commit (a revision of git)."""

    commit: str
    data: bytes


def versions(root: str, path: str) -> Iterator[Version]:
    """Yield the versions of a file in git, also under earlier names, newest first; none where git fails.

    Git follows one name at a time: past a rename on one branch it misses what another branch had at this path.
    """
    known: set[str] = set()
    with contextlib.suppress(GitFailed):
        for names in (("--follow",), ()):
            contents = {oid: at for oid, at in _logged(root, path, *names).items() if oid not in known}
            known.update(contents)
            wanted = list(contents)
            for start in range(0, len(wanted), _AT_ONCE):
                for name, data in read_blobs(root, wanted[start : start + _AT_ONCE]).items():
                    yield Version(contents[name], data)


def _logged(root: str, path: str, *names: str) -> dict[str, str]:
    """Return the blobs of a path, each with the newest commit that has it."""
    command = ("--literal-pathspecs", "log", "--no-show-signature", "--format=commit %H", *names, *_FILE_LOG)
    contents: dict[str, str] = {}
    commit = ""
    for match in _VERSION.finditer(try_git(root, *command, "HEAD", "--", path, extra=LOOK, timeout=PATIENCE).stdout):
        commit = match[1].decode() if match[1] else commit
        for at, oid in ((commit, match[3]), (f"{commit}^", match[2])):
            if oid and oid.strip(b"0"):
                contents.setdefault(oid.decode(), at)
    return contents


def earlier_bodies(root: str, path: str) -> Iterator[tuple[Digest, str]]:
    """Yield the readable bodies that a file has had in git, the newest first."""
    for version in versions(root, path):
        if digest := body_of(version.data):
            yield digest, split(version.data.decode()).body


def no_history(root: str) -> str:
    """Return why this clone may lack texts, and what to do; empty where it has the whole history."""
    try:
        run_git(root, "rev-parse", "--git-dir")
    except (UsageError, GitFailed):
        return "the project lies in no git repository, which would hold earlier texts"
    cut = "this clone is shallow, so git lacks earlier texts; `git fetch --unshallow` brings them"
    return f"{cut}, in CI `fetch-depth: 0` of actions/checkout" if is_shallow(root) else ""
