"""`contentops completion`."""

from __future__ import annotations

import click

from contentops.cli import terminal

_VARIABLE = "_CONTENTOPS_COMPLETE"


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `eval "$(contentops completion bash)"`."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "contentops", _VARIABLE)
    # Not `source()`: it would start a bash just to learn its version.
    terminal.say(script.source_template % script.source_vars())
