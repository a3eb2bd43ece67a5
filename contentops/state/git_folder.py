"""Find the folder that all work trees of a git repository share, and the place of a project in its work tree.

What lies there is taken away by no branch, `git clean` or reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.atomic_io import Disk


class Repository(Struct, frozen=True):
    """Git's own folder that all work trees share, and the folder of the project in its work tree; empty: the top."""

    folder: Path
    project: str


def repository_of(root: Path, disk: Disk) -> Repository | None:
    """Return the repository that has `root`; None outside of git. Raises StateError for an unreadable file of git."""
    top = root.resolve()
    for folder in (top, *top.parents):
        git = folder / ".git"
        below = top.relative_to(folder).as_posix()
        project = "" if below == "." else below
        if (git / "HEAD").exists():
            return Repository(git, project)
        if git.is_file():
            own = (folder / _text(git, disk).partition("gitdir:")[2].strip()).resolve()
            # A submodule has no `commondir`: its own directory is the only one.
            common = (own / _text(own / "commondir", disk).strip()).resolve()
            # A file in an archive may name any folder: one that is not git's gets nothing written into it.
            if (common / "HEAD").exists():
                return Repository(common, project)
    return None


def _text(path: Path, disk: Disk) -> str:
    return (disk.read(path) or b"").decode("utf-8", "surrogateescape")
