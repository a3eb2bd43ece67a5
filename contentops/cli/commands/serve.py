"""`contentops serve` and `contentops serve keys ...`."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Meta, ValidationError, convert
from msgspec.structs import replace

from contentops.atomic_io import read_file
from contentops.cli.options import Group, json_option
from contentops.cli.output import terminal
from contentops.errors import ContentopsError, Diagnostic, InputError, Location, UsageError
from contentops.reporting.layout import table
from contentops.server import EmbeddedServerError
from contentops.server.accounts import AccountLimits, KeyRing, account
from contentops.server.catalog import BrandVoice
from contentops.server.engines import PASSES, named
from contentops.server.engines.protocol import CALL_SECONDS
from contentops.server.serve import ServeOptions, run
from contentops.server.store import is_address, iso, open_store
from contentops.yaml.read import MAX_BYTES, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from contentops.cli.session import Session
    from contentops.server.database import Store

_Voices = dict[Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\Z")], BrandVoice]
_UNLIMITED = -1
_NO_KEY_HINT = "`contentops serve keys list` shows them"


def _number_of_credits(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Return the number; `unlimited` has its own, since None means that the option is not given."""
    if value is None or value == "unlimited":
        return None if value is None else _UNLIMITED
    if value.isascii() and value.isdecimal() and len(value) <= 12:
        return int(value)
    raise click.BadParameter(f"`{value}` is not a number of credits; write 0 or more, or `unlimited`")


_store = click.option(
    "--store",
    metavar="FILE",
    default=".contentops/serve.db",
    show_default=True,
    help="The SQLite file of jobs and contents, or `postgresql://user@host/database` for several servers.",
)
_credits = click.option(
    "--credits",
    "allowance",
    metavar="N",
    callback=_number_of_credits,
    help="Its credits in total, or `unlimited`.",
)
_modes = click.option("--mode", "modes", metavar="MODE", multiple=True, help="Allow only this mode. Repeatable.")
_from_0 = click.IntRange(min=0)


@click.group("serve", cls=Group, invoke_without_command=True)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65_535),
    default=8787,
    show_default=True,
    help="The port; 0 picks a free one.",
)
@_store
@click.option(
    "--engine",
    metavar="NAME",
    default="outline",
    show_default=True,
    help="Who writes the texts: `outline` or `openai`.",
)
@click.option(
    "--model",
    metavar="NAME",
    default="",
    help="The model of the engine `openai`, instead of `OPENAI_MODEL`.",
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
    "--voices",
    metavar="FILE",
    help="A YAML file of brand voices by id, each with `name`, `tone`, `voice`, `description`, `samples`."
    " Default: any id is taken.",
)
@click.option(
    "--stage-seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Duration of each stage of a job.",
)
@click.option(
    "--requests-per-minute",
    metavar="N",
    type=_from_0,
    help="Request limit of each key (of everyone, without keys); 0 for none. Default: 10 with keys, otherwise none.",
)
@click.option("--free-polls", is_flag=True, help="Do not count polls of jobs as requests.")
@click.option(
    "--max-active",
    metavar="N",
    type=_from_0,
    default=0,
    help="Running jobs of each key (of everyone, without keys) at a time. Default: no limit.",
)
@click.option("--quiet", is_flag=True, help="Do not log requests to stderr.")
@click.pass_context
def command(
    context: click.Context,
    host: str,
    port: int,
    store: str,
    engine: str,
    model: str,
    passes: str,
    max_tokens: int | None,
    call_seconds: float,
    voices: str | None,
    stage_seconds: float,
    requests_per_minute: int | None,
    max_active: int,
    *,
    free_polls: bool,
    quiet: bool,
) -> None:
    """Run the bundled server: the calls of the WriterzRoom API over HTTP, with its own store.

    To use it in a project, set `api: {base_url: "http://127.0.0.1:8787/v1"}`. The engine `openai` writes with any
    OpenAI-compatible model, at `OPENAI_BASE_URL` with the key `OPENAI_API_KEY`.
    """
    if context.invoked_subcommand is not None:
        return
    limits = AccountLimits(requests_per_minute=requests_per_minute, free_polls=free_polls, max_active=max_active)
    with _errors():
        options = ServeOptions(
            host=host,
            port=port,
            store=_place(context.obj, store),
            engine=named(
                engine,
                environ=os.environ,
                model=model,
                passes=passes,
                max_tokens=max_tokens or 0,
                call_seconds=call_seconds,
            ),
            log=terminal.report,
            stage_seconds=stage_seconds,
            limits=limits,
            voices=None if voices is None else read_voices(context.obj.path(voices)),
            log_request=None if quiet else terminal.report_line,
        )
        run(options)


