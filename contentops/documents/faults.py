"""What the operating system refuses, in words a person can act on."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL: Final = ("no space is left on the disk", "free some space, then run the command again")
_DENIED: Final = (
    "permission is denied",
    "check who owns the file and its folder, and whether another program holds it",
)
_LONG: Final = ("the name is too long for this file system", "shorten `output`")
_TOLD: Final[dict[int, tuple[str, str]]] = {
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


@contextlib.contextmanager
def told(path: str, verb: str) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that says what could not be done to `path`, and why."""
    try:
        yield
    except OSError as error:
        why, hint = reason(error)
        message = f"{shown(path)} cannot be {verb}: {why}"
        raise OutputError(message, hint=hint) from error


def reason(error: OSError) -> tuple[str, str]:
    """Why the system refused, and what to do about it (may be empty)."""
    known = _TOLD.get(error.errno or 0)
    if known:
        return known
    words = os.strerror(error.errno) if error.errno else "unknown error"
    return words[:1].lower() + words[1:], ""


def shown(path: str) -> str:
    """`path` in backticks, with whatever a terminal could obey written as an escape."""
    return "`" + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path) + "`"
