"""`contentops promote`: an apply of nothing but the texts that one environment has for another."""

from __future__ import annotations

import shlex
from dataclasses import replace as changed
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from contentops.cli.apply import Manner, carry_out
from contentops.cli.options import (
    choice_of,
    debug_option,
    flags_of,
    json_option,
    offers,
    selection_options,
    variable_option,
    with_options,
)
from contentops.errors import UsageError
from contentops.manifests.project import source_of
from contentops.model import BASE
from contentops.operations.apply import ApplyOptions
from contentops.operations.workspace import locked_environments
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.options import Session
    from contentops.model import Project, Run


@click.command("promote", short_help="Take reviewed texts from one environment to another.")
@with_options(
    click.option(
        "--from",
        "source",
        metavar="NAME",
        required=True,
        shell_complete=offers("environments"),
        help="The environment whose texts are taken; `default` is the project without `--env`.",
    ),
    click.option(
        "--to",
        "target",
        metavar="NAME",
        required=True,
        shell_complete=offers("environments"),
        help="The environment that is to have them.",
    ),
    selection_options,
    click.option(
        "--on-edit",
        type=click.Choice(["block", "keep", "overwrite"]),
        help="What to do with files that were edited by hand in the environment that is to have the texts.",
    ),
    click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask."),
    click.option("-v", "--verbose", is_flag=True, help="List every change of the plan."),
    variable_option,
    json_option,
    debug_option,
)
def command(
    session: Session,
    source: str,
    target: str,
    *,
    yes: bool,
    verbose: bool,
    **chosen: Any,
) -> int:
    """Take texts, with what people edited, from one environment to another, for nothing.

    Plan, show the plan, ask, and do exactly that, as `apply` does, for the items whose request is the same in both; all
    else is left alone. What is taken is the file as it stands here, by the lock of the environment that it comes from;
    no server and no cache of that one is asked. An environment that states `promote_from` does so with every apply.
    """
    project = _project(session, source, target)
    inputs = {"variables": session.variables, **chosen}
    choice = choice_of(**chosen, only_promoted=True)
    manner = Manner(yes=yes, verbose=verbose, as_json=session.as_json, world=session.world())

    def again(_run: Run) -> str:
        flags = [f"--from {shlex.quote(source)}", f"--to {shlex.quote(target)}", *flags_of(inputs)]
        return " ".join(["contentops promote", *flags])

    options = ApplyOptions(inputs={**inputs, "promote_from": source})
    return carry_out(project, choice, options, manner, again)


def _project(session: Session, source: str, target: str) -> Project:
    """The project of the environment that is to have the texts. Raises UsageError where there is nothing to take."""
    base = session.project()
    known = base.settings.get("environments") or {}
    environment = "" if target == BASE and BASE not in known else target
    project = changed(session, environment=environment).project()
    name = source_of(project, source)
    if name not in locked_environments(project):
        there = f"contentops apply --env {name}" if name else "contentops apply"
        message = f"nothing was applied in `{visible(source)}` yet: it has no lock"
        hint = f"`{there}` makes its texts; in a clone, it has to be committed there first"
        raise UsageError(message, code="nothing-applied", hint=hint)
    return structs.replace(project, promote_from=name)
