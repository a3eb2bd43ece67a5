"""Show a plan and ask before it is carried out, and print the result at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from contentops.cli import github_job, terminal
from contentops.cli.terminal import watching
from contentops.errors import ExitCode, plural
from contentops.operations import apply as operation
from contentops.reporting.diagnostics import diagnostics_json
from contentops.reporting.layout import fitted
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import as_typed, run_json, run_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from contentops.cli.session import Session
    from contentops.cli.terminal import Display
    from contentops.execution.primitives import Stop
    from contentops.model import Json, Plan, Project, Run
    from contentops.operations.adopt import Adoption
    from contentops.operations.apply import ApplyOptions
    from contentops.operations.opening import Runtime
    from contentops.planning.sides import Choice


# ---- Show a plan and ask before it is carried out, and print the result at the end.

if TYPE_CHECKING:
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


# ---- Shows which texts become items, asks a person, and says what was done.

SHOWN: Final = 20
"""Items that are listed before a person is asked; `--check` lists all."""


class AdoptionQuestion:
    """Shows what would be written and asks a person."""

    def __init__(self, session: Session, word: str, *, check: bool, yes: bool) -> None:
        self._session = session
        self._word = word
        self._check = check
        self._yes = yes

    def __call__(self, adoption: Adoption) -> bool:
        """Return whether to go on. Raises Refused without a terminal to ask on."""
        if self._check:
            return False
        # What an apply will do to the texts is said before anything is written.
        terminal.report_findings(adoption.drafts)
        if self._yes or not adoption.taken:
            return True
        terminal.report("\n".join(adopted_lines(adoption)))
        terminal.need_person("this", "`--yes` writes it, `--check` shows the text of the manifest")
        terminal.need_yes(said=terminal.confirmed("Write this? (yes/no) "))
        return True

    def answer(self, adoption: Adoption) -> ExitCode:
        """Print what was done, or would be done."""
        said = () if self._check else adoption.drafts
        terminal.report_findings([one for one in adoption.findings if one not in said], grouped=True)
        self._session.answer(
            adopted_json(adoption, written=not self._check),
            adoption.added.rstrip("\n") if self._check and adoption.added else adopted_words(adoption, self._word),
        )
        return ExitCode.INCOMPLETE if adoption.refused else ExitCode.DONE


def adopted_json(adoption: Adoption, *, written: bool) -> dict[str, Json]:
    """Return what became items as JSON."""
    return {
        "manifest": adoption.manifest,
        "added": adoption.added,
        "taken": [structs.asdict(one) for one in adoption.taken],
        "known": [structs.asdict(one) for one in adoption.known],
        "findings": diagnostics_json(adoption.findings)["diagnostics"],
        "written": bool(adoption.taken) and written,
    }


def adopted_lines(adoption: Adoption) -> list[str]:
    """Return a line for each new item."""
    lines = [f"  + {one.path}  ({one.id}{'' if one.generates else ', protected'})" for one in adoption.taken[:SHOWN]]
    if more := len(adoption.taken) - SHOWN:
        lines += [f"  and {more:,} more; `--check` shows all"] if more > 0 else []
    return [*lines, *([f"into {adoption.manifest}"] if adoption.manifest else [])]


def adopted_words(adoption: Adoption, word: str) -> str:
    """Return how many texts became items, or would; `word`: `adopted` or `imported`."""
    parts = [f"{plural(len(adoption.taken), 'text')} {word}"] if adoption.taken else []
    protected = sum(not one.generates for one in adoption.taken)
    if protected:
        which = "" if protected == len(adoption.taken) else f"{protected:,} of them "
        parts[0] += f" ({which}protected, as no template is known)"
    parts += [f"{plural(len(adoption.known), 'text')} already belonging to items"] if adoption.known else []
    parts += [f"{adoption.refused:,} refused"] if adoption.refused else []
    where = f" Items are in {adoption.manifest}." if adoption.manifest else ""
    return f"{', '.join(parts) or 'nothing was found'}.{where}"


# ---- Carry out a plan on the command line, with progress and Ctrl-C.


def carry_out(
    project: Project, choice: Choice, options: ApplyOptions, runtime: Runtime, manner: Manner, again: NextCommand
) -> int:
    """Plan, show, ask and apply; return the exit code. `again`: returns the command that continues a run."""
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
                runtime=runtime,
            )
        # The handler stays until all is printed: a second Ctrl-C must not suppress the summary.
        return finish(plan, run, confirmation, again, as_json=manner.as_json)


def _begin(signals: contextlib.ExitStack, display: Display, stop: Stop) -> None:
    """From here on, let the first Ctrl-C stop gently. Before, it ends the program, because nothing was done yet."""
    signals.enter_context(stopping(stop.request, displayed=display.stopping))
    display.start()


# --- Ctrl-C and SIGTERM: the first stops gently, the second at once; both are safe -----------------------------

_STDERR = 2
_FIRST = b"\nstopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once\n"
_SHOW_CURSOR = b"\x1b[?25h"
_SECOND = b"\nexit at once; `contentops apply` continues what is running\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping(request: Callable[[], None], *, displayed: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """While open, the first signal calls `request` and the second ends the process with 130.

    `displayed`: tells whether a display shows that the run is stopping; it is called in the handler, so it must only
    set a flag. Writes go to the file descriptor: a handler may run in the middle of a buffered write.
    """
    is_stopping = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            # A display may have hidden the cursor.
            _write(_SHOW_CURSOR + _SECOND if os.isatty(_STDERR) else _SECOND)
            os._exit(ExitCode.INTERRUPTED)
        is_stopping = True
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
