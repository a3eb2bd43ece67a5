"""The command tree. Each command's module is imported when it is called, so that starting costs little."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from contentops import __version__
from contentops.cli.options import Group, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "init": "Start a project in this folder.",
    "validate": "Check every manifest; needs no network.",
    "plan": "Show what apply would do, why, and what it costs.",
    "apply": "Do what the plan says.",
    "comment": "Put a plan on its pull request.",
    "reviewed": "Find the plan that a pull request in a merge queue was reviewed with.",
    "commit": "Commit and push what applies have made.",
    "regenerate": "Generate one section of an item again.",
    "status": "Show how every item stands.",
    "show": "Show one item as it is sent, or a plan file.",
    "diff": "Show what a person changed in an item's file.",
    "state": "Look at, and put right, what contentops knows it made.",
    "catalog": "Fetch and show the templates, styles and verticals a server offers.",
    "content": "Show what the account has stored.",
    "stats": "Show the account's numbers.",
    "report": "Show what was spent, by month, template, style, manifest and tag.",
    "serve": "Run the embedded server for other programs.",
    "schema": "Print the JSON Schema of a format.",
    "doctor": "Check that everything needed is in place.",
    "completion": "Print the completion script of a shell.",
}
"""Every command and its help line, in the order of use."""
_PLACES: Mapping[str, str] = {
    "validate": "checks",
    "comment": "pull_request",
    "reviewed": "pull_request",
    "regenerate": "apply",
    "status": "items",
    "show": "items",
    "diff": "items",
    "content": "account",
    "stats": "account",
    "schema": "formats",
    "doctor": "checks",
    "completion": "formats",
}
"""Modules that several commands share, where each has its own name; any other has the name of its `command`."""


class LazyGroup(Group):
    """A group whose commands live in modules that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """The commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as click has it
        """The command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"contentops.cli.{_PLACES.get(cmd_name, cmd_name)}")
        found = getattr(module, cmd_name if cmd_name in _PLACES else "command")
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as click has it
        """The help lines, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"contentops {__version__}")
        ctx.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `contentops init`, then `contentops plan` and `contentops apply`.",
)
@click.option("-C", "directory", metavar="DIR", default=".", help="Run as if started in DIR.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, directory: str) -> None:
    """Terraform for AI-written content.

    Declare content in YAML, see what would be generated and what it costs, then apply exactly that.
    """
    ctx.obj = Session(directory=directory)
