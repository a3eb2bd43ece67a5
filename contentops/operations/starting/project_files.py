"""The first files of a project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contentops.errors import Refused
from contentops.operations.starting.new_files import NewFiles, starter
from contentops.schema_files import schema_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = ("contentops.yaml", "content/articles.yaml", "data/cities.csv")
"""The files of `starter/`."""
SCHEMAS = ("project", "manifest")
"""The schemas that the first lines of those files name."""
GIT_LINES: Mapping[str, tuple[str, ...]] = {
    ".gitignore": (".contentops/", ".env"),
    ".gitattributes": ("contentops*.lock text eol=lf merge=union",),
}
"""Lines that are added where they are missing."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def project_files(directory: Path, *, name: str) -> NewFiles:
    """Return the files of a new project. Raises Refused for a bad name, and for files in the way."""
    if not _NAME.fullmatch(name):
        message = f"`{name}` cannot be a project's name"
        raise Refused(message, code="bad-name", hint="use letters, digits, `.`, `_` and `-`; `--name` states one")
    files = {path: starter(path).replace("@name@", name) for path in FILES}
    for schema in SCHEMAS:
        files[f"schemas/{schema}.schema.json"] = schema_path(schema).read_text(encoding="utf-8")
    return NewFiles(top=directory, files=files, lines=GIT_LINES, hint="nothing was written; choose another folder")
