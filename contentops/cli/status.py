"""`contentops status`."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import choice_of, open_project, project_options, selection_options
from contentops.cli.tables import moment, table
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.paint import paint
from contentops.reporting.summary import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.cli.options import Session
    from contentops.operations.status import ItemStatus


@click.command("status", short_help="Show how every item stands.")
@project_options
@selection_options
@click.pass_obj
def command(
    session: Session,
    environment: str,
    variables: tuple[str, ...],
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Show how every item stands: as generated, edited, missing, new, changed, open, blocked, or an orphan.

    Needs no network and changes nothing.
    """
    from contentops.operations import status as status_operation

    project = open_project(session, environment, variables)
    items = status_operation.status(project, choice_of(select, exclude))
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "items": [_item(item) for item in items]})
    else:
        terminal.say(status_text(items, color=terminal.wants_color(sys.stdout), width=terminal.width(sys.stdout)))


def _item(item: ItemStatus) -> dict[str, str | int]:
    return {
        "id": item.id,
        "state": item.state,
        "output": item.output,
        "credits": item.credits,
        "generated_at": item.generated_at,
        "note": item.note,
    }


def status_text(items: Sequence[ItemStatus], *, color: bool, width: int = 0) -> str:
    """One line per item, of at most `width` columns (0: of any), then how many are in which state."""
    if not items:
        return "No items."
    rows = [(item.id, item.state, item.output, moment(item.generated_at), item.note) for item in items]
    heads = ("ITEM", "STATE", "OUTPUT", "GENERATED", "NOTE")
    head, *lines = table(heads, rows, width=width, sparse=True, whole=("STATE", "GENERATED")).split("\n")
    counts = Counter(item.state for item in items)
    parts = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items()))
    return "\n".join([paint(head, "dim", color=color), *lines, "", f"{plural(len(items), 'item')}: {parts}."])
