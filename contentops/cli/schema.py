"""`contentops schema`."""

from __future__ import annotations

import click

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.errors import UsageError, nearest
from contentops.reporting import FORMAT_VERSION


@click.command("schema", short_help="Print the JSON Schema of a format.")
@click.argument("name", required=False)
@json_option
def command(name: str | None, *, as_json: bool) -> None:
    """Print the JSON Schema (draft-07) of format NAME, or the names there are."""
    from contentops.schema_files import SCHEMA_NAMES, load_schema

    names = sorted(SCHEMA_NAMES)
    if name is not None:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(names)}"
            raise UsageError(f"there is no schema `{name}`", code="unknown-schema", hint=hint)
        terminal.say_json(load_schema(name))
    elif as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "schemas": names})
    else:
        terminal.say("\n".join(names))
