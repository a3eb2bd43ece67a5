"""`contentops queue`: what is queued in a ledger and under way; listed, watched, cancelled, and shown on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from contentops.cli.options import Group, json_option
from contentops.errors import UsageError
from contentops.operations import queue as operation
from contentops.reporting.queue import cancelled_text, queue_json, queue_text

if TYPE_CHECKING:
    from contentops.cli.options import Session

VARIABLE = "CONTENTOPS_LEDGER"
ledger_option = click.option(
    "--ledger",
    metavar="ADDRESS",
    default="",
    help=f"The ledger, such as `postgresql://HOST/NAME`; a password belongs into `{VARIABLE}` or a pgpass file.",
)
"""`--ledger`, for a command that needs no project."""


def address(session: Session, stated: str) -> str:
    """Where the ledger is: as stated, as the environment says, or as the project does that we stand in."""
    found = stated or session.world().environ.get(VARIABLE, "").strip()
    if not found:
        hint = f"`--ledger postgresql://...`, or `{VARIABLE}`"
        raise UsageError("no ledger is named", code="no-ledger", hint=hint)
    return found


_project = click.option("--project", metavar="NAME", default="", help="Only this project.")


@click.group("queue", cls=Group, invoke_without_command=True, short_help="Show what is queued in a ledger.")
@ledger_option
@_project
@click.option("--limit", metavar="N", type=click.IntRange(min=0), default=100, show_default=True, help="How many.")
@json_option
def command(session: Session, ledger: str, project: str, limit: int) -> None:
    """Show what is queued and under way: totals first, then submit by submit."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    found = operation.read(address(session, ledger), project=project, most=limit)
    session.answer(queue_json(found), queue_text(found))


@command.command("cancel", short_help="Take submits out of the queue.")
@click.argument("names", metavar="[ITEM|REQUEST]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that is queued.")
@ledger_option
@_project
@json_option
def cancel(session: Session, names: tuple[str, ...], ledger: str, project: str, *, everything: bool) -> None:
    """Take out of the queue what nothing was sent of yet, by the ids of items or of requests.

    What a worker holds already is marked, and it leaves it out. What was submitted is paid for, and is only named.
    """
    if bool(names) == everything:
        raise click.UsageError("name items or requests, or give `--all`")
    found = operation.cancel(address(session, ledger), names, project=project, everything=everything)
    session.answer(to_builtins(found), cancelled_text(found))
