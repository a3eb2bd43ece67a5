"""`contentops diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import offers, server_options
from contentops.operations import difference as operation
from contentops.reporting.difference import Part, difference_markdown, difference_text, fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.cli.options import Session
    from contentops.operations.difference import Difference


@click.command("diff", short_help="Show how an item's file differs from another text of it.")
@click.argument("item", shell_complete=offers("items"))
@click.option("--generated", "side", flag_value="generated", default=True, help="What a person changed. The default.")
@click.option("--remote", "side", flag_value="remote", help="From what the server has stored: one request.")
@click.option("--plan", "side", flag_value="plan", help="To what the plan makes of it, and of its request.")
@click.option("--section", metavar="HEADING", default="", help="Only the section with this heading.")
@click.option("--format", "form", type=click.Choice(["text", "markdown"]), default="text", help="What to print.")
@server_options
def command(session: Session, item: str, side: str, section: str, form: str) -> None:
    """Show, by words, how the file of ITEM differs from the text that was generated for it.

    Or from the text on the server (`--remote`), or how the text, the front matter and the request would change by what
    is planned (`--plan`). Front matter counts as far as contentops wrote it. Without colours, words that are gone stand
    in `[-` and `-]`, new ones in `{+` and `+}`.
    """
    project = session.project()
    if side == "remote":
        found = operation.from_remote(project, item, tell=terminal.tell_line, world=session.world())
    else:
        found = operation.to_planned(project, item) if side == "plan" else operation.from_generated(project, item)
    if section:
        found = operation.of_section(found, section)
    if not session.as_json:
        terminal.tell_line(found.note)
    pairs = {name: dict(zip(("before", "after"), pair, strict=True)) for name, pair in found.front.items()}
    request = {name: dict(zip(("before", "after"), pair, strict=True)) for name, pair in found.request.items()}
    texts = {found.old: found.before, found.new: found.after}
    values = {"item": item, "same": found.same, **texts, "front": pairs, "request": request, "note": found.note}
    session.answer(values, "\n".join(_shown(found, item, form)) or "No difference.")


def _shown(found: Difference, item: str, form: str) -> Iterator[str]:
    body = Part("", found.before or "", found.after or "")
    parts = [fields("request", found.request), fields("front matter", found.front), body]
    names = (f"{item} ({found.old})", f"{item} ({found.new})")
    if form == "markdown":
        return difference_markdown(parts, *names)
    return difference_text(parts, *names, coloured=terminal.wants_color())
