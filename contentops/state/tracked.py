"""Whether git tracks the folder `.contentops`: then a branch brought its files, and none of them is used.

Git's index is read directly: a child process would take longer than the rest of a plan without changes.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from typing import Final

from contentops.atomic_io import read_file

_FIXED: Final = 40
"""Bytes of an entry before the name of its content."""
_OIDS: Final = (20, 32)
"""Bytes of that name, with SHA-1 and with SHA-256."""
_ROOM: Final = 4096
"""Bytes of a `.git` that is a file."""
_EXTENDED: Final = 0x4000
_LENGTH: Final = 0x0FFF
_FOLDED: Final = sys.platform in ("darwin", "win32")
"""Whether file names usually ignore case on this system."""


def is_tracked(root: str, folder: str) -> bool:
    """Whether git's index has `folder` in `root`, or anything below it; False outside a repository."""
    top, below = os.path.realpath(root), ""
    while True:
        try:
            if index := _index(top):
                info = os.lstat(index)
                return _has(index, f"{below}{folder}", info.st_mtime_ns, info.st_size, info.st_ino)
        except OSError:  # nothing was added yet, or git will say that it cannot be read
            return False
        outer, name = os.path.split(top)
        if outer == top:
            return False
        top, below = outer, f"{name}/{below}"


def _index(folder: str) -> str:
    """Git's index, if `folder` is the top of a work tree; else empty. Raises OSError."""
    git = f"{folder}/.git"
    try:
        is_file = stat.S_ISREG(os.lstat(git).st_mode)
    except OSError:
        return ""
    if not is_file:
        return f"{git}/index"
    target = read_file(git, _ROOM).decode("utf-8", "surrogateescape").partition("gitdir:")[2].strip()
    is_absolute = target.startswith("/") or target[1:2] == ":"
    return f"{target}/index" if is_absolute else f"{folder}/{target}/index"


@functools.lru_cache(maxsize=8)
def _has(index: str, path: str, *_: int) -> bool:
    """Whether an index has `path` or something below it; the numbers identify the state of the file for the cache."""
    data = read_file(index)
    wanted = path.encode("utf-8", "surrogateescape")
    if _FOLDED:
        data, wanted = data.lower(), wanted.lower()
    if _names(data, wanted):
        return True
    if b"link\0\0\0" not in data:  # a split index keeps most of its entries in other files
        return False
    folder = index.rpartition("/")[0]
    with os.scandir(folder) as files:
        return any(_has(f"{folder}/{file.name}", path) for file in files if file.name.startswith("sharedindex."))


def _names(data: bytes, wanted: bytes) -> bool:
    if int.from_bytes(data[4:8]) >= 4:
        names = next(filter(None, (_unpacked(data, size) for size in _OIDS)), [])
        return any(_is_below(name, wanted) for name in names)
    at = data.find(wanted)
    while at >= 0:
        end = data.find(b"\0", at)
        # The flags before a path have its length: so this is a whole path, not the end of another.
        lengths = (_length(data, at - 2), _length(data, at - 4, _EXTENDED))
        if _is_below(data[at:end], wanted) and min(end - at, _LENGTH) in lengths:
            return True
        at = data.find(wanted, at + 1)
    return False


def _is_below(name: bytes, wanted: bytes) -> bool:
    return name == wanted or name.startswith(wanted + b"/")


def _length(data: bytes, at: int, flag: int = 0) -> int:
    """The length of a path, from the flags of an entry; -1 where these lack `flag`."""
    flags = int.from_bytes(data[at : at + 2])
    return flags & _LENGTH if flags & flag == flag else -1


def _unpacked(data: bytes, size: int) -> list[bytes]:
    """The paths of an index of version 4, each stored as a change of the one before it; none if unreadable."""
    at, name, names = 12, b"", []
    for _ in range(int.from_bytes(data[8:12])):
        at += _FIXED + size
        at += 4 if int.from_bytes(data[at : at + 2]) & _EXTENDED else 2
        cut, byte = 0, 0x80
        while byte & 0x80 and at < len(data):
            byte = data[at]
            cut = (cut << 7) + (byte & 0x7F) + (1 if byte & 0x80 else 0)
            at += 1
        end = data.find(b"\0", at)
        if end < 0 or cut > len(name):
            return []
        name = name[: len(name) - cut] + data[at:end]
        names.append(name)
        at = end + 1
    return names
