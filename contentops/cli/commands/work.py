"""`contentops work`: a worker that carries out what is queued in a ledger."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentops.cli.carry_out import stopping
from contentops.cli.commands.ledger import address_of, ledger_options
from contentops.cli.options import file_option
from contentops.cli.output import terminal
from contentops.cli.output.display import Display, Plain, Recorded
from contentops.execution.primitives import Stop
from contentops.model import ApiSettings
from contentops.reporting.work import exit_code_of_work, work_json, work_text

if TYPE_CHECKING:
    from contentops.cli.session import Session


@click.command("work")
@ledger_options
@click.option(
    "--key-env",
    metavar="NAME",
    default=ApiSettings().key_env,
    show_default=True,
    help="The environment variable that holds the key.",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(min=1),
    help="Maximum unfinished jobs of an account in this worker.  [default: `api.max_in_flight` of the account]",
)
@click.option("--once", is_flag=True, help="Exit when nothing is left to do.")
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    default="",
    help="Serve the worker's metrics for Prometheus. Default HOST: only this machine.",
)
@file_option("--alive", help="Touch FILE every few seconds, for a liveness probe.")
@file_option("--events", help="Write events to FILE, one JSON object per line.")
@click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr.")
def command(
    session: Session,
    address: str,
    key_env: str,
    concurrency: int | None,
    metrics: str,
    alive: str,
    events: str,
    *,
    once: bool,
    quiet: bool,
) -> int:
    """Submit and poll queued work, and keep the texts in the ledger.

    Start any number of workers, on any machines. A worker needs no repository, and serves the accounts that its key
    belongs to. `contentops apply` in a checkout then takes the texts from the ledger, writes the files and saves them.
    Workers take over the open work of dead workers and applies.

    The first Ctrl-C or SIGTERM stops submitting; the worker still polls for a while, and leaves the rest to other
    workers. Without `--once`, it then exits with 0.
    """
    from contentops.operations.worker import work as operation

    display: Display = Display() if quiet else Plain(sys.stderr)
    if events:
        display = Recorded(display, str(session.path(events)))
    options = operation.WorkOptions(
        key_env=key_env,
        concurrency=concurrency,
        once=once,
        metrics=metrics,
        alive=str(session.path(alive)) if alive else "",
    )
    stop = Stop()
    try:
        with stopping(stop.request):
            done = operation.work(address_of(session, address), options, stop, display.show, session.runtime())
    finally:
        display.close()
    if session.as_json:
        terminal.say_json(work_json(done, endless=not once))
    elif done and (not quiet or any(one.stopped for one in done)):
        terminal.report(work_text(done))
    return exit_code_of_work(done, endless=not once)
