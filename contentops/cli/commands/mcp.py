"""`contentops mcp`: tools for agents, over stdio."""

from __future__ import annotations

import importlib.util
import signal
from typing import TYPE_CHECKING

import click
from msgspec import structs

from contentops.cli.options import project_options
from contentops.errors import ContentopsError
from contentops.operations.starting.installed_from import with_extra

if TYPE_CHECKING:
    from contentops.cli.session import Session


@click.command("mcp")
@project_options
def command(session: Session) -> None:
    """Serve tools to an agent over stdin and stdout, by the Model Context Protocol.

    An agent can plan, show items, check manifests and texts, and write manifests. It cannot apply or approve anything.
    Needs the extra `mcp`.

    All calls use the environment and variables that it was started with.
    """
    if importlib.util.find_spec("mcp") is None:
        hint = f'install `"{with_extra("mcp", "mcp>=2.3,<3")}"` into the environment of contentops'
        raise ContentopsError("this needs the Python SDK of the Model Context Protocol", code="serve", hint=hint)
    from contentops.agents.server import serve
    from contentops.agents.tools import Desk

    # A read of stdin cannot be cancelled, and no tool leaves anything half done.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    session.project()  # a mistake in the settings is reported here
    # No one is asked in a terminal what an agent asks.
    runtime = structs.replace(session.runtime(), ask=None)
    serve(Desk(project=session.project, runtime=runtime))
