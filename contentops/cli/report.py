"""`contentops report`."""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import TYPE_CHECKING

import click

from contentops.ci import changed_since as history
from contentops.cli.options import UNITS, project_options
from contentops.errors import UsageError
from contentops.operations import workspace
from contentops.reporting.spend import count_spend, spend_json, spend_text

if TYPE_CHECKING:
    from contentops.cli.options import Session

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?", re.ASCII)
_NO_COMMIT = frozenset({"unknown-ref", "no-repository"})
_AGO = re.compile(r"[0-9]+(?:\.[0-9]+)?[smhd]", re.ASCII)


@click.command("report", short_help="Show what was spent, by month, template, style, manifest and tag.")
@click.option(
    "--since",
    metavar="WHEN",
    default="",
    help="From a date (`2026-01-01`, UTC), a time ago (`30d`), or a commit of git on. Default: all the lock knows.",
)
@project_options
def command(session: Session, since: str) -> None:
    """Show what was spent on the texts in the lock, by month, template, style, manifest and tag.

    Each item counts with its last generation: earlier ones are no longer in the lock. With a commit, what the lock
    knew then is left out. Needs no network and changes nothing.
    """
    start = moment(since, time.time())
    project = session.project()
    try:
        known: frozenset[str] = history.requests_at(project, since) if since and start is None else frozenset()
    except UsageError as error:
        if error.code not in _NO_COMMIT:
            raise
        message = f"`--since {since}` is no date, no time ago, and no commit: {error.message}"
        raise UsageError(message, code=error.code, hint="write a date such as `2026-01-01`, or `30d`") from error
    spend = count_spend(workspace.read_state(project), workspace.validate(project), since=start, known=known)
    shown = since if start is None else start.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = spend_text(spend, since=shown)
    session.answer(spend_json(spend, since=shown), text)


def moment(text: str, now: float) -> dt.datetime | None:
    """The time that a date or a time ago names, in UTC; None for anything else, which may be a commit.

    `now` is seconds since the epoch. Raises click.BadParameter for a date there is none of.
    """
    try:
        if _DATE.fullmatch(text):
            when = dt.datetime.fromisoformat(text)
            return when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
        if _AGO.fullmatch(text):
            ago = dt.timedelta(seconds=float(text[:-1]) * UNITS[text[-1]])
            return dt.datetime.fromtimestamp(now, dt.UTC) - ago
    except (ValueError, OverflowError) as error:
        message = f"`{text}` is no time; write a date such as `2026-01-01`, or `30d`"
        raise click.BadParameter(message, param_hint="`--since`") from error
    return None
