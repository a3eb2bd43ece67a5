"""`contentops init`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.report import FORMAT_VERSION
from contentops.report.safe import visible

if TYPE_CHECKING:
    from contentops.cli.options import Session


@click.command("init", short_help="Start a project in this folder.")
@click.argument("directory", default=".")
@click.option("--name", default="", help="The project's name; default: the folder's.")
@json_option
@click.pass_obj
def command(session: Session, directory: str, name: str, *, as_json: bool) -> None:
    """Start a project in DIRECTORY (default: this folder).

    Writes settings, an example manifest with a data file, and the schemas for your editor. Overwrites nothing.
    """
    from contentops.cli.scaffold import scaffold

    folder = session.path(directory)
    written = scaffold(folder, name=name or _name_of(folder))
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "directory": str(folder), "files": list(written)})
        return
    place = "" if folder == Path() else f" in `{visible(str(folder))}`"
    terminal.say("\n".join(f"  + {path}" for path in written))
    terminal.say(f"\nA project of 4 items is ready{place}; it needs no account and costs nothing.")
    prefix = "contentops" if not place else f"contentops -C {folder}"
    terminal.say(f"Next: `{prefix} plan`, then `{prefix} apply`")


def _name_of(folder: Path) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    return words[:100] or "content"
