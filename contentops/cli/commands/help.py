"""`contentops help`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from contentops.cli.option_groups import show_all
from contentops.cli.options import Group
from contentops.cli.output import terminal
from contentops.errors import UsageError


def _complete(context: click.Context, _argument: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a command, below those that were typed before it."""
    command: click.Command = context.find_root().command
    for name in context.params.get("names") or ():
        found = command.get_command(context, name) if isinstance(command, Group) else None
        if found is None:
            return []
        command = found
    if not isinstance(command, Group):
        return []
    return [CompletionItem(name) for name in command.list_commands(context) if name.startswith(begun)]


@click.command("help")
@click.argument("names", metavar="[COMMAND]...", nargs=-1, shell_complete=_complete)
@click.option("--all", "whole", is_flag=True, help="Show every option.")
@click.pass_context
def command(context: click.Context, names: tuple[str, ...], *, whole: bool) -> None:
    """Show the help of COMMAND, as `COMMAND --help` does; without one, list the commands.

    Name a subcommand after its command: `contentops help state list`.
    """
    shown = context.find_root()
    for name in names:
        above = shown.command
        if not isinstance(above, Group):
            hint = f"`{shown.command_path} --help` shows its help"
            raise UsageError(f"`{shown.command_path}` has no command `{name}`", hint=hint)
        found = above.find(shown, name)
        shown = click.Context(found, info_name=found.name, parent=shown, **found.context_settings)
    if whole:
        show_all(shown)
    terminal.say(shown.get_help())
