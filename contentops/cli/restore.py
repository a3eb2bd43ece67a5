"""`contentops restore`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import offers, server_options
from contentops.errors import Diagnostic, ExitCode
from contentops.operations import restore as operation
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.history import text_json, texts_text
from contentops.sanitize import visible

if TYPE_CHECKING:
    from contentops.cli.options import Session
    from contentops.operations.restore import Restored

_FROM = {"cache": "the cache", "git": "git's history", "server": "the server"}


@click.command("restore", short_help="Put an earlier text back into an item's file.")
@click.argument("item", shell_complete=offers("items"))
@click.option("--to", metavar="DIGEST", shell_complete=offers("texts"), help="The text, by the start of its digest.")
@click.option(
    "--on-edit",
    type=click.Choice(["block", "overwrite"]),
    default="block",
    help="What to do where a person edited the file since; `overwrite` keeps a copy.",
)
@server_options
def command(session: Session, item: str, to: str | None, on_edit: str) -> ExitCode:
    """Put an earlier text that was paid for back into the file of ITEM. It costs nothing.

    Without `--to`, list the texts of ITEM, and where each is: in the cache, in git's history of the file, or on the
    server. Front matter stays as it stands. From then on the text is an edit like any other: `apply` saves it, and
    another request replaces it only by choice. The text that was generated last is as generated again.
    """
    project = session.project()
    if to is None:
        texts = operation.restorable(project, item)
        listed = texts_text(texts, width=terminal.width()) or f"No text was paid for `{visible(item)}`."
        hint = f"`contentops restore {shlex.quote(item)} --to TEXT`"
        findings = (Diagnostic(code="unknown-text", message="`--to` says which text", hint=hint),)
        session.answer({**diagnostics_json(findings), "item": item, "texts": [text_json(one) for one in texts]}, listed)
        if not session.as_json:
            terminal.tell_findings(findings, gap=True)
        return ExitCode.USAGE
    done = operation.restore(
        project, item, to, overwrite=on_edit == "overwrite", tell=terminal.tell_line, world=session.world()
    )
    values = {"item": item, "output": done.output, "source": done.source, "copy": done.copy}
    session.answer({**values, "text": text_json(done.text)}, _told(done), fit=True)
    return ExitCode.DONE


def _told(done: Restored) -> str:
    output, short = visible(done.output), done.text.short
    if not done.source:
        return f"`{output}` holds the text `{short}` already."
    lines = [f"`{output}` holds the text `{short}` again, from {_FROM[done.source]}; nothing was paid."]
    if done.copy:
        lines.append(f"A copy of the file as it was: `{visible(done.copy)}`.")
    if done.text.generated:
        lines.append("It is as generated.")
    lines.append("Next: `contentops plan`")
    return "\n".join(lines)
