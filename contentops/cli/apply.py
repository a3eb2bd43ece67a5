"""`contentops apply`, and what else goes on like it: `contentops regenerate`."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct, structs

from contentops.cli import github, terminal
from contentops.cli.completion import as_selection
from contentops.cli.files import check_events_place, choice_in, project_of, read_plan
from contentops.cli.options import (
    choice_of,
    choice_options,
    complete_file,
    duration,
    file_name,
    flags_of,
    offers,
    server_options,
    with_options,
)
from contentops.cli.progress import watching
from contentops.errors import ExitCode, UsageError
from contentops.model import Result
from contentops.operations import apply as operation
from contentops.operations.apply import ApplyOptions
from contentops.operations.plan import section
from contentops.planning.inputs import Choice
from contentops.reporting.layout import fitted
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import as_typed, run_json, run_text
from contentops.reporting.summary import command as command_line
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from contentops.cli.options import Session
    from contentops.cli.progress import Display
    from contentops.execution.primitives import Stop
    from contentops.model import Json, Plan, Project, Run
    from contentops.operations.workspace import World

    NextCommand = Callable[[Run], str]
    """The command that goes on with a run."""


class Manner(Struct, frozen=True, kw_only=True):
    """How an apply asks and shows."""

    yes: bool = False
    verbose: bool = False
    as_json: bool = False
    events: str = ""
    world: World | None = None


_approving = with_options(
    click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask."),
    click.option(
        "--approve-credits",
        metavar="N",
        type=click.IntRange(min=0),
        help="Spend at most N credits, even over `budget`.",
    ),
    click.option("--approve-changes", is_flag=True, help="Rewrite more items than `guards` allow."),
)


@click.command("apply", short_help="Do what the plan says.")
@click.argument("plan_file", metavar="[PLAN]", required=False, shell_complete=complete_file)
@server_options
@choice_options
@_approving
@click.option("--approve-empty", is_flag=True, help="Go on though the manifests declare nothing.")
@click.option(
    "--reviewed",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help="Exit with 4 if it would pay for more than plan FILE says.",
)
@click.option(
    "--conflicts",
    type=click.Choice(["block", "markers"]),
    default="block",
    help="With `markers`, write two people's edits that meet into the file.",
)
@click.option("--branch", metavar="NAME", default="", help="See first that the results can be pushed to branch NAME.")
@click.option("--deadline", callback=duration, metavar="TIME", help="Stop submitting after TIME, such as `10m`.")
@click.option(
    "--events",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help="Write what happens to FILE, one JSON object a line.",
)
@click.option("-v", "--verbose", is_flag=True, help="List every change of the plan.")
def command(
    session: Session,
    /,
    plan_file: str | None,
    approve_credits: int | None,
    branch: str,
    conflicts: str,
    deadline: float | None,
    events: str,
    reviewed: str,
    *,
    yes: bool,
    approve_changes: bool,
    approve_empty: bool,
    verbose: bool,
    **chosen: Any,
) -> int:
    """Plan, show the plan, ask, and do exactly that.

    With PLAN, a file made by `plan --out`, do exactly what was reviewed and do not ask: what it does not name is left
    alone, and a stale, edited or already applied one is refused. With `--reviewed FILE`, do what is planned today if
    all of it was reviewed, and nothing otherwise; a FILE that does not exist says that nothing was.

    Under CI, in a clone, and wherever `--branch` names one, the branch that `commit` will push to is looked at before
    anything is submitted: that it is known, takes this checkout, and that no results of an earlier run wait.

    Can be stopped at any time (Ctrl-C) and run again: nothing is paid for twice.
    """
    if events:
        check_events_place(session.path(events))
    approval = operation.Approval(credits=approve_credits, changes=approve_changes, empty=approve_empty)
    options = ApplyOptions(approval=approval, deadline=deadline, branch=branch)
    manner = Manner(
        yes=yes or plan_file is not None,
        verbose=verbose,
        as_json=session.as_json,
        events=str(session.path(events)) if events else "",
        world=session.world(),
    )
    if plan_file is None:
        again = going_on(session.environment, session.variables, {**chosen, "reviewed": reviewed, "branch": branch})
        inputs = {"variables": session.variables, **chosen}
        ceiling = _ceiling(session.path(reviewed)) if reviewed else None
        options = structs.replace(options, inputs=inputs, ceiling=ceiling)
        choice = choice_of(**chosen, markers=conflicts == "markers")
        return carry_out(session.project(), choice, options, manner, again)
    if conflicts == "markers":
        raise click.UsageError("PLAN is what was reviewed; `--conflicts` is for an apply that makes its own plan")
    if reviewed:
        raise click.UsageError("PLAN is what was reviewed; `--reviewed` is for an apply that makes its own plan")
    if not os.path.lexists(session.path(plan_file)) and (hint := as_selection(session, plan_file)):
        raise UsageError(f"there is no plan file `{plan_file}`", code="no-plan-file", hint=hint)
    flags = [f"--branch {shlex.quote(branch)}"] if branch else []
    line = command_line("apply", "", [shlex.quote(plan_file), *flags])
    document = read_plan(session.path(plan_file))
    project = project_of(session, document, chosen)
    options = structs.replace(options, inputs=document["inputs"], reviewed=document)
    return carry_out(project, choice_in(document), options, manner, lambda _: line)


def _ceiling(path: Path) -> Mapping[str, Json]:
    """The reviewed plan at `path`; empty where there is none, so that a plan that was not kept allows nothing."""
    if not path.exists():
        terminal.tell(f"no plan was reviewed: `{visible(str(path))}` does not exist")
        return {}
    return read_plan(path)


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


@click.command("regenerate", short_help="Generate one section of an item again.")
@click.argument("item", shell_complete=offers("items"))
@click.option("--section", "heading", metavar="HEADING", required=True, help="The heading of the section.")
@_approving
@server_options
def regenerate(
    session: Session, item: str, heading: str, approve_credits: int | None, *, approve_changes: bool, yes: bool
) -> int:
    """Generate the section HEADING of ITEM again; the rest of its text stays.

    Shows the plan and its price first, and costs as much as a generation of the item's tier. The request and the reply
    of this endpoint are documented nowhere: what is sent is what `contentops serve` takes, and may not fit the real
    service.
    """
    project = session.project()
    sections = {item: section(project, item, heading)}
    approval = operation.Approval(credits=approve_credits, changes=approve_changes)
    inputs = {"variables": session.variables, "sections": sections}
    options = ApplyOptions(approval=approval, inputs=inputs)
    manner = Manner(yes=yes, verbose=True, as_json=session.as_json, world=session.world())

    def again(run: Run) -> str:
        named, variables = shlex.quote(item), [f"--var {shlex.quote(each)}" for each in session.variables]
        if any("write" in outcome.steps for outcome in run.outcomes):
            return command_line("apply", session.environment, ["--select", named, *variables])
        flags = [named, "--section", shlex.quote(heading), *variables]
        return command_line("regenerate", session.environment, flags)

    return carry_out(project, Choice(select=(item,), sections=sections), options, manner, again)


def carry_out(project: Project, choice: Choice, options: ApplyOptions, manner: Manner, again: NextCommand) -> int:
    """Plan, show, ask and apply on the command line; returns the exit code. `again` says which command goes on."""
    with contextlib.ExitStack() as signals:
        with watching(sys.stderr, events=manner.events) as display:
            confirmation = Confirmation(manner, lambda: _begin(signals, display, options.stop))
            plan, run = operation.apply(
                project,
                choice,
                options,
                show=confirmation.preview,
                confirm=confirmation,
                emit=display.show,
                world=manner.world,
            )
        # Impatient hands press Ctrl-C twice: the second one must not take away what the first one led to.
        return _finish(plan, run, confirmation, again, as_json=manner.as_json)


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
            terminal.need_person("apply", "`--yes` applies the plan without asking")
            self.declined = not terminal.confirmed("Apply these changes? (yes/no) ")
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
        self.shown = True
        terminal.tell_findings(plan.findings, gap=True)
        stream, out = (sys.stderr, terminal.tell) if aside else (sys.stdout, terminal.say)
        text = plan_text(plan, verbose=self._manner.verbose, advice=False)
        text = fitted(text, terminal.width(stream))
        out(f"{text}\n" if gap else text)


def _finish(plan: Plan, run: Run | None, confirmation: Confirmation, again: NextCommand, *, as_json: bool) -> int:
    terminal.need_yes(said=not confirmation.declined)
    github.tell_plan(plan)
    typed = ""
    if run is not None:
        typed = again(run)
        run = as_typed(run, typed)
        github.tell_run(run)
    document = run_json(run, plan)
    if as_json:
        terminal.say_json(document)
    elif run is not None:
        terminal.show(run_text(run, again=typed))
    elif not confirmation.shown:
        confirmation.show(plan, aside=False, gap=False)
    return ExitCode(document["exit_code"])


# --- Ctrl-C and SIGTERM: the first stops gently, the second at once; both are safe -----------------------------

_STDERR = 2
_FIRST = b"\nstopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once\n"
# A display may have hidden the cursor; no one else will bring it back.
_SHOWN = b"\x1b[?25h"
_SECOND = b"\nexit at once; `contentops apply` goes on with what is under way\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping(request: Callable[[], None], *, displayed: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """While open, the first signal calls `request` and the second ends the process with 130.

    `displayed` says whether a display shows by itself that the run is stopping: what is written between lines that are
    redrawn is gone at once. It is called in the handler, so it must only set a flag. Writes go to the file descriptor
    itself: a handler may run in the middle of a buffered write.
    """
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _write(_SHOWN + _SECOND if os.isatty(_STDERR) else _SECOND)
            os._exit(ExitCode.INTERRUPTED)
        asked = True
        if not displayed():
            _write(_FIRST)
        request()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _write(words: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(_STDERR, words)
