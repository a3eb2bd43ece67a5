"""The commands `contentops apply` and `contentops regenerate`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.confirmation import Confirmation, NextCommand, finish
from contentops.cli.options import (
    cache_option,
    choice_of,
    choice_options,
    duration,
    file_option,
    flags_of,
    project_options,
    with_options,
)
from contentops.cli.session import Session
from contentops.errors import UsageError
from contentops.model import Result, Run
from contentops.model.plan_file import PlanFile, no_plan_file
from contentops.reporting.summary import command as command_line
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.operations.apply import ApplyOptions


_approving = with_options(
    click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask."),
    click.option(
        "--approve-credits",
        metavar="N",
        type=click.IntRange(min=0),
        help="Spend at most N credits, even over `budget`.",
    ),
)


@click.command("apply")
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path())
@project_options
@choice_options
@cache_option
@_approving
@click.option("--approve-changes", is_flag=True, help="Change more items than `guards` allow.")
@click.option("--approve-empty", is_flag=True, help="Continue even if the manifests declare nothing.")
@file_option(
    "--reviewed", help="Exit with 4 if plan FILE does not cover everything; `FILE@sha256:HEX` also checks its checksum."
)
@click.option("--deadline", callback=duration, metavar="TIME", help="Stop submitting after TIME, such as `10m`.")
@file_option("--events", help="Write events to FILE, one JSON object per line.")
def command(
    session: Session,
    /,
    plan_file: str | None,
    approve_credits: int | None,
    deadline: float | None,
    events: str,
    reviewed: str,
    *,
    yes: bool,
    approve_changes: bool,
    approve_empty: bool,
    **chosen: Any,
) -> int:
    """Show a plan, ask, and carry it out.

    PLAN is a file that `plan --out` wrote. It is carried out without asking. A stale, edited or applied PLAN is
    refused.

    `--reviewed FILE` makes a new plan, and carries it out only if FILE contains all its changes.

    In CI, it first checks that `contentops commit` can push the results.
    It also checks that no results of an earlier run wait to be merged.

    You can stop it with Ctrl-C and run it again: it never pays twice.
    """
    plain = plan_file is None and not (reviewed or events or any(chosen.values()))
    last = session.last_plan()
    if plain and (plan := last.recall()) is not None and not plan.refusals:
        return finish(plan, None, Confirmation(lambda: None, yes=yes, as_json=session.as_json), lambda _: "")
    from contentops.cli.carry_out import carry_out
    from contentops.operations.apply import ApplyOptions
    from contentops.planning.guards import Overrides

    overrides = Overrides(credits=approve_credits, changes=approve_changes, empty=approve_empty)
    options = ApplyOptions(overrides=overrides, deadline=deadline, last=last)
    file = str(session.path(events)) if events else ""
    if plan_file is None:
        typed = {**chosen, "reviewed": reviewed}
        again = going_on(session.option(), session.variables, typed)
        ceiling = _ceiling(session, reviewed) if reviewed else None
        options = structs.replace(options, inputs={"variables": session.variables, **chosen})
        options = structs.replace(options, is_bound=bool(reviewed), ceiling=ceiling)
        return carry_out(session, session.project(), choice_of(**chosen), options, again, yes=yes, events=file)
    if reviewed:
        raise click.UsageError("PLAN is what was reviewed; `--reviewed` is for an apply that makes its own plan")
    return _carry_out_file(session, plan_file, chosen, options, events=file)


def _carry_out_file(
    session: Session, name: str, chosen: Mapping[str, Any], options: ApplyOptions, *, events: str
) -> int:
    from contentops.cli.carry_out import carry_out
    from contentops.cli.named_files import project_of
    from contentops.operations.plan_files import choice_in, read_plan

    line = command_line("apply", "", [shlex.quote(name)])
    if not os.path.lexists(session.path(name)):
        hint = "make one with `contentops plan --out FILE`, or choose items with `--select ID`"
        raise no_plan_file(f"there is no plan file `{visible(name)}`", hint)
    file = read_plan(session.path(name))
    project, inputs = project_of(session, file, chosen), structs.asdict(file.inputs)
    options = structs.replace(options, inputs=inputs, reviewed=file)

    def again(run: Run) -> str:
        if any(one.result is not Result.BLOCKED and one.result is not Result.DONE for one in run.outcomes):
            return line
        # What is decided about a blocked item makes another plan.
        return command_line("plan", project.option, [f"--out {shlex.quote(name)}", *flags_of(inputs)])

    return carry_out(session, project, choice_in(file), options, again, yes=True, events=events)


def _ceiling(session: Session, reviewed: str) -> PlanFile | None:
    """Return the reviewed plan from the file that `--reviewed` names.

    Return None if the file does not exist. Then the apply may do nothing.
    """
    from contentops.cli.named_files import pinned

    name, checksum = pinned(reviewed)
    path = session.path(name)
    if not os.path.lexists(path):
        terminal.report(f"no plan was reviewed: `{visible(str(path))}` does not exist")
        return None
    from contentops.operations.plan_files import read_plan

    return read_plan(path, checksum)


def going_on(environment: str, variables: tuple[str, ...], given: Mapping[str, Any]) -> NextCommand:
    """Return a function that makes the shell command with which a person continues a run.

    The command has the options of the first run, but never pays twice: after a canary it selects the unfinished items,
    and it replaces only items whose new text was not written.
    """

    def again(run: Run) -> str:
        unfinished = {str(one.id): one for one in run.outcomes if one.result is not Result.DONE}
        flags = {**given, "variables": variables, "canary": None}
        flags["replace"] = [
            item for item in given["replace"] if item in unfinished and "write" not in unfinished[item].steps
        ]
        if given["canary"]:
            flags |= {"select": list(unfinished), "exclude": ()}
        return command_line("apply", environment, flags_of(flags))

    return again


@click.command("regenerate")
@click.argument("item")
@click.option("--section", "heading", metavar="HEADING", default="", help="The heading of the section. Required.")
@click.option(
    "--on-edit",
    type=click.Choice(["block", "overwrite"]),
    help="What to do if the section was edited by hand.",
)
@_approving
@project_options
def regenerate(
    session: Session,
    item: str,
    heading: str,
    on_edit: str | None,
    approve_credits: int | None,
    *,
    yes: bool,
) -> int:
    """Generate the section HEADING of ITEM again; the rest of its text stays.

    The section ends at the next heading of its level or a higher one. Shows the plan first, and costs as much as a
    whole generation. WriterzRoom does not document this endpoint: contentops sends what `contentops serve` accepts, and
    the service may refuse it.
    """
    from contentops.cli.carry_out import carry_out
    from contentops.operations.apply import ApplyOptions
    from contentops.operations.plan import section
    from contentops.planning.guards import Overrides

    if not heading:
        whole = command_line("apply", session.option(), [f"--replace {shlex.quote(item)}"])
        hint = f"name it with `--section HEADING`; to make the whole text again: `{whole}`"
        raise UsageError("`regenerate` makes one section again", hint=hint)
    project = session.project()
    sections = {item: section(project, item, heading)}
    # A guard against many changes is none against the one item that a person names.
    overrides = Overrides(credits=approve_credits, changes=True)
    inputs = {"variables": session.variables, "sections": sections, "on_edit": on_edit}
    options = ApplyOptions(overrides=overrides, inputs=inputs)

    def again(run: Run) -> str:
        named, variables = shlex.quote(item), [f"--var {shlex.quote(each)}" for each in session.variables]
        if any("write" in outcome.steps for outcome in run.outcomes):
            return command_line("apply", session.option(), ["--select", named, *variables])
        flags = [named, "--section", shlex.quote(heading), *([f"--on-edit {on_edit}"] if on_edit else []), *variables]
        return command_line("regenerate", session.option(), flags)

    choice = choice_of(select=(item,), sections=sections, on_edit=on_edit)
    return carry_out(session, project, choice, options, again, yes=yes, verbose=True)
