"""`contentops review`: pages on which people read, approve and edit texts."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.options import project_options
from contentops.cli.output import terminal
from contentops.errors import ContentopsError, ExitCode, UsageError, plural
from contentops.loopback import is_loopback
from contentops.operations.texts.approving import git_identity
from contentops.pages.app import create_app, open_port, serve
from contentops.pages.export import INDEX, FileLinks, export
from contentops.pages.security import LINK, Keys, private_file
from contentops.pages.site import Links, Site
from contentops.sanitize import visible
from contentops.state import state_dir

if TYPE_CHECKING:
    from contentops.cli.session import Session
    from contentops.model import Project


@click.command("review")
@project_options
@click.option("--out", metavar="DIR", default="", help="Write the pages as files to DIR, without buttons.")
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65_535),
    default=8767,
    show_default=True,
    help="The port; 0 picks a free one.",
)
@click.option("--no-open", is_flag=True, help="Only print the link; do not open a browser.")
@click.option("--commit", "commits", is_flag=True, help="Commit the files of each action with git.")
def command(session: Session, out: str, host: str, port: int, *, no_open: bool, commits: bool) -> int:
    """Read, approve, send back and edit texts in a browser.

    Prints a link that opens the page once, in one browser of this machine. End it with Ctrl-C. Needs the extra `serve`.
    `--out` writes the pages as files, for a CI artifact or a website.
    """
    if out:
        return _export(session, out)
    if not is_loopback(host):
        hint = f"from elsewhere: `ssh -L {port}:127.0.0.1:{port} HOST`; `--out DIR` writes a copy for readers"
        message = f"`--host {host}`: who reaches this page acts in your name, so it is served only on this machine"
        raise UsageError(message, hint=hint)
    with open_port(host, port) as opened:
        keys = Keys(opened.number)
        site = _site(session, Links(), form_token=keys.form_token, commits=commits)
        link = f"{opened.address.rstrip('/')}{LINK}?token={keys.token}"
        terminal.report(f"review the texts of `{visible(site.name)}`: {link}")
        terminal.report("the link works once; Ctrl-C ends the page")
        with contextlib.ExitStack() as ending:
            if not no_open and terminal.can_ask() and _has_display():
                _open_browser(session, link, ending)
            serve(create_app(site, keys, host), opened, site.closing.set)
        if not site.runner.is_idle:
            terminal.report("stopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once")
        site.runner.close()
    return ExitCode.DONE


def _open_browser(session: Session, link: str, ending: contextlib.ExitStack) -> None:
    """Open the link in a browser, by a file that lasts as long as the page; else the printed one is left."""
    with contextlib.suppress(OSError, ContentopsError):
        folder = state_dir.make(Path(session.project().root))
        webbrowser.open(ending.enter_context(private_file(folder, link)))


def _has_display() -> bool:
    """Whether a browser would open in a window: without one, it may take over the terminal."""
    return sys.platform in {"darwin", "win32"} or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def _export(session: Session, out: str) -> ExitCode:
    """Write the pages as files; fail where manifests have errors, which the pages show too."""
    site = _site(session, FileLinks())
    snapshot = site.review.snapshot()
    pages = export(site, session.path(out))
    terminal.report_findings(snapshot.findings, gap=True)
    session.answer({"folder": out, "pages": pages}, f"{plural(pages, 'page')} written: `{visible(out)}/{INDEX}`")
    return ExitCode.ERROR if snapshot.plan is None else ExitCode.DONE


def _person(project: Project) -> str:
    """Return the name that approvals are recorded with; empty where git knows none, which the pages say."""
    try:
        return git_identity(project.root)
    except ContentopsError:
        return ""


def _site(session: Session, links: Links, *, form_token: str = "", commits: bool = False) -> Site:
    """Open the project once, so that a mistake in its settings is said here."""
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
        commits=commits,
        form_token=form_token,
    )
