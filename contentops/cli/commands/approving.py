"""`contentops approve` and `send-back`: say of texts that they may go out, or what is to change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from contentops.cli.options import choice_of, project_options, selection_options
from contentops.digest import short
from contentops.errors import plural
from contentops.model import ApprovalState, Verdict
from contentops.operations.texts.approving import Decision, decide_texts
from contentops.operations.texts.merged_approvals import record_merged
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.cli.session import Session
    from contentops.model import Json, Run
    from contentops.operations.texts.approving import Decided
    from contentops.operations.texts.merged_approvals import MergedApprovals


_items = click.argument("items", metavar="[ITEM]...", nargs=-1)


@click.command("approve")
@_items
@project_options
@selection_options
@click.option("--note", metavar="TEXT", default="", help="A note for the approval.")
@click.option("--merged", is_flag=True, help="Record who approved the merged pull requests on GitHub.")
def approve(
    session: Session,
    items: tuple[str, ...],
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    note: str,
    *,
    merged: bool,
) -> None:
    """Record in `contentops.approvals` that you read and approve the texts of ITEMs as they are now.

    A changed text needs approval again; a moved, renamed or promoted text stays approved. The approval has your name
    from git. It removes draft marks that depend on it, for free, and changes nothing else. Commit the file with the
    texts.

    In a workflow of GitHub, `--merged` records who approved the merged pull requests, for the texts that they changed.
    It needs `GITHUB_TOKEN` with the right to read pull requests. In a project without approvals, it does nothing.
    """
    if merged:
        if items or select or exclude or note:
            raise click.UsageError("`--merged` takes the texts of the merged pull requests: leave out the rest")
        _record_merged(session)
        return
    _decide(session, Verdict.APPROVED, (items, select, exclude), note)


@click.command("send-back")
@_items
@project_options
@selection_options
@click.option("--note", metavar="TEXT", default="", help="What has to change.")
def send_back(
    session: Session, items: tuple[str, ...], select: tuple[str, ...], exclude: tuple[str, ...], note: str
) -> None:
    """Record in `contentops.approvals` that the texts of ITEMs may not be published as they are now, with a note.

    This applies until the text changes, or until you approve it.
    """
    _decide(session, Verdict.SENT_BACK, (items, select, exclude), note)


def _decide(session: Session, verdict: Verdict, chosen: tuple[tuple[str, ...], ...], note: str) -> None:
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
        "also": list(decided.also),
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
    if decided.also:
        yield f"this counts for {', '.join(f'`{visible(name)}`' for name in decided.also)} too: the same words"
    if decided.skipped:
        yield f"left out, as there is no text yet: {', '.join(f'`{visible(name)}`' for name in decided.skipped)}"
    if decided.lines:
        yield f"Recorded {plural(len(decided.lines), 'text')} in `contentops.approvals` as {visible(decided.by)}."
    yield from _after(decided.run, decided.warning)


def _record_merged(session: Session) -> None:
    found = record_merged(session.project(), pause=time.sleep, runtime=session.runtime())
    outcomes = found.run.outcomes if found.run is not None else ()
    values: dict[str, Json] = {
        "pull_requests": [
            {"number": pull.number, "address": pull.address, "approved_by": list(pull.approvals)}
            for pull in found.pulls
        ],
        "items": [
            {"id": line.item, "text": line.text, "by": line.by, "at": line.at, "from": line.source}
            for line in found.lines
        ],
        "notes": list(found.notes),
        "updated": [outcome.output for outcome in outcomes],
        "warning": found.warning,
    }
    session.answer(values, _merged_text(found))


def _merged_text(found: MergedApprovals) -> Iterator[str]:
    if not found.asked:
        yield "No item of this project requires approval; nothing to record."
        return
    for pull in found.pulls:
        yield f"Pull request {pull.number} was approved by {', '.join(pull.approvals) or 'no one who counts'}."
    if not found.pulls:
        yield "The checked-out commit is not the merge of a pull request."
    for note in found.notes:
        yield f"note: {visible(note)}"
    for line in found.lines:
        yield f"approved `{visible(line.item)}`, text {short(line.text)}, by {visible(line.by)}"
    if found.lines:
        yield f"Recorded {plural(len(found.lines), 'approval')} in `contentops.approvals`."
    yield from _after(found.run, found.warning)


def _after(run: Run | None, warning: str) -> Iterator[str]:
    for outcome in run.outcomes if run is not None else ():
        yield f"Updated the front matter of `{visible(outcome.output)}`."
    if warning:
        yield f"warning: {visible(warning)}"
