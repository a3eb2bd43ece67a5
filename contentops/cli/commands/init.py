"""`contentops init` and `schema`: write a project's first files, and print JSON Schemas."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct, structs

from contentops.atomic_io import PUBLIC, read_file, replace
from contentops.ci.codeowners import proposed_line
from contentops.ci.git import run_git
from contentops.cli.options import json_option
from contentops.cli.output import terminal
from contentops.documents.folders import Tree
from contentops.documents.paths import folders
from contentops.errors import ContentopsError, OutputError, Refused, UsageError, did_you_mean
from contentops.sanitize import visible
from contentops.schema_files import SCHEMA_NAMES, load_schema, schema_path
from contentops.state.approvals import FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.cli.session import Session


FILES = ("contentops.yaml", "content/articles.yaml", "data/cities.csv")
"""The files of `starter/`."""
SCHEMAS = ("project", "manifest")
"""The schemas that the first lines of those files name."""
GIT_LINES: Mapping[str, tuple[str, ...]] = {
    ".gitignore": (".contentops/", ".env"),
    ".gitattributes": ("contentops*.lock text eol=lf merge=union",),
}
"""Lines that are added where they are missing."""
WORKFLOWS = ("plan", "comment", "merge-queue", "drift", "apply")
PLACEHOLDER = "OWNER/contentops@0000000000000000000000000000000000000000 # the repository and commit you reviewed"
"""The action where `--action` is not given; no runner accepts it."""
SITES: Mapping[str, str] = {
    **dict.fromkeys(("hugo.toml", "hugo.yaml", "hugo.json", "config/_default/hugo.toml", "config.toml"), "Hugo"),
    "pelicanconf.py": "Pelican",
}
"""Files of site generators that keep pages in `content/`, where manifests are too by default."""
_BESIDE_PAGES = (
    "{0} keeps pages in `content/`. To keep manifests out of it, move `content/articles.yaml` to `manifests/`, and add "
    'to `contentops.yaml`: `manifests: ["manifests/**/*.yaml"]`, `preset: {1}` and '
    '`output: "content/posts/{{{{ item.id }}}}.md"`.'
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+(/[A-Za-z0-9._/-]+)?@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z][A-Za-z0-9._/-]*|\.")
"""Words that need no quotes in YAML."""
_AFTER_CI = "In the repository's settings, make an environment `{}` with the secret `WRITERZROOM_API_KEY`."
_FILL_IN = "Replace `OWNER/contentops@0000...` in the workflows by a repository and commit you trust."
_GLOB = re.compile(r"[*?+!\[\]\\]")
"""Characters with a special meaning in a path of a workflow."""


@click.command("init", short_help="Start a project in this folder.")
@click.argument("directory", default=".")
@click.option("--name", default="", help="The project's name; default: the folder's.")
@click.option(
    "--ci",
    type=click.Choice(["github"]),
    help="Also write workflows, and propose an owner of the approvals; in a project that is there already, only those.",
)
@click.option("--env", "environment", metavar="NAME", default="", help="The environment that the workflows are for.")
@click.option("--action", metavar="OWNER/REPO@COMMIT", default="", help="The action that the workflows use.")
@json_option
def command(session: Session, directory: str, name: str, ci: str | None, action: str) -> None:
    """Start a project in DIRECTORY (default: this folder).

    Writes settings, an example manifest with a data file, and the schemas for your editor. Overwrites nothing. The
    workflows are named after the folder in the repository and the environment, so that each has its own.
    """
    environment = session.environment or ""
    if (action or environment) and not ci:
        raise click.UsageError("`--action` and `--env` need `--ci github`")
    folder = session.path(directory)
    exists = bool(ci) and (folder / "contentops.yaml").is_file()
    if exists:
        name = structs.replace(session, directory=str(folder)).project().name
    elif environment:
        raise click.UsageError("`--env` needs a project that has the environment; a new one has none yet")
    # All files are checked before any is written.
    name = name or _name_of(folder)
    wanted = [] if exists else [project_files(folder, name=name)]
    wanted += [workflow_files(folder, action, project=name, environment=environment)] if ci else []
    written = [path for files in wanted for path in files.write()]
    session.answer({"directory": str(folder), "files": written}, (f"  + {path}" for path in written))
    if session.as_json:
        return
    where = "" if folder == Path() else f" in `{visible(str(folder))}`"
    if ci:
        *_, apply = wanted[-1].files
        fill_in = "" if action else f"{_FILL_IN} "
        terminal.show(f"\n{fill_in}{_AFTER_CI.format(_holder(environment))}")
        for file in wanted[-1].lines:
            terminal.show(f"Say in {file} who may change `{FILE}`: its line is there, commented out.")
        terminal.show(f"Every push to `{wanted[-1].branch}` is applied; to change the branch, edit {Path(apply).name}.")
    if exists:
        return
    terminal.show(f"\nA project of 4 items is ready{where}; it needs no account and costs nothing.")
    if site := next((name for file, name in SITES.items() if (folder / file).is_file()), ""):
        terminal.show(f"\n{_BESIDE_PAGES.format(site, site.lower())}")
    prefix = "contentops" if not where else f"contentops -C {shlex.quote(visible(str(folder)))}"
    terminal.show(f"Next: `{prefix} plan`, then `{prefix} apply`")


def _name_of(folder: Path) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    return words[:100] or "content"


# --- new files ---------------------------------------------------------------------------------------------


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
        hint = "put that right, remove what was written, then try again"
    return OutputError(f"`{path}` cannot be written: {why}{before if written else ''}", hint=hint)


def project_files(directory: Path, *, name: str) -> NewFiles:
    """Return the files of a new project. Raises Refused for a bad name, and for files in the way."""
    if not _NAME.fullmatch(name):
        message = f"`{name}` cannot be a project's name"
        raise Refused(message, code="bad-name", hint="use letters, digits, `.`, `_` and `-`; `--name` states one")
    files = {path: _starter(path).replace("@name@", name) for path in FILES}
    for schema in SCHEMAS:
        files[f"schemas/{schema}.schema.json"] = schema_path(schema).read_text(encoding="utf-8")
    return NewFiles(top=directory, files=files, lines=GIT_LINES, hint="nothing was written; choose another folder")


def _starter(path: str) -> str:
    return (resources.files("contentops.cli") / "starter" / path).read_text(encoding="utf-8")


# --- workflows ---------------------------------------------------------------------------------------------


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
        "@holder@": _holder(environment),
        "@branch@": _word(branch),
        "@ref@": f"refs/heads/{branch}",
    }
    files = {}
    for kind in WORKFLOWS:
        text = _starter(f"ci/{kind}.yml")
        for mark, value in values.items():
            text = text.replace(mark, value)
        files[f".github/workflows/{name}-{kind}.yml"] = text
    return files


def _holder(environment: str) -> str:
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


@click.command("schema", short_help="Print the JSON Schema of a format.")
@click.argument("name", required=False)
@json_option
def schema(session: Session, name: str | None) -> None:
    """Print the JSON Schema (draft-07) of format NAME, or the names there are."""
    names = sorted(SCHEMA_NAMES)
    if name is None:
        session.answer({"schemas": names}, names)
    elif name in names:
        terminal.say_json(load_schema(name))
    else:
        hint = did_you_mean(name, names, f"there are: {', '.join(names)}")
        raise UsageError(f"there is no schema `{name}`", code="unknown-schema", hint=hint)
