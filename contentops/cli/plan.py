"""`contentops plan`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.files import check_plan_place, complete_file, file_name, write_whole
from contentops.cli.options import choice_of, choice_options, open_project, project_options
from contentops.errors import ExitCode, Refused
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.summary import plural, way_on, who_refuses
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.cli.options import Session
    from contentops.model import Json, Plan, Refusal


@click.command("plan", short_help="Show what apply would do, why, and what it costs.")
@project_options
@choice_options
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default=None, help="Default: text.")
@click.option(
    "--out",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help="Also write the plan as JSON to FILE, for `apply FILE`.",
)
@click.option(
    "--check",
    "reviewed",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help="Only say whether plan FILE still holds.",
)
@click.option("--max-credits", metavar="N", type=click.IntRange(min=0), help="Exit with 4 if it costs more than N.")
@click.option(
    "--approve-credits", metavar="N", type=click.IntRange(min=0), help="Let up to N credits pass `--max-credits`."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if the plan is not empty.")
@click.option("-v", "--verbose", is_flag=True, help="List every change with its steps; show values in full length.")
@click.pass_obj
def command(
    session: Session,
    /,
    environment: str,
    variables: tuple[str, ...],
    form: str | None,
    out: str,
    reviewed: str,
    max_credits: int | None,
    approve_credits: int | None,
    *,
    as_json: bool,
    detailed_exitcode: bool,
    verbose: bool,
    **chosen: Any,
) -> int:
    """Show what `apply` would do: every change, its reasons down to the field, and the price.

    Needs no network and no key, and changes nothing.
    """
    if as_json and form not in {None, "json"}:
        raise click.UsageError(f"`--json` and `--format {form}` exclude each other")
    if approve_credits is not None and max_credits is None:
        raise click.UsageError("`--approve-credits` needs `--max-credits`: a plan spends nothing")
    from contentops.operations import plan as plan_operation

    if reviewed:
        left = _check(session, reviewed, environment, variables, chosen)
        found = _review(left, max_credits, approve_credits) if left else None
        if found:
            raise Refused(found.message, code=found.guard, hint=f"if that is meant: `{found.flag}`")
        return _tell_check(left, as_json=as_json)
    if out:
        check_plan_place(session.path(out))
    project = open_project(session, environment, variables)
    plan = plan_operation.plan(project, choice_of(**chosen))
    found = _review(plan, max_credits, approve_credits)
    if found:
        plan = structs.replace(plan, refusals=(*plan.refusals, found))
    inputs = {"variables": list(variables), **{name: _plain(value) for name, value in chosen.items()}}
    if out:
        _write(session, out, plan, inputs)
    _show(plan, "json" if as_json else form or "text", inputs, out, verbose=verbose)
    if terminal.read_by_runner():
        from contentops.cli.github import annotate, tell_plan

        annotate(plan.findings, session.directory)
        tell_plan(plan)
    if found:
        return ExitCode.REFUSED
    return ExitCode.CHANGES if detailed_exitcode and not plan.empty else ExitCode.DONE


def _review(plan: Plan, limit: int | None, approved: int | None) -> Refusal | None:
    from contentops.planning.guards import review

    return None if limit is None else review(plan, limit, approved)


def _check(
    session: Session, path: str, environment: str, variables: tuple[str, ...], chosen: dict[str, Any]
) -> Plan | None:
    """What is left of the plan file at `path`, if it could be applied as it is; None where nothing is.

    Raises Refused, saying why it could not.
    """
    from contentops.cli.planfile import alone, choice_in, read_plan
    from contentops.operations import plan as plan_operation

    document = read_plan(session.path(path))
    project = open_project(session, environment or str(document["environment"]), alone(document, variables, chosen))
    try:
        return plan_operation.check(project, choice_in(document), document)
    except Refused as refusal:
        # An apply would do nothing twice. Whoever only asks hears that what was reviewed has come true.
        if refusal.code != "already-applied":
            raise
        return None


def _tell_check(left: Plan | None, *, as_json: bool) -> int:
    changes, price = (len(left.changes), left.credits) if left else (0, 0)
    refusals = left.refusals if left else ()
    if as_json:
        said = [{"guard": one.guard, "message": one.message, "flag": one.flag} for one in refusals]
        document = {"format_version": FORMAT_VERSION, "changes": changes, "credits": price, "refusals": said}
        terminal.say_json(document)
    elif left is None:
        terminal.show("Nothing of the plan is left to do: it is applied already.")
    else:
        terminal.show(f"The plan still holds: {plural(changes, 'change')}, {plural(price, 'credit')}.")
        for refusal in refusals:
            way = way_on(refusal)
            terminal.show(f"{who_refuses(refusal)}: {visible(refusal.message)}{f' ({way})' if way else ''}")
    if left is not None and terminal.read_by_runner():
        from contentops.cli.github import tell_plan

        tell_plan(left)
    return ExitCode.DONE


def _plain(value: Json) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _write(session: Session, out: str, plan: Plan, inputs: dict[str, Json]) -> None:
    from contentops.model.planfile import sealed
    from contentops.reporting.plan_json import plan_json
    from contentops.sanitize import json_text

    write_whole(session.path(out), json_text(sealed(plan_json(plan, inputs=inputs))) + "\n")
    terminal.tell(f"plan file written: `{visible(out)}`")


def _show(plan: Plan, form: str, inputs: dict[str, Json], out: str, *, verbose: bool) -> None:
    if form == "json":
        from contentops.model.planfile import sealed
        from contentops.reporting.plan_json import plan_json

        terminal.say_json(sealed(plan_json(plan, inputs=inputs)))
        return
    show_findings(plan)
    if form == "markdown":
        from contentops.reporting.plan_markdown import plan_markdown

        terminal.say(plan_markdown(plan).rstrip("\n"))
    else:
        from contentops.reporting.plan_text import plan_text

        color = terminal.wants_color(sys.stdout)
        flags = [shlex.quote(out)] if out else flags_of(inputs)
        terminal.show(plan_text(plan, color=color, verbose=verbose, flags=flags))


def flags_of(inputs: Mapping[str, Json]) -> list[str]:
    """What a person typed to make this plan, to be typed again for its apply."""
    flags = [f"--var {shlex.quote(str(each))}" for each in inputs["variables"]]
    for name in ("select", "exclude", "replace"):
        flags += [f"--{name} {shlex.quote(str(each))}" for each in inputs.get(name) or ()]
    if inputs.get("on_edit"):
        flags.append(f"--on-edit {inputs['on_edit']}")
    for name in ("changed_from", "canary"):
        if inputs.get(name):
            flags.append(f"--{name.replace('_', '-')} {shlex.quote(str(inputs[name]))}")
    flags += [f"--{name.replace('_', '-')}" for name in ("prune", "resubmit_unknown") if inputs.get(name)]
    return flags


def show_findings(plan: Plan) -> None:
    """Prints the warnings a plan carries to stderr."""
    if plan.findings:
        from contentops.reporting.diagnostics import diagnostics_text

        terminal.tell(diagnostics_text(plan.findings, color=terminal.wants_color(sys.stderr)) + "\n")
