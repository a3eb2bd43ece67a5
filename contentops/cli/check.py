"""`contentops check`: the checks of every item, on the files that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from contentops.cli import github, terminal
from contentops.cli.files import check_findings_place, write_whole
from contentops.cli.options import choice_of, complete_file, file_name, project_options, selection_options
from contentops.errors import ExitCode, Severity
from contentops.operations import check as operation
from contentops.reporting.checks import checks_json, checks_text, junit, sarif
from contentops.sanitize import json_text, visible

if TYPE_CHECKING:
    from contentops.cli.options import Session
    from contentops.model import Checked

_FORMATS = ["text", "json", "sarif", "junit"]


@click.command("check", short_help="Hold the files that are there against their checks.")
@project_options
@selection_options
@click.option("--format", "form", type=click.Choice(_FORMATS), default=None, help="Default: text.")
@click.option(
    "--out",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help="Write the findings to FILE, and show them as text.",
)
@click.option("--commands", is_flag=True, help="Also run the programs that `contentops.yaml` names under `checks`.")
def command(
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
    done = operation.check(session.project(), choice_of(select=select, exclude=exclude), commands=commands)
    if out:
        write_whole(session.path(out), _document(done, form, session.directory))
        terminal.tell(f"findings written: `{visible(out)}`")
    if out or form == "text":
        terminal.show(checks_text(done))
    elif form == "json":
        terminal.say_json(checks_json(done))
    else:
        terminal.say(_document(done, form, session.directory).rstrip("\n"))
    github.annotate(done.findings, session.directory)
    return ExitCode.ERROR if any(one.severity is Severity.ERROR for one in done.findings) else ExitCode.DONE


def _document(done: Checked, form: str, directory: str) -> str:
    if form == "junit":
        return junit(done)
    found = sarif(done, folder=github.project_folder(directory)) if form == "sarif" else checks_json(done)
    return json_text(found) + "\n"
