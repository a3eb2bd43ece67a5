"""`contentops content ...`, `stats`, `report` and `history`: stored contents, generations and spending."""

from __future__ import annotations

import datetime as dt
import re
import sys
import time
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.options import UNITS, Group, choice_of, offers, project_options, selection_options, server_options
from contentops.cli.output import terminal
from contentops.errors import UsageError, did_you_mean, plural
from contentops.operations import history as history_operation
from contentops.operations import provenance as provenance_operation
from contentops.operations import spend as spend_operation
from contentops.operations.contents import stored_contents as operation
from contentops.operations.contents.superseded_contents import without_copy
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.history import history_json, history_text
from contentops.reporting.layout import moment, outline, table
from contentops.reporting.provenance import (
    approved_json,
    approved_text,
    provenance_csv,
    provenance_json,
    provenance_text,
)
from contentops.reporting.spend import spend_json, spend_text
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.api.calls import ContentEntry
    from contentops.cli.session import Session
    from contentops.model import Json, Project
    from contentops.operations.contents.stored_contents import Owned
    from contentops.operations.spend import Spending


@click.group("content", cls=Group)
def content() -> None:
    """List, print and delete the contents of your account on the server. Costs no credits; records and files stay."""


@content.command("list", short_help="List stored contents and the items they belong to.")
@server_options
def list_contents(session: Session) -> None:
    """List every stored content and its item, in the server's order."""
    project = session.project()
    owned = operation.contents(project, runtime=session.runtime())
    session.answer(_values(project, owned), listing(owned, width=terminal.width()))


def _values(project: Project, contents: Sequence[Owned]) -> dict[str, Json]:
    listed: list[Json] = [
        {**_listed(one.entry), "item": one.item, "superseded": one.superseded, "lock": one.lock} for one in contents
    ]
    return {"server": project.api.server, "contents": listed}


def _listed(entry: ContentEntry) -> dict[str, Json]:
    values: dict[str, Json] = structs.asdict(entry)
    del values["stamp"]
    return values


def listing(contents: Sequence[Owned], *, width: int = 0) -> str:
    """Return a line per content, of at most `width` columns (0: any), and how many belong to no item."""
    if not contents:
        return "No contents."
    free = sum(not one.item for one in contents)
    return f"{_table(contents, width)}\n\n{plural(len(contents), 'content')}, {free:,} of no item."


def _table(contents: Sequence[Owned], width: int) -> str:
    rows = [
        (one.entry.id, _item(one), one.entry.title, one.entry.status, moment(one.entry.updated_at)) for one in contents
    ]
    return table(("CONTENT", "ITEM", "TITLE", "STATUS", "UPDATED"), rows, width=width, sparse=True)


def _item(one: Owned) -> str:
    said = ", ".join(word for word in ("superseded" if one.superseded else "", one.lock) if word)
    return f"{one.item} ({said})" if said else one.item


@content.command("get", short_help="Print the text of a stored content.")
@click.argument("content_id", metavar="ID")
@click.option("--versions", "listed", is_flag=True, help="List its versions instead, newest first.")
@click.option("--version", metavar="N", type=click.IntRange(min=1), help="Print the text of this version.")
@server_options
def get(session: Session, content_id: str, version: int | None, *, listed: bool) -> None:
    """Print the text of content ID as the server has it, or as it was in a version.

    On a terminal, control characters are shown as escapes. Only the bundled server shows versions; WriterzRoom
    documents none.
    """
    project = session.project()
    if listed:
        if version:
            raise UsageError("`--versions` lists them, `--version N` prints one: use one of them")
        _list_versions(session, project, content_id)
        return
    stored, owner = operation.content(project, content_id, version=version or 0, runtime=session.runtime())
    if not session.as_json:
        terminal.say_document(stored.body)
        return
    values = {
        "server": project.api.server,
        "id": stored.id,
        "title": stored.title,
        "item": owner.item,
        "superseded": owner.superseded,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
        "body": stored.body,
        "metadata": dict(stored.metadata),
    }
    session.answer(values, "")


