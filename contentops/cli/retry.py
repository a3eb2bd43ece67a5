"""`contentops retry`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from contentops.cli import terminal
from contentops.cli.apply import apply_options, carry_out, manner_of
from contentops.cli.options import choice_of, open_project
from contentops.errors import ExitCode

if TYPE_CHECKING:
    from contentops.cli.options import Session


@click.command("retry", short_help="Apply again what the last run left undone.")
@apply_options
@click.pass_obj
def command(session: Session, /, environment: str, variables: tuple[str, ...], **given: Any) -> int:
    """Apply what failed, was blocked, is unknown, late or was not reached in the last run, and nothing else.

    Plans, shows and asks like `apply`. A run that was killed leaves no report: `apply` goes on after it.
    """
    from contentops import pipeline
    from contentops.model import Note
    from contentops.runs import last_run

    approval, manner = manner_of(session, given)
    project = open_project(session, environment, variables)
    last = last_run(project)
    if last is None or not last.undone:
        why = "no run has ended here" if last is None else f"all of the run of {last.started_at} is done"
        if manner.as_json:
            from contentops.report.run_json import run_json

            nothing = pipeline.plan(project, pipeline.Choice(only=frozenset()))
            terminal.say_json(run_json(None, nothing))
        else:
            terminal.say(f"Nothing to retry: {why}.")
        return ExitCode.DONE
    number = len(last.undone)
    message = f"only what the run of {last.started_at} left undone: {number:,} item{'' if number == 1 else 's'}"
    choice = dataclasses.replace(choice_of(**given), only=last.undone, notes=(Note(kind="retry", message=message),))
    return carry_out(project, choice, approval, manner, None)
