"""`contentops regenerate`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from contentops.cli.apply import Manner, carry_out
from contentops.cli.options import open_project, project_options
from contentops.reporting.summary import command as command_line

if TYPE_CHECKING:
    from contentops.cli.options import Session
    from contentops.model import Run


@click.command("regenerate", short_help="Generate one section of an item again.")
@click.argument("item")
@click.option("--section", "heading", metavar="HEADING", required=True, help="The heading of the section.")
@click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask.")
@click.option(
    "--approve-credits",
    metavar="N",
    type=click.IntRange(min=0),
    help="Spend at most N credits, even over `budget`.",
)
@click.option("--approve-changes", is_flag=True, help="Rewrite more items than `guards` allow.")
@project_options
@click.pass_obj
def command(
    session: Session,
    item: str,
    heading: str,
    approve_credits: int | None,
    environment: str,
    variables: tuple[str, ...],
    *,
    approve_changes: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Generate the section HEADING of ITEM again; the rest of its text stays.

    Shows the plan and its price first, and costs as much as a generation of the item's tier. The request and the reply
    of this endpoint are documented nowhere: what is sent is what `contentops serve` takes, and may not fit the real
    service.
    """
    from contentops.operations import show as show_operation
    from contentops.operations.apply import Approval
    from contentops.planning.inputs import Choice

    project = open_project(session, environment, variables)
    section = show_operation.section(project, item, heading)
    choice = Choice(select=(item,), sections={item: section})
    manner = Manner(yes=yes, verbose=True, as_json=as_json, events="", deadline=None)
    approval = Approval(credits=approve_credits, changes=approve_changes)
    inputs = {"variables": variables, "sections": {item: section}}

    def again(run: Run) -> str:
        written = any("write" in outcome.steps for outcome in run.outcomes)
        flags = [] if written else ["--section", shlex.quote(heading)]
        start = ["--select", shlex.quote(item)] if written else [shlex.quote(item)]
        variable_flags = [f"--var {shlex.quote(each)}" for each in variables]
        return command_line("apply" if written else "regenerate", environment, [*start, *flags, *variable_flags])

    return carry_out(project, choice, approval, manner, inputs, again)
