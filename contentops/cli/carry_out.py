"""Carries out a plan on the command line, shows its progress, and handles Ctrl-C."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from msgspec import structs

from contentops.cli.confirmation import Confirmation, NextCommand, finish
from contentops.cli.named_files import check_events_file
from contentops.cli.session import Session
from contentops.cli.terminal import can_animate, can_ask, for_log, report, show, wants_color
from contentops.errors import ExitCode, OutputError, plural
from contentops.execution.primitives import Stop
from contentops.model import Event, Plan, Project, Run
from contentops.model.jobs import spent_words
from contentops.model.plan_file import plan_file
from contentops.operations import apply as operation
from contentops.operations.apply import ApplyOptions
from contentops.operations.runs import EventFile
from contentops.operations.texts import text_of_file
from contentops.planning.sides import Choice
from contentops.reporting.layout import cut, fitted, unpainted
from contentops.reporting.plan_json import plan_pieces
from contentops.reporting.run import Progress, exit_code_of
from contentops.sanitize import ELLIPSIS, visible, visible_lines


def carry_out(
    session: Session,
    project: Project,
    choice: Choice,
    options: ApplyOptions,
    again: NextCommand,
    *,
    yes: bool,
    verbose: bool = False,
    events: str = "",
) -> int:
    """Make a plan, show it, ask the person to confirm it, and carry it out. Return the exit code.

    `again` returns the command that continues a run.
    """
    is_plain = not (yes or events or session.as_json or options.is_bound or choice.replace or choice.canary)
    confirmation = Confirmation(
        lambda: None, yes=yes, as_json=session.as_json, verbose=verbose, offers_first=is_plain and can_ask()
    )
    with contextlib.ExitStack() as signals:
        apply = functools.partial(_apply, session, project, confirmation, signals, events)
        plan, run = apply(choice, options)
        if confirmation.one_first:
            # The same apply twice, under the plan that was confirmed: first limited to one text, then whole.
            ceiling = plan_file(json.loads("".join(plan_pieces(plan, inputs=options.inputs))))
            options = structs.replace(options, is_bound=True, ceiling=ceiling)
            planned = plan.submits
            plan, run = apply(structs.replace(choice, canary=1), options)
            # While a person reads, Ctrl-C ends the command.
            signals.close()
            if run is not None and exit_code_of(run) is ExitCode.DONE:
                others = planned - len(run.outcomes)
                if not confirmation.go_on(_first_text(session, project, run), others):
                    finish(plan, run, confirmation, again)
                    show(f"Paused: {plural(others, 'text')} not written. To go on: `{again(run)}`")
                    return ExitCode.PAUSED
                plan, rest = apply(choice, options)
                run = run if rest is None else rest.after(run)
        # The handler stays until all is printed: a second Ctrl-C must not suppress the summary.
        return finish(plan, run, confirmation, again)


def _apply(
    session: Session,
    project: Project,
    confirmation: Confirmation,
    signals: contextlib.ExitStack,
    events: str,
    choice: Choice,
    options: ApplyOptions,
) -> tuple[Plan, Run | None]:
    with watching(sys.stderr) as display, recorded(display.show, events) as emit:
        confirmation.begin = functools.partial(_begin, signals, display, options.stop)
        return operation.apply(
            project,
            choice,
            options,
            show=confirmation.preview,
            confirm=confirmation,
            emit=emit,
            runtime=session.runtime(),
        )


_BEGINNING = 500
"""Characters of a first text that are shown."""


def _first_text(session: Session, project: Project, run: Run) -> str:
    """Return the beginning of the first text, and the path of its file. The run wrote only this text."""
    (outcome,) = run.outcomes
    text = text_of_file(project, outcome.output)
    words = "" if text is None else "\n\n".join(filter(None, (text.title, text.body)))
    if len(words) > _BEGINNING:
        words = f"{words[:_BEGINNING].rpartition(' ')[0]} {ELLIPSIS}"
    lines = "\n".join(f"  {line}".rstrip() for line in visible_lines(words).split("\n"))
    spent = f"; {spent_words(run.credits, run.tokens)} spent" if run.tokens.is_known else ""
    return f"\n{lines}\n\nThe whole text is in `{visible(str(session.path(outcome.output)))}`{spent}."


def _begin(signals: contextlib.ExitStack, display: Plain, stop: Stop) -> None:
    """From now on, let the first Ctrl-C stop the run gently.

    Before this call, Ctrl-C ends the program, because nothing was done yet.
    """
    signals.enter_context(stopping(stop.request))
    display.start()


# --- Ctrl-C and SIGTERM: the first stops gently, the second at once; both are safe -----------------------------

_STDERR = 2
_FIRST = b"\nstopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once\n"
_SECOND = b"\nexit at once; `contentops apply` continues what is running\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping(request: Callable[[], None]) -> Iterator[None]:
    """While the block runs, let the first signal call `request`, and the second one end the process.

    The exit code is then 130.

    Messages are written directly to the file descriptor, because a handler may run in the middle of a buffered write.
    """
    is_stopping = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            _write(_SECOND)
            os._exit(ExitCode.INTERRUPTED)
        is_stopping = True
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


# ---- Display a run: a moving line on a terminal, plain lines in a log, and events in a file.


_ECHO = 3
"""Columns that stay free at the end of a line."""
_CLEAR = "\r\x1b[2K"
"""Moves to the start of the line and clears it."""


class Plain:
    """A display that prints a line for each state change of an item, and the totals at least every 30 s."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = Progress()

    def start(self) -> None:
        """Begin the display. From now on, nothing else writes to the terminal."""

    def show(self, event: Event) -> None:
        """Print the lines that describe an event."""
        self._write("".join(f"{for_log(line)}\n" for line in self._progress.take(event)))

    def close(self) -> None:
        """End the display, so that other code can write to the terminal."""

    def _write(self, text: str) -> None:
        """Write lines to the stream. A closed stream does not end the run."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text if wants_color(self._stream) else unpainted(text))
            self._stream.flush()


class Moving(Plain):
    """A display that shows a line for each finished item, and below them a line of totals.

    The line of totals is drawn again after each event and each second. It has the counts, the time, the cost so far,
    and what is running. `clock` returns the time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        super().__init__(stream)
        self._progress = Progress(silent=True)
        self._clock = clock
        self._began = False
        self._ended = threading.Event()
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Start to draw the line of totals."""
        self._began = True
        threading.Thread(target=self._each_second, daemon=True).start()

    def _each_second(self) -> None:
        while not self._ended.wait(1):
            self._draw()

    def show(self, event: Event) -> None:
        """Show the line of a finished item, and the totals after this event."""
        with self._one_at_a_time:
            lines = self._progress.take(event)
        if self._began:
            self._draw(lines if event.kind in {"item-done", "note"} else ())

    def close(self) -> None:
        """Remove the line of the totals."""
        self._ended.set()
        if self._began:
            with self._one_at_a_time:
                self._write(_CLEAR)

    def _draw(self, kept: Iterable[str] = ()) -> None:
        columns = shutil.get_terminal_size().columns
        lines = "".join(f"{fitted(each, columns)}\n" for each in kept)
        with self._one_at_a_time:
            # A line that reaches the edge would wrap, also with a `^C` that the terminal echoes.
            line = cut(self._progress.line(self._clock()), max(columns - _ECHO, 1))
            if not self._ended.is_set():
                self._write(f"{_CLEAR}{lines}{line}")


@contextlib.contextmanager
def recorded(show: Callable[[Event], None], path: str) -> Iterator[Callable[[Event], None]]:
    """Yield a function that shows each event and writes it to a file as a line of JSON.

    If `path` is empty, the function only shows events. Raises OutputError if the file cannot be written.
    """
    if not path:
        yield show
        return
    check_events_file(Path(path))
    try:
        opened = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115, PTH123 - closed below
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise OutputError(message, hint="choose another file for `--events`") from error
    file = EventFile(opened, lambda error: report(f"warning[events]: `{path}` cannot be written any more: {error}"))

    def keep(event: Event) -> None:
        file.write(event)
        show(event)

    try:
        yield keep
    finally:
        file.close()


@contextlib.contextmanager
def watching(stream: TextIO) -> Iterator[Plain]:
    """Open the display of a run. A terminal gets lines that change in place; other streams get plain lines."""
    display = Moving(stream) if can_animate(stream) else Plain(stream)
    try:
        yield display
    finally:
        display.close()
