"""Show a plan and ask before it is carried out, and print the result at the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.cli.output import github_job, terminal
from contentops.errors import ExitCode
from contentops.reporting.layout import fitted
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import as_typed, run_json, run_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Plan, Run

    NextCommand = Callable[[Run], str]
    """Returns the command that continues a run."""


class Manner(Struct, frozen=True, kw_only=True):
    """How an apply asks and shows."""

    yes: bool = False
    verbose: bool = False
    as_json: bool = False
    events: str = ""


class Confirmation:
    """Shows the plan and asks a person, once; remembers the answer."""

    def __init__(self, manner: Manner, begin: Callable[[], None]) -> None:
        self.shown = False
        self.declined = False
        self._manner = manner
        self._begin = begin

    def __call__(self, plan: Plan) -> bool:
        """Return whether to go on. Raises Refused without a terminal to ask on."""
        self.preview(plan)
        if not self._manner.yes:
            terminal.need_person("apply", "`--yes` applies the plan without asking")
            self.declined = not terminal.confirmed("Apply these changes? (yes/no) ")
        if not self.declined:
            self._begin()
        return not self.declined

    def preview(self, plan: Plan) -> None:
        """Show the plan, once, before anything is asked or refused."""
        if self.shown:
            return
        asks = not self._manner.yes and terminal.can_ask()
        # A person who is asked must see the plan, also where stdout goes to a file.
        self.show(plan, aside=self._manner.as_json or (asks and not sys.stdout.isatty()), gap=True)

    def show(self, plan: Plan, *, aside: bool, gap: bool) -> None:
        """Print the plan to stdout, or `aside` to stderr; `gap`: with an empty line after it."""
        self.shown = True
        terminal.report_findings(plan.findings, gap=True)
        stream, out = (sys.stderr, terminal.report) if aside else (sys.stdout, terminal.say)
        text = plan_text(plan, verbose=self._manner.verbose, advice=False)
        text = fitted(text, terminal.width(stream))
        out(f"{text}\n" if gap else text)


def finish(plan: Plan, run: Run | None, confirmation: Confirmation, again: NextCommand, *, as_json: bool) -> int:
    """Print the result of a plan; return the exit code. `again`: returns the command that continues its run."""
    terminal.need_yes(said=not confirmation.declined)
    github_job.report_plan(plan)
    typed = ""
    if run is not None:
        typed = again(run)
        run = as_typed(run, typed, plan.option)
        github_job.report_run(run)
    document = run_json(run, plan)
    if as_json:
        terminal.say_json(document)
    elif run is not None:
        terminal.show(run_text(run, again=typed, option=plan.option))
    elif not confirmation.shown:
        confirmation.show(plan, aside=False, gap=False)
    return ExitCode(document["exit_code"])
