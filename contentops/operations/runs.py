"""Handles the runs that review pages start, the events of the last run, and the reports of earlier runs."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TextIO

import msgspec

from contentops.atomic_io import PRIVATE, read_file
from contentops.documents.folders import Tree
from contentops.errors import ContentopsError, LockHeld, StateError
from contentops.execution.primitives import Stop, iso
from contentops.json_reader import DeepJson, decode_json
from contentops.model import Event, Plan, Project
from contentops.model.run import KeptReport
from contentops.operations.opening import Runtime
from contentops.reporting.run import LiveRun, Progress, event_json
from contentops.sanitize import json_text
from contentops.state import state_dir
from contentops.state.state_dir import FOLDER, make_folder

# ---- Runs an apply that a page started, one at a time, in a thread of the server.


class Task(threading.Thread):
    """A run that a review page started. `said` is its result in words, and `error` the reason for a failure."""

    def __init__(self, work: Callable[[Stop], str]) -> None:
        # A daemon: a second Ctrl-C ends the process as it ends an apply in a terminal, which is safe.
        super().__init__(name="apply", daemon=True)
        self._work = work
        self.stop = Stop()
        self.said = ""
        self.error: ContentopsError | None = ContentopsError("this is a bug in contentops; the terminal shows it")

    def run(self) -> None:
        """Do the work in the task's thread."""
        try:
            self.said, self.error = self._work(self.stop), None
        except ContentopsError as error:
            self.error = error

    def is_done(self, seconds: float = 0.0) -> bool:
        """Wait for at most `seconds`, and return whether the task is done."""
        self.join(seconds)
        return not self.is_alive()

    def taken(self) -> tuple[str, ContentopsError | None]:
        """Return the result of the task. It is returned only once; later calls return nothing."""
        taken = (self.said, self.error)
        self.said, self.error = "", None
        return taken


