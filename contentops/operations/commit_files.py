"""Commit the files that one action of a person changed, in their name, and leave everything else as it is."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentops.atomic_io import Disk
from contentops.ci.git import GitFailed, failure, try_git
from contentops.ci.results import lock_at, lock_name, read_lock
from contentops.sanitize import clip, visible
from contentops.state import lock as locks
from contentops.state.codec import line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.model import Project

_LITERAL: Final = {"GIT_LITERAL_PATHSPECS": "1"}
_PATIENCE: Final = 60.0
"""Seconds that a commit may take: a hook may run, or a key ask for its passphrase."""
_SUBJECT: Final = 72
_UNFINISHED: Final = {"MERGE_HEAD": "merge", "CHERRY_PICK_HEAD": "cherry-pick"}


def commit_files(project: Project, files: Iterable[str], subject: str) -> str:
    """Commit those of `files` (paths in the project) that differ from the last commit; return the commit.

    The lock of that commit gets the records of these files, and no others: a clone must not look for texts that are
    not in git. Returns an empty text where nothing differs. What a person has staged of other files stays staged, and
    is not committed. Files that git ignores are left out. Raises GitFailed with git's own message, such as that of a
    hook, and during a merge; UsageError outside a repository; StateError for a lock that cannot be read.
    """
    root, named = project.root, sorted({file for file in files if file})
    for head, work in _UNFINISHED.items():
        # An index of our own would end it, without what it brings.
        if not try_git(root, "rev-parse", "--verify", "--quiet", head).code:
            raise GitFailed(f"git has not done all of a {work} yet", hint="finish it first")
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        with contextlib.suppress(FileNotFoundError):
            # The stamps in the present one save git from reading all files.
            shutil.copyfile(
                Path(root, _git(root, "rev-parse", "--git-path", "index").strip("\n")), Path(folder, "index")
            )
        has_head = not try_git(root, "rev-parse", "--verify", "--quiet", "HEAD").code
        _git(root, "read-tree", *(["--reset", "HEAD"] if has_head else ["--empty"]), extra=index)
        lists = (["--others", "--exclude-standard"], ["--modified", "--deleted"])
        changed = [name for one in lists for name in _names(root, "ls-files", "-z", *one, "--", *named, extra=index)]
        if changed:
            _git(root, "add", "--all", "--", *changed, extra=index)
        if (data := _lock_with(project, frozenset(named))) is not None:
            oid = _git(root, "hash-object", "-w", "--stdin", stdin=data).strip()
            path = _git(root, "rev-parse", "--show-prefix").rstrip("\n") + lock_name(project.environment)
            _git(root, "update-index", "--add", "--cacheinfo", f"100644,{oid},{path}", extra=index)
            changed.append(lock_name(project.environment))
        if not changed:
            return ""
        message = clip(visible(subject), _SUBJECT)
        _git(root, "commit", "--quiet", f"--message={message}", extra=index)
    _git(root, "reset", "--quiet", "--", *dict.fromkeys(changed))
    return try_git(root, "rev-parse", "HEAD").text


def _lock_with(project: Project, files: frozenset[str]) -> bytes | None:
    """Return the lock of the last commit with the records that `files` have now; None: it has them already."""
    name = lock_name(project.environment)
    data = Disk().read(Path(project.root, name))
    if data is None:
        return None
    now = read_lock(data, name)
    before = lock_at(project.root, "HEAD", project.environment)
    own = {id_: lines for id_, lines in now.records.items() if any(one.value.output in files for one in lines)}
    other = {
        id_: lines
        for id_, lines in before.records.items()
        if id_ not in own and not any(one.value.output in files for one in lines)
    }
    lines = [line_of(one.value) for _, each in sorted({**other, **own}.items()) for one in each]
    was = [line_of(one.value) for _, each in sorted(before.records.items()) for one in each]
    if lines == was or now.header is None:
        return None
    return locks.join(now.header.lineage, lines)


def _names(root: str, *arguments: str, extra: Mapping[str, str]) -> list[str]:
    return [name for name in _git(root, *arguments, extra=extra).split("\0") if name]


def _git(root: str, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
    ended = try_git(root, *arguments, stdin=stdin, extra={**_LITERAL, **(extra or {})}, timeout=_PATIENCE)
    if ended.code:
        raise failure(root, arguments, ended)
    return ended.stdout.decode("utf-8", "surrogateescape")
