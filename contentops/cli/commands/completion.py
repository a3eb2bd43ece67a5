"""`contentops completion`."""

from __future__ import annotations

import click

from contentops.cli.completion import script
from contentops.cli.output import terminal


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `eval "$(contentops completion bash)"`.

    It completes commands, options, and the items, tags, environments and templates of the project.
    """
    terminal.say(script(context.find_root().command, shell))
