"""`contentops approve` and `contentops send-back`: say of texts that they may go out, or what is to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from contentops.cli.options import choice_of, offers, selection_options, server_options
from contentops.digest import short
from contentops.errors import plural
from contentops.model import ApprovalState, Verdict
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.cli.session import Session
    from contentops.model import Json
    from contentops.operations.texts.approving import Decided


_items = click.argument("items", metavar="[ITEM]...", nargs=-1, shell_complete=offers("items"))


@click.command("approve", short_help="Say that you read texts and that they may go out.")
@_items
@server_options
@selection_options
@click.option("--note", metavar="TEXT", default="", help="Keep a note with it.")
def approve(
    session: Session, items: tuple[str, ...], select: tuple[str, ...], exclude: tuple[str, ...], note: str
) -> None:
    """Record in `contentops.approvals` that you read the texts of ITEMs as they are now, and said yes.

    An approval holds for exactly these words: a text that changes waits for approval again, one that is moved, renamed
    or promoted stays approved. It is recorded under your name as git has it. Draft marks that depend on it are removed,
    for nothing; nothing else is changed. Commit the file with the texts.
    """
    _decide(session, Verdict.APPROVED, (items, select, exclude), note)


@click.command("send-back", short_help="Say what is to change in texts before they may go out.")
@_items
@server_options
@selection_options
@click.option("--note", metavar="TEXT", default="", help="Say what is to change.")
def send_back(
    session: Session, items: tuple[str, ...], select: tuple[str, ...], exclude: tuple[str, ...], note: str
) -> None:
    """Record in `contentops.approvals` that the texts of ITEMs may not go out as they are now, with a note.

    It holds until the text changes, or until you approve it.
    """
    _decide(session, Verdict.SENT_BACK, (items, select, exclude), note)


def _decide(session: Session, verdict: Verdict, chosen: tuple[tuple[str, ...], ...], note: str) -> None:
    from contentops.operations.texts.approving import Decision, decide_texts

    items, select, exclude = chosen
    if not (items or select):
        raise click.UsageError("name items, or select some with `--select`, such as `--select approval:waiting`")
    choice = choice_of(select=(*items, *select), exclude=exclude)
    decided = decide_texts(session.project(), choice, Decision(verdict=verdict, note=note), runtime=session.runtime())
    session.answer(_as_json(verdict, decided), _as_text(verdict, decided))


def _as_json(verdict: Verdict, decided: Decided) -> dict[str, Json]:
    outcomes = decided.run.outcomes if decided.run is not None else ()
    return {
        "verdict": verdict.value,
        "by": decided.by,
        "items": [{"id": line.item, "text": line.text, "at": line.at, "note": line.note} for line in decided.lines],
        "known": list(decided.known),
        "skipped": list(decided.skipped),
        "updated": [outcome.output for outcome in outcomes],
        "warning": decided.warning,
    }


def _as_text(verdict: Verdict, decided: Decided) -> Iterator[str]:
    words = "approved" if verdict is Verdict.APPROVED else ApprovalState.SENT_BACK.words
    for line in decided.lines:
        yield f"{words} `{visible(line.item)}`, text {short(line.text)}"
    for name in decided.known:
        yield f"`{visible(name)}` is {words} by you already"
    if decided.skipped:
        yield f"left out, as there is no text yet: {', '.join(f'`{visible(name)}`' for name in decided.skipped)}"
    if decided.lines:
        yield f"Recorded {plural(len(decided.lines), 'text')} in `contentops.approvals` as {visible(decided.by)}."
    for outcome in decided.run.outcomes if decided.run is not None else ():
        yield f"Updated the front matter of `{visible(outcome.output)}`."
    if decided.warning:
        yield f"warning: {visible(decided.warning)}"
