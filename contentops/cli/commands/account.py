"""The commands `contentops content`, `pull` and `stats`, which work with the stored texts of an account."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.options import environment_options
from contentops.cli.session import Session
from contentops.errors import ExitCode, UsageError, did_you_mean, plural
from contentops.model import Json, Project
from contentops.operations import connection as operation
from contentops.operations import refresh as refreshing
from contentops.operations.connection import Owned
from contentops.reporting.layout import moment, outline, paint, table
from contentops.sanitize import visible


@click.group("content")
def content() -> None:
    """List, print and delete the stored texts of your account on the server.

    Costs no credits; records and files stay.
    """


@content.command("list", short_help="List stored contents and the items they belong to.")
@environment_options
def list_contents(session: Session) -> None:
    """List every stored content and its item, in the server's order."""
    project = session.project()
    owned = operation.contents(project, runtime=session.runtime())
    session.answer(_values(project, owned), listing(owned, width=terminal.width()))


def _values(project: Project, contents: Sequence[Owned]) -> dict[str, Json]:
    listed: list[Json] = []
    for one in contents:
        entry = {name: value for name, value in structs.asdict(one.entry).items() if name != "stamp"}
        listed.append({**entry, "item": one.item, "superseded": one.superseded, "lock": one.lock})
    return {"server": project.api.server, "contents": listed}


def listing(contents: Sequence[Owned], *, width: int = 0) -> str:
    """Return a table of stored contents, and how many of them belong to no item.

    A line has at most `width` columns; 0 means any number.
    """
    if not contents:
        return "No contents."
    free = sum(not one.item for one in contents)
    return f"{_table(contents, width)}\n\n{plural(len(contents), 'content')}, {free:,} without an item."


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
@environment_options
def get(session: Session, content_id: str) -> None:
    """Print the stored text with id ID as the server has it.

    On a terminal, control characters are shown as escapes.
    """
    project = session.project()
    stored, owner = operation.content(project, content_id, runtime=session.runtime())
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


@content.command("delete", short_help="Delete stored contents, after asking.")
@click.argument("content_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@environment_options
def delete(session: Session, content_ids: tuple[str, ...], *, yes: bool) -> None:
    """Delete the stored texts with these IDs. Lists them and asks first.

    Warns if an item is saved as this content; the next save of that item makes a new one. Files and records stay.
    """
    project = session.project()
    contents = _named(operation.contents(project, runtime=session.runtime()), content_ids)
    terminal.report(_table(contents, terminal.width(sys.stderr)))
    for one in contents:
        if one.living:
            use = f"is the saved text of item `{one.item}`{f' ({one.lock})' if one.lock else ''}"
            terminal.report_line(f"warning: content `{one.entry.id}` {use}; its next save stores it as new")
    if not yes:
        terminal.need_person("deleting", "`--yes` deletes without asking")
        question = f"Delete {plural(len(contents), 'content')} from {project.api.server}?"
        terminal.need_yes(said=terminal.confirmed(f"{visible(question)} (yes/no) "))
    operation.delete(project, [one.entry.id for one in contents], runtime=session.runtime())
    session.answer(_values(project, contents), f"Deleted {plural(len(contents), 'content')}.")


def _named(stored: Sequence[Owned], content_ids: Sequence[str]) -> list[Owned]:
    """Return the stored contents with these ids, each once. Raises UsageError for an unknown id."""
    by_id = {one.entry.id: one for one in stored}
    for content_id in content_ids:
        if content_id not in by_id:
            hint = did_you_mean(content_id, by_id, "`contentops content list` lists them")
            raise UsageError(f"there is no content `{content_id}`", code="unknown-content", hint=hint)
    return [by_id[content_id] for content_id in dict.fromkeys(content_ids)]


# --- stats -------------------------------------------------------------------------------------------------


@click.command("stats")
@environment_options
def stats(session: Session) -> None:
    """Show the credits and other numbers of your account, as the server names them.

    Costs no credits and changes nothing.
    """
    project = session.project()
    numbers = operation.stats(project, runtime=session.runtime())
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
    """Return the account's statistics. Each list is replaced by its length."""
    return {name: _one(value) for name, value in values.items()}


def _one(value: Json) -> Json:
    if isinstance(value, list):
        return "1 entry" if len(value) == 1 else f"{len(value):,} entries"
    return _counted(value) if isinstance(value, dict) else value


@click.command("pull")
@click.argument("items", metavar="[ITEM]...", nargs=-1)
@environment_options
def pull(session: Session, items: tuple[str, ...]) -> ExitCode:
    """Write edits made in WriterzRoom into the files of their items. It costs nothing.

    They become edits of the file, which git shows and merges. Without ITEM, it looks at all items. If the file was
    edited too, it is left alone, and the exit code is 4. Put the words that you need from both into the file; then
    `apply --on-edit overwrite` saves it.
    """
    done = refreshing.pull(session.project(), items, runtime=session.runtime())
    session.answer({"items": [structs.asdict(one) for one in done]}, pulled_text(done))
    return ExitCode.REFUSED if any(one.refused for one in done) else ExitCode.DONE


def pulled_text(done: Sequence[refreshing.PulledItem]) -> str:
    """Return a line for each item that was edited in WriterzRoom, and the counts."""
    if not done:
        return "Nothing was edited in WriterzRoom."
    lines = []
    for one in done:
        name = paint(visible(one.id), "strong")
        if one.refused:
            lines.append(f"  {paint('x', 'held')} {name}  {visible(one.refused)}")
        else:
            copy = f"; what was there is kept in `{visible(one.copy)}`" if one.copy else ""
            lines.append(
                f"  {paint('<', 'change')} {name}  `{visible(one.output)}` has the words of WriterzRoom now{copy}"
            )
    refused = sum(bool(one.refused) for one in done)
    return "\n".join([*lines, "", f"{len(done) - refused:,} pulled, {refused:,} left alone."])
