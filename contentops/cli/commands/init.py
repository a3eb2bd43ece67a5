"""`contentops init` and `schema`: write a project's first files, and print JSON Schemas."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.options import json_option
from contentops.cli.output import terminal
from contentops.errors import UsageError, did_you_mean
from contentops.operations.starting.project_files import project_files
from contentops.operations.starting.workflows import holder, workflow_files
from contentops.sanitize import visible
from contentops.schema_files import SCHEMA_NAMES, load_schema
from contentops.state.approvals import FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.cli.session import Session


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
_AFTER_CI = "In the repository's settings, make an environment `{}` with the secret `WRITERZROOM_API_KEY`."
_FILL_IN = "Replace `OWNER/contentops@0000...` in the workflows by a repository and commit you trust."


@click.command("init")
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
        terminal.show(f"\n{fill_in}{_AFTER_CI.format(holder(environment))}")
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


@click.command("schema")
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
