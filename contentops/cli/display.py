"""Display a run: moving lines on a terminal, plain ones in a log, and events in a file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from contentops.cli.named_files import check_events_place
from contentops.cli.terminal import can_animate, for_log, report, wants_color
from contentops.errors import OutputError
from contentops.model import Event
from contentops.operations.runs import EventFile
from contentops.reporting.layout import fitted
from contentops.reporting.run import Progress
from contentops.sanitize import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 12
"""Running items that are shown at once."""
_ECHO = 3
"""Columns kept free."""


class Display:
    """A display of a run; this one shows nothing."""

    def start(self) -> None:
        """Begin to draw: nothing else writes to the terminal from now on."""

    def show(self, event: Event) -> None:
        """Show an event; never fails."""

    def stopping(self) -> bool:
        """Note that the run stops; return whether the display shows it. Called in a signal handler."""
        return False

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
    """Redraws the running items and the totals in place; lines of finished items scroll above."""

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
        """Begin to redraw."""
        self._live.start()

    def show(self, event: Event) -> None:
        """Take an event in, and print the lines of finished items above the moving part."""
        from rich.text import Text

        with self._lock:
            lines = self._progress.take(event)
        with contextlib.suppress(OSError, ValueError):
            for line in lines if event.kind in {"item-done", "note"} else ():
                self._console.print(Text(fitted(line, self._console.width)), soft_wrap=True)

    def redraw(self) -> None:
        """Draw now instead of at the next interval."""
        self._live.refresh()

    def stopping(self) -> bool:
        """Show it from the next drawing on."""
        self._progress.stopping = True
        return True

    def close(self) -> None:
        """Remove the moving part."""
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()

    def _picture(self) -> RenderableType:
        """Return what is drawn. Runs in the thread that redraws."""
        from rich.console import Group
        from rich.constrain import Constrain
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            running, waiting = self._progress.running()
            rows = [(visible(item), active.words()) for item, active in running[:ROWS]]
            hidden = len(running) - len(rows)
            lines = [self._progress.counts(), self._progress.now()]
        grid = Table.grid(padding=(0, 2))
        for item, words in rows:
            grid.add_row(Text(f"  {item}", no_wrap=True, overflow="ellipsis"), Text(words, style="dim", no_wrap=True))
        if hidden:
            grid.add_row(Text(f"  and {hidden} more", style="dim"))
        folded = [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in waiting]
        ending = [Text(line, style="bold", no_wrap=True, overflow="ellipsis") for line in lines if line]
        # Columns stay free, since a `^C` that the terminal echoes must not wrap the line.
        return Constrain(Group(*([grid] if rows else []), *folded, *ending), max(self._console.width - _ECHO, 1))


@contextlib.contextmanager
def recorded(show: Callable[[Event], None], path: str) -> Iterator[Callable[[Event], None]]:
    """Give a function that writes each event to a file, one JSON object a line, and shows it.

    `path` empty: it only shows them. Raises OutputError where the file cannot be written.
    """
    if not path:
        yield show
        return
    check_events_place(Path(path))
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
    display: Display = Moving(stream, color=wants_color(stream)) if can_animate(stream) else Plain(stream)
    try:
        yield display
    finally:
        display.close()
