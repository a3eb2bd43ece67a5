"""Print to the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from contentops.ci import runner
from contentops.cli.options import check_events_place
from contentops.errors import OutputError, Refused
from contentops.reporting.diagnostics import inert, inert_json
from contentops.reporting.layout import fitted, unpainted
from contentops.reporting.run import Progress, event_json
from contentops.sanitize import json_text, visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import RenderableType

    from contentops.errors import Diagnostic
    from contentops.model import Event, Json


# ---- Print to the terminal: results to stdout, everything else to stderr.


def wants_color(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether to use colour on `stream` (default: stdout): `NO_COLOR` wins over `FORCE_COLOR`."""
    env = os.environ if environ is None else environ
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return (stream or sys.stdout).isatty() and env.get("TERM") != "dumb"


def in_ci(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether a CI system runs us: then there is no prompt and no moving display."""
    return runner.in_ci(os.environ if environ is None else environ)


def can_animate(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether lines may be redrawn; `FORCE_COLOR` does not count."""
    env = os.environ if environ is None else environ
    return stream.isatty() and env.get("TERM") != "dumb" and not in_ci(env)


def width(stream: TextIO | None = None) -> int:
    """Return how many columns a line of a stream (default: stdout) may have; 0: any, where no person reads it."""
    if in_ci() or not (stream or sys.stdout).isatty():
        return 0
    import shutil

    return shutil.get_terminal_size().columns


def can_ask() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not in_ci()


def confirmed(question: str) -> bool:
    """Ask a person; return whether the answer is yes."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def need_person(action: str, hint: str) -> None:
    """Raise Refused where no person can confirm an action."""
    if not can_ask():
        message = f"{action} needs confirmation, and there is no terminal to ask on"
        raise Refused(message, code="not-confirmed", hint=hint)


def need_yes(*, said: bool) -> None:
    """Raise Refused where a person did not say yes."""
    if not said:
        raise Refused("not confirmed; nothing was done", code="not-confirmed")


def say(text: str) -> None:
    """Print a result to stdout, in colour where wanted; nothing for an empty one."""
    if text:
        sys.stdout.write(f"{for_stdout(text if wants_color() else unpainted(text))}\n")
        sys.stdout.flush()


def show(text: str) -> None:
    """Print a result to stdout, its lines fitted to the terminal."""
    say(fitted(text, width()))


def say_json(value: Json) -> None:
    """Print a result to stdout as JSON."""
    text = json_text(value)
    say(inert_json(text) if in_ci() else text)


def say_json_pieces(pieces: Iterable[str]) -> None:
    """Print a long result in JSON to stdout, piece by piece."""
    for piece in pieces:
        sys.stdout.write(for_stdout(inert_json(piece) if in_ci() else piece))
    sys.stdout.write("\n")
    sys.stdout.flush()


def say_document(text: str) -> None:
    """Print the text of a file to stdout: exactly, but on a terminal with unsafe characters made visible."""
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else for_stdout(text))
    sys.stdout.flush()


def harmless(text: str) -> str:
    """Return `text` with every control character but newline and tab made visible, and a newline at its end."""
    return visible_lines(text.replace("\r\n", "\n").removesuffix("\n")) + "\n"


def say_csv(text: str) -> None:
    """Print CSV to stdout: UTF-8, with its own line ends, on every system."""
    sys.stdout.flush()
    sys.stdout.buffer.write(for_stdout(text).encode())
    sys.stdout.buffer.flush()


def report(text: str) -> None:
    """Print a message to stderr, in colour where wanted; nothing for an empty one."""
    if text:
        shown = fitted(text if wants_color(sys.stderr) else unpainted(text), width(sys.stderr))
        sys.stderr.write(f"{for_log(shown)}\n")
        sys.stderr.flush()


def report_line(line: str) -> None:
    """Print a line to stderr whose text may come from others."""
    report(visible(line))


def report_findings(findings: Iterable[Diagnostic], *, gap: bool = False, grouped: bool = False) -> None:
    """Print findings to stderr, an empty line after them with `gap`; `grouped`: those that differ in names together."""
    shown = tuple(findings)
    if not shown:
        return
    from contentops.reporting.diagnostics import diagnostics_text

    text = diagnostics_text(shown, grouped=grouped)
    report(f"{text}\n" if gap else text)


def read_by_runner() -> bool:
    """Return whether a runner of GitHub reads what we print."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def for_log(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return `text` for a log: under CI, without commands to the runner."""
    return inert(text) if in_ci(environ) else text


def for_stdout(text: str) -> str:
    """Return `text` for stdout: as `for_log`, but unchanged where stdout is a file, which no runner obeys."""
    return text if in_ci() and _is_file(sys.stdout) else for_log(text)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


# ---- Display a run: moving lines on a terminal, plain ones in a log, and events in a file.

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


class Recorded(Display):
    """A display that also writes events to a file, one JSON object a line. Raises OutputError where it cannot."""

    def __init__(self, display: Display, path: str) -> None:
        self._display, self._path = display, path
        check_events_place(Path(path))
        try:
            self._file: TextIO | None = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115, PTH123 - see close
        except OSError as error:
            message = f"`{path}` cannot be written: {error.strerror or error}"
            raise OutputError(message, hint="choose another file for `--events`") from error

    def start(self) -> None:
        """Start the display."""
        self._display.start()

    def show(self, event: Event) -> None:
        """Write the event at once; a full disk ends the file, not the run."""
        if self._file is not None:
            try:
                self._file.write(json_text(event_json(event), indent=None) + "\n")
                self._file.flush()
            except (OSError, ValueError, TypeError) as error:
                self._end_file()
                report(f"warning[events]: `{self._path}` cannot be written any more: {error}")
        self._display.show(event)

    def stopping(self) -> bool:
        """Do as the other display does."""
        return self._display.stopping()

    def close(self) -> None:
        """Close the file and the display."""
        self._end_file()
        self._display.close()

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def watching(stream: TextIO, *, events: str = "") -> Iterator[Display]:
    """Open the display that fits `stream`, and a file of `events` if it is named. Raises OutputError."""
    display: Display = Moving(stream, color=wants_color(stream)) if can_animate(stream) else Plain(stream)
    if events:
        display = Recorded(display, events)
    try:
        yield display
    finally:
        display.close()
