"""A new project on disk: the files of `starter/`, the schemas for editors, two lines for git, and workflows."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ci.git import run_git
from contentops.errors import ContentopsError, OutputError, Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = ("contentops.yaml", "content/articles.yaml", "data/cities.csv")
"""What `starter/` holds."""
SCHEMAS = ("project", "manifest")
"""The schemas the first lines of those files name."""
GIT_LINES: Mapping[str, tuple[str, ...]] = {
    ".gitignore": (".contentops/", ".env"),
    ".gitattributes": ("contentops*.lock text eol=lf merge=union",),
}
"""Lines that are added where they are missing."""
WORKFLOWS = ("plan", "comment", "merge-queue", "apply")
PLACEHOLDER = "OWNER/contentops@0000000000000000000000000000000000000000 # the repository and commit you reviewed"
"""Stands where no one said which action to use; no runner accepts it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+(/[A-Za-z0-9._/-]+)?@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z][A-Za-z0-9._/-]*|\.")
"""What YAML can take for nothing but a word."""


class NewFiles(Struct, frozen=True, kw_only=True):
    """Files that can be written: the folder they lie in, the texts by path below it, lines to add to others.

    Overwrites nothing: making one raises Refused, naming every file in the way.
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

    def write(self) -> tuple[str, ...]:
        """Writes them; returns the paths written or added to. Raises OutputError where the disk refuses."""
        written: list[str] = []
        path = ""
        try:
            for path, text in self.files.items():
                (self.top / path).parent.mkdir(parents=True, exist_ok=True)
                with (self.top / path).open("x", encoding="utf-8", newline="\n") as stream:
                    stream.write(text)
                written.append(path)
            for path, lines in self.lines.items():
                if _append(self.top / path, lines):
                    written.append(path)
        except (OSError, UnicodeDecodeError) as error:
            raise _failure(self.top / path, error, written) from error
        return tuple(written)


def _append(path: Path, lines: tuple[str, ...]) -> bool:
    old = path.read_text(encoding="utf-8") if os.path.lexists(path) else ""
    missing = [line for line in lines if line not in old.splitlines()]
    if missing:
        gap = "" if not old or old.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(gap + "".join(f"{line}\n" for line in missing))
    return bool(missing)


def _failure(path: Path, error: OSError | UnicodeDecodeError, written: list[str]) -> OutputError:
    why = error.strerror or str(error) if isinstance(error, OSError) else "it is no UTF-8"
    left = f"; before that, {', '.join(f'`{one}`' for one in written)} {'was' if len(written) == 1 else 'were'} written"
    hint = "choose another folder, or check who may write there"
    if written:
        hint = "put that right, remove what was written, then try again"
    return OutputError(f"`{path}` cannot be written: {why}{left if written else ''}", hint=hint)


def project_files(directory: Path, *, name: str) -> NewFiles:
    """The files of a project called `name` in `directory`. Raises Refused for a bad name, and for files in the way."""
    if not _NAME.fullmatch(name):
        message = f"`{name}` cannot be a project's name"
        raise Refused(message, code="bad-name", hint="use letters, digits, `.`, `_` and `-`; `--name` states one")
    from contentops.schema_files import schema_path

    files = {path: _starter(path).replace("@name@", name) for path in FILES}
    for schema in SCHEMAS:
        files[f"schemas/{schema}.schema.json"] = schema_path(schema).read_text(encoding="utf-8")
    return NewFiles(top=directory, files=files, lines=GIT_LINES, hint="nothing was written; choose another folder")


def _starter(path: str) -> str:
    return (resources.files("contentops.cli") / "starter" / path).read_text(encoding="utf-8")


# --- workflows ---------------------------------------------------------------------------------------------


def workflow_files(folder: Path, action: str) -> NewFiles:
    """The workflows for the project in `folder`, which need not be there yet; `action` is `OWNER/REPO@COMMIT` or empty.

    Raises UsageError for an action that is not pinned by a commit, Refused where a workflow is there already.
    """
    if action and not _ACTION.fullmatch(action):
        hint = "name the commit in full: a tag can be moved to other code"
        raise UsageError(f"`{action}` is no `OWNER/REPO@COMMIT`", code="bad-action", hint=hint)
    top, branch = _repository(folder.resolve())
    files = workflows(action=action, directory=folder.resolve().relative_to(top).as_posix(), branch=branch)
    return NewFiles(top=top, files=files, branch=branch, hint="remove or rename what you do not need any more")


def workflows(*, action: str, directory: str, branch: str) -> Mapping[str, str]:
    """The workflows by path, filled in for a project in `directory` of a repository whose results go to `branch`."""
    values = {
        "@action@": action or PLACEHOLDER,
        "@directory@": _word(directory),
        "@branch@": _word(branch),
        "@ref@": f"refs/heads/{branch}",
    }
    found = {}
    for name in WORKFLOWS:
        text = _starter(f"ci/{name}.yml")
        for mark, value in values.items():
            text = text.replace(mark, value)
        found[f".github/workflows/contentops-{name}.yml"] = text
    return found


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _repository(folder: Path) -> tuple[Path, str]:
    """The top of the clone, and the branch to apply: the remote's default one, else the one it is on, else `main`."""
    nearest = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        top = Path(run_git(nearest, "rev-parse", "--show-toplevel").strip()).resolve()
    except ContentopsError:
        return folder, "main"
    for name in ("refs/remotes/origin/HEAD", "HEAD"):
        try:
            branch = run_git(nearest, "symbolic-ref", "--quiet", name).strip()
        except ContentopsError:
            continue
        branch = branch.removeprefix("refs/remotes/origin/").removeprefix("refs/heads/")
        if _BRANCH.fullmatch(branch):
            return top, branch
    return top, "main"
