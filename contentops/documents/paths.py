"""Checks whether an output path is valid on every system. It works only on the text of the path.

Paths come from manifests and from the lock, and neither is trusted. A path that leaves the root, or names a hidden file
or folder such as `.git`, is refused before any access to the disk.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from contentops.errors import OutputError
from contentops.model import PROJECT_FILE

SEGMENT_BYTES = 255
"""The length of the longest file or folder name, in bytes of UTF-8."""

PATH_BYTES = 1000
"""The length of the longest path, in bytes of UTF-8."""

_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
# Cf characters that make a path read as another one: zero width, direction marks and overrides, the BOM.
_INVISIBLE = r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
_NOT_PORTABLE = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)", re.IGNORECASE
)
_SHORT_NAME = re.compile(r"(?=[^.]{3,8}(?:\.[^.]{1,3})?\Z)[^.]+~[0-9]{1,6}(?:\.|\Z)")
"""A short name that Windows may give to a file or folder with a long name: `GIT~1` is `.git` there."""
OWN_ENDINGS = ("lock", "jobs", "approvals", "yaml", "json")
"""The endings of names that contentops keeps for its own files, as `collision_key` gives them."""
_STATE = re.compile(r"contentops[^/]*\.(?:lock|jobs|approvals)")


def check_output(path: str) -> str | None:
    """Return what is wrong with an output path, as a phrase for messages, or None for a valid path."""
    return _check_whole(path) or next(filter(None, map(_check_segment, path.split("/"))), None)


def _check_whole(path: str) -> str | None:
    if not path:
        return "is empty"
    if not _is_plain(path) and (match := re.search(_CONTROL, path) or re.search(_INVISIBLE, path)):
        return f"contains the invisible character U+{ord(match.group()):04X}"
    if "\\" in path:
        return "contains a backslash; write `/` between folders"
    if path.startswith("/"):
        return "is absolute; write it relative to the project root"
    if path.startswith("~"):
        return "starts with `~`; write it relative to the project root"
    if len(path.encode()) > PATH_BYTES:
        return f"is longer than {PATH_BYTES} bytes"
    return None


def _is_plain(path: str) -> bool:
    """Return whether all characters of a path are visible ASCII characters or spaces.

    Then no other check for invisible characters is needed.
    """
    return path.isascii() and path.isprintable()


@functools.lru_cache(1024)  # many paths share their folders
def _check_segment(segment: str) -> str | None:
    if not segment:
        return "has an empty folder or file name"
    if segment == "..":
        return "leaves its folder with `..`"
    if segment == ".":
        return "contains `.` as a folder name; leave it out"
    if segment.startswith("."):
        return f"has a name that starts with a dot (`{segment}`), which is reserved for tools"
    return _check_portable(segment)


def _check_portable(segment: str) -> str | None:
    if segment != segment.strip():
        return f"has a name that starts or ends with a space (`{segment}`)"
    if segment.endswith("."):
        return f"has a name that ends with a dot (`{segment}`), which Windows removes"
    if match := _NOT_PORTABLE.search(segment):
        return f"contains `{match.group()}`, which Windows does not allow in names"
    if _DEVICE.match(segment):
        return f"has the name `{segment}`, which Windows reserves for a device"
    if _SHORT_NAME.match(segment):
        return f"has the name `{segment}`, which Windows reserves for short forms of long names"
    if len(segment.encode()) > SEGMENT_BYTES:
        return f"has a name longer than {SEGMENT_BYTES} bytes"
    return None


def collision_key(path: str) -> str:
    """Return a key that is equal for two paths if some file system treats them as the same path."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def folders(path: str) -> Iterator[str]:
    """Yield every folder above a path, the nearest first: `a/b/c` gives `a/b`, then `a`."""
    cut = path.rfind("/")
    while cut > 0:
        path = path[:cut]
        yield path
        cut = path.rfind("/")


def is_own(path: str) -> bool:
    """Return whether contentops uses this path for its own files, such as the project file or the state."""
    key = collision_key(path)
    return key in {PROJECT_FILE, "catalog.lock.json"} or _STATE.fullmatch(key.rpartition("/")[2]) is not None


TEMPORARY: Final = re.compile(r"\.contentops-[0-9a-f]{16}\.tmp")
"""The names of half-written files, which may be removed later."""

PARKED: Final = re.compile(r"\.contentops-[0-9a-f]{8,64}\.moving")
"""The names of files that a plan moves aside while others take their names. Only these hidden names are allowed."""


def split_path(path: str) -> tuple[str, ...]:
    """Return the folder names and the file name in a path that is relative to the root.

    Raises OutputError for a path that could be outside of the root, or hidden.
    """
    *above, name = path.split("/")
    if problem := check_output("/".join([*above, "parked"]) if PARKED.fullmatch(name) else path):
        message = f"the path {shown(path)} is not allowed: it {problem}"
        raise OutputError(message, code="unsafe-path", hint="use a path below the project root, such as `out/name.md`")
    return tuple(path.split("/"))


def shown(path: str) -> str:
    """Return a path in backticks, for messages. Characters that could control a terminal are escaped."""
    return "`" + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path) + "`"
