"""`contentops show`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import open_project, project_options
from contentops.report import FORMAT_VERSION
from contentops.report.paint import paint
from contentops.report.safe import json_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.cli.options import Session
    from contentops.model import Json


@click.command("show", short_help="Show one item: the exact request and where each value came from.")
@click.argument("item")
@project_options
@click.pass_obj
def command(session: Session, item: str, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Show ITEM: exactly what is sent, its digest and output, where each value came from, and its record."""
    from contentops import inspection

    found = inspection.show(open_project(session, environment, variables), item)
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, **found})
    else:
        origins = {name: _origin(origin) for name, origin in found.get("origins", {}).items()}
        shown = {**found, "origins": origins} if origins else found
        terminal.say("\n".join(outline(shown, color=terminal.wants_color(sys.stdout))))


def _origin(origin: Mapping[str, Json]) -> str:
    """Where a value came from, on one line: its layer, its place, and the variables it uses."""
    variables = ", ".join(f"`{name}`" for name in origin["variables"])
    parts = [origin["layer"], origin["place"], f"uses {variables}" if variables else ""]
    return ", ".join(part for part in parts if part)


def outline(values: Mapping[str, Json], *, color: bool, indent: str = "") -> Iterator[str]:
    """Nested values as indented lines; texts keep their line breaks, everything else is as JSON writes it."""
    for key, value in values.items():
        name = f"{indent}{paint(visible(key), 'strong' if not indent else 'plain', color=color)}:"
        if isinstance(value, dict) and value:
            yield name
            yield from outline(value, color=color, indent=f"{indent}  ")
        elif isinstance(value, str) and "\n" in value:
            yield f"{name} |"
            yield from (f"{indent}  {visible(line)}" for line in value.split("\n"))
        elif isinstance(value, str):
            yield f"{name} {visible(value)}".rstrip()
        else:
            yield f"{name} {json_text(value, indent=None)}"
