"""`contentops plan`, `validate`, `check` and `doctor`: nothing is changed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from contentops.cli import github, terminal
from contentops.cli.files import (
    check_findings_place,
    choice_in,
    clear_plan_place,
    project_of,
    read_plan,
    write_whole,
)
from contentops.cli.options import (
    choice_of,
    choice_options,
    complete_file,
    file_name,
    flags_of,
    project_options,
    selection_options,
    server_options,
)
from contentops.errors import ExitCode, Refused, Severity, plural
from contentops.operations import doctor as doctor_operation
from contentops.operations import plan as operation
from contentops.operations import workspace
from contentops.planning.plan import review
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.layout import paint
from contentops.reporting.plan_text import plan_text
from contentops.reporting.summary import way_on, who_refuses
from contentops.sanitize import json_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contentops.cli.options import Session
    from contentops.model import Checked, Json, Plan, Refusal
    from contentops.operations.doctor import Check


@click.command("plan", short_help="Show what apply would do, why, and what it costs.")
@server_options
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
    help="Only say whether plan FILE still holds, and names all there is to do.",
)
@click.option("--max-credits", metavar="N", type=click.IntRange(min=0), help="Exit with 4 if it costs more than N.")
@click.option(
    "--approve-credits", metavar="N", type=click.IntRange(min=0), help="Let up to N credits pass `--max-credits`."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if the plan is not empty.")
@click.option("-v", "--verbose", is_flag=True, help="List every change with its steps; show values in full length.")
def command(
    session: Session,
    /,
    form: str | None,
    out: str,
    reviewed: str,
    max_credits: int | None,
    approve_credits: int | None,
    *,
    detailed_exitcode: bool,
    verbose: bool,
    **chosen: Any,
) -> int:
    """Show what `apply` would do: every change, its reasons down to the field, and the price.

    Needs no network and no key, and changes nothing. With `--refresh` it asks the server for one list, and for each
    content that was changed there since it was saved.
    """
    if session.as_json and form not in {None, "json"}:
        raise click.UsageError(f"`--json` and `--format {form}` exclude each other")
    if approve_credits is not None and max_credits is None:
        raise click.UsageError("`--approve-credits` needs `--max-credits`: a plan spends nothing")
    if reviewed:
        document = read_plan(session.path(reviewed))
        project, choice = project_of(session, document, chosen), choice_in(document)
        left = operation.check(project, choice, document, tell=terminal.tell_line, world=session.world())
        if found := _review(left, max_credits, approve_credits):
            raise Refused(found.message, code=found.guard, hint=f"if that is meant: `{found.flag}`")
        _tell_check(session, left)
        return ExitCode.DONE
    if out:
        clear_plan_place(session.path(out))
    project = session.project()
    choice = choice_of(**chosen, notes=github.settings_notes(project))
    plan = operation.plan(project, choice, tell=terminal.tell_line, world=session.world())
    found = _review(plan, max_credits, approve_credits)
    if found:
        plan = structs.replace(plan, refusals=(*plan.refusals, found))
    inputs = {"variables": session.variables, **chosen}
    if out:
        write_whole(session.path(out), json_text(_document(plan, inputs)) + "\n")
        terminal.tell(f"plan file written: `{visible(out)}`")
    if session.as_json or form == "json":
        terminal.say_json(_document(plan, inputs))
    else:
        terminal.tell_findings(plan.findings, gap=True)
        _show(plan, form, [shlex.quote(out)] if out else flags_of(inputs), verbose=verbose)
    github.annotate(plan.findings, session.directory)
    github.tell_plan(plan)
    if found:
        return ExitCode.REFUSED
    return ExitCode.CHANGES if detailed_exitcode and not plan.empty else ExitCode.DONE


def _review(plan: Plan, limit: int | None, approved: int | None) -> Refusal | None:
    return None if limit is None else review(plan, limit, approved)


def _document(plan: Plan, inputs: Mapping[str, Json]) -> dict[str, Json]:
    from contentops.model.plan import sealed
    from contentops.reporting.plan_json import plan_json

    return sealed(plan_json(plan, inputs=inputs))


def _show(plan: Plan, form: str | None, flags: list[str], *, verbose: bool) -> None:
    if form == "markdown":
        from contentops.reporting.plan_markdown import plan_markdown

        terminal.say(plan_markdown(plan).rstrip("\n"))
    else:
        terminal.show(plan_text(plan, verbose=verbose, flags=flags))


def _tell_check(session: Session, left: Plan) -> None:
    listed: list[Json] = [{"guard": one.guard, "message": one.message, "flag": one.flag} for one in left.refusals]
    found = {"changes": len(left.changes), "credits": left.credits, "refusals": listed}
    session.answer(found, _check_lines(left), fit=True)
    github.tell_plan(left)


def _check_lines(left: Plan) -> Iterator[str]:
    if left.empty:
        yield "Nothing is left to do: all of the plan is applied already."
    else:
        yield f"The plan still holds: {plural(len(left.changes), 'change')}, {plural(left.credits, 'credit')}."
    for refusal in left.refusals:
        way = way_on(refusal)
        yield f"{who_refuses(refusal)}: {visible(refusal.message)}{f' ({way})' if way else ''}"


_SIGNS = {True: ("ok", "add"), False: ("failed", "error"), None: ("note", "warning")}


@click.command("validate", short_help="Check every manifest; needs no network.")
@project_options
def validate(session: Session) -> None:
    """Check settings, manifests and data files; every problem of every file at once.

    Needs no network and no key, and costs nothing.
    """
    project = session.project()
    desired = workspace.validate(project)
    items, manifests = len(desired.specs), len(desired.manifests)
    findings = (*project.warnings, *desired.findings)
    github.annotate(findings, session.directory)
    if not session.as_json:
        terminal.tell_findings(findings)
    document = {**diagnostics_json(findings), "items": items, "manifests": manifests}
    session.answer(document, f"Valid: {plural(items, 'item')} in {plural(manifests, 'manifest')}.")


@click.command("doctor", short_help="Check that everything needed is in place.")
@server_options
def doctor(session: Session) -> int:
    """Check settings, folders, state, key and server, and say how to put right what is wrong.

    Asks the server for free lists only; spends nothing. Exits with 1 if a check failed.
    """
    checks = doctor_operation.doctor(session.project(), session.world())
    found = {"checks": [structs.asdict(one) for one in checks]}
    session.answer(found, doctor_text(checks), fit=True)
    return ExitCode.ERROR if any(one.ok is False for one in checks) else ExitCode.DONE


def doctor_text(checks: Sequence[Check]) -> Iterator[str]:
    """One line per check, and what to do where it failed."""
    for one in checks:
        word, style = _SIGNS[one.ok]
        yield f"{paint(f'{word:<6}', style)}  {visible(one.name)}: {visible(one.message)}"
        if one.hint:
            yield f"        {paint('hint', 'hint')}: {visible(one.hint)}"


# --- check -------------------------------------------------------------------------------------------------


_CHECK_FORMATS = ["text", "json", "sarif", "junit"]


@click.command("check", short_help="Hold the files that are there against their checks.")
@project_options
@selection_options
@click.option("--format", "form", type=click.Choice(_CHECK_FORMATS), default=None, help="Default: text.")
@click.option(
    "--out",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help="Write the findings to FILE, and show them as text.",
)
@click.option("--commands", is_flag=True, help="Also run the programs that `contentops.yaml` names under `checks`.")
def check(
    session: Session,
    /,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    form: str | None,
    out: str,
    *,
    commands: bool,
) -> int:
    """Hold the file of every item against its `checks`, as it is now, edits included.

    Needs no network and no key, and changes nothing. Programs named under `checks.commands` run only with
    `--commands`: whoever may change the branch may have changed them. Exits with 1 if a check that blocks failed.
    """
    if session.as_json and form not in {None, "json"}:
        raise click.UsageError(f"`--json` and `--format {form}` exclude each other")
    form = "json" if session.as_json else form or "text"
    if out and form == "text":
        raise click.UsageError("`--out` is for `--format json`, `sarif` or `junit`")
    if out:
        check_findings_place(session.path(out))
    from contentops.reporting.checks import checks_json, checks_text

    done = operation.check_files(session.project(), choice_of(select=select, exclude=exclude), commands=commands)
    if out:
        write_whole(session.path(out), _checks_document(done, form, session.directory))
        terminal.tell(f"findings written: `{visible(out)}`")
    if out or form == "text":
        terminal.show(checks_text(done))
    elif form == "json":
        terminal.say_json(checks_json(done))
    else:
        terminal.say(_checks_document(done, form, session.directory).rstrip("\n"))
    github.annotate(done.findings, session.directory)
    return ExitCode.ERROR if any(one.severity is Severity.ERROR for one in done.findings) else ExitCode.DONE


def _checks_document(done: Checked, form: str, directory: str) -> str:
    from contentops.reporting.checks import checks_json, junit, sarif

    if form == "junit":
        return junit(done)
    found = sarif(done, folder=github.project_folder(directory)) if form == "sarif" else checks_json(done)
    return json_text(found) + "\n"