class BackgroundRunner:
    """Starts tasks, one at a time; `task` is the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.task: Task | None = None

    def start(self, work: Callable[[Stop], str]) -> Task:
        """Start a task. Raises LockHeld while another task is running."""
        with self._lock:
            if not self.is_idle:
                raise LockHeld("this page carries out another action", hint="wait for it: the page of the run shows it")
            self.task = Task(work)
            self.task.start()
            return self.task

    @property
    def is_idle(self) -> bool:
        """Return whether no task is running."""
        return self.task is None or self.task.is_done()

    def stop(self) -> None:
        """Ask the current task to submit nothing more."""
        if self.task is not None:
            self.task.stop.request()

    def close(self) -> None:
        """Ask the current task to submit nothing more, and wait until it has ended."""
        self.stop()
        if self.task is not None:
            while not self.task.is_done(1.0):
                pass


# ---- The events of the last run, kept in `.contentops`, so that a page shows a run wherever it was started.

_FIRST: Final = 4096
"""Bytes of the first line that are compared."""


class EventFile:
    """A file that gets the events of a run, one JSON object on each line.

    If the disk is full, the file ends, but the run goes on.
    """

    def __init__(self, file: TextIO | None, failed: Callable[[Exception], object] = lambda _: None) -> None:
        """Write to the open `file`, or write nothing if it is None.

        `failed` is called with the reason if writing fails.
        """
        self._file = file
        self._failed = failed

    def write(self, event: Event) -> None:
        """Write an event at once. It never raises an error."""
        if self._file is not None:
            try:
                self._file.write(json_text(event_json(event), indent=None) + "\n")
                self._file.flush()
            except (OSError, ValueError, TypeError) as error:
                self.close()
                self._failed(error)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def keeping_events(
    project: Project, plan: Plan, emit: Callable[[Event], None], runtime: Runtime
) -> Iterator[Callable[[Event], None]]:
    """Yield a function that stores each event of a run and passes it to `emit`.

    A full disk does not end the run.
    """
    file = EventFile(_opened(project))

    def keep(event: Event) -> None:
        file.write(event)
        emit(event)

    def frame(kind: str, **data: str) -> None:
        file.write(Event(kind=kind, at=iso(runtime.wall()), data=data))

    frame("run-planned", plan=plan.id, who=state_dir.user_at_host(), run=secrets.token_hex(8))
    try:
        yield keep
    except ContentopsError as error:
        frame("run-ended", error=error.message)
        raise
    else:
        frame("run-ended")
    finally:
        file.close()


def _path(project: Project) -> Path:
    return Path(project.root) / state_dir.FOLDER / state_dir.named("events", project.environment, "jsonl")


def _opened(project: Project) -> TextIO | None:
    """Return a new file for events, or None if it cannot be made."""
    path = _path(project)
    try:
        state_dir.make(Path(project.root))
        path.unlink(missing_ok=True)  # whoever reads the old one sees by the new file that another run began
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        return os.fdopen(handle, "w", encoding="utf-8", newline="\n")
    except (OSError, StateError):
        return None


class RunReader:
    """Reads the events of the last run while that run goes on; several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first = b""
        """The first line of the file: the name of its run."""
        self._start_over()

    def _start_over(self) -> None:
        self._at = 0
        self._progress = Progress(silent=True)

    def read(self, project: Project) -> LiveRun | None:
        """Return the last run of this environment, or the command that is running now.

        Returns None if there is neither.
        """
        with self._lock:
            try:
                state_dir.inspect(Path(project.root))
                with _path(project).open("rb") as file:
                    self._read_on(file.fileno())
            except FileNotFoundError:
                self._start_over()
                self._first = b""
            except OSError as error:
                raise StateError(f"the events of the last run cannot be read: {error.strerror or error}") from error
            runs = bool(state_dir.who_runs(Path(project.root), project.environment))
            if runs and (not self._first or self._progress.run.ended):
                # It has no events yet: those that are there are of a run before it.
                return LiveRun(working=True, counts="it has begun with no item yet")
            return self._progress.live(goes_on=runs) if self._first else None

    def running(self, project: Project) -> LiveRun | None:
        """Return the apply of this environment that is running now, or None."""
        run = self.read(project)
        return run if run is not None and run.working else None

    def _read_on(self, handle: int) -> None:
        """Read the events that were added since the last call."""
        info = os.fstat(handle)
        os.lseek(handle, 0, os.SEEK_SET)
        first = os.read(handle, _FIRST).partition(b"\n")[0]
        # A new file may get the number of the old one, so the number does not distinguish them.
        if first != self._first or info.st_size < self._at:
            self._start_over()
            self._first = first
        os.lseek(handle, self._at, os.SEEK_SET)
        data = os.read(handle, max(info.st_size - self._at, 0))
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.MsgspecError, DeepJson):
                self._progress.take(decode_json(line, Event))


# ---- Keep and read the reports of the runs of this machine, in `.contentops/runs/`.

KEPT_RUNS = 200
"""How many reports of runs are kept."""
_LARGEST = 64 << 20
"""Bytes of the largest report that is read."""


def keep_report(project: Project, name: str, document: bytes) -> None:
    """Write the report of a run, and delete the oldest reports.

    Raises OSError, and StateError or OutputError if a link or a file has the path of the folder.
    """
    folder = _folder(project)
    make_folder(folder)
    # Deleting through the opened folder is safe though its name may lead elsewhere by now.
    with Tree(str(folder.parent)).folder([folder.name]) as runs:
        with os.fdopen(runs.make_file(name, PRIVATE), "wb") as file:
            file.write(document)
        for old in sorted((each for each in runs.names() if each.endswith(".json")), reverse=True)[KEPT_RUNS:]:
            runs.unlink(old)


def kept_reports(project: Project) -> tuple[KeptReport, ...]:
    """Return the reports of this environment's runs on this machine, the newest first.

    Unreadable reports are left out.
    """
    reports: list[KeptReport] = []
    for path in sorted(_folder(project).glob("*.json"), reverse=True)[:KEPT_RUNS]:
        with contextlib.suppress(OSError, ContentopsError, msgspec.MsgspecError, ValueError):
            reports.append(decode_json(read_file(path, _LARGEST), KeptReport))
    return tuple(report for report in reports if report.environment == project.environment)


def _folder(project: Project) -> Path:
    return Path(project.root) / FOLDER / "runs"
