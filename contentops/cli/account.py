"""`contentops content ...`, `stats`, `report` and `history`: what an account has, what was made, what was spent."""

from __future__ import annotations

import datetime as dt
import re
import sys
import time
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.ci import results
from contentops.cli import terminal
from contentops.cli.options import UNITS, Group, project_options, world
from contentops.errors import UsageError
from contentops.operations import content as operation
from contentops.operations import history as history_operation
from contentops.operations import workspace
from contentops.reporting.history import history_json, history_text
from contentops.reporting.layout import moment, outline, table
from contentops.reporting.spend import count_spend, spend_json, spend_text
from contentops.reporting.summary import plural
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.cli.options import Session
    from contentops.model import Json
    from contentops.operations.content import Owned


@click.group("content", cls=Group, short_help="Show what the account has stored.")
def content() -> None:
    """Show what the account has stored on the server. Costs no credits and changes nothing."""


@content.command("list", short_help="List stored contents and the items they belong to.")
@project_options
def list_contents(session: Session) -> None:
    """List every stored content, in the server's order, with the item it belongs to."""
    project = session.project()
    found = operation.contents(project, tell=terminal.tell_line, world=world())
    listed = [{**structs.asdict(one.entry), "item": one.item, "superseded": one.superseded} for one in found]
    session.answer({"server": project.api.server, "contents": listed}, listing(found, width=terminal.width()))


def listing(found: Sequence[Owned], *, width: int = 0) -> str:
    """One line per content, of at most `width` columns (0: of any), and how many no item owns."""
    if not found:
        return "No contents."
    rows = [
        (one.entry.id, _item(one), one.entry.title, one.entry.status, moment(one.entry.updated_at)) for one in found
    ]
    free = sum(not one.item for one in found)
    counted = f"{plural(len(found), 'content')}, {free:,} of no item."
    listed = table(("CONTENT", "ITEM", "TITLE", "STATUS", "UPDATED"), rows, width=width, sparse=True)
    return f"{listed}\n\n{counted}"


def _item(one: Owned) -> str:
    return f"{one.item} (superseded)" if one.superseded else one.item


@content.command("get", short_help="Print the text of a stored content.")
@click.argument("content_id", metavar="ID")
@project_options
def get(session: Session, content_id: str) -> None:
    """Print the text of content ID exactly as the server has it.

    On a terminal, characters that the terminal would obey are shown as escapes instead.
    """
    project = session.project()
    found, owned = operation.content(project, content_id, tell=terminal.tell_line, world=world())
    if not session.as_json:
        sys.stdout.write(harmless(found.body) if sys.stdout.isatty() else terminal.for_stdout(found.body))
        sys.stdout.flush()
        return
    values = {
        "server": project.api.server,
        "id": found.id,
        "title": found.title,
        "item": owned.item,
        "superseded": owned.superseded,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "body": found.body,
        "metadata": dict(found.metadata),
    }
    session.answer(values, "")


def harmless(text: str) -> str:
    """`text` with its lines and tabs, and with everything else that a terminal would obey shown; ends its line."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return "".join("\t".join(visible(part) for part in line.split("\t")) + "\n" for line in lines)


# --- stats -------------------------------------------------------------------------------------------------


@click.command("stats", short_help="Show the account's numbers.")
@project_options
def stats(session: Session) -> None:
    """Show the dashboard's numbers and, where the server tells them, the credits; names are the server's own.

    Costs no credits and changes nothing.
    """
    project = session.project()
    found = operation.stats(project, tell=terminal.tell_line, world=world())
    numbers = {"dashboard": found.dashboard, "credits": found.credits}
    if session.as_json:
        session.answer({"server": project.api.server, **numbers}, "")
        return
    if project.api.server == "local":
        terminal.tell("The embedded server charges nothing: its credits are what the texts would cost elsewhere.")
    if numbers["dashboard"] and numbers["dashboard"].get("credits") == numbers["credits"]:
        numbers["dashboard"] = {name: value for name, value in numbers["dashboard"].items() if name != "credits"}
    shown = {name: "not told by this server" if value is None else _counted(value) for name, value in numbers.items()}
    terminal.say("\n".join(outline(shown)))


def _counted(values: Mapping[str, Json]) -> dict[str, Json]:
    """The same without the entries of lists, which `--json` shows."""
    return {name: _one(value) for name, value in values.items()}


def _one(value: Json) -> Json:
    if isinstance(value, list):
        return "1 entry" if len(value) == 1 else f"{len(value):,} entries"
    return _counted(value) if isinstance(value, dict) else value


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
def report(session: Session, since: str) -> None:
    """Show what was spent on every text that was made, by month, template, style, manifest and tag.

    Counts what the lock, its history in git and the runs of this machine know, and says where history is missing. With
    a commit, what was known then is left out. Needs no network and changes nothing.
    """
    start = parse_moment(since, time.time())
    project = session.project()
    try:
        known: frozenset[str] = results.requests_at(project, since) if since and start is None else frozenset()
    except UsageError as error:
        if error.code not in _NO_COMMIT:
            raise
        message = f"`--since {since}` is no date, no time ago, and no commit: {error.message}"
        raise UsageError(message, code=error.code, hint="write a date such as `2026-01-01`, or `30d`") from error
    desired, findings = workspace.declared(project)
    terminal.tell_findings(findings)
    state, past = workspace.read_state(project), results.past_of(project)
    texts = history_operation.made(state, past.records, history_operation.kept_reports(project))
    spend = count_spend(texts.values(), state.entries.values(), desired, since=start, known=known)
    shown = since if start is None else start.strftime("%Y-%m-%dT%H:%M:%SZ")
    session.answer(spend_json(spend, since=shown, gaps=past.gaps), spend_text(spend, since=shown, gaps=past.gaps))


@click.command("history", short_help="List runs and generations: when, job, credits, outcome.")
@click.argument("item", required=False, default="")
@project_options
def history(session: Session, item: str) -> None:
    """List the runs of this machine, and every generation of ITEM or of all items: when, job, credits, outcome.

    Generations come from the lock, its history in git, and the runs; a line says where history is missing. Needs no
    network and changes nothing.
    """
    found = history_operation.history(session.project(), item)
    text = history_text(found, width=terminal.width())
    if item and not (found.runs or found.generations):
        text = f"nothing was generated for `{visible(item)}` yet"
    session.answer(history_json(found), text)


def parse_moment(text: str, now: float) -> dt.datetime | None:
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
