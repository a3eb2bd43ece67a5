"""New files of a project, of which none replaces what is there."""

from __future__ import annotations

import os
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.atomic_io import PUBLIC, read_file, replace
from contentops.documents.folders import Tree
from contentops.documents.paths import folders
from contentops.errors import OutputError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class NewFiles(Struct, frozen=True, kw_only=True):
    """New files by path below `top`, and lines to add to existing files.

    Making one raises Refused where a file exists already or a link is in the way.
    """

    top: Path
    files: Mapping[str, str]
    lines: Mapping[str, tuple[str, ...]] = {}
    branch: str = ""
    """The branch that workflows apply."""
    hint: str = ""
    """What to do where a file is in the way."""

    def __post_init__(self) -> None:
        taken = sorted(path for path in self.files if os.path.lexists(self.top / path))
        if taken:
            message = f"{', '.join(f'`{path}`' for path in taken)} {'exists' if len(taken) == 1 else 'exist'} already"
            raise Refused(message, code="exists", hint=self.hint)
        paths = {folder for path in self.files for folder in folders(path)} | self.lines.keys()
        links = sorted(path for path in paths if (self.top / path).is_symlink())
        if links:
            message = f"{', '.join(f'`{path}`' for path in links)} {'is a link' if len(links) == 1 else 'are links'}"
            raise Refused(message, code="symlink", hint="nothing was written; put a folder or file in its place")

    def write(self) -> tuple[str, ...]:
        """Write them; return the paths written or added to. Raises OutputError where the disk refuses."""
        written: list[str] = []
        path = ""
        try:
            for path, text in self.files.items():
                self.top.mkdir(parents=True, exist_ok=True)
                *above, name = path.split("/")
                with (
                    Tree(str(self.top)).folder(above, create=True) as folder,
                    os.fdopen(folder.make_file(name, PUBLIC), "w", encoding="utf-8", newline="\n") as stream,
                ):
                    stream.write(text)
                written.append(path)
            for path, lines in self.lines.items():
                if _append(self.top / path, lines):
                    written.append(path)
        except (OSError, UnicodeDecodeError, OutputError) as error:
            raise _failure(self.top / path, error, written) from error
        return tuple(written)


def _append(path: Path, lines: tuple[str, ...]) -> bool:
    old = read_file(path, follow=False).decode() if os.path.lexists(path) else ""
    missing = [line for line in lines if line not in old.splitlines()]
    if missing:
        gap = "" if not old or old.endswith("\n") else "\n"
        replace(path, (old + gap + "".join(f"{line}\n" for line in missing)).encode())
    return bool(missing)


def _failure(path: Path, error: OSError | UnicodeDecodeError | OutputError, written: list[str]) -> OutputError:
    why = error.strerror or str(error) if isinstance(error, OSError) else "it is no UTF-8"
    why = error.message if isinstance(error, OutputError) else why
    before = (
        f"; before that, {', '.join(f'`{one}`' for one in written)} {'was' if len(written) == 1 else 'were'} written"
    )
    hint = "choose another folder, or check who may write there"
    if written:
        hint = "fix that, remove the written files, then try again"
    return OutputError(f"`{path}` cannot be written: {why}{before if written else ''}", hint=hint)


def starter(path: str) -> str:
    """Return the text of a file of `starter/`, with its marks."""
    return (resources.files("contentops.operations.starting") / "starter" / path).read_text(encoding="utf-8")


def free_folder(top: Path, *first: str, taken: str = "") -> str:
    """Return a folder for manifests that is not there yet, so that no YAML file of others is taken for one.

    The names in `first` are tried before the usual ones; `taken` is not used.
    """
    names = [one for one in (*first, "manifests", "contentops", "contentops-manifests") if one != taken]
    return next((one for one in names if not os.path.lexists(top / one)), names[-1])
