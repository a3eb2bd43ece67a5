"""`contentops doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import open_project, project_options
from contentops.errors import ExitCode
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.paint import paint
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.cli.options import Session
    from contentops.operations.doctor import Check

_SIGNS = {True: ("ok", "add"), False: ("failed", "error"), None: ("note", "warning")}


@click.command("doctor", short_help="Check that everything needed is in place.")
@project_options
@click.pass_obj
def command(session: Session, environment: str, variables: tuple[str, ...], *, as_json: bool) -> int:
    """Check settings, folders, state, key and server, and say how to put right what is wrong.

    Asks the server for free lists only; spends nothing. Exits with 1 if a check failed.
    """
    from contentops.operations import doctor as doctor_operation

    checks = doctor_operation.doctor(open_project(session, environment, variables))
    if as_json:
        found = [{"name": one.name, "ok": one.ok, "message": one.message, "hint": one.hint} for one in checks]
        terminal.say_json({"format_version": FORMAT_VERSION, "checks": found})
    else:
        terminal.show("\n".join(checks_text(checks, color=terminal.wants_color(sys.stdout))))
    return ExitCode.ERROR if any(one.ok is False for one in checks) else ExitCode.DONE


def checks_text(checks: Sequence[Check], *, color: bool) -> Iterator[str]:
    """One line per check, and what to do where it failed."""
    for one in checks:
        word, style = _SIGNS[one.ok]
        yield f"{paint(f'{word:<6}', style, color=color)}  {visible(one.name)}: {visible(one.message)}"
        if one.hint:
            yield f"        {paint('hint', 'hint', color=color)}: {visible(one.hint)}"
