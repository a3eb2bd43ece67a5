"""`contentops serve` and `contentops serve keys create`; beside the pipeline the only user of `contentops.local`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import Group, json_option
from contentops.errors import ContentopsError
from contentops.report import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.cli.options import Session

DEFAULT_STORE = ".contentops/serve.db"

_store = click.option(
    "--store",
    metavar="FILE",
    default=DEFAULT_STORE,
    show_default=True,
    help="The SQLite file of jobs and contents.",
)


@click.group("serve", invoke_without_command=True, short_help="Run the embedded server for other programs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8787, show_default=True, help="0 picks a free one.")
@_store
@click.option("--engine", default="outline", show_default=True, help="Who writes the texts.")
@click.option(
    "--stage-seconds", type=click.FloatRange(min=0), default=0.0, show_default=True, help="How long each stage takes."
)
@click.pass_context
def command(context: click.Context, host: str, port: int, store: str, engine: str, stage_seconds: float) -> None:
    """Run the embedded server: the WriterzRoom contract over HTTP, with its own store.

    Point a project at it with `api: {base_url: "http://127.0.0.1:8787/v1"}`.
    """
    if context.invoked_subcommand is not None:
        return
    from contentops.local.engines import named
    from contentops.local.serve import run

    session: Session = context.obj
    with _as_ours():
        run(host, port, session.path(store), engine=named(engine), stage_seconds=stage_seconds, log=terminal.tell)


@command.group("keys", cls=Group)
def keys() -> None:
    """Keys that requests must carry once there is one, or where the server listens beyond this machine."""


@keys.command("create")
@click.option("--plan", default="professional", show_default=True, help="The plan the key belongs to.")
@_store
@json_option
@click.pass_obj
def create(session: Session, plan: str, store: str, *, as_json: bool) -> None:
    """Make a key and print it: the only time it is seen."""
    from contentops.local.keys import KeyRing
    from contentops.local.store import Store

    with _as_ours(), Store(session.path(store)) as opened:
        key = KeyRing(opened).create_key(plan)
    if as_json:
        terminal.say_json({"format_version": FORMAT_VERSION, "key": key, "plan": plan})
    else:
        terminal.say(key)


@contextlib.contextmanager
def _as_ours() -> Iterator[None]:
    """The server's own failures, which know nothing of the command line, as failures it can print."""
    from contentops.local import LocalError

    try:
        yield
    except (LocalError, ImportError) as error:
        raise ContentopsError(str(error), code="serve") from error
