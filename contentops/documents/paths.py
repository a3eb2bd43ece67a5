"""Output paths as text, and what the system says about them in words a person can act on.

Paths come from manifests and from the lock, and the lock is no more trusted than any other file: a path that leaves
the root, or names a hidden file or folder such as `.git`, is refused before the disk is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from typing import TYPE_CHECKING, Final

from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPORARY: Final = re.compile(r"\.contentops-[0-9a-f]{16}\.tmp")
"""Names of half-written files; leftovers may be removed."""

PARKED: Final = re.compile(r"\.contentops-[0-9a-f]{8,64}\.moving")
"""Names under which a plan lets a file rest while others take its place; the only hidden ones that are allowed."""

_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_FULL: Final = ("no space is left on the disk", "free some space, then run the command again")
_DENIED: Final = (
    "permission is denied",
    "check who owns the file and its folder, and whether another program holds it",
)
_LONG: Final = ("the name is too long for this file system", "shorten `output`")
_REASONS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: ("the disk quota is used up", _FULL[1]),
    errno.EFBIG: ("the file is larger than this system allows", ""),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: ("the file system is read-only", "make it writable, then run the command again"),
    errno.ENAMETOOLONG: _LONG,
    errno.EILSEQ: ("the name is not allowed on this file system", "change `output`"),
    errno.EINVAL: ("the name is not allowed on this file system", "change `output`"),
    errno.ENOENT: ("its folder is gone", "run the command again"),
    errno.EMFILE: ("too many files are open", "raise the limit on open files (`ulimit -n`)"),
}


def temporary_name() -> str:
    """A new name for a file that is being written."""
    return f".contentops-{os.urandom(8).hex()}.tmp"


def split_path(path: str) -> tuple[str, ...]:
    """The segments of a path relative to the root.

    Raises OutputError for anything that could name a place outside the root, or a hidden one.
    """
    problem = _problem(path)
    if problem:
        message = f"the path {shown(path)} is not allowed: {problem}"
        raise OutputError(message, code="unsafe-path", hint="use a path below the project root, such as `out/name.md`")
    return tuple(path.split("/"))


def _problem(path: str) -> str:
    if not path:
        return "it is empty"
    if _UNFIT.search(path):
        return "it holds characters that no file name should have"
    if path.startswith("/") or "\\" in path or ":" in path:
        return "it is absolute, or holds a backslash or a colon"
    segments = path.split("/")
    if ".." in segments or "." in segments or "" in segments:
        return "it holds `..`, `.` or an empty name"
    hidden = [name for name in segments if name.startswith(".")]
    if hidden and not (hidden == segments[-1:] and PARKED.fullmatch(hidden[0])):
        return "it names a hidden file or folder"
    return ""


@contextlib.contextmanager
def explained(path: str, verb: str) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that says what could not be done to `path`, and why."""
    try:
        yield
    except OSError as error:
        why, hint = reason(error)
        message = f"{shown(path)} cannot be {verb}: {why}"
        raise OutputError(message, hint=hint) from error


def reason(error: OSError) -> tuple[str, str]:
    """Why the system refused, and what to do about it (may be empty)."""
    message = os.strerror(error.errno) if error.errno else "unknown error"
    return _REASONS.get(error.errno or 0, (message[:1].lower() + message[1:], ""))


def shown(path: str) -> str:
    """`path` in backticks, with whatever a terminal could obey written as an escape."""
    return "`" + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path) + "`"
