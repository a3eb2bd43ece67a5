"""The commands `contentops review`, `approve` and `send-back`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.options import choice_of, environment_options, project_options, select_option
from contentops.cli.session import Session
from contentops.digest import short
from contentops.errors import ContentopsError, ExitCode, plural
from contentops.model import Json, Project, Run, Verdict
from contentops.operations.approving import (
    Decided,
    Decision,
    MergedApprovals,
    decide_texts,
    git_identity,
    record_merged,
)
from contentops.pages.app import create_app, open_port, serve
from contentops.pages.export import INDEX, FileLinks, export
from contentops.pages.security import LINK, Keys, private_file
from contentops.pages.site import Links, Site
from contentops.sanitize import visible
from contentops.state import state_dir

# ---- `contentops review`: pages on which people read, approve and edit texts.

HOST = "127.0.0.1"
"""Anyone who reaches the pages acts in a person's name, so only this machine can reach them."""


@click.command("review")
@project_options
@click.option("--out", metavar="DIR", default="", help="Write the pages as files to DIR, without buttons.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65_535),
    default=8767,
    show_default=True,
    help="The port; 0 picks a free one.",
)
def command(session: Session, out: str, port: int) -> int:
    """Read, approve, send back and edit texts in a browser.

    Prints a link, and opens it in a browser. The variable `BROWSER` chooses the browser; `BROWSER=true` opens none. The
    link works once, in one browser of this machine. End the command with Ctrl-C.

    `--out` writes the pages as files, for a CI artifact or a website.
    """
    if out:
        return _export(session, out)
    with open_port(HOST, port) as opened:
        keys = Keys(opened.number)
        site = _site(session, Links(), form_token=keys.form_token)
        link = f"{opened.address.rstrip('/')}{LINK}?token={keys.token}"
        terminal.report(f"review the texts of `{visible(site.name)}`: {link}")
        terminal.report("the link works once; Ctrl-C ends the page")
        with contextlib.ExitStack() as ending:
            # Without a window, a browser may take over the terminal.
            has_window = sys.platform in {"darwin", "win32"} or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
            if has_window and terminal.can_ask():
                _open_browser(session, link, ending)
            serve(create_app(site, keys, HOST), opened, site.closing.set)
        if not site.runner.is_idle:
            terminal.report("stopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once")
        site.runner.close()
    return ExitCode.DONE


def _open_browser(session: Session, link: str, ending: contextlib.ExitStack) -> None:
    """Open the link to the review pages in a browser. A temporary file leads to the link.

    If no browser can be opened, a person can use the printed link.
    """
    with contextlib.suppress(OSError, ContentopsError):
        folder = state_dir.make(Path(session.project().root))
        webbrowser.open(ending.enter_context(private_file(folder, link)))


def _export(session: Session, out: str) -> ExitCode:
    """Write the review pages as files. If manifests have errors, the pages show them, and the exit code is 1."""
    site = _site(session, FileLinks())
    snapshot = site.review.snapshot()
    pages = export(site, session.path(out))
    terminal.report_findings(snapshot.findings, gap=True)
    session.answer(
        {"folder": out, "pages": pages}, f"{plural(pages, 'page')} written: `{visible(str(session.path(out)))}/{INDEX}`"
    )
    return ExitCode.ERROR if snapshot.plan is None else ExitCode.DONE


def _person(project: Project) -> str:
    """Return the person's name for approvals, or an empty text if git has no name."""
    try:
        return git_identity(project.root)
    except ContentopsError:
        return ""


def _site(session: Session, links: Links, *, form_token: str = "") -> Site:
    """Return what all review pages share, such as the project. A mistake in the settings is reported now."""
    project = session.project()
    return Site(
        person=_person(project),
        name=f"{project.name}/{project.environment}" if project.environment else project.name,
        project=session.project,
        # No one is asked in the terminal what a page asks.
        runtime=structs.replace(session.runtime(), ask=None),
        links=links,
        option=session.option(),
        flags=tuple(f"--var {shlex.quote(each)}" for each in session.variables),
        form_token=form_token,
    )


# ---- `contentops approve` and `send-back`: say of texts that they may go out, or what is to change.

_items = click.argument("items", metavar="[ITEM]...", nargs=-1)


@click.command("approve")
@_items
@project_options
@select_option
@click.option("--note", metavar="TEXT", default="", help="A note for the approval.")
@click.option("--withdraw", is_flag=True, help="Take back the latest verdict on each text.")
@click.option("--merged", is_flag=True, help="Record who approved the merged pull requests on GitHub.")
def approve(
    session: Session,
    items: tuple[str, ...],
    select: tuple[str, ...],
    note: str,
    *,
    withdraw: bool,
    merged: bool,
) -> None:
    """Record in `contentops.approvals` that you read and approve the texts of ITEMs as they are now.

    A changed text needs approval again; a moved, renamed or promoted text stays approved. The approval has your name
    from git. It removes draft marks that depend on it, for free, and changes nothing else. Commit the file with the
    texts.

    `--withdraw` takes back the latest verdict on each text, whoever gave it, and puts its draft mark back.

    In a workflow of GitHub, `--merged` records who approved the merged pull requests, for the texts that they changed.
    It needs `GITHUB_TOKEN` with the right to read pull requests. In a project without approvals, it does nothing.
    """
    if merged:
        if items or select or note or withdraw:
            raise click.UsageError("`--merged` takes the texts of the merged pull requests: leave out the rest")
        _record_merged(session)
        return
    verdict = Verdict.WITHDRAWN if withdraw else Verdict.APPROVED
    _decide(session, verdict, (*items, *select), note)


@click.command("send-back")
@_items
@environment_options
@select_option
@click.option("--note", metavar="TEXT", default="", help="What has to change.")
def send_back(session: Session, items: tuple[str, ...], select: tuple[str, ...], note: str) -> None:
    """Record in `contentops.approvals`, with a note, that the texts of ITEMs must not be published as they are now.

    This applies until the text changes, or until you approve it.
    """
    _decide(session, Verdict.SENT_BACK, (*items, *select), note)


def _decide(session: Session, verdict: Verdict, select: tuple[str, ...], note: str) -> None:
    if not select:
        raise click.UsageError("name items, or select some with `--select`, such as `--select approval:waiting`")
    choice = choice_of(select=select)
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
    words = verdict.replace("-", " ")
    for line in decided.lines:
        yield f"{words} `{visible(line.item)}`, text {short(line.text)}"
    for name in decided.known:
        is_open = verdict is Verdict.WITHDRAWN
        yield f"`{visible(name)}` has no verdict" if is_open else f"`{visible(name)}` is {words} by you already"
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
