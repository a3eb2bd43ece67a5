"""`contentops graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.options import choice_of, project_options, selection_options
from contentops.cli.output import terminal
from contentops.errors import UsageError
from contentops.operations import graph as operation
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.graph import graph_dot, graph_json, graph_mermaid, graph_text

if TYPE_CHECKING:
    from contentops.cli.session import Session


@click.command("graph")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "json"]),
    default="text",
    help="The output format. `dot`: for Graphviz.",
)
@selection_options
@project_options
def command(session: Session, form: str, select: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    """Show which items use the texts of other items, each with its state as in `status`.

    Sources come before their dependants. `--select ITEM+` shows an item with its dependants, `+ITEM` with its sources.
    Without a selection, items without references are left out. Needs no network and changes nothing.

    A mention is a link in front matter, for example between translations; no item waits for it.
    """
    if session.as_json and form not in ("text", "json"):
        raise UsageError(f"`--json` and `--format {form}` are two formats: use one of them")
    made, findings = operation.graph(
        session.project(), choice_of(select=select, exclude=exclude), runtime=session.runtime()
    )
    forms = {"mermaid": graph_mermaid, "dot": graph_dot}
    if not session.as_json and form != "json":
        terminal.report_findings(findings)
    text = forms[form](made) if form in forms else graph_text(made, width=terminal.width())
    shown = structs.replace(session, as_json=session.as_json or form == "json")
    shown.answer({**diagnostics_json(findings), **graph_json(made)}, text)
