"""Shows a plan, asks before it is carried out, and prints the result at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.cli import github_job, terminal
from contentops.cli.session import Session
from contentops.errors import ExitCode, plural
from contentops.model import Json, Plan, Run
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.layout import fitted
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import as_typed, run_json, run_text

if TYPE_CHECKING:
    from contentops.operations.adopt import Adoption


# ---- Show a plan and ask before it is carried out, and print the result at the end.

NextCommand = Callable[[Run], str]
"""Returns the command that continues a run."""


class Confirmation:
    """Shows the plan once, asks a person if `yes` is not set, and remembers the answer.

    With `offers_first`, a person who confirms the first prose of a project gets one text to read first. The whole plan
    is not carried out yet.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        *,
        yes: bool,
        as_json: bool,
        verbose: bool = False,
        offers_first: bool = False,
    ) -> None:
        self.shown = self.declined = self.one_first = False
        self.as_json = as_json
        self.begin = begin
        self._yes, self._verbose, self._offers_first = yes, verbose, offers_first

    def __call__(self, plan: Plan) -> bool:
        """Return whether to carry out the plan. Raises Refused if there is no terminal to ask on."""
        self.preview(plan)
        if not self._yes:
            terminal.need_person("apply", "`--yes` applies the plan without asking")
            one_first = self._offers_first and plan.first_prose
            if one_first:
                terminal.report("One text is written first. You can read it before you decide about the others.")
            self._yes = terminal.confirmed("Apply these changes? (yes/no) ")
            self.declined, self.one_first = not self._yes, self._yes and one_first
            if self.one_first:
                return False
        if not self.declined:
            self.begin()
        return not self.declined

    def go_on(self, begun: str, others: int) -> bool:
        """Show the beginning of the first text, and ask whether to write the other texts too.

        `others` is the number of the other texts. Return the answer.
        """
        terminal.report(begun)
        return terminal.confirmed(f"Write the other {plural(others, 'text') if others > 1 else 'text'}? (yes/no) ")

    def preview(self, plan: Plan) -> None:
        """Show the plan, if the person has not seen it yet."""
        if self.shown:
            return
        asks = not self._yes and terminal.can_ask()
        # A person who is asked must see the plan, also where stdout goes to a file.
        self.show(plan, aside=self.as_json or (asks and not sys.stdout.isatty()), gap=True)

    def show(self, plan: Plan, *, aside: bool, gap: bool) -> None:
        """Print the plan to stdout, or to stderr if `aside` is set. With `gap`, an empty line follows it."""
        self.shown = True
        terminal.report_findings(plan.findings, gap=True)
        stream, out = (sys.stderr, terminal.report) if aside else (sys.stdout, terminal.say)
        width = terminal.width(stream)
        shown = terminal.in_folder(plan_text(plan, verbose=self._verbose, advice=False, width=width))
        text = fitted(shown, width)
        out(f"{text}\n" if gap else text)


def finish(plan: Plan, run: Run | None, confirmation: Confirmation, again: NextCommand) -> int:
    """Print the result of a plan, and return the exit code. `again` returns the command that continues its run."""
    terminal.need_yes(said=not confirmation.declined)
    github_job.report_plan(plan)
    typed = ""
    if run is not None:
        typed = again(run)
        run = as_typed(run, typed, plan.option)
        github_job.report_run(run)
    document = run_json(run, plan)
    if confirmation.as_json:
        terminal.say_json(document)
    elif run is not None:
        terminal.show(run_text(run, again=typed, option=plan.option))
    elif not confirmation.shown:
        confirmation.show(plan, aside=False, gap=False)
    return ExitCode(document["exit_code"])


# ---- Shows which texts become items, asks a person, and says what was done.

SHOWN: Final = 20
"""Items that are listed before a person is asked; `--check` lists all."""


class AdoptionQuestion:
    """Shows which texts would become items, and asks a person to confirm."""

    def __init__(self, session: Session, word: str, *, check: bool, yes: bool) -> None:
        self._session = session
        self._word = word
        self._check = check
        self._yes = yes

    def __call__(self, adoption: Adoption) -> bool:
        """Return whether to write the new items into a manifest. Raises Refused if there is no terminal to ask on."""
        if self._check:
            return False
        if self._yes or not adoption.taken:
            return True
        terminal.report("\n".join(adopted_lines(adoption)))
        terminal.need_person("this", "`--yes` writes it, `--check` shows the text of the manifest")
        terminal.need_yes(said=terminal.confirmed("Write this? (yes/no) "))
        return True

    def answer(self, adoption: Adoption) -> ExitCode:
        """Print which texts became items, or would become items."""
        terminal.report_findings(adoption.findings)
        values: dict[str, Json] = {
            "manifest": adoption.manifest,
            "added": adoption.added,
            "taken": [structs.asdict(one) for one in adoption.taken],
            "known": [structs.asdict(one) for one in adoption.known],
            "findings": diagnostics_json(adoption.findings)["diagnostics"],
            "written": bool(adoption.taken) and not self._check,
        }
        self._session.answer(
            values,
            adoption.added.rstrip("\n") if self._check and adoption.added else adopted_words(adoption, self._word),
        )
        return ExitCode.INCOMPLETE if adoption.refused else ExitCode.DONE


def adopted_lines(adoption: Adoption) -> list[str]:
    """Return a line for each new item."""
    lines = [f"  + {one.path}  ({one.id}{'' if one.generates else ', protected'})" for one in adoption.taken[:SHOWN]]
    if (more := len(adoption.taken) - SHOWN) > 0:
        lines.append(f"  and {more:,} more; `--check` shows all")
    return [*lines, *([f"into {adoption.manifest}"] if adoption.manifest else [])]


def adopted_words(adoption: Adoption, word: str) -> str:
    """Return a sentence that says how many texts became items, or would become items.

    `word` is `adopted` or `imported`.
    """
    parts = [f"{plural(len(adoption.taken), 'text')} {word}"] if adoption.taken else []
    protected = sum(not one.generates for one in adoption.taken)
    if protected:
        which = "" if protected == len(adoption.taken) else f"{protected:,} of them "
        parts[0] += f" ({which}protected, as no template is known)"
    parts += [f"{plural(len(adoption.known), 'text')} already belonging to items"] if adoption.known else []
    parts += [f"{adoption.refused:,} refused"] if adoption.refused else []
    where = f" Items are in {adoption.manifest}." if adoption.manifest else ""
    return f"{', '.join(parts) or 'nothing was found'}.{where}"
