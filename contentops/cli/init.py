"""`contentops init`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.reporting import FORMAT_VERSION
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.options import Session

_AFTER_CI = "In the repository's settings, make an environment `contentops` with the secret `WRITERZROOM_API_KEY`."
_FILL_IN = f"Replace `OWNER/contentops@0000...` in the workflows by a repository and commit you trust. {_AFTER_CI}"


@click.command("init", short_help="Start a project in this folder.")
@click.argument("directory", default=".")
@click.option("--name", default="", help="The project's name; default: the folder's.")
@click.option(
    "--ci", type=click.Choice(["github"]), help="Also write workflows; in a project that is there already, only those."
)
@click.option("--action", metavar="OWNER/REPO@COMMIT", default="", help="The action that the workflows use.")
@json_option
@click.pass_obj
def command(session: Session, directory: str, name: str, ci: str | None, action: str, *, as_json: bool) -> None:
    """Start a project in DIRECTORY (default: this folder).

    Writes settings, an example manifest with a data file, and the schemas for your editor. Overwrites nothing.
    """
    from contentops.cli.scaffold import project_files, workflow_files

    if action and not ci:
        raise click.UsageError("`--action` needs `--ci github`")
    folder = session.path(directory)
    there = bool(ci) and (folder / "contentops.yaml").is_file()
    # Both are looked at before anything is written.
    wanted = [] if there else [project_files(folder, name=name or _name_of(folder))]
    wanted += [workflow_files(folder, action)] if ci else []
    written = [path for files in wanted for path in files.write()]
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "directory": str(folder), "files": written})
        return
    place = "" if folder == Path() else f" in `{visible(str(folder))}`"
    terminal.say("\n".join(f"  + {path}" for path in written))
    if ci:
        terminal.show(f"\n{_AFTER_CI if action else _FILL_IN}")
        terminal.show(f"Every push to `{wanted[-1].branch}` is applied; another branch stands in contentops-apply.yml.")
    if there:
        return
    terminal.show(f"\nA project of 4 items is ready{place}; it needs no account and costs nothing.")
    prefix = "contentops" if not place else f"contentops -C {folder}"
    terminal.show(f"Next: `{prefix} plan`, then `{prefix} apply`")


def _name_of(folder: Path) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    return words[:100] or "content"
