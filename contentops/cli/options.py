"""Options that several commands share, and what they make of the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from contentops.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Project
    from contentops.planning.inputs import Choice

    Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """What stands before the command."""

    directory: str = "."

    def path(self, name: str) -> Path:
        """A path from the command line: relative to `-C`, as if we had been started there."""
        return Path(self.directory) / name


class Group(click.Group):
    """A group that, called without a command, explains itself and fails as a wrong command line does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Takes the options before the command; without anything at all, prints the help and exits with 64."""
        if not args and not ctx.resilient_parsing and not self.invoke_without_command:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with; a wrong name is answered with the nearest right one."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            from contentops.errors import nearest

            near = nearest(args[0], self.list_commands(ctx))
            hint = f"did you mean `{near}`?" if near else f"`{ctx.command_path} --help` lists the commands"
            raise click.UsageError(f"there is no command `{args[0]}`; {hint}", ctx)
        return super().resolve_command(ctx, args)


_env = click.option("--env", "environment", metavar="NAME", default="", help="The environment to use.")
_var = click.option(
    "--var",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    help="A variable that ranks above all. Repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result, or the errors, as JSON.")
_select = click.option(
    "--select",
    metavar="PATTERN",
    multiple=True,
    help="Only items like this: an id glob, `tag:`, `template:`, `path:`, `state:` or `result:`. Repeatable.",
)
_exclude = click.option("--exclude", metavar="PATTERN", multiple=True, help="All but items like this. Repeatable.")
_choices = (
    click.option("--replace", metavar="ID", multiple=True, help="Generate this item again. Repeatable."),
    click.option(
        "--on-edit",
        type=click.Choice(["block", "keep", "overwrite"]),
        help="What to do with files edited by hand whose spec changed.",
    ),
    click.option("--prune", is_flag=True, help="Remove records and unedited files of items no manifest declares."),
    click.option("--resubmit-unknown", is_flag=True, help="Submit again what may have been paid for already."),
    click.option(
        "--changed-from",
        metavar="REF",
        default="",
        help="Only items that differ from the lock at this commit of git; `REF...`: where the branch left REF.",
    ),
    click.option(
        "--canary",
        metavar="N",
        type=click.IntRange(min=1),
        help="Only the first N generations of the plan, and nothing else.",
    ),
)


def project_options(function: Command) -> Command:
    """`--env`, `--var` and `--json`."""
    return _env(_var(json_option(function)))


def selection_options(function: Command) -> Command:
    """`--select` and `--exclude`."""
    return _select(_exclude(function))


def choice_options(function: Command) -> Command:
    """The selection, and everything else that changes what a plan holds."""
    for option in reversed(_choices):
        function = option(function)
    return selection_options(function)


def open_project(session: Session, environment: str, variables: tuple[str, ...]) -> Project:
    """The project that `-C`, `--env` and `--var` name; prints nothing.

    Raises InputError, UsageError or OutputError.
    """
    from contentops.operations import workspace

    return workspace.open_project(session.directory, environment, variables)


def choice_of(
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    replace: tuple[str, ...] = (),
    on_edit: str | None = None,
    *,
    prune: bool = False,
    resubmit_unknown: bool = False,
    changed_from: str = "",
    canary: int | None = None,
) -> Choice:
    """The choice that the options of `choice_options` make."""
    from contentops.model import OnEdit
    from contentops.planning.inputs import Choice

    return Choice(
        select=select,
        exclude=exclude,
        replace=replace,
        on_edit=None if on_edit is None else OnEdit(on_edit),
        prune=prune,
        resubmit_unknown=resubmit_unknown,
        changed_from=changed_from,
        canary=canary,
    )


UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds of each unit of time."""


def duration(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """The seconds of a positive time such as `90`, `90s`, `10m` or `1.5h`; a usage error shows the form."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", value, re.ASCII)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise click.BadParameter(f"`{value}` is no duration; write `90s`, `10m` or `2h`")
    return seconds
