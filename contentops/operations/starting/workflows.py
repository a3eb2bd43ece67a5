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
    from collections.abc import Mapping, Sequence

_NAME = "contentops"
WORKFLOWS = ("plan", "apply", "manual")
PLACEHOLDER = "OWNER/contentops@0000000000000000000000000000000000000000 # the repository and commit you reviewed"
"""The action of the examples; no runner accepts it."""
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+(/[A-Za-z0-9._/-]+)?@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z][A-Za-z0-9._/-]*|\.")
"""Words that need no quotes in YAML."""
_GLOB = re.compile(r"[*?+!\[\]\\]")
"""Characters with a special meaning in a path of a workflow."""


def workflow_files(folder: Path, action: str, *, project: str, environments: Sequence[str]) -> NewFiles:
    """Return the workflows for the project in `folder`, which may not exist; `action`: `OWNER/REPO@COMMIT` or empty.

    Raises UsageError for an action that is not pinned by a commit, Refused where a workflow exists.
    """
    if action and not _ACTION.fullmatch(action):
        hint = "name the commit in full: a tag can be moved to other code"
        raise UsageError(f"`{action}` is no `OWNER/REPO@COMMIT`", code="bad-action", hint=hint)
    top, branch = _repository(folder.resolve())
    directory = folder.resolve().relative_to(top).as_posix()
    files = workflows(action=action, directory=directory, branch=branch, project=project, environments=environments)
    file, owners = proposed_line(top, (folder.resolve() / FILE).relative_to(top).as_posix())
    lines = {file: owners} if owners else {}
    hint = "to add an environment, add its name to `matrix` in each; otherwise remove the files you no longer need"
    return NewFiles(top=top, files=files, lines=lines, branch=branch, hint=hint)


def workflows(
    *, action: str, directory: str, branch: str, project: str = "", environments: Sequence[str] = ()
) -> Mapping[str, str]:
    """Return the workflows by path, for a project in `directory` of a repository whose results go to `branch`.

    Each has a job for each of `environments`; none: one job, for the default environment.
    """
    name = "-".join(("contentops", *(_plain(part) for part in (directory.strip("."),) if part)))
    paths = json.dumps([f"{_GLOB.sub(_escaped, directory)}/**", f".github/workflows/{name}-*.yml"], ensure_ascii=False)
    chosen = ["environment: ${{ matrix.environment }}"] * bool(environments)
    named = [f"name: {name}"] * (name != _NAME)
    places = [f"directory: {_word(directory)}"] if directory != "." else []
    # With several projects in the repository, the name says whose plan failed.
    about = [f"project: {_word(project)}"] if project and (environments or name != _NAME) else []
    matrix = f"strategy: {{fail-fast: false, matrix: {{environment: [{', '.join(map(_word, environments))}]}}}}"
    values = {
        "@action@": action or PLACEHOLDER,
        "@inputs@": _lines(10, "", *places, *chosen),
        "@named@": _lines(10, "", *named),
        "@comment@": _lines(10, "", *about, *chosen),
        "@matrix@": _lines(4, "", matrix) if environments else "",
        "@suffix@": " (${{ matrix.environment }})" if environments else "",
        "@paths@": "" if directory == "." else _lines(4, "", f"paths: {paths}"),
        "@name@": name,
        "@holder@": holder("${{ matrix.environment }}" if environments else ""),
        "@branch@": _word(branch),
        "@ref@": f"refs/heads/{branch}",
    }
    files = {}
    for kind in WORKFLOWS:
        text = starter(f"ci/{kind}.yml")
        if kind != "plan":
            # An environment may take its texts from the one before it.
            text = text.replace("@matrix@", values["@matrix@"].replace("{fail-fast", "{max-parallel: 1, fail-fast"))
        for mark, value in values.items():
            text = text.replace(mark, value)
        files[f".github/workflows/{name}-{kind}.yml"] = text
    return files


def holder(environment: str) -> str:
    """Return the environment of GitHub that has the key; one for each of the project's."""
    return f"{_NAME}-{environment}" if environment else _NAME


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
