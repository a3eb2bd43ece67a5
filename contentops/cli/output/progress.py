"""Shows a run while it goes: moving lines on a terminal, plain ones in a log, and events in a file.

What it is doing right now is told from its events; that part is pure, so that every display says the same. Of an
event's data these keys are read, each optional: `items`, `submits`, `credits` (run-started); `action` (item-started);
`job` (step-done of `submit`); `stage`, `progress` from 0 to 1 (progress); `on`, `seconds`, `left`, `why` (waiting);
`action`, `result`, `credits`, `output`, `error` (item-done); `message` (note).
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from contentops.cli.named_files import check_events_place
from contentops.cli.output import terminal
from contentops.errors import OutputError, plural
from contentops.reporting.layout import fitted
from contentops.reporting.run import event_json
from contentops.sanitize import clip, json_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from contentops.model import Event, Json

HEARTBEAT = 30.0
"""Seconds after which a log hears that the run is alive."""
_WORDS = 200
_WAITS = {
    "limit": "the rate limit",
    "answer": "an answer",
    "retry": "the next try",
    "first-job": "the first job of this server",
    "turn": "its turn",
}
"""What an event calls it, and a person."""
_NOT_COUNTED = frozenset({"done", "pending"})
_STOPPING = "stopping: nothing new is submitted; Ctrl-C again exits at once"


@dataclass(slots=True)
class Active:
    """An item in work."""

    step: str = ""
    stage: str = ""
    progress: float | None = None
    waits: str = ""
    """What the item cannot go on without, as an event calls it."""

    def words(self) -> str:
        """Such as `poll: writer 60 %`."""
        if self.waits:
            return f"waiting for {_WAITS.get(self.waits, self.waits)}"
        share = "" if self.progress is None else f"{self.progress:.0%}"
        detail = " ".join(part for part in (self.stage, share) if part)
        return ": ".join(part for part in (self.step, detail) if part) or "waiting"


@dataclass(slots=True)
class Progress:
    """Where a run stands; `take` is the only thing that changes it."""

    total: int = 0
    credits: int = 0
    active: dict[str, Active] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    """Items by result."""
    waits: str = ""
    """What the run waits for, or empty."""
    stopping: bool = False
    """A person asked it to stop."""
    silent: bool = False
    """Whether the totals are in sight anyway, so that a sign of life would say them twice."""
    _spoken: float | None = None

    def take(self, event: Event) -> tuple[str, ...]:
        """Takes an event in; returns the lines a log should show for it, a sign of life at least each 30 s."""
        reader = _READERS.get(event.kind)
        lines = reader(self, event) if reader else ()
        at = _seconds(event.at)
        if at is not None:
            quiet_since = at if self._spoken is None else self._spoken
            if not lines and not self.silent and at - quiet_since >= HEARTBEAT:
                lines = (self.totals(),)
            self._spoken = at if lines else quiet_since
        return lines

    def totals(self) -> str:
        """Such as `3 of 20 ended, 1 failed, 5 in work, 12 credits; waiting for the rate limit (12 s)`."""
        return "; ".join(part for part in (self.counts(), self.now()) if part)

    def now(self) -> str:
        """What it waits for, or that it stops; empty where there is nothing to say."""
        return _STOPPING if self.stopping else self.waits

    def in_work(self) -> tuple[list[tuple[str, Active]], list[str]]:
        """The items something is done for, and a line for those that wait, such as `3 items: waiting for an answer`."""
        working = [(item, active) for item, active in self.active.items() if not active.waits]
        waiting = Counter(active.words() for active in self.active.values() if active.waits)
        return working, [f"{plural(number, 'item')}: {words}" for words, number in waiting.items()]

    def counts(self) -> str:
        """Such as `3 of 20 ended, 1 failed, 5 in work, 12 credits`."""
        finished = self._finished()
        others = [f"{number:,} {name}" for name, number in sorted(self.done.items()) if name not in _NOT_COUNTED]
        parts = [f"{finished:,} of {max(self.total, finished):,} ended", *others]
        if self.active:
            parts.append(f"{len(self.active):,} in work")
        parts.append(plural(self.credits, "credit"))
        return ", ".join(parts)

    def _finished(self) -> int:
        return self.done.total() - self.done["pending"]

    def place(self) -> str:
        """Such as `[3/20]`."""
        finished = self._finished()
        return f"[{finished}/{max(self.total, finished)}]"


# --- one reader per kind of event --------------------------------------------------------------------------


def _run_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.total = _whole(event, "items")
    price = plural(_whole(event, "credits"), "credit")
    return (f"apply: {plural(progress.total, 'item')}, {plural(_whole(event, 'submits'), 'submit')}, {price}",)


def _item_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.active[event.item] = Active(step=_text(event, "action"))
    return ()


def _step_started(progress: Progress, event: Event) -> tuple[str, ...]:
    progress.waits = ""
    progress.active[event.item] = Active(step=visible(event.step))
    return ()


def _step_done(progress: Progress, event: Event) -> tuple[str, ...]:
    if event.step == "poll":
        # A job has ended, so it was not the first one that the others go on waiting for.
        for active in progress.active.values():
            active.waits = "turn" if active.waits == "first-job" else active.waits
    return (f"{visible(event.item)}: submitted",) if event.step == "submit" and "job" in event.data else ()


def _in_progress(progress: Progress, event: Event) -> tuple[str, ...]:
    active = progress.active.setdefault(event.item, Active(step=visible(event.step)))
    active.stage, active.waits = _text(event, "stage"), ""
    share = _number(event, "progress")
    active.progress = share if share is not None and 0 <= share <= 1 else None
    return ()


def _waiting(progress: Progress, event: Event) -> tuple[str, ...]:
    cause = _text(event, "on")
    if event.item:
        progress.active.setdefault(event.item, Active(step=visible(event.step))).waits = cause
        return ()
    cause = _WAITS.get(cause, cause) or "the server"
    span, remaining = _number(event, "seconds") or 0.0, _number(event, "left") or 0.0
    progress.waits = f"waiting for {cause}" + (f" ({span:.0f} s)" if round(span, 1) > 0.5 else "")
    progress.waits += f": {why}" if (why := _text(event, "why")) else ""
    if remaining > 0:
        progress.waits += (
            f"; about {max(1, round(remaining / 60))} min left"
            if remaining >= 60
            else f"; about {remaining:.0f} s left"
        )
    return ()


def _item_done(progress: Progress, event: Event) -> tuple[str, ...]:
    result = _text(event, "result") or "done"
    spent = _whole(event, "credits")
    progress.active.pop(event.item, None)
    progress.done[result] += 1
    progress.credits += spent
    if result == "pending" or (result == "blocked" and event.data.get("action") == "blocked"):
        # What a stopped run did not get to is counted at its end; what the plan held back stands in the plan.
        return ()
    price = f", {plural(spent, 'credit')}" if spent else ""
    output = _text(event, "output")
    error = _text(event, "error")
    tail = (f" -> {output}" if output and result == "done" else "") + (f": {error}" if error else "")
    return (f"{progress.place()} {visible(event.item)}: {result}{price}{tail}",)


def _note(_progress: Progress, event: Event) -> tuple[str, ...]:
    about = f"{visible(event.item)}: " if event.item else ""
    return (f"note: {about}{_text(event, 'message')}",)


_READERS = {
    "run-started": _run_started,
    "item-started": _item_started,
    "step-started": _step_started,
    "step-done": _step_done,
    "progress": _in_progress,
    "waiting": _waiting,
    "item-done": _item_done,
    "note": _note,
}


def _text(event: Event, key: str) -> str:
    value: Json = event.data.get(key)
    return clip(visible(value), _WORDS) if isinstance(value, str) else ""


def _whole(event: Event, key: str) -> int:
    value: Json = event.data.get(key)
    return value if isinstance(value, int) else 0


def _number(event: Event, key: str) -> float | None:
    value: Json = event.data.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _seconds(at: str) -> float | None:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None


# --- displays ----------------------------------------------------------------------------------------------

ROWS = 12
"""Items in work that are shown at once."""
_ECHO = 3
"""Columns kept free."""


class Display:
    """Where the events of a run go; nothing is shown by this one."""

    def start(self) -> None:
        """The run begins: from now on lines may move."""

    def show(self, event: Event) -> None:
        """Shows an event; never fails, whatever became of the terminal."""

    def stopping(self) -> bool:
        """The run was asked to stop; whether the display says so by itself. Called in a signal handler."""
        return False

    def close(self) -> None:
        """Leaves the terminal as it was."""


class Plain(Display):
    """One line per item and state change, and a sign of life at least each 30 s."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = Progress()

    def show(self, event: Event) -> None:
        """Writes the lines of an event; a closed stream is no reason to end the run."""
        with contextlib.suppress(OSError, ValueError):
            for line in self._progress.take(event):
                self._stream.write(f"{terminal.for_log(line)}\n")
            self._stream.flush()


class Moving(Display):
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
            lines = self._progress.take(event)
        with contextlib.suppress(OSError, ValueError):
            for line in lines if event.kind in {"item-done", "note"} else ():
                self._console.print(Text(fitted(line, self._console.width)), soft_wrap=True)

    def redraw(self) -> None:
        """Draws the picture now instead of at its next time."""
        self._live.refresh()

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


class Recorded(Display):
    """A display whose events also go to a file, one JSON object a line. Raises OutputError where none can be there."""

    def __init__(self, display: Display, path: str) -> None:
        self._display, self._path = display, path
        check_events_place(Path(path))
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
                terminal.report(f"warning[events]: `{self._path}` cannot be written any more: {error}")
        self._display.show(event)

    def stopping(self) -> bool:
        """As the other display."""
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