def _list_versions(session: Session, project: Project, content_id: str) -> None:
    versions = operation.versions(project, content_id, runtime=session.runtime())
    rows = [(str(one.number), one.title, one.status, moment(one.replaced_at) or "now") for one in versions]
    listed: list[Json] = [structs.asdict(one) for one in versions]
    shown = table(("VERSION", "TITLE", "STATUS", "UNTIL"), rows, width=terminal.width())
    session.answer({"server": project.api.server, "id": content_id, "versions": listed}, shown)


@content.command("delete", short_help="Delete stored contents, after asking.")
@click.argument("content_ids", metavar="[ID]...", nargs=-1)
@click.option("--superseded", is_flag=True, help="All copies that a newer one replaced.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def delete(session: Session, content_ids: tuple[str, ...], *, superseded: bool, yes: bool) -> None:
    """Delete the named contents, or the superseded copies of items. Lists them and asks first.

    Warns if an item is saved as this content; the next save of that item makes a new one. Files and records stay. A
    superseded copy stays if its text is not in a file, in git or in the cache, unless you name it.
    """
    if superseded == bool(content_ids):
        raise UsageError("`content delete` takes the ids of contents, or `--superseded`")
    project = session.project()
    stored = operation.contents(project, runtime=session.runtime())
    contents = _named(stored, content_ids) if content_ids else _superseded(session, project, stored)
    if contents:
        terminal.report(_table(contents, terminal.width(sys.stderr)))
        for one in contents:
            if one.living:
                use = f"is the saved text of item `{one.item}`{f' ({one.lock})' if one.lock else ''}"
                terminal.report_line(f"warning: content `{one.entry.id}` {use}; its next save stores it as new")
        _ask(f"Delete {plural(len(contents), 'content')} from {project.api.server}?", yes=yes)
        operation.delete(project, [one.entry.id for one in contents], runtime=session.runtime())
    session.answer(
        _values(project, contents), f"Deleted {plural(len(contents), 'content')}." if contents else "Nothing to do."
    )


def _superseded(session: Session, project: Project, stored: Sequence[Owned]) -> list[Owned]:
    """Return the superseded copies, but for those with words that are nowhere else, which are reported."""
    copies = [one for one in stored if one.superseded]
    runtime = session.runtime()
    unique = without_copy(project, [one.entry.id for one in copies], runtime=runtime)
    for id_ in sorted(unique):
        reason = "stays: its text is not in a file, in git or in the cache"
        terminal.report_line(f"warning: content `{id_}` {reason}; `contentops content get {id_}` prints them, and")
        terminal.report_line(f"`contentops content delete {id_}` deletes it anyway")
    return [one for one in copies if one.entry.id not in unique]


def _named(stored: Sequence[Owned], content_ids: Sequence[str]) -> list[Owned]:
    """Return the contents of these ids, each once. Raises UsageError for an unknown one."""
    by_id = {one.entry.id: one for one in stored}
    for content_id in content_ids:
        if content_id not in by_id:
            hint = did_you_mean(content_id, by_id, "`contentops content list` lists them")
            raise UsageError(f"there is no content `{content_id}`", code="unknown-content", hint=hint)
    return [by_id[content_id] for content_id in dict.fromkeys(content_ids)]


def _ask(question: str, *, yes: bool) -> None:
    """Ask a person, unless `yes`. Raises Refused."""
    if yes:
        return
    terminal.need_person("deleting", "`--yes` deletes without asking")
    terminal.need_yes(said=terminal.confirmed(f"{visible(question)} (yes/no) "))


@content.command("publish", short_help="Mark stored contents as published.")
@click.argument("content_ids", metavar="ID...", nargs=-1, required=True)
@server_options
def publish(session: Session, content_ids: tuple[str, ...]) -> None:
    """Give stored contents the status `published`. Nothing is published elsewhere."""
    _set_status(session, content_ids, "published")


@content.command("archive", short_help="Mark stored contents as archived.")
@click.argument("content_ids", metavar="ID...", nargs=-1, required=True)
@server_options
def archive(session: Session, content_ids: tuple[str, ...]) -> None:
    """Give stored contents the status `archived`."""
    _set_status(session, content_ids, "archived")


def _set_status(session: Session, content_ids: tuple[str, ...], status: str) -> None:
    project = session.project()
    ids = tuple(dict.fromkeys(content_ids))
    operation.set_status(project, ids, status, runtime=session.runtime())
    values = {"server": project.api.server, "status": status, "contents": list(ids)}
    session.answer(values, f"{plural(len(ids), 'content')} {status}.")


# --- stats -------------------------------------------------------------------------------------------------


@click.command("stats")
@server_options
def stats(session: Session) -> None:
    """Show the numbers of your account, and its credits if the server shows them, under the server's names.

    Costs no credits and changes nothing.
    """
    project = session.project()
    totals = operation.stats(project, runtime=session.runtime())
    numbers = {"dashboard": totals.dashboard, "credits": totals.credits}
    if session.as_json:
        session.answer({"server": project.api.server, **numbers}, "")
        return
    if project.api.server == "local":
        terminal.report("The bundled server charges nothing: its credits are what the texts would cost elsewhere.")
    if numbers["dashboard"] and numbers["dashboard"].get("credits") == numbers["credits"]:
        numbers["dashboard"] = {name: value for name, value in numbers["dashboard"].items() if name != "credits"}
    shown = {name: "not shown by this server" if value is None else _counted(value) for name, value in numbers.items()}
    terminal.say("\n".join(outline(shown)))
    terminal.report(
        "These are the numbers of the whole account, with other projects and environments. `contentops report` counts "
        "what this project paid for."
    )


def _counted(values: Mapping[str, Json]) -> dict[str, Json]:
    """Return values with the lengths of lists instead of their entries, which `--json` shows."""
    return {name: _one(value) for name, value in values.items()}


def _one(value: Json) -> Json:
    if isinstance(value, list):
        return "1 entry" if len(value) == 1 else f"{len(value):,} entries"
    return _counted(value) if isinstance(value, dict) else value


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?", re.ASCII)
_NO_COMMIT = frozenset({"unknown-ref", "no-repository"})
_AGO = re.compile(r"[0-9]+(?:\.[0-9]+)?[smhd]", re.ASCII)


@click.command("report")
@click.option(
    "--since",
    metavar="WHEN",
    default="",
    help="Start at a date (`2026-01-01`, UTC), a time ago (`30d`) or a git commit. Default: everything known.",
)
@click.option("--provenance", is_flag=True, help="Show one line per text in a file: job, cost, edits, approvals.")
@click.option(
    "--format", "form", type=click.Choice(["text", "csv", "json"]), help="The output format of `--provenance`."
)
@selection_options
@project_options
def report(
    session: Session, since: str, select: tuple[str, ...], exclude: tuple[str, ...], form: str, *, provenance: bool
) -> None:
    """Sum what all generated texts cost, by environment, month, template, style, manifest and tag.

    Counts what the locks of all environments (with `--env`: of one), their history in git and the runs of this machine
    know, and says where history is missing.
    `--since` with a commit leaves out what was known at that commit. In a project with approvals, the last line shows
    the cost of approved texts, with every attempt. Needs no network and changes nothing. `contentops history` lists the
    runs and generations.

    `--provenance` shows where the text of each item comes from: server, job, digests, credits of all attempts, the
    share of words that people changed, approvals, and the commit.
    """
    if provenance:
        if since:
            raise UsageError("`--since` counts what was spent, and `--provenance` shows the texts of today: give one")
        _provenance(session, select, exclude, form)
        return
    if select or exclude or form:
        raise UsageError("`--select`, `--exclude` and `--format` belong to `--provenance`", hint="add `--provenance`")
    _spend(session, since)


def _provenance(session: Session, select: tuple[str, ...], exclude: tuple[str, ...], form: str) -> None:
    """Print where texts come from."""
    if form and session.as_json and form != "json":
        raise UsageError(f"`--json` and `--format {form}` are two formats: use one of them")
    session = structs.replace(session, as_json=session.as_json or form == "json")
    choice = choice_of(select=select, exclude=exclude)
    project = session.project()
    found, findings = provenance_operation.provenance(project, choice, runtime=session.runtime())
    if form == "csv":
        terminal.report_findings(findings)
        terminal.report("\n".join(f"warning: {visible(one)}" for one in (*found.unread, *found.gaps)))
        terminal.say_csv(provenance_csv(found))
        return
    if not session.as_json:
        terminal.report_findings(findings)
    document = {**diagnostics_json(findings), **provenance_json(found, project.environment)}
    session.answer(document, provenance_text(found, width=terminal.width()))


def _spend(session: Session, since: str) -> None:
    """Print what was spent: in the environment that is asked for, else in all."""
    start = parse_moment(since, time.time())
    found = _spending(session, since, start)
    if not session.as_json:
        terminal.report_findings(found.findings)
    shown = since if start is None else start.strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        **diagnostics_json(found.findings),
        **spend_json(found.spend, since=shown, gaps=found.gaps),
        **approved_json(found.approved),
    }
    text = spend_text(found.spend, since=shown, gaps=found.gaps)
    session.answer(document, "\n".join([text, *approved_text(found.approved)]))


