"""The command `contentops report`, which shows what was generated, by which runs, and what it cost."""

from __future__ import annotations

import datetime as dt
import re
import time

import click

from contentops.cli import terminal
from contentops.cli.options import UNITS, choice_of, environment_options, select_option
from contentops.cli.session import Session
from contentops.errors import UsageError
from contentops.operations import spend as operation
from contentops.reporting.spend import (
    history_json,
    history_text,
    provenance_json,
    provenance_text,
    spend_json,
    spend_text,
)
from contentops.sanitize import visible

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?", re.ASCII)
_AGO = re.compile(r"[0-9]+(?:\.[0-9]+)?[smhd]", re.ASCII)


@click.command("report")
@click.option(
    "--since",
    metavar="WHEN",
    default="",
    help="Start at a date (`2026-01-01`, UTC) or a time ago (`30d`). Default: everything known.",
)
@click.option("--runs", is_flag=True, help="List runs and generations: when, job, credits, outcome.")
@click.option("--provenance", is_flag=True, help="Show one line per text in a file: job, cost, edits, approvals.")
@select_option
@environment_options
def report(
    session: Session,
    since: str,
    select: tuple[str, ...],
    *,
    runs: bool,
    provenance: bool,
) -> None:
    """Show what all generated texts cost, by environment, month, template, style, manifest and tag.

    Adds up the jobs in `contentops.jobs` of all environments, or of one environment with `--env`. Needs no network and
    changes nothing.

    `--runs` lists the runs of this machine and every generation, newest first. `--select ITEM` lists one item, also
    under its earlier ids, with its texts and approvals.

    `--provenance` shows where the text of each item comes from: server, job, digests, credits of all attempts, the
    share of words that people changed, approvals, and the commit.
    """
    if runs:
        if provenance or since or len(select) > 1:
            raise UsageError("`--runs` lists all items, or one with `--select ITEM`; leave out the other options")
        _runs(session, *(select or ("",)))
        return
    if provenance:
        if since:
            raise UsageError("`--since` counts what was spent, and `--provenance` shows the texts of today: give one")
        _provenance(session, select)
        return
    if select:
        raise UsageError("`--select` belongs to `--provenance`", hint="add it; `--runs` takes `--select ITEM`")
    _spend(session, since)


def _provenance(session: Session, select: tuple[str, ...]) -> None:
    """Print where the text of each item comes from."""
    choice = choice_of(select=select)
    project = session.project()
    found, findings = operation.provenance(project, choice, runtime=session.runtime())
    text = provenance_text(found, width=terminal.width())
    text += f"\nEditor: {visible(project.editor)}." if project.editor else ""
    values = {**provenance_json(found, project.environment), "editor": project.editor}
    session.answer(values, text, findings=findings)


def _spend(session: Session, since: str) -> None:
    """Print what was spent in the chosen environment, or in all environments if none is chosen."""
    start = parse_moment(since, time.time()) if since else None
    chosen = session.project()
    projects = operation.in_all_environments(chosen) if session.environment is None else [chosen]
    found = operation.spending(projects, since=start)
    shown = "" if start is None else start.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = spend_text(found.spend, since=shown)
    session.answer(spend_json(found.spend, since=shown), text, findings=found.findings)


def _runs(session: Session, item: str) -> None:
    """Print the runs and generations of all items, or of one item."""
    result = operation.history(session.project(), item)
    text = history_text(result, width=terminal.width())
    if item and not (result.runs or result.generations or result.verdicts):
        text = f"nothing was generated for `{visible(item)}` yet"
    session.answer(history_json(result), text)


def parse_moment(text: str, now: float) -> dt.datetime:
    """Convert a date, or a time ago such as `30d`, to a time in UTC.

    `now` is in seconds since the epoch. Raises click.BadParameter.
    """
    try:
        if _DATE.fullmatch(text):
            when = dt.datetime.fromisoformat(text)
            return when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
        if _AGO.fullmatch(text):
            ago = dt.timedelta(seconds=float(text[:-1]) * UNITS[text[-1]])
            return dt.datetime.fromtimestamp(now, dt.UTC) - ago
    except (ValueError, OverflowError):
        pass
    message = f"`{text}` is not a time; write a date such as `2026-01-01`, or `30d`"
    raise click.BadParameter(message, param_hint="`--since`")
