"""Where the operating system will not let an output be written: looked at before anything is paid for."""

from __future__ import annotations

import os
import stat
from functools import cache
from typing import TYPE_CHECKING

from contentops.documents.faults import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def denial(root: Path) -> Callable[[str], str]:
    """A function from an output's path, relative to `root`, to what stands in the way of writing it; usually nothing.

    A look, not a promise: what changes afterwards is found by the write itself.
    """

    @cache
    def takes_files(folder: Path) -> bool:
        return os.access(folder, os.W_OK | os.X_OK)

    def denied(path: str) -> str:
        target = root / path
        if _is_marked(target):
            return f"{shown(path)} is marked read-only"
        folder = next(parent for parent in target.parents if parent.is_dir() or parent == root)
        return "" if takes_files(folder) else f"no file can be written in {shown(folder.relative_to(root).as_posix())}"

    return denied


def _is_marked(target: Path) -> bool:
    try:
        return not target.lstat().st_mode & stat.S_IWUSR
    except OSError:
        return False
