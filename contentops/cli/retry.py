"""`contentops retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.apply import apply_options, carry_out, going_on, manner_of
from contentops.cli.options import choice_of, open_project
from contentops.cli.plan import flags_of
from contentops.errors import ExitCode
from contentops.reporting.summary import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.cli.options import Session
    from contentops.model import Note
    from contentops.operations.runs import LastRun

RESTATED = ("on_edit", "resubmit_unknown")
"""What puts words or money at stake item by item as they stand now: never taken over from an earlier run."""


@click.command("retry", short_help="Apply again what the last run left undone.")
@apply_options
@click.pass_obj
def command(session: Session, /, environment: str, variables: tuple[str, ...], **given: Any) -> int:
    """Apply what failed, was blocked, is unknown, late or was not reached in the last run, and nothing else.

    With the `--var`, `--replace` and `--prune` of that run. Plans, shows and asks like `apply`. A run that was killed
    leaves no report: `apply` goes on after it.
    """
    from contentops.operations import plan as plan_operation
    from contentops.operations import workspace
    from contentops.operations.runs import last_run
    from contentops.planning import situation

    approval, manner = manner_of(session, given)
    again = going_on("retry", environment, variables, given)
    project = open_project(session, environment, variables)
    last = last_run(project)
    if last is None or not last.undone:
        why = "no run has ended here" if last is None else f"all of the run of {last.started_at} is done"
        if manner.as_json:
            from contentops.reporting.run_json import run_json

            nothing = plan_operation.plan(project, situation.Choice(only=frozenset()))
            terminal.say_json(run_json(None, nothing))
        else:
            terminal.show(f"Nothing to retry: {why}.")
        return ExitCode.DONE
    asked = last.asked_for(workspace.read_state(project))
    if asked["replace"]:
        declared = {
            spec.id for spec in workspace.validate(open_project(session, environment, asked["variables"])).specs
        }
        asked["replace"] = tuple(item for item in asked["replace"] if item in declared)
    notes = _notes(last, asked, given)
    given = {**given, "replace": (*asked["replace"], *given["replace"]), "prune": given["prune"] or asked["prune"]}
    variables = (*asked["variables"], *variables)
    choice = structs.replace(choice_of(**given), only=last.undone, sections=asked["sections"], notes=notes)
    inputs = {"variables": variables, "sections": asked["sections"], **given}
    return carry_out(open_project(session, environment, variables), choice, approval, manner, inputs, again)


def _notes(last: LastRun, asked: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Note, ...]:
    """What is applied, with which flags of the run before, and which of them have to be stated again."""
    from contentops.model import Note

    flags = [f"`{flag}`" for flag in flags_of(asked)]
    flags += [f"`--section {heading}`" for heading in asked["sections"].values()]
    message = f"only what the run of {last.started_at} left undone: {plural(len(last.undone), 'item')}"
    if flags:
        message += f"; as then with {', '.join(flags)}"
    notes = [Note(kind="retry", message=message)]
    lost = {name: last.inputs.get(name) for name in RESTATED if last.inputs.get(name) and not given[name]}
    for flag in flags_of({"variables": (), **lost}):
        again = "state it again if it is meant"
        notes.append(Note(kind="retry", message=f"`{flag}` of that run is not taken over: {again}"))
    return tuple(notes)
