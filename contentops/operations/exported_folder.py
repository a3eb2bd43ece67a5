"""A folder that pages are written into, again and again, beside files of a person."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import msgspec

from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


MARKER: Final = ".contentops-review"
"""The file that says that a folder is one of ours, so that it may be written again, and lists the files."""
_PAGE: Final = re.compile(r"(item|items|plan|spend)(-[a-z0-9-]+)?\.html|index\.html|style\.css")


class _Marker(msgspec.Struct, frozen=True):
    files: frozenset[str] = frozenset()


def claim(folder: Path) -> frozenset[str]:
    """Make the folder, or take one of ours again; return the files that were written into it then.

    Raises OutputError for a folder of others, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    if any(folder.iterdir()) and not (marker.is_file() and not marker.is_symlink()):
        hint = "choose an empty folder, or one that `contentops review --out` wrote"
        raise OutputError(f"`{folder}` is not empty, so nothing is written into it", code="not-empty", hint=hint)
    before = _listed(marker.read_bytes()) if marker.is_file() else frozenset()
    mark(folder, before)
    return before


def _listed(marker: bytes) -> frozenset[str]:
    """Return the pages that a marker lists: none where it cannot be read, and no other files."""
    try:
        names = msgspec.json.decode(marker, type=_Marker).files
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(filter(_PAGE.fullmatch, names))


def mark(folder: Path, names: Iterable[str]) -> None:
    """Say that a folder is ours, and which files in it are: others of the same kind are a person's."""
    write(folder, MARKER, json.dumps({"format": 1, "files": sorted(names)}) + "\n")


def write(folder: Path, name: str, text: str) -> None:
    """Write a file, instead of a link that may be there."""
    (folder / name).unlink(missing_ok=True)
    with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