def read_voices(path: Path) -> dict[str, BrandVoice]:
    """Read the brand voices of a file by id. Raises InputError for an invalid one."""
    try:
        document, findings = read_yaml(path.name, read_file(path, MAX_BYTES + 1))
        if not findings:
            return convert(document.root or {}, _Voices)
    except (OSError, ValidationError) as error:
        message = f"the file of brand voices cannot be used: {error}"
        hint = "it holds, by id, `name`, `tone`, `voice`, `description` (texts) and `samples` (a list of texts)"
        findings = [Diagnostic(code="voices", message=message, location=Location(str(path)), hint=hint)]
    raise InputError(findings)


@command.group("keys", cls=Group, short_help="Make, list, change and revoke keys.")
def keys() -> None:
    """Manage the server's keys.

    Every request needs a key once one exists, or if the server listens beyond this machine.
    """


@keys.command("create")
@click.option("--plan", default="professional", show_default=True, help="The plan of the key.")
@_credits
@_modes
@_store
@json_option
def create(session: Session, plan: str, allowance: int | None, modes: tuple[str, ...], store: str) -> None:
    """Create a key and print it. It is not shown again."""
    with _opened(session, store) as (_, ring):
        text = ring.create_key(plan, allowance=None if allowance == _UNLIMITED else allowance, modes=modes)
        made = ring.check(text)
        assert made is not None  # made above
    shown = {"key": text, "plan": plan, "id": made.id, "credits": made.credits, "modes": list(made.modes)}
    session.answer(shown, text)


@keys.command("list")
@_store
@json_option
def show(session: Session, store: str) -> None:
    """List every key ever created, without its secret, and what it has left."""
    rows: list[list[str]] = []
    listed: list[dict[str, Any]] = []
    with _opened(session, store) as (opened, ring):
        for key in ring.issued():
            balances = account(opened, key)
            balance = "unlimited" if balances.balance is None else f"{balances.balance} of {balances.allowance}"
            modes, state = " ".join(key.modes) or "all", "works" if key.revoked_at is None else "revoked"
            rows.append([key.id, key.plan, balance, str(balances.used), modes, iso(key.created_at)[:10], state])
            listed.append(
                {
                    "id": key.id,
                    "plan": key.plan,
                    "modes": list(key.modes),
                    "credits": balances.allowance,
                    "used": balances.used,
                    "reserved": balances.reserved,
                    "balance": balances.balance,
                    "created_at": iso(key.created_at),
                    "revoked_at": None if key.revoked_at is None else iso(key.revoked_at),
                }
            )
    head = ("KEY", "PLAN", "LEFT", "USED", "MODES", "MADE", "STATE")
    session.answer({"keys": listed}, table(head, rows) if rows else "no keys yet")


@keys.command("revoke")
@click.argument("key_id", metavar="KEY")
@_store
@click.pass_obj
def revoke(session: Session, key_id: str, store: str) -> None:
    """Revoke the key with the id KEY."""
    with _opened(session, store) as (_, ring):
        if not ring.revoke(key_id):
            raise UsageError(f"there is no active key with the id `{key_id}`", hint=_NO_KEY_HINT)
    terminal.say(f"key `{key_id}` is revoked")


@keys.command("change", short_help="Give a key another plan, more or fewer credits, or other modes.")
@click.argument("key_id", metavar="KEY")
@click.option("--plan", help="Its new plan; `starter` disables the key.")
@_credits
@_modes
@_store
@click.pass_obj
def change(
    session: Session, key_id: str, plan: str | None, allowance: int | None, modes: tuple[str, ...], store: str
) -> None:
    """Change the plan, the total credits or the modes of the key with the id KEY."""
    with _opened(session, store) as (_, ring):
        key = next((key for key in ring.issued() if key.id == key_id), None)
        if key is None:
            raise UsageError(f"there is no key with the id `{key_id}`", hint=_NO_KEY_HINT)
        credits_now = key.credits if allowance is None else None if allowance == _UNLIMITED else allowance
        ring.change(replace(key, plan=plan or key.plan, credits=credits_now, modes=modes or key.modes))
    terminal.say(f"key `{key_id}` is changed")


def _place(session: Session, store: str) -> Path | str:
    return store if is_address(store) else session.path(store)


@contextlib.contextmanager
def _opened(session: Session, store: str) -> Iterator[tuple[Store, KeyRing]]:
    with _errors(), open_store(_place(session, store)) as opened:
        yield opened, KeyRing(opened)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn failures of the server into errors that the command line prints."""
    try:
        yield
    except (EmbeddedServerError, ImportError) as error:
        raise ContentopsError(str(error), code="serve") from error
