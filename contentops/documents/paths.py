"""Output paths as text: which ones are allowed, and the names of our own short-lived files.

Paths come from manifests and from the lock, and the lock is no more trusted than any other file: a path that leaves
the root, or names a hidden file or folder such as `.git`, is refused before the disk is touched.
"""

from __future__ import annotations

import os
import re
from typing import Final

from contentops.documents.faults import shown
from contentops.errors import OutputError

TEMPORARY: Final = re.compile(r"\.contentops-[0-9a-f]{16}\.tmp")
"""Names of half-written files; leftovers may be removed."""

_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PARKED: Final = re.compile(r"\.contentops-[0-9a-f]{8,64}\.moving")
"""Names under which a plan lets a file rest while others take its place; the only hidden ones that are allowed."""


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
