"""The commands `contentops serve`, `mcp` and `completion`."""

from __future__ import annotations

import importlib.util
import os
import signal

import click
from click.shell_completion import get_completion_class
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.options import environment_option
from contentops.cli.session import COMPLETE, Session
from contentops.errors import ContentopsError
from contentops.server import EmbeddedServerError
from contentops.server.engines import PASSES, named
from contentops.server.engines.protocol import CALL_SECONDS
from contentops.server.serve import KEY_VARIABLE, ServeOptions, run

# ---- `contentops serve`.


@click.command("serve")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65_535),
    default=8787,
    show_default=True,
    help="The port; 0 picks a free one.",
)
@click.option(
    "--store",
    metavar="FILE",
    default=".contentops/serve.db",
    show_default=True,
    help="The SQLite file of jobs and contents.",
)
@click.option(
    "--engine",
    metavar="NAME",
    default="outline",
    show_default=True,
    help="Who writes the texts: `outline` or `openai`.",
)
@click.option(
    "--passes",
    type=click.Choice(PASSES),
    default="staged",
    show_default=True,
    help="How a model writes: `one` call for each text, or `staged`: a plan, sections and editing.",
)
@click.option(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(min=1),
    help="Maximum tokens that the model writes in one call. Default: by mode and length.",
)
@click.option(
    "--call-seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=CALL_SECONDS,
    show_default=True,
    help="Time limit of one call to the model.",
)
@click.option(
    "--requests-per-minute",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="Request limit. Default: no limit.",
)
@click.pass_obj
def command(
    session: Session,
    host: str,
    port: int,
    store: str,
    engine: str,
    passes: str,
    max_tokens: int | None,
    call_seconds: float,
    requests_per_minute: int,
) -> None:
    """Run the bundled server. It offers the WriterzRoom API over HTTP, and has its own store.

    To use it in a project, set `api: {base_url: "http://127.0.0.1:8787/v1"}`. The engine `openai` writes with any
    OpenAI-compatible model: `OPENAI_MODEL` at `OPENAI_BASE_URL`, with the key `OPENAI_API_KEY`. With
    `CONTENTOPS_SERVE_KEY`, every request needs that key. It logs each request to stderr.
    """
    try:
        writer = named(
            engine,
            environ=os.environ,
            passes=passes,
            max_tokens=max_tokens or 0,
            call_seconds=call_seconds,
        )
        options = ServeOptions(
            host=host,
            port=port,
            store=session.path(store),
            engine=writer,
            log=terminal.report,
            key=os.environ.get(KEY_VARIABLE, "").strip(),
            requests_per_minute=requests_per_minute,
            log_request=terminal.report_line,
        )
        run(options)
    except EmbeddedServerError as error:
        raise ContentopsError(str(error), code="serve") from error


# ---- `contentops mcp`: tools for agents, over stdio.


@click.command("mcp")
@environment_option
def mcp(session: Session) -> None:
    """Offer tools to an AI agent over stdin and stdout, with the Model Context Protocol.

    An agent can plan, show items, check manifests and texts, and write manifests. It cannot apply or approve anything.
    Needs the extra `mcp`.

    All calls use the environment that it was started with.
    """
    if importlib.util.find_spec("mcp") is None:
        hint = 'install `"mcp>=2.3,<3"` into the environment of contentops'
        raise ContentopsError("this needs the Python SDK of the Model Context Protocol", code="serve", hint=hint)
    from contentops.agents.server import Desk, serve

    # A read of stdin cannot be cancelled, and no tool leaves anything half done.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    session.project()  # a mistake in the settings is reported here
    # No one is asked in a terminal what an agent asks.
    runtime = structs.replace(session.runtime(), ask=None)
    serve(Desk(project=session.project, runtime=runtime))


# ---- `contentops completion`.


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL. In bash, run `eval "$(contentops completion bash)"`.

    It completes commands, options and names of files.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "contentops", COMPLETE)
    # Not `source()`: it would start a bash just to learn its version.
    terminal.say(script.source_template % script.source_vars())
