"""The workflows of GitHub that run a project."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from contentops.ci.codeowners import proposed_line
from contentops.ci.git import run_git
from contentops.errors import ContentopsError, UsageError
from contentops.operations.starting.new_files import NewFiles, starter
from contentops.state.approvals import FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKFLOWS = ("plan", "comment", "merge-queue", "drift", "apply")
PLACEHOLDER = "OWNER/contentops@0000000000000000000000000000000000000000 # the repository and commit you reviewed"
"""The action where `--action` is not given; no runner accepts it."""
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+(/[A-Za-z0-9._/-]+)?@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z][A-Za-z0-9._/-]*|\.")
"""Words that need no quotes in YAML."""
_GLOB = re.compile(r"[*?+!\[\]\\]")
"""Characters with a special meaning in a path of a workflow."""


def workflow_files(folder: Path, action: str, *, project: str, environment: str) -> NewFiles:
    """Return the workflows for the project in `folder`, which may not exist; `action`: `OWNER/REPO@COMMIT` or empty.

    Raises UsageError for an action that is not pinned by a commit, Refused where a workflow exists.
    """
    if action and not _ACTION.fullmatch(action):
        hint = "name the commit in full: a tag can be moved to other code"
        raise UsageError(f"`{action}` is no `OWNER/REPO@COMMIT`", code="bad-action", hint=hint)
    top, branch = _repository(folder.resolve())
    directory = folder.resolve().relative_to(top).as_posix()
    files = workflows(action=action, directory=directory, branch=branch, project=project, environment=environment)
    file, owners = proposed_line(top, (folder.resolve() / FILE).relative_to(top).as_posix())
    lines = {file: owners} if owners else {}
    return NewFiles(
        top=top, files=files, lines=lines, branch=branch, hint="remove or rename what you do not need any more"
    )


def workflows(
    *, action: str, directory: str, branch: str, project: str = "", environment: str = ""
) -> Mapping[str, str]:
    """Return the workflows by path, for a project in `directory` of a repository whose results go to `branch`."""
    name = "-".join(("contentops", *(_plain(part) for part in (directory.strip("."), environment) if part)))
    inputs = [f"environment: {_word(environment)}"] if environment else []
    paths = [f"{_GLOB.sub(_escaped, directory)}/**", f".github/workflows/{name}-*.yml"]
    values = {
        "@action@": action or PLACEHOLDER,
        "@directory@": _lines(10, _word(directory), *inputs),
        # With several projects in the repository, the name says whose plan failed.
        "@project@": _lines(10, "", f"project: {_word(project)}", *inputs) if name != "contentops" and project else "",
        "@paths@": "" if directory == "." else _lines(4, "", f"paths: {json.dumps(paths, ensure_ascii=False)}"),
        "@name@": name,
        "@holder@": holder(environment),
        "@branch@": _word(branch),
        "@ref@": f"refs/heads/{branch}",
    }
    files = {}
    for kind in WORKFLOWS:
        text = starter(f"ci/{kind}.yml")
        for mark, value in values.items():
            text = text.replace(mark, value)
        files[f".github/workflows/{name}-{kind}.yml"] = text
    return files


def holder(environment: str) -> str:
    """Return the environment of GitHub that has the key; one for each of the project's."""
    return f"contentops-{_plain(environment)}" if environment else "contentops"


def _plain(name: str) -> str:
    """Return `name` with only the characters that GitHub and every file system accept."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or hashlib.sha256(name.encode()).hexdigest()[:8]


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def _lines(indent: int, *lines: str) -> str:
    return f"\n{' ' * indent}".join(lines)


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _repository(folder: Path) -> tuple[Path, str]:
    """Return the top of the clone and the branch to apply: the remote's default, else the current one, else `main`."""
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
