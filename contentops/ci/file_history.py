"""Reads earlier versions of a file from git: texts that no cache has."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from contentops.ci.git import (
    LOOK,
    PATIENCE,
    GitFailed,
    is_shallow,
    read_blobs,
    reason_of,
    require_repository,
    run_git,
    try_git,
)
from contentops.ci.results import body_of
from contentops.documents.front_matter import split
from contentops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest

VERSIONS = 50
"""Commits of a file that are read, the newest ones."""
_AT_ONCE = 8
"""Files that are read together: few, to save memory."""
_FILE_LOG = ("--full-history", f"--max-count={VERSIONS}", "--raw", "--no-abbrev", "-z")
_VERSION = re.compile(rb"commit ([0-9a-f]{40,64})|:\d{6} \d{6} ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) ")


class Version(NamedTuple):
    """A file as it was in git, and the first commit that made it so; of one that is older than what is read: `C^`."""

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
    """Return the blobs of a path, the newest first, each with the commit that brought it first."""
    command = ("--literal-pathspecs", "log", "--no-show-signature", "--format=commit %H", *names, *_FILE_LOG)
    contents: dict[str, str] = {}
    commit = ""
    for match in _VERSION.finditer(try_git(root, *command, "HEAD", "--", path, extra=LOOK, timeout=PATIENCE).stdout):
        commit = match[1].decode() if match[1] else commit
        after, before = ((match[at] or b"").decode() for at in (3, 2))
        if after.strip("0"):
            contents[after] = commit
        if before.strip("0"):
            contents.setdefault(before, f"{commit}^")
    return contents


def earlier_bodies(root: str, path: str) -> Iterator[tuple[Digest, str]]:
    """Yield the readable bodies that a file has had in git, the newest first."""
    for version in versions(root, path):
        if digest := body_of(version.data):
            yield digest, split(version.data.decode()).body


def no_history(root: str) -> str:
    """Return why this clone may lack texts, and what to do; empty where it has the whole history."""
    try:
        require_repository(root)
    except (UsageError, GitFailed):
        return "the project is not in a git repository, so there are no earlier texts"
    cut = "this clone is shallow, so git lacks earlier texts; `git fetch --unshallow` fetches them"
    return f"{cut}, in CI `fetch-depth: 0` of actions/checkout" if is_shallow(root) else ""


# --- many files at once ------------------------------------------------------------------------------------


class PathHistory(NamedTuple):
    """A path in git: the commit that last changed it, and each blob with the first commit in a row that has it."""

    commit: str = ""
    """Empty: none, or the file differs from it, or this clone lacks it."""
    blobs: Mapping[str, str] = {}
    """The newest first; an empty commit is one that this clone lacks."""


_FOLDERS = 100
"""Folders that one command line names; of more, all below the root are read."""
_ALL_LOG = ("-c", "--raw", "--no-abbrev", "--no-renames", "-z", "--format=commit %H")
_READ_TOGETHER = 200


def path_histories(root: str, paths: Iterable[str]) -> dict[str, PathHistory]:
    """Return the history of each of these paths at its name of today, by one call of git for all of them.

    A path that git does not know is left out. Raises UsageError outside a repository, GitFailed.
    """
    wanted = {path: unicodedata.normalize("NFC", path) for path in paths}
    prefix = run_git(root, "rev-parse", "--show-prefix").strip("\n")
    folders = sorted({str(PurePosixPath(path).parent) for path in wanted})
    below = ("--", *(folders if len(folders) <= _FOLDERS else ["."]))
    log = ("--literal-pathspecs", "log", "--no-show-signature", *_ALL_LOG, "HEAD", *below)
    ended = try_git(root, *log, extra=LOOK, timeout=PATIENCE)
    if ended.code:
        if not try_git(root, "rev-parse", "--verify", "--quiet", "HEAD", extra=LOOK).code:
            raise GitFailed(f"the history of the files cannot be read: {reason_of(ended)}")
        return {}
    changed = {_own(name, prefix) for name in _differing(root, below)}
    cut = _cut_off(root)
    known = set(wanted.values())
    commits: dict[str, str] = {}
    blobs: dict[str, dict[str, str]] = {}
    for commit, name, oid in _changes(ended.stdout):
        if (path := _own(name, prefix)) in known:
            at = "" if commit in cut or not oid.strip("0") else commit
            commits.setdefault(path, "" if path in changed else at)
            blobs.setdefault(path, {}).setdefault(oid, at)
    return {path: PathHistory(commits[own], blobs[own]) for path, own in wanted.items() if own in commits}


def _changes(log: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield commit, path and blob of each change in a log, the newest first."""
    commit = ""
    fields = iter(log.decode("utf-8", "surrogateescape").split("\0"))
    for field in fields:
        if field.startswith("commit "):
            commit = field.removeprefix("commit ")
        elif (about := field.lstrip("\n")).startswith(":"):
            yield commit, next(fields, ""), about.split(" ")[-2]


def _own(name: str, prefix: str) -> str:
    return unicodedata.normalize("NFC", name.removeprefix(prefix))


def _differing(root: str, below: Sequence[str]) -> list[str]:
    """Return the files that differ from HEAD, by their paths in the repository. Raises GitFailed."""
    command = ("--literal-pathspecs", "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", "HEAD", *below)
    return [name for name in run_git(root, *command).split("\0") if name]


def _cut_off(root: str) -> frozenset[str]:
    """Return the commits of a shallow clone that seem to have made all their files."""
    if not is_shallow(root):
        return frozenset()
    file = Path(root, run_git(root, "rev-parse", "--git-path", "shallow").strip("\n"))
    return frozenset(file.read_text("ascii").split())


def bodies_in(
    root: str, wanted: Mapping[str, Digest], histories: Mapping[str, PathHistory]
) -> Iterator[tuple[str, str]]:
    """Yield the paths whose history has the body with a digest, each with this body.

    Git is asked for many files at once, for at most `VERSIONS` of each. Raises GitFailed.
    """
    unread = {path: tuple(histories[path].blobs)[:VERSIONS] for path in wanted if path in histories}
    for number in range(VERSIONS):
        unread = {path: blobs for path, blobs in unread.items() if number < len(blobs)}
        paths = list(unread)
        for start in range(0, len(paths), _READ_TOGETHER):
            some = paths[start : start + _READ_TOGETHER]
            read = read_blobs(root, [unread[path][number] for path in some])
            for path in some:
                data = read.get(unread[path][number], b"")
                if body_of(data) == wanted[path]:
                    del unread[path]
                    yield path, split(data.decode()).body
