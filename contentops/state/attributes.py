"""The line of `.gitattributes` that lets git merge locks by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.state import state_dir

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.atomic_io import Disk

PATTERN = "contentops*.lock"
LINE = f"{PATTERN} text eol=lf merge=union"


def with_line(data: bytes) -> bytes:
    """`data` with the line at its end, unless a line for that pattern is there: then someone chose otherwise."""
    pattern = PATTERN.encode()
    if any(line.split(maxsplit=1)[:1] == [pattern] for line in data.splitlines()):
        return data
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    gap = newline if data and not data.endswith(b"\n") else b""
    return data + gap + LINE.encode() + newline


def ensure(root: Path, disk: Disk) -> None:
    """Put the line into `.gitattributes` below `root`. A symbolic link there is left alone: git does not follow it.

    Raises StateError if the file cannot be read or written.
    """
    path = root / ".gitattributes"
    if path.is_symlink():
        return
    data = disk.read(path) or b""
    wanted = with_line(data)
    if wanted != data:
        disk.replace(path, wanted, state_dir.make(root) / ".gitattributes.tmp", 0o666)
