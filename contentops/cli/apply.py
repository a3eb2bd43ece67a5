"""`contentops apply`."""

from __future__ import annotations

import contextlib
import functools
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct, structs

from contentops.cli import terminal
from contentops.cli.files import check_events_place, complete_file, file_name
from contentops.cli.interrupt import stopping
from contentops.cli.options import choice_of, choice_options, duration, open_project, project_options
from contentops.cli.plan import flags_of, show_findings
from contentops.errors import ExitCode, Refused
from contentops.model import Result
from contentops.reporting.summary import command as command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.cli.display import Display
    from contentops.cli.options import Session
    from contentops.execution.stop import Stop
    from contentops.model import Json, Plan, Project, Run
    from contentops.operations.apply import Approval
    from contentops.planning.inputs import Choice

    NextCommand = Callable[[Run], str]


class Manner(Struct, frozen=True, kw_only=True):
    """How an apply asks, shows and stops."""

    yes: bool
    verbose: bool
    as_json: bool
    events: str
    deadline: float | None


_manners = (
    click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask."),
    click.option(
        "--approve-credits",
        metavar="N",
        type=click.IntRange(min=0),
        help="Spend at most N credits, even over `budget`.",
    ),
    click.option("--approve-changes", is_flag=True, help="Rewrite more items than `guards` allow."),
    click.option("--approve-empty", is_flag=True, help="Go on though the manifests declare nothing."),
    click.option("--deadline", callback=duration, metavar="TIME", help="Stop submitting after TIME, such as `10m`."),
    click.option(
        "--events",
        metavar="FILE",
        callback=file_name,
        shell_complete=complete_file,
        help="Write what happens to FILE, one JSON object a line.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="List every change of the plan."),
)


def apply_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Everything an apply takes but a plan file; `manner_of` takes in its own part of what comes of them."""
    for option in reversed(_manners):
        function = option(function)
    return project_options(choice_options(function))


def manner_of(session: Session, given: dict[str, Any]) -> tuple[Approval, Manner]:
    """Takes approvals and manner out of `given`; what `choice_of` wants stays in it."""
    from contentops.operations.apply import Approval

    approval = Approval(
        credits=given.pop("approve_credits"), changes=given.pop("approve_changes"), empty=given.pop("approve_empty")
    )
    events = given.pop("events")
    if events:
        check_events_place(session.path(events))
    manner = Manner(
        yes=given.pop("yes"),
        verbose=given.pop("verbose"),
        as_json=given.pop("as_json"),
        events=str(session.path(events)) if events else "",
        deadline=given.pop("deadline"),
    )
    return approval, manner


@click.command("apply", short_help="Do what the plan says.")
@click.argument("plan_file", metavar="[PLAN]", required=False, shell_complete=complete_file)
@apply_options
@click.pass_obj
def command(
    session: Session,
    /,
    plan_file: str | None,
    environment: str,
    variables: tuple[str, ...],
    **given: Any,
) -> int:
    """Plan, show the plan, ask, and do exactly that.

    With PLAN, a file made by `plan --out`, do exactly what was reviewed and do not ask: what it does not name is left
    alone, and a stale, edited or already applied one is refused.

    Can be stopped at any time (Ctrl-C) and run again: nothing is paid for twice.
    """
    approval, manner = manner_of(session, given)
    reviewed = None
    again = going_on(environment, variables, given)
    if plan_file is not None:
        from contentops.cli.planfile import alone, choice_in, read_plan

        reviewed = read_plan(session.path(plan_file))
        variables, environment = alone(reviewed, variables, given), environment or str(reviewed["environment"])
        again = functools.partial(_of_file, plan_file)
        choice, manner, inputs = choice_in(reviewed), structs.replace(manner, yes=True), reviewed["inputs"]
    else:
        choice, inputs = choice_of(**given), {"variables": variables, **given}
    project = open_project(session, environment, variables)
    return carry_out(project, choice, approval, manner, inputs, again, reviewed)


def _of_file(path: str, _: Run) -> str:
    return command_line("apply", "", [shlex.quote(path)])


def going_on(environment: str, variables: tuple[str, ...], given: Mapping[str, Any]) -> NextCommand:
    """What says which command goes on with a run: as it was typed, but for what would pay a second time.

    Of a canary it names the items that are left, and of the replaced ones those whose new text has not come.
    """

    def again(run: Run) -> str:
        left = {str(one.id): one for one in run.outcomes if one.result is not Result.DONE}
        flags = {**given, "variables": variables, "resubmit_unknown": False, "canary": None}
        flags["replace"] = [item for item in given["replace"] if item in left and "write" not in left[item].steps]
        if given["canary"]:
            flags |= {"select": list(left), "exclude": ()}
        return command_line("apply", environment, flags_of(flags))

    return again


def carry_out(
    project: Project,
    choice: Choice,
    approval: Approval,
    manner: Manner,
    inputs: Mapping[str, Json],
    again: NextCommand,
    reviewed: Mapping[str, Json] | None = None,
) -> int:
    """Plan, show, ask and apply on the command line; returns the exit code.

    `inputs` is kept in the report of the run, `again` says which command goes on with it.
    """
    from contentops.cli.display import watching
    from contentops.execution.stop import Stop
    from contentops.operations import apply as apply_operation

    stop = Stop()
    with contextlib.ExitStack() as signals:
        with watching(sys.stderr, events=manner.events) as display:
            confirmation = Confirmation(manner, lambda: _begin(signals, display, stop))
            plan, run = apply_operation.apply(
                project,
                choice,
                approval,
                show=confirmation.preview,
                confirm=confirmation,
                emit=display.show,
                stop=stop,
                reviewed=reviewed,
                inputs=inputs,
                deadline=manner.deadline,
            )
        # Impatient hands press Ctrl-C twice: the second one must not take away what the first one led to.
        return _finish(plan, run, confirmation, manner, again)


def _begin(signals: contextlib.ExitStack, display: Display, stop: Stop) -> None:
    """From here on a first Ctrl-C stops gently; before, it simply ends the program, as nothing was done yet."""
    signals.enter_context(stopping(stop.request, displayed=display.stopping))
    display.start()


class Confirmation:
    """Shows the plan and asks a person, once; remembers what was said."""

    def __init__(self, manner: Manner, begin: Callable[[], None]) -> None:
        self.shown = False
        self.declined = False
        self._manner = manner
        self._begin = begin

    def __call__(self, plan: Plan) -> bool:
        """Whether to go on; raises Refused where there is no one to ask."""
        self.preview(plan)
        if not self._manner.yes:
            if not terminal.can_ask():
                message = "apply needs a person's yes, and there is no terminal to ask on"
                raise Refused(message, code="not-confirmed", hint="`--yes` applies the plan without asking")
            self.declined = not _ask()
        if not self.declined:
            self._begin()
        return not self.declined

    def preview(self, plan: Plan) -> None:
        """Shows the plan, once, before anything is asked or refused."""
        if self.shown:
            return
        asks = not self._manner.yes and terminal.can_ask()
        # Whoever is asked must see the plan, wherever stdout goes.
        self.show(plan, aside=self._manner.as_json or (asks and not sys.stdout.isatty()), gap=True)

    def show(self, plan: Plan, *, aside: bool, gap: bool) -> None:
        """Prints the plan to stdout, or `aside` to stderr; a `gap` keeps it apart from what follows."""
        from contentops.reporting.plan_text import plan_text
        from contentops.reporting.wrapping import fitted

        self.shown = True
        show_findings(plan)
        stream, out = (sys.stderr, terminal.tell) if aside else (sys.stdout, terminal.say)
        text = plan_text(plan, color=terminal.wants_color(stream), verbose=self._manner.verbose, advice=False)
        text = fitted(text, terminal.width(stream))
        out(f"{text}\n" if gap else text)


def _ask() -> bool:
    sys.stderr.write("Apply these changes? (yes/no) ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _finish(plan: Plan, run: Run | None, confirmation: Confirmation, manner: Manner, again: NextCommand) -> int:
    from contentops.reporting.run_json import run_json
    from contentops.reporting.run_text import as_typed, run_text

    if confirmation.declined:
        raise Refused("not confirmed; nothing was done", code="not-confirmed")
    typed = again(run) if run is not None else ""
    run = as_typed(run, typed) if run is not None else None
    document = run_json(run, plan)
    if terminal.read_by_runner():
        from contentops.cli.github import tell_plan, tell_run

        tell_plan(plan)
        if run is not None:
            tell_run(run)
    if manner.as_json:
        terminal.say_json(document)
    elif run is not None:
        terminal.show(run_text(run, color=terminal.wants_color(sys.stdout), again=typed))
    elif not confirmation.shown:
        confirmation.show(plan, aside=False, gap=False)
    return ExitCode(document["exit_code"])
