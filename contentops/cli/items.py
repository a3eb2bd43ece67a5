"""`contentops status` and `show`: items looked at without touching anything; and plan files shown."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.files import read_plan
from contentops.cli.options import (
    choice_of,
    complete_file,
    flags_of,
    offers,
    project_options,
    refresh_option,
    selection_options,
    server_options,
)
from contentops.errors import ContentopsError, ExitCode, UsageError, plural
from contentops.model.plan import no_plan_file
from contentops.operations import show as show_operation
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.layout import moment, outline, paint, table
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_text import plan_text
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from click.shell_completion import CompletionItem

    from contentops.cli.options import Session
    from contentops.operations.show import ItemStatus

PLAN_ENDING = ".json"
"""What ends with it and is there is a plan file, and no item."""
_NOT_FOUND = frozenset({"unknown-item", "no-project"})


# --- status ------------------------------------------------------------------------------------------------


@click.command("status", short_help="Show how every item stands.")
@server_options
@selection_options
@refresh_option
def status(session: Session, select: tuple[str, ...], exclude: tuple[str, ...], *, refresh: bool) -> None:
    """Show how every item stands: as generated, edited, missing, new, changed, open, blocked, or an orphan.

    Where manifests have errors, it shows how the records and the files stand, and warns. Needs no network, but for
    `--refresh`, and changes nothing.
    """
    choice = choice_of(select=select, exclude=exclude, refresh=refresh)
    items, findings = show_operation.status(session.project(), choice, tell=terminal.tell_line, world=session.world())
    if not session.as_json:
        terminal.tell_findings(findings)
    text = status_text(items, width=terminal.width())
    session.answer({**diagnostics_json(findings), "items": [structs.asdict(item) for item in items]}, text)


def status_text(items: Sequence[ItemStatus], *, width: int = 0) -> str:
    """One line per item, of at most `width` columns (0: of any), then how many are in which state."""
    if not items:
        return "No items."
    rows = [(item.id, item.state, item.output, moment(item.generated_at), item.note) for item in items]
    heads = ("ITEM", "STATE", "OUTPUT", "GENERATED", "NOTE")
    head, *lines = table(heads, rows, width=width, sparse=True, whole=("STATE", "GENERATED")).split("\n")
    counts = Counter(item.state for item in items)
    parts = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items()))
    return "\n".join([paint(head, "dim"), *lines, "", f"{plural(len(items), 'item')}: {parts}."])


# --- show --------------------------------------------------------------------------------------------------


def _item_or_file(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    return offers("items")(context, option, begun) or complete_file(context, option, begun)


@click.command("show", short_help="Show one item as it is sent, or a plan file.")
@click.argument("what", metavar="ITEM|PLAN", shell_complete=_item_or_file)
@project_options
@click.option("--detailed-exitcode", is_flag=True, help="Of a plan file: exit with 2 if it is not empty.")
@click.option("-v", "--verbose", is_flag=True, help="Of a plan file: list every change, show values in full length.")
def show(session: Session, what: str, *, detailed_exitcode: bool, verbose: bool) -> int:
    """Show ITEM: exactly what is sent, its digest and output, where each value came from, and its record.

    Or show PLAN, a file made by `plan --out`, as it was when it was made. That reads the file alone and works in any
    folder; whether the plan still holds is what `plan --check` says.

    What ends with `.json` and is a file that exists is a plan file; anything else is an item.
    """
    if what.endswith(PLAN_ENDING) and os.path.lexists(session.path(what)):
        if session.environment or session.variables:
            raise UsageError(
                "`--env` and `--var` are for items: a plan file says by itself what it was made for",
                code="plan-file-and-flags",
                hint="leave them out",
            )
        empty = _show_plan(session, what, verbose=verbose)
        return ExitCode.CHANGES if detailed_exitcode and not empty else ExitCode.DONE
    if detailed_exitcode or verbose:
        raise click.UsageError(f"`--detailed-exitcode` and `--verbose` are for plan files, and `{what}` is none")
    _show_item(session, what)
    return ExitCode.DONE


def _show_plan(session: Session, path: str, *, verbose: bool) -> bool:
    """Shows a plan file as `plan` does, but that the next command is about the file; returns whether it is empty."""
    document = read_plan(session.path(path))
    plan = plan_of(document)
    if session.as_json:
        terminal.say_json(document)
    else:
        terminal.tell_findings(plan.findings, gap=True)
        flags = flags_of(document["inputs"])
        made = f", made with `{visible(' '.join(flags))}`" if flags else ""
        text = plan_text(plan, verbose=verbose, flags=[shlex.quote(path)])
        terminal.show(f"Plan file `{visible(path)}`{made}\n\n{text}")
    return plan.empty


def _show_item(session: Session, item: str) -> None:
    try:
        found = show_operation.show(session.project(), item)
    except ContentopsError as error:
        if item.endswith(PLAN_ENDING) and error.diagnostics()[0].code in _NOT_FOUND:
            raise no_plan_file(f"there is no plan file `{item}` and no item of this name") from error
        raise
    origins = {name: _origin(origin) for name, origin in found.get("origins", {}).items()}
    shown = {**found, "origins": origins} if origins else found
    session.answer(found, outline(shown))


def _origin(origin: Mapping[str, Any]) -> str:
    """Where a value came from, on one line: its layer, its place, and the variables it uses."""
    variables = ", ".join(f"`{name}`" for name in origin["variables"])
    parts = [origin["layer"], origin["place"], f"uses {variables}" if variables else ""]
    return ", ".join(part for part in parts if part)
