"""The folder `.contentops` beside `contentops.yaml`: private to its owner, ignored by git, inside the project."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

from contentops.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ".contentops"
CHECKED = "check-"
"""How folders in it begin in which a text lies while programs check it."""
_PRIVATE = 0o700
_OTHERS = 0o077
_ENVIRONMENT = re.compile(r"[^\W_][\w.-]{0,99}")


def inspect(root: Path) -> Path | None:
    """The folder, or None if there is none yet.

    Raises StateError if it is a link out of `root`, is no folder, or belongs to someone else, who could plant facts.
    """
    folder = root / FOLDER
    try:
        found = folder.stat()
    except FileNotFoundError:
        if folder.is_symlink():
            raise _unsafe("is a symbolic link to nowhere", f"remove the link {folder}") from None
        return None
    except OSError as error:
        message = f"cannot look into `{FOLDER}`: {(error.strerror or str(error)).lower()}"
        raise StateError(message, code="unsafe-folder", hint=f"check {folder}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise _unsafe("is not a folder", f"move {folder} away")
    if folder.is_symlink() and not folder.resolve().is_relative_to(root.resolve()):
        raise _unsafe("is a symbolic link that leads out of the project", f"replace the link {folder} by a folder")
    if hasattr(os, "geteuid") and found.st_uid not in (os.geteuid(), 0):
        raise _unsafe(
            f"belongs to another user (uid {found.st_uid})",
            f"run as its owner, or take it over with `chown -R $(id -u) {folder}`",
        )
    return folder


def make(root: Path) -> Path:
    """The folder, made if needed: owner-only, and ignored by git by its own `.gitignore`.

    Raises StateError as `inspect` does, or if it cannot be made.
    """
    found = inspect(root)
    folder = found or root / FOLDER
    try:
        if found is None:
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
            folder.chmod(_PRIVATE)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8", newline="\n")
    except OSError as error:
        what, where = ("make", root) if found is None else ("write in", folder)
        message = f"cannot {what} `{FOLDER}`: {(error.strerror or str(error)).lower()}"
        raise StateError(message, hint=f"check who may write in {where}") from error
    return folder


def sweep(root: Path, *, before: float) -> None:
    """Remove the texts that a killed run left for programs to check, from before some time in seconds since 1970."""
    for left in (root / FOLDER).glob(f"{CHECKED}*"):
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < before:
                shutil.rmtree(left)


def named(stem: str, environment: str, suffix: str) -> str:
    """The file name of one environment: `stem.suffix`, or `stem.environment.suffix`.

    Raises StateError for an environment that is no name, so that it cannot point elsewhere.
    """
    if not environment:
        return f"{stem}.{suffix}"
    if not _ENVIRONMENT.fullmatch(environment):
        message = f"`{environment!a}` cannot name an environment"
        raise StateError(message, hint="use letters, digits, `-`, `_` and `.`, starting with a letter or digit")
    return f"{stem}.{environment}.{suffix}"


def _unsafe(what: str, hint: str) -> StateError:
    return StateError(f"`{FOLDER}` {what}", code="unsafe-folder", hint=hint)
