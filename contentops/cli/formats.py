"""`contentops schema` and `contentops completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.errors import UsageError, did_you_mean
from contentops.schema_files import SCHEMA_NAMES, load_schema

if TYPE_CHECKING:
    from contentops.cli.options import Session

_VARIABLE = "_CONTENTOPS_COMPLETE"


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


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `eval "$(contentops completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "contentops", _VARIABLE)
    # Not `source()`: it would start a bash just to learn its version.
    terminal.say(script.source_template % script.source_vars())