def _spending(session: Session, since: str, start: dt.datetime | None) -> Spending:
    chosen = session.project()
    names = spend_operation.environments_of(chosen) if session.environment is None else (chosen.environment,)
    projects = [structs.replace(session, environment=name).project() for name in names]
    try:
        return spend_operation.spending(projects, since=start, commit=since if start is None else "")
    except UsageError as error:
        if error.code not in _NO_COMMIT:
            raise
        message = f"`--since {since}` is not a date, a time ago or a commit: {error.message}"
        raise UsageError(message, code=error.code, hint="write a date such as `2026-01-01`, or `30d`") from error


@click.command("history")
@click.argument("item", required=False, default="", shell_complete=offers("items"))
@project_options
def history(session: Session, item: str) -> None:
    """List the runs of this machine, and every generation of ITEM or of all items: when, job, credits, outcome.

    With ITEM, it also lists who approved its texts or sent them back, and their notes. Generations come from the lock,
    its history in git, and the runs; a line says where history is missing. Needs no network and changes nothing.
    `contentops report` sums the costs.
    """
    result = history_operation.history(session.project(), item)
    text = history_text(result, width=terminal.width())
    if item and not (result.runs or result.generations or result.verdicts):
        text = f"nothing was generated for `{visible(item)}` yet"
    session.answer(history_json(result), text)


def parse_moment(text: str, now: float) -> dt.datetime | None:
    """Return the time of a date or a time ago, in UTC; None for anything else, which may be a commit.

    `now` is seconds since the epoch. Raises click.BadParameter for an impossible date.
    """
    try:
        if _DATE.fullmatch(text):
            when = dt.datetime.fromisoformat(text)
            return when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
        if _AGO.fullmatch(text):
            ago = dt.timedelta(seconds=float(text[:-1]) * UNITS[text[-1]])
            return dt.datetime.fromtimestamp(now, dt.UTC) - ago
    except (ValueError, OverflowError) as error:
        message = f"`{text}` is not a time; write a date such as `2026-01-01`, or `30d`"
        raise click.BadParameter(message, param_hint="`--since`") from error
    return None
