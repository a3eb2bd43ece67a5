"""Display a run: a moving line on a terminal, plain lines in a log, and events in a file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from contentops.cli.named_files import check_events_file
from contentops.cli.terminal import can_animate, for_log, report
from contentops.errors import OutputError
from contentops.model import Event
from contentops.operations.runs import EventFile
from contentops.reporting.layout import cut, fitted
from contentops.reporting.run import Progress
from contentops.sanitize import visible

_ECHO = 3
"""Columns kept free."""
_CLEAR = "\r\x1b[2K"
"""Moves to the start of the line and clears it."""


class Display:
    """A display of a run; this one shows nothing."""

    def start(self) -> None:
        """Begin to draw: nothing else writes to the terminal from now on."""

    def show(self, event: Event) -> None:
        """Show an event; never fails."""

    def close(self) -> None:
        """Restore the terminal."""


class Plain(Display):
    """Shows a line per item and state change, and the totals at least every 30 s."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = Progress()

    def show(self, event: Event) -> None:
        """Write the lines of an event; a closed stream does not end the run."""
        with contextlib.suppress(OSError, ValueError):
            for line in self._progress.take(event):
                self._stream.write(f"{for_log(line)}\n")
            self._stream.flush()


class Moving(Display):
    """Shows the lines of finished items, and under them one line with the totals, which is written again and again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = Progress(silent=True)
        self._began = False

    def start(self) -> None:
        """Begin to draw."""
        self._began = True

    def show(self, event: Event) -> None:
        """Show the line of a finished item, and the totals after this event."""
        lines = self._progress.take(event)
        if self._began:
            columns = shutil.get_terminal_size().columns
            kept = lines if event.kind in {"item-done", "note"} else ()
            running = [f"; {visible(item)}: {active.words()}" for item, active in self._progress.active.items()]
            line = self._progress.totals() + (running[0] if len(running) == 1 else "")
            # A line that reaches the edge would wrap, also with a `^C` that the terminal echoes.
            line = cut(line, max(columns - _ECHO, 1))
            self._write("".join(f"{fitted(each, columns)}\n" for each in kept) + line)

    def close(self) -> None:
        """Remove the line of the totals."""
        if self._began:
            self._write("")

    def _write(self, text: str) -> None:
        """Replace the line of the totals; a closed stream does not end the run."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{_CLEAR}{text}")
            self._stream.flush()


@contextlib.contextmanager
def recorded(show: Callable[[Event], None], path: str) -> Iterator[Callable[[Event], None]]:
    """Give a function that writes each event to a file, one JSON object a line, and shows it.

    `path` empty: it only shows them. Raises OutputError where the file cannot be written.
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
def watching(stream: TextIO) -> Iterator[Display]:
    """Open the display that fits `stream`."""
    display: Display = Moving(stream) if can_animate(stream) else Plain(stream)
    try:
        yield display
    finally:
        display.close()
