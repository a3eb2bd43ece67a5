"""`contentops completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from contentops.cli import terminal
from contentops.cli.session import COMPLETE


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `eval "$(contentops completion bash)"`.

    It completes commands, options and names of files.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "contentops", COMPLETE)
    # Not `source()`: it would start a bash just to learn its version.
    terminal.say(script.source_template % script.source_vars())
