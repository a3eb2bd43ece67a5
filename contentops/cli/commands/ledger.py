"""`contentops ledger ...`: look at the shared ledger, or create its tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from contentops.cli.options import environment_options, with_options
from contentops.errors import ContentopsError, plural
from contentops.reporting.layout import table
from contentops.reporting.plan_json import plain
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.session import Session
    from contentops.ledger.overview import Overview


@click.group("ledger")
def command() -> None:
    """Look at the shared ledger, or create its tables.

    Needs no key.
    """


_ledger_options = with_options(
    click.option(
        "--ledger",
        "address",
        metavar="ADDRESS",
        default="",
        help="The ledger: `postgresql://host/database`. Default: `CONTENTOPS_LEDGER`, then the project's `ledger`.",
    ),
    environment_options,
)


def _address_of(session: Session, address: str) -> str:
    """Return the address of the ledger: of the command line, the environment or the project; else empty.

    Raises as `Session.project` does; without `--env` it needs no project.
    """
    from contentops.operations.ledger import ledger_access

    stated = address or os.environ.get("CONTENTOPS_LEDGER", "").strip()
    try:
        project = None if stated and not session.environment else session.project()
    except ContentopsError as error:
        if session.environment or error.diagnostics()[0].code != "no-project":
            raise
        return ""
    return stated or (ledger_access.address(project, session.runtime()) if project and project.ledger else "")


@command.command("status", short_help="Show what is open, and who applies now.")
@_ledger_options
def status(session: Session, address: str) -> None:
    """Show what is open in the ledger, how large it is, and who applies now."""
    from contentops.operations.ledger.ledger_overview import overview_of, shown

    url = _address_of(session, address)
    overview = overview_of(url)
    session.answer({"ledger": shown(url), **plain(overview)}, f"{visible(shown(url))}, {_overview(overview)}")


def _overview(overview: Overview) -> str:
    if overview.version == 0:
        creates = "the first apply or `contentops ledger migrate` creates them"
        return f"PostgreSQL {overview.postgresql}: no tables yet; {creates}"
    counts = f"{plural(overview.entries, 'open submit')}, {plural(overview.texts, 'text')}, {overview.bytes:,} bytes"
    head = f"version {overview.version}, PostgreSQL {overview.postgresql}: {counts}"
    if not overview.runners:
        return f"{head}\n\nNo one applies now."
    rows = [(one.who, one.started_at, str(one.entries), one.page) for one in overview.runners]
    return f"{head}\n\n{table(('WHO', 'SINCE', 'JOBS', 'PAGE'), rows, sparse=True)}"


@command.command("migrate", short_help="Create its tables.")
@_ledger_options
def migrate(session: Session, address: str) -> None:
    """Create the ledger's tables, if there are none.

    An apply creates them too, if its PostgreSQL role may.
    """
    from contentops.operations.ledger import ledger_overview

    url = _address_of(session, address)
    before, after = ledger_overview.migrate(url)
    said = f"Nothing to do: the tables are of version {before}." if before else f"Made the tables, version {after}."
    session.answer({"ledger": ledger_overview.shown(url), "from": before, "to": after}, said, fit=True)
