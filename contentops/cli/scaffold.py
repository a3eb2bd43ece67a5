"""A new project on disk: the files of `starter/`, the schemas for editors, and two lines for git."""

from __future__ import annotations

import os
import re
from importlib import resources
from typing import TYPE_CHECKING

from contentops.errors import OutputError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = ("contentops.yaml", "content/articles.yaml", "data/cities.csv")
"""What `starter/` holds."""
SCHEMAS = ("project", "manifest")
"""The schemas the first lines of those files name."""
GIT_LINES: Mapping[str, tuple[str, ...]] = {
    ".gitignore": (".contentops/", ".env"),
    ".gitattributes": ("contentops*.lock text eol=lf merge=union",),
}
"""Lines that are added where they are missing."""


def scaffold(directory: Path, *, name: str) -> tuple[str, ...]:
    """Writes a project called `name` into `directory`; returns the files written or added to, relative to it.

    Overwrites nothing: raises Refused, naming every file in the way, before anything is written, and OutputError
    where the disk refuses.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        message = f"`{name}` cannot be a project's name"
        raise Refused(message, code="bad-name", hint="use letters, digits, `.`, `_` and `-`; `--name` states one")
    files = _files(name)
    taken = sorted(path for path in files if os.path.lexists(directory / path))
    if taken:
        message = f"{', '.join(f'`{path}`' for path in taken)} {'exists' if len(taken) == 1 else 'exist'} already"
        raise Refused(message, code="exists", hint="nothing was written; choose another folder")
    written: list[str] = []
    path = ""
    try:
        for path, text in files.items():
            _create(directory / path, text)
            written.append(path)
        for path, lines in GIT_LINES.items():
            if _append(directory / path, lines):
                written.append(path)
    except (OSError, UnicodeDecodeError) as error:
        raise _failure(directory / path, error, written) from error
    return tuple(written)


def _failure(path: Path, error: OSError | UnicodeDecodeError, written: list[str]) -> OutputError:
    why = error.strerror or str(error) if isinstance(error, OSError) else "it is no UTF-8"
    left = f"; before that, {', '.join(f'`{one}`' for one in written)} {'was' if len(written) == 1 else 'were'} written"
    hint = "choose another folder, or check who may write there"
    if written:
        hint = "put that right, remove what was written, then try again"
    return OutputError(f"`{path}` cannot be written: {why}{left if written else ''}", hint=hint)


def _files(name: str) -> dict[str, str]:
    from contentops.schema_files import schema_path

    starter = resources.files("contentops.cli") / "starter"
    found = {path: (starter / path).read_text(encoding="utf-8").replace("@name@", name) for path in FILES}
    for schema in SCHEMAS:
        found[f"schemas/{schema}.schema.json"] = schema_path(schema).read_text(encoding="utf-8")
    return found


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def _append(path: Path, lines: tuple[str, ...]) -> bool:
    old = path.read_text(encoding="utf-8") if os.path.lexists(path) else ""
    missing = [line for line in lines if line not in old.splitlines()]
    if missing:
        gap = "" if not old or old.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(gap + "".join(f"{line}\n" for line in missing))
    return bool(missing)
