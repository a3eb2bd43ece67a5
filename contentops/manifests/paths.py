"""Which paths a manifest may ask for: pure rules over text, the same on every system.

An output that is fine here can be checked out on Linux, macOS and Windows alike, stays inside the project, and
cannot land in a folder that tools read as their own (`.git`, `.github`, `.contentops`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT_FILE = "contentops.yaml"
"""The file that marks the project root."""

SEGMENT_BYTES = 255
"""Longest file or folder name, in bytes of UTF-8."""

PATH_BYTES = 1000
"""Longest path, in bytes of UTF-8."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Cf characters that make a path read as another one: zero width, direction marks and overrides, the BOM.
_INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_FOREIGN = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)", re.IGNORECASE
)
OWN_ENDINGS = ("lock", "yaml", "json")
"""How the names end that contentops keeps for its own files, as `collision_key` gives them."""
_LOCK = re.compile(r"contentops[^/]*\.lock")


def check_output(path: str) -> str | None:
    """What is wrong with an output path, as the end of a sentence that starts with the path; None if nothing."""
    return _check_whole(path) or next(filter(None, map(_check_segment, path.split("/"))), None)


def _check_whole(path: str) -> str | None:
    if not path:
        return "is empty"
    if found := _CONTROL.search(path) or _INVISIBLE.search(path):
        return f"holds the character U+{ord(found.group()):04X}, which cannot be seen"
    if "\\" in path:
        return "holds a backslash; write `/` between folders"
    if path.startswith("/"):
        return "is absolute; write it relative to the project root"
    if path.startswith("~"):
        return "starts with `~`; write it relative to the project root"
    if len(path.encode()) > PATH_BYTES:
        return f"is longer than {PATH_BYTES} bytes"
    return None


def _check_segment(segment: str) -> str | None:
    if not segment:
        return "has an empty folder or file name"
    if segment == "..":
        return "leaves its folder with `..`"
    if segment == ".":
        return "holds a `.` that leads nowhere; leave it out"
    if segment.startswith("."):
        return f"has a name that starts with a dot (`{segment}`), which is kept for tools"
    return _check_portable(segment)


def _check_portable(segment: str) -> str | None:
    if segment != segment.strip():
        return f"has a name that starts or ends with a space (`{segment}`)"
    if segment.endswith("."):
        return f"has a name that ends with a dot (`{segment}`), which Windows drops"
    if found := _FOREIGN.search(segment):
        return f"holds `{found.group()}`, which Windows does not allow in names"
    if _DEVICE.match(segment):
        return f"has the name `{segment}`, which Windows keeps for a device"
    if len(segment.encode()) > SEGMENT_BYTES:
        return f"has a name longer than {SEGMENT_BYTES} bytes"
    return None


def collision_key(path: str) -> str:
    """What two paths share if some file system takes them for one: composed characters, no case."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def folders(path: str) -> Iterator[str]:
    """Every folder above `path`, the nearest first: `a/b/c` gives `a/b`, then `a`."""
    cut = path.rfind("/")
    while cut > 0:
        path = path[:cut]
        yield path
        cut = path.rfind("/")


def is_own(path: str) -> bool:
    """Whether contentops itself keeps something at `path`: the project file, a lock, the catalog snapshot."""
    key = collision_key(path)
    return key in {PROJECT_FILE, "catalog.lock.json"} or _LOCK.fullmatch(key.rpartition("/")[2]) is not None
