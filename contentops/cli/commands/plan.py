"""The command `contentops plan`, which changes nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import click
from msgspec import structs

from contentops.ci.runner import has_base
from contentops.cli import github_job, terminal
from contentops.cli.options import cache_option, choice_of, choice_options, file_option, flags_of, project_options
from contentops.cli.session import Session
from contentops.errors import ExitCode, Refused, plural
from contentops.model import Json, Plan, Refusal
from contentops.model.jobs import cost_words
from contentops.reporting.plan_json import plan_pieces
from contentops.reporting.plan_text import plan_text
from contentops.reporting.summary import way_on, who_refuses
from contentops.sanitize import visible


@click.command("plan")
@project_options
@choice_options
@click.option(
    "--changed-from",
    metavar="REF",
    default="",
    help="Only items that differ from the lock in git commit REF; `REF...` means the common ancestor.",
)
@cache_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown", "html", "paths"]),
    default=None,
    help="The output format. `paths` lists only outputs whose words changed since REF. Default: text.",
)
@file_option("--out", help="Also write the plan as JSON to FILE, for `apply FILE`.")
@file_option(
    "--check", "reviewed", help="Only check that plan FILE, or `FILE@sha256:HEX`, is still valid and complete."
)
@click.option(
    "--max-credits",
    metavar="N",
    type=click.IntRange(min=0),
    help="Exit with 4 if the plan costs more than N credits.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if the plan is not empty.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="List every change with its steps; show values in full length.",
)
def command(
    session: Session,
    /,
    form: str | None,
    out: str,
    reviewed: str,
    max_credits: int | None,
    *,
    detailed_exitcode: bool,
    verbose: bool,
    **chosen: Any,
) -> int:
    """Show what `apply` would do: every change, why, and the price.

    Needs no network and no key, and changes nothing. `--refresh` asks the server for a list of contents, and fetches
    those that changed since they were saved.
    """
    if session.as_json and form not in {None, "json"}:
        raise click.UsageError(f"`--json` and `--format {form}` exclude each other")
    if form == "paths":
        return _say_paths(session, chosen)
    if reviewed:
        remaining = _remaining(session, reviewed, chosen)
        if refusal := _review(remaining, max_credits):
            raise Refused(refusal.message, code=refusal.guard, hint=f"if that is meant: `{refusal.flag}`")
        _report_check(session, remaining)
        return ExitCode.DONE
    plan = _planned(session, out, chosen)
    refusal = _review(plan, max_credits)
    if refusal:
        plan = structs.replace(plan, refusals=(*plan.refusals, refusal))
    inputs = {"variables": session.variables, **chosen}
    if out:
        from contentops.cli.named_files import write_whole

        write_whole(session.path(out), "".join((*plan_pieces(plan, inputs=inputs), "\n")))
        terminal.report(f"plan file written: `{visible(str(session.path(out)))}`")
    if session.as_json or form == "json":
        terminal.say_json_pieces(plan_pieces(plan, inputs=inputs))
    else:
        terminal.report_findings(plan.findings, gap=True)
        _show(plan, form, [shlex.quote(out)] if out else flags_of(inputs), verbose=verbose)
    github_job.annotate(plan.findings, session.directory)
    github_job.report_plan(plan)
    if refusal:
        return ExitCode.REFUSED
    return ExitCode.CHANGES if detailed_exitcode and not plan.empty else ExitCode.DONE


def _say_paths(session: Session, chosen: Mapping[str, Any]) -> int:
    """Print the path of each output whose words changed since a commit. `--changed-from` names the commit."""
    from contentops.operations.plan import changed_outputs

    if not chosen["changed_from"]:
        raise click.UsageError("`--format paths` needs `--changed-from REF`: the commit to compare with")
    if others := [name for name, value in chosen.items() if value and name != "changed_from"]:
        flags = ", ".join(f"`--{name.replace('_', '-')}`" for name in others)
        raise click.UsageError(f"`--format paths` lists files and makes no plan: leave out {flags}")
    for path in changed_outputs(session.project(), chosen["changed_from"]):
        terminal.say(visible(path))
    return ExitCode.DONE


def _planned(session: Session, out: str, chosen: Mapping[str, Any]) -> Plan:
    """Make the plan that the options in `chosen` ask for. An older plan file at `out` is deleted first."""
    last = session.last_plan()
    if out:
        from contentops.cli.named_files import clear_old_plan

        clear_old_plan(session.path(out))
    # The plan of a pull request also shows what it changes of the settings.
    if not (any(chosen.values()) or has_base(os.environ)) and (plan := last.recall()) is not None:
        return plan
    from contentops.operations import plan as operation

    project = session.project()
    if not session.as_json:
        terminal.report_findings(operation.running(project), gap=True)
    settings, in_review = github_job.changed_by_review(project)
    choice = structs.replace(choice_of(**chosen, notes=settings), in_review=in_review)
    return operation.plan(project, choice, runtime=session.runtime(), last=last)


def _remaining(session: Session, reviewed: str, chosen: Mapping[str, Any]) -> Plan:
    """Check the plan file `reviewed`, and return the part of its plan that is not done yet."""
    from contentops.cli.named_files import pinned, project_of
    from contentops.operations import plan as operation
    from contentops.operations.plan_files import choice_in, read_plan

    name, checksum = pinned(reviewed)
    file = read_plan(session.path(name), checksum)
    project, choice = project_of(session, file, chosen), choice_in(file)
    return operation.check(project, choice, file, runtime=session.runtime())


def _review(plan: Plan, limit: int | None) -> Refusal | None:
    if limit is None:
        return None
    from contentops.planning.guards import review

    return review(plan, limit)


def _show(plan: Plan, form: str | None, flags: list[str], *, verbose: bool) -> None:
    if form == "markdown":
        from contentops.reporting.plan_markdown import plan_markdown

        terminal.say(plan_markdown(plan).rstrip("\n"))
    elif form == "html":
        from contentops.operations.opening import HERE
        from contentops.pages.export import plan_document

        name = f"{plan.project}/{plan.environment}" if plan.environment else plan.project
        terminal.say(plan_document(plan, name, flags, HERE).rstrip("\n"))
    else:
        terminal.show(plan_text(plan, verbose=verbose, flags=flags, width=terminal.width()))


def _report_check(session: Session, remaining: Plan) -> None:
    listed: list[Json] = [{"guard": one.guard, "message": one.message, "flag": one.flag} for one in remaining.refusals]
    values = {"changes": len(remaining.changes), "credits": remaining.credits, "refusals": listed}
    session.answer(values, _check_lines(remaining), fit=True)
    github_job.report_plan(remaining)


def _check_lines(remaining: Plan) -> Iterator[str]:
    if remaining.empty:
        yield "Nothing to do: the plan is already applied."
    else:
        changes = plural(len(remaining.changes), "change")
        yield f"The plan is still valid: {changes}, {cost_words(remaining.changes)}."
    for refusal in remaining.refusals:
        way = way_on(refusal)
        yield f"{who_refuses(refusal)}: {visible(refusal.message)}{f' ({way})' if way else ''}"
