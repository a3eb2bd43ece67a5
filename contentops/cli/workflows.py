"""Workflows for a project: plan on pull requests, comment, apply on push."""

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

NAMES = ("plan", "comment", "merge-queue", "apply")
FOLDER = ".github/workflows"
PLACEHOLDER = "OWNER/contentops@0000000000000000000000000000000000000000 # the repository and commit you reviewed"
"""Stands where nobody said which action to use; no runner accepts it."""
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+(/[A-Za-z0-9._/-]+)?@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z][A-Za-z0-9._/-]*|\.")
"""What YAML can take for nothing but a word."""


class Workflows(Struct, frozen=True):
    """Workflows that can be written: the top of the repository, the texts by path below it, the branch they apply."""

    top: Path
    files: Mapping[str, str]
    branch: str

    def write(self) -> tuple[str, ...]:
        """Writes them; returns their paths. Raises OutputError where the disk refuses."""
        try:
            (self.top / FOLDER).mkdir(parents=True, exist_ok=True)
            for path, text in self.files.items():
                with (self.top / path).open("x", encoding="utf-8", newline="\n") as stream:
                    stream.write(text)
        except OSError as error:
            message = f"the workflows cannot be written: {error.strerror or error}"
            raise OutputError(message, hint="make the folder writable, and remove what was written so far") from error
        return tuple(self.files)


def prepare(folder: Path, action: str) -> Workflows:
    """The workflows for the project in `folder`, which need not be there yet; `action` is `OWNER/REPO@COMMIT` or empty.

    Raises UsageError for an action that is not pinned by a commit, Refused where a workflow is there already.
    """
    if action and not _ACTION.fullmatch(action):
        hint = "name the commit in full: a tag can be moved to other code"
        raise UsageError(f"`{action}` is no `OWNER/REPO@COMMIT`", code="bad-action", hint=hint)
    top, branch = _repository(folder.resolve())
    files = workflows(action=action, directory=folder.resolve().relative_to(top).as_posix(), branch=branch)
    taken = [path for path in files if os.path.lexists(top / path)]
    if taken:
        message = f"{', '.join(f'`{path}`' for path in taken)} {'exists' if len(taken) == 1 else 'exist'} already"
        raise Refused(message, code="exists", hint="remove or rename what you do not need any more")
    return Workflows(top, files, branch)


def workflows(*, action: str, directory: str, branch: str) -> Mapping[str, str]:
    """The workflows by path, filled in for a project in `directory` of a repository whose results go to `branch`."""
    starter = resources.files("contentops.cli") / "starter" / "ci"
    values = {
        "@action@": action or PLACEHOLDER,
        "@directory@": _word(directory),
        "@branch@": _word(branch),
        "@ref@": f"refs/heads/{branch}",
    }
    found = {}
    for name in NAMES:
        text = (starter / f"{name}.yml").read_text(encoding="utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        found[f"{FOLDER}/contentops-{name}.yml"] = text
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
