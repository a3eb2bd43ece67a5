"""`contentops show`."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.files import complete_file
from contentops.cli.options import open_project, project_options
from contentops.errors import ContentopsError, ExitCode, UsageError
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.paint import paint
from contentops.sanitize import json_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from contentops.cli.options import Session
    from contentops.model import Json, Plan

PLAN_ENDING = ".json"
"""What ends with it and is there is a plan file, and no item."""
_NOT_FOUND = frozenset({"unknown-item", "no-project"})


@click.command("show", short_help="Show one item as it is sent, or a plan file.")
@click.argument("what", metavar="ITEM|PLAN", shell_complete=complete_file)
@project_options
@click.option("--detailed-exitcode", is_flag=True, help="Of a plan file: exit with 2 if it is not empty.")
@click.option("-v", "--verbose", is_flag=True, help="Of a plan file: list every change, show values in full length.")
@click.pass_obj
def command(
    session: Session,
    what: str,
    environment: str,
    variables: tuple[str, ...],
    *,
    as_json: bool,
    detailed_exitcode: bool,
    verbose: bool,
) -> int:
    """Show ITEM: exactly what is sent, its digest and output, where each value came from, and its record.

    Or show PLAN, a file made by `plan --out`, as it was when it was made. That reads the file alone and works in any
    folder; whether the plan still holds is what `plan --check` says.

    What ends with `.json` and is a file that exists is a plan file; anything else is an item.
    """
    if what.endswith(PLAN_ENDING) and os.path.lexists(session.path(what)):
        if environment or variables:
            raise UsageError(
                "`--env` and `--var` are for items: a plan file says by itself what it was made for",
                code="plan-file-and-flags",
                hint="leave them out",
            )
        return _show_plan(session, what, as_json=as_json, detailed_exitcode=detailed_exitcode, verbose=verbose)
    if detailed_exitcode or verbose:
        raise click.UsageError(f"`--detailed-exitcode` and `--verbose` are for plan files, and `{what}` is none")
    _show_item(session, what, environment, variables, as_json=as_json)
    return ExitCode.DONE


# --- plan files --------------------------------------------------------------------------------------------


def _show_plan(session: Session, path: str, *, as_json: bool, detailed_exitcode: bool, verbose: bool) -> int:
    from contentops.cli.plan import flags_of, show_findings
    from contentops.cli.planfile import read_plan
    from contentops.model.planfile import no_plan_file
    from contentops.reporting.plan_read import plan_of

    file = session.path(path)
    # A pipe or a device may have no end.
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise no_plan_file(f"`{path}` is no regular file")
    document = read_plan(file)
    plan = plan_of(document)
    if as_json:
        terminal.say_json(document)
    else:
        show_findings(plan)
        terminal.show(f"{_made_with(path, flags_of(document['inputs']))}\n\n{_text(path, plan, verbose=verbose)}")
    return ExitCode.CHANGES if detailed_exitcode and not plan.empty else ExitCode.DONE


def _made_with(path: str, flags: list[str]) -> str:
    made = f", made with `{visible(' '.join(flags))}`" if flags else ""
    return f"Plan file `{visible(path)}`{made}"


def _text(path: str, plan: Plan, *, verbose: bool) -> str:
    """The plan as `plan` shows it, but that the next command is about the file."""
    from contentops.reporting.plan_text import plan_text

    color = terminal.wants_color(sys.stdout)
    return plan_text(plan, color=color, verbose=verbose, flags=[shlex.quote(path)])


# --- items -------------------------------------------------------------------------------------------------


def _show_item(session: Session, item: str, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    from contentops.operations import show as show_operation

    try:
        found = show_operation.show(open_project(session, environment, variables), item)
    except ContentopsError as error:
        if item.endswith(PLAN_ENDING) and error.diagnostics()[0].code in _NOT_FOUND:
            from contentops.model.planfile import no_plan_file

            raise no_plan_file(f"there is no plan file `{item}` and no item of this name") from error
        raise
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, **found})
    else:
        origins = {name: _origin(origin) for name, origin in found.get("origins", {}).items()}
        shown = {**found, "origins": origins} if origins else found
        terminal.say("\n".join(outline(shown, color=terminal.wants_color(sys.stdout))))


def _origin(origin: Mapping[str, Any]) -> str:
    """Where a value came from, on one line: its layer, its place, and the variables it uses."""
    variables = ", ".join(f"`{name}`" for name in origin["variables"])
    parts = [origin["layer"], origin["place"], f"uses {variables}" if variables else ""]
    return ", ".join(part for part in parts if part)


def outline(values: Mapping[str, Json], *, color: bool, indent: str = "") -> Iterator[str]:
    """Nested values as indented lines; texts keep their line breaks, everything else is as JSON writes it."""
    for key, value in values.items():
        name = f"{indent}{paint(visible(key), 'strong' if not indent else 'plain', color=color)}:"
        if isinstance(value, dict) and value:
            yield name
            yield from outline(value, color=color, indent=f"{indent}  ")
        elif isinstance(value, str) and "\n" in value:
            yield f"{name} |"
            yield from (f"{indent}  {visible(line)}" for line in value.split("\n"))
        elif isinstance(value, str):
            yield f"{name} {visible(value)}".rstrip()
        else:
            yield f"{name} {json_text(value, indent=None)}"
