"""`contentops review`: pages on which people read, approve and edit texts."""

from __future__ import annotations

import shlex
import webbrowser
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.options import server_options
from contentops.cli.output import terminal
from contentops.errors import UsageError
from contentops.loopback import is_loopback
from contentops.pages.app import create_app
from contentops.pages.links import Links
from contentops.pages.security import LINK, Keys
from contentops.pages.serving import open_port, serve
from contentops.pages.site import Site

if TYPE_CHECKING:
    from contentops.cli.session import Session


@click.command("review", short_help="Read, approve and edit texts in a browser.")
@server_options
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="An address of this machine.")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65_535), default=8767, show_default=True, help="0 picks a free one."
)
@click.option("--no-open", is_flag=True, help="Only print the link; do not open a browser.")
@click.option("--commit", "commits", is_flag=True, help="Commit the files of each action with git.")
def command(session: Session, host: str, port: int, *, no_open: bool, commits: bool) -> None:
    """Show texts, what changed in them and what they wait for; approve, send back and edit them.

    Prints a link that opens the page once, in one browser of this machine, and ends with Ctrl-C.
    """
    if not is_loopback(host):
        hint = "from elsewhere: `ssh -L 8767:127.0.0.1:8767 HOST`, then open the link; `--out DIR` makes a copy to read"
        message = f"`--host {host}`: whoever reaches this page acts in your name, so it is served on this machine alone"
        raise UsageError(message, hint=hint)
    project = session.project()
    name = f"{project.name}/{project.environment}" if project.environment else project.name

    with open_port(host, port) as opened:
        keys = Keys(opened.number)
        site = Site(
            name=name,
            project=session.project,
            runtime=structs.replace(session.runtime(), ask=None),
            links=Links(),
            option=session.option(),
            flags=tuple(f"--var {shlex.quote(each)}" for each in session.variables),
            commits=commits,
            form_token=keys.form_token,
        )
        link = f"{opened.address.rstrip('/')}{LINK}?token={keys.token}"
        terminal.report(f"review the texts of `{name}`: {link}")
        terminal.report("the link works once; Ctrl-C ends the page")
        if not no_open and terminal.can_ask():
            webbrowser.open(link)
        serve(create_app(site, keys, host), opened, site.closing.set)
        site.runner.close()
