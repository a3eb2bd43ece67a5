"""`contentops content ...`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.options import Group, open_project, project_options
from contentops.cli.tables import moment, table
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.summary import plural
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.cli.options import Session
    from contentops.operations.content import Owned


@click.group("content", cls=Group, short_help="Show what the account has stored.")
def command() -> None:
    """Show what the account has stored on the server. Costs no credits and changes nothing."""


@command.command("list", short_help="List stored contents and the items they belong to.")
@project_options
@click.pass_obj
def list_contents(session: Session, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """List every stored content, in the server's order, with the item it belongs to."""
    from contentops.operations.content import contents

    project = open_project(session, environment, variables)
    found = contents(project, tell=lambda line: terminal.tell(visible(line)))
    if as_json:
        listed = [{**structs.asdict(one.entry), "item": one.item, "superseded": one.superseded} for one in found]
        terminal.say_json({"format_version": FORMAT_VERSION, "server": project.api.server, "contents": listed})
    else:
        terminal.say(listing(found, width=terminal.width(sys.stdout)))


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


@command.command("get", short_help="Print the text of a stored content.")
@click.argument("content_id", metavar="ID")
@project_options
@click.pass_obj
def get(session: Session, content_id: str, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Print the text of content ID exactly as the server has it.

    On a terminal, characters that the terminal would obey are shown as escapes instead.
    """
    from contentops.operations.content import content as fetch

    project = open_project(session, environment, variables)
    content, owned = fetch(project, content_id, tell=lambda line: terminal.tell(visible(line)))
    if as_json:
        terminal.say_json(
            {
                "format_version": FORMAT_VERSION,
                "server": project.api.server,
                "id": content.id,
                "title": content.title,
                "item": owned.item,
                "superseded": owned.superseded,
                "created_at": content.created_at,
                "updated_at": content.updated_at,
                "body": content.body,
                "metadata": dict(content.metadata),
            }
        )
        return
    sys.stdout.write(harmless(content.body) if sys.stdout.isatty() else terminal.for_stdout(content.body))
    sys.stdout.flush()


def harmless(text: str) -> str:
    """`text` with its lines and tabs, and with everything else that a terminal would obey shown; ends its line."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return "".join("\t".join(visible(part) for part in line.split("\t")) + "\n" for line in lines)
