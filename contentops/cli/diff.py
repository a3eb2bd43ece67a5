"""`contentops diff`."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import open_project, project_options
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.paint import paint
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.cli.options import Session


@click.command("diff", short_help="Show what a person changed in an item's file.")
@click.argument("item")
@project_options
@click.pass_obj
def command(session: Session, item: str, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Show how the file of ITEM differs from the text that was generated for it."""
    from contentops.operations import show as show_operation

    generated, file, note = show_operation.diff(open_project(session, environment, variables), item)
    if as_json:
        document = {"item": item, "same": generated == file, "generated": generated, "file": file, "note": note}
        terminal.say_json({"format_version": FORMAT_VERSION, **document})
        return
    terminal.tell(visible(note))
    color = terminal.wants_color(sys.stdout)
    terminal.say("\n".join(difference(generated, file, item, color=color)) or "No difference.")


_STYLES = {"+": "add", "-": "remove", "@": "move"}


def difference(generated: str, file: str, item: str, *, color: bool) -> Iterator[str]:
    """A unified diff of two texts, harmless and painted; nothing where they are equal."""
    before, after = generated.splitlines(), file.splitlines()
    lines = difflib.unified_diff(before, after, f"{item} (generated)", f"{item} (file)", lineterm="")
    for line in lines:
        yield paint(visible(line), _STYLES.get(line[:1], "plain"), color=color)
