"""The commands `contentops validate`, `check` and `doctor`, which change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from msgspec import structs

from contentops.cli import github_job, terminal
from contentops.cli.options import choice_of, environment_options, project_options, selection_options
from contentops.cli.session import Session
from contentops.errors import Check, ExitCode, Severity, plural
from contentops.operations import doctor as doctor_operation
from contentops.operations import workspace
from contentops.operations.check import check_files
from contentops.reporting.diagnostics import checks_json, checks_text, sarif
from contentops.reporting.layout import paint
from contentops.sanitize import json_text, visible

_SIGNS = {True: ("ok", "add"), False: ("failed", "error"), None: ("note", "warning")}


@click.command("validate")
@project_options
def validate(session: Session) -> None:
    """Check settings, manifests and data files, and report every problem at once.

    Needs no network and no key, and costs nothing.
    """
    project = session.project()
    desired = workspace.validate(project)
    items, manifests = len(desired.specs), len(desired.manifests)
    findings = (*project.warnings, *desired.findings)
    github_job.annotate(findings, session.directory)
    words = f"Valid: {plural(items, 'item')} in {plural(manifests, 'manifest')}."
    session.answer({"items": items, "manifests": manifests}, words, findings=findings)


@click.command("doctor")
@environment_options
@click.option("--online", is_flag=True, help="Also send one short prompt to the model of `api.model`.")
def doctor(session: Session, /, *, online: bool) -> int:
    """Check settings, folders, state, key and server, and show how to repair each problem.

    Asks the server only for free lists, and a model only with `--online`. Exits with 1 if a check fails.
    """
    checks = doctor_operation.doctor(session.project(), session.runtime(), online=online)
    values = {"checks": [structs.asdict(one) for one in checks]}
    session.answer(values, doctor_text(checks), fit=True)
    return ExitCode.ERROR if any(one.ok is False for one in checks) else ExitCode.DONE


def doctor_text(checks: Sequence[Check]) -> Iterator[str]:
    """Yield a line for each check, and a line for its hint if it has one."""
    for one in checks:
        word, style = _SIGNS[one.ok]
        yield f"{paint(f'{word:<6}', style)}  {visible(one.name)}: {visible(one.message)}"
        if one.hint:
            yield f"        {paint('hint', 'hint')}: {visible(one.hint)}"


# --- check -------------------------------------------------------------------------------------------------


@click.command("check")
@environment_options
@selection_options
@click.option("--format", "form", type=click.Choice(["text", "sarif"]), default="text", help="The output format.")
@click.option("--commands", is_flag=True, help="Also run the programs that `contentops.yaml` names under `checks`.")
@click.option("--approved", is_flag=True, help="Also fail if a required approval is missing.")
def check(
    session: Session,
    /,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    form: str,
    *,
    commands: bool,
    approved: bool,
) -> int:
    """Check the file of every item, with your edits, against its `checks`.

    Needs no network and no key, and changes nothing. Exits with 1 if a blocking check fails.

    `--commands` also runs the programs of `checks.commands`. Use it only on a branch that you trust. `--approved` also
    fails if a text that needs approval is not approved as it is now, for example before a site is built.
    """
    if session.as_json and form == "sarif":
        raise click.UsageError("`--json` and `--format sarif` exclude each other")
    choice = choice_of(select=select, exclude=exclude)
    done = check_files(session.project(), choice, commands=commands, approved=approved)
    if form == "sarif":
        terminal.say(json_text(sarif(done, folder=github_job.project_folder(session.directory))))
    elif session.as_json:
        terminal.say_json(checks_json(done))
    else:
        terminal.show(checks_text(done))
    github_job.annotate(done.findings, session.directory)
    return ExitCode.ERROR if any(one.severity is Severity.ERROR for one in done.findings) else ExitCode.DONE
