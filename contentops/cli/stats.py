"""`contentops stats`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import open_project, project_options
from contentops.cli.show import outline
from contentops.reporting import FORMAT_VERSION
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.cli.options import Session
    from contentops.model import Json


@click.command("stats", short_help="Show the account's numbers.")
@project_options
@click.pass_obj
def command(session: Session, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Show the dashboard's numbers and, where the server tells them, the credits; names are the server's own.

    Costs no credits and changes nothing.
    """
    from contentops.operations.content import stats

    project = open_project(session, environment, variables)
    found = stats(project, tell=lambda line: terminal.tell(visible(line)))
    numbers = {"dashboard": found.dashboard, "credits": found.credits}
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "server": project.api.server, **numbers})
        return
    if project.api.server == "local":
        terminal.tell("The embedded server charges nothing: its credits are what the texts would cost elsewhere.")
    if numbers["dashboard"] and numbers["dashboard"].get("credits") == numbers["credits"]:
        numbers["dashboard"] = {name: value for name, value in numbers["dashboard"].items() if name != "credits"}
    shown = {name: "not told by this server" if value is None else _counted(value) for name, value in numbers.items()}
    terminal.say("\n".join(outline(shown, color=terminal.wants_color(sys.stdout))))


def _counted(values: Mapping[str, Json]) -> dict[str, Json]:
    """The same without the entries of lists, which `--json` shows."""
    return {name: _one(value) for name, value in values.items()}


def _one(value: Json) -> Json:
    if isinstance(value, list):
        return "1 entry" if len(value) == 1 else f"{len(value):,} entries"
    return _counted(value) if isinstance(value, dict) else value
