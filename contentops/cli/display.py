"""Shows a run while it goes: moving lines on a terminal, plain ones in a log, and events in a file."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol, TextIO

from contentops.cli import terminal
from contentops.cli.progress import Progress
from contentops.errors import OutputError
from contentops.reporting.run_json import event_json
from contentops.reporting.wrapping import fitted
from contentops.sanitize import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from contentops.model import Event

ROWS = 12
"""Items in work that are shown at once."""
_ECHO = 3
"""Columns kept free."""


class Display(Protocol):
    """Where the events of a run go."""

    def start(self) -> None:
        """The run begins: from now on lines may move."""

    def show(self, event: Event) -> None:
        """Shows an event; never fails, whatever became of the terminal."""

    def stopping(self) -> bool:
        """The run was asked to stop; whether the display says so by itself. Called in a signal handler."""

    def close(self) -> None:
        """Leaves the terminal as it was."""


class Plain:
    """One line per item and state change, and a sign of life at least each 30 s."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = Progress()

    def start(self) -> None:
        """Nothing to prepare."""

    def show(self, event: Event) -> None:
        """Writes the lines of an event; a closed stream is no reason to end the run."""
        with contextlib.suppress(OSError, ValueError):
            for line in self._progress.take(event):
                self._stream.write(f"{terminal.for_log(line)}\n")
            self._stream.flush()

    def stopping(self) -> bool:
        """What is written to the stream stays there: nothing to do."""
        return False

    def close(self) -> None:
        """Nothing to put back."""


class Moving:
    """The items in work and the totals, redrawn in place; what has ended scrolls above."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._progress = Progress(silent=True)
        self._lock = threading.RLock()
        self._console = Console(
            file=stream, no_color=not color, force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._picture,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        """Begins to redraw."""
        self._live.start()

    def show(self, event: Event) -> None:
        """Takes an event in; lines of items that ended are printed above the moving part."""
        from rich.text import Text

        with self._lock:
            lines = self._progress.take(event) if event.kind in {"item-done", "note"} else self._quietly(event)
        with contextlib.suppress(OSError, ValueError):
            for line in lines:
                self._console.print(Text(fitted(line, self._console.width)), soft_wrap=True)

    def redraw(self) -> None:
        """Draws the picture now instead of at its next time."""
        self._live.refresh()

    def _quietly(self, event: Event) -> tuple[str, ...]:
        self._progress.take(event)
        return ()

    def stopping(self) -> bool:
        """The next picture says so."""
        self._progress.stopping = True
        return True

    def close(self) -> None:
        """Removes the moving part."""
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()

    def _picture(self) -> RenderableType:
        """What is in work now. Runs in the thread that redraws."""
        from rich.console import Group
        from rich.constrain import Constrain
        from rich.table import Table
        from rich.text import Text

        from contentops.sanitize import visible

        with self._lock:
            working, waiting = self._progress.in_work()
            rows = [(visible(item), active.words()) for item, active in working[:ROWS]]
            hidden = len(working) - len(rows)
            lines = [self._progress.counts(), self._progress.now()]
        grid = Table.grid(padding=(0, 2))
        for item, words in rows:
            grid.add_row(Text(f"  {item}", no_wrap=True, overflow="ellipsis"), Text(words, style="dim", no_wrap=True))
        if hidden:
            grid.add_row(Text(f"  and {hidden} more", style="dim"))
        folded = [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in waiting]
        ending = [Text(line, style="bold", no_wrap=True, overflow="ellipsis") for line in lines if line]
        # Room at the end of each line: a `^C` that the terminal echoes there must not begin another one.
        return Constrain(Group(*([grid] if rows else []), *folded, *ending), max(self._console.width - _ECHO, 1))


class Recorded:
    """A display whose events also go to a file, one JSON object a line."""

    def __init__(self, display: Display, path: str) -> None:
        self._display = display
        self._path = path
        try:
            self._file: TextIO | None = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115, PTH123 - see close
        except OSError as error:
            message = f"`{path}` cannot be written: {error.strerror or error}"
            raise OutputError(message, hint="choose another file for `--events`") from error

    def start(self) -> None:
        """Starts the display."""
        self._display.start()

    def show(self, event: Event) -> None:
        """Writes the event, whole and at once; a full disk ends the file, not the run."""
        if self._file is not None:
            try:
                self._file.write(json_text(event_json(event), indent=None) + "\n")
                self._file.flush()
            except (OSError, ValueError, TypeError) as error:
                self._end_file()
                terminal.tell(f"warning[events]: `{self._path}` cannot be written any more: {error}")
        self._display.show(event)

    def stopping(self) -> bool:
        """As the display does."""
        return self._display.stopping()

    def close(self) -> None:
        """Closes both."""
        self._end_file()
        self._display.close()

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def watching(stream: TextIO, *, events: str = "") -> Iterator[Display]:
    """The display that fits `stream`, and a file of events if `events` names one; raises OutputError if it cannot."""
    display: Display = (
        Moving(stream, color=terminal.wants_color(stream)) if terminal.can_animate(stream) else Plain(stream)
    )
    if events:
        display = Recorded(display, events)
    try:
        yield display
    finally:
        display.close()
