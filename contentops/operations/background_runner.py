"""Runs an apply that a page started, one at a time, in a thread of the server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from contentops.errors import ContentopsError, LockHeld
from contentops.execution.primitives import Stop

if TYPE_CHECKING:
    from collections.abc import Callable


class Task(threading.Thread):
    """A piece of work: `said` says what it came to; `error` is why it did not get there."""

    def __init__(self, work: Callable[[Stop], str]) -> None:
        # A daemon: a second Ctrl-C ends the process as it ends an apply in a terminal, which is safe.
        super().__init__(name="apply", daemon=True)
        self._work = work
        self.stop = Stop()
        self.said = ""
        self.error: ContentopsError | None = ContentopsError("this is a bug in contentops; the terminal shows it")

    def run(self) -> None:
        """Do the work, in the thread."""
        try:
            self.said, self.error = self._work(self.stop), None
        except ContentopsError as error:
            self.error = error

    def is_done(self, seconds: float = 0.0) -> bool:
        """Wait at most so long; whether it is done."""
        self.join(seconds)
        return not self.is_alive()

    def taken(self) -> tuple[str, ContentopsError | None]:
        """Return what it came to for a page that says so: the page of the run need not say it again."""
        taken = (self.said, self.error)
        self.said, self.error = "", None
        return taken


class BackgroundRunner:
    """Starts tasks, one at a time; `task` is the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.task: Task | None = None

    def start(self, work: Callable[[Stop], str]) -> Task:
        """Start a task. Raises LockHeld while another one works."""
        with self._lock:
            if not self.is_idle:
                raise LockHeld("this page carries out another action", hint="wait for it: the page of the run shows it")
            self.task = Task(work)
            self.task.start()
            return self.task

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being carried out."""
        return self.task is None or self.task.is_done()

    def close(self) -> None:
        """Ask the task to submit nothing more, and wait for its end."""
        if self.task is not None:
            self.task.stop.request()
            while not self.task.is_done(1.0):
                pass
