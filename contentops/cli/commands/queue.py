"""`contentops queue`: list, watch and cancel what is queued in a ledger, or show it on a page."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click
from msgspec import to_builtins

from contentops.cli.commands.ledger import address_of, ledger_options
from contentops.cli.options import Group
from contentops.cli.output import terminal
from contentops.cli.output.screen import Screen
from contentops.errors import UsageError, plural
from contentops.reporting.queue import cancelled_text, queue_json, queue_text, shares_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.cli.session import Session
    from contentops.model import Queue

REDRAWN = 2.0
"""Seconds between two drawings of `--watch`."""
_project = click.option("--project", metavar="NAME", default="", help="Only this project.")


@click.group("queue", cls=Group, invoke_without_command=True)
@ledger_options
@_project
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=0), default=100, show_default=True, help="Show at most N submits."
)
@click.option("--watch", is_flag=True, help="Update every few seconds, in the terminal.")
@click.option("--serve", is_flag=True, help="Show it on a read-only page in a browser.")
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="The address of that page.")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65535), default=8766, show_default=True, help="The port of that page."
)
def command(
    session: Session, address: str, project: str, limit: int, host: str, port: int, *, watch: bool, serve: bool
) -> None:
    """Show queued and running submits: totals first, then each submit.

    Needs no key.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    from contentops.operations.ledger import queued_work as operation

    read = functools.partial(operation.read, address_of(session, address), project=project, most=limit)
    if serve:
        from contentops.pages import queue as pages
        from contentops.pages.serving import open_port
        from contentops.pages.serving import serve as serve_page

        with open_port(host, port) as opened:
            terminal.report(f"showing the queue on {opened.address}")
            serve_page(pages.create_app(read, host), opened)
    elif watch:
        _watch(read)
    else:
        queue = read()
        session.answer(queue_json(queue), queue_text(queue))


def _watch(read: Callable[[], Queue]) -> None:
    """Redraw the queue until someone ends it. Raises UsageError where nothing can be redrawn."""
    if not terminal.can_animate(sys.stdout):
        hint = "`contentops queue --json`, as often as you like"
        raise UsageError("`--watch` needs a terminal to draw on", code="no-terminal", hint=hint)
    with contextlib.suppress(KeyboardInterrupt), Screen(sys.stdout) as screen:
        follow(read, screen.draw, lambda: time.sleep(REDRAWN))


def follow(read: Callable[[], Queue], draw: Callable[[str, str], None], pause: Callable[[], None]) -> NoReturn:
    """Draw the queue again and again, until KeyboardInterrupt."""
    while True:
        draw(queue_text(read()), f"at {time.strftime('%H:%M:%S')}, every {REDRAWN:.0f} s; Ctrl-C ends it")
        pause()


@command.command("cancel", short_help="Take submits out of the queue.")
@click.argument("names", metavar="[ITEM|REQUEST]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything in the queue, of every user.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@ledger_options
@_project
def cancel(
    session: Session, names: tuple[str, ...], address: str, project: str, *, everything: bool, yes: bool
) -> None:
    """Remove unsent submits from the queue, by the ids of items or requests.

    With `--env`, only those of that environment. If a worker has claimed a submit, it is marked, and the worker skips
    it. Submits that were sent are paid for, and are only listed. `--all` first lists whose submits these are, and asks.
    """
    if bool(names) == everything:
        raise click.UsageError("name items or requests, or give `--all`")
    from contentops.operations.ledger import queued_work as operation

    address = address_of(session, address)
    # Only as typed: a default environment of the settings must not narrow what a person wants to stop.
    environment = session.environment
    if everything and not yes and (shares := operation.shares(address, project=project, environment=environment)):
        terminal.report(shares_text(shares))
        terminal.need_person("cancelling all of this", "`--yes` does it without asking")
        count = plural(sum(share.submits for share in shares), "submit")
        terminal.need_yes(said=terminal.confirmed(f"Take {count} out of the queue? (yes/no) "))
    cancelled = operation.cancel(address, names, project=project, environment=environment, everything=everything)
    session.answer(to_builtins(cancelled), cancelled_text(cancelled))
