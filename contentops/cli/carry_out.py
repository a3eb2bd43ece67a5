"""Carry out a plan on the command line, with progress and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from contentops.cli.confirmation import Confirmation, Manner, finish
from contentops.cli.display import Display, recorded, watching
from contentops.errors import ExitCode
from contentops.execution.primitives import Stop
from contentops.model import Project
from contentops.operations import apply as operation
from contentops.operations.apply import ApplyOptions
from contentops.operations.opening import Runtime
from contentops.planning.sides import Choice

if TYPE_CHECKING:
    from contentops.cli.confirmation import NextCommand


def carry_out(
    project: Project, choice: Choice, options: ApplyOptions, runtime: Runtime, manner: Manner, again: NextCommand
) -> int:
    """Plan, show, ask and apply; return the exit code. `again`: returns the command that continues a run."""
    with contextlib.ExitStack() as signals:
        with watching(sys.stderr) as display, recorded(display.show, manner.events) as emit:
            confirmation = Confirmation(manner, lambda: _begin(signals, display, options.stop))
            plan, run = operation.apply(
                project,
                choice,
                options,
                show=confirmation.preview,
                confirm=confirmation,
                emit=emit,
                runtime=runtime,
            )
        # The handler stays until all is printed: a second Ctrl-C must not suppress the summary.
        return finish(plan, run, confirmation, again, as_json=manner.as_json)


def _begin(signals: contextlib.ExitStack, display: Display, stop: Stop) -> None:
    """From here on, let the first Ctrl-C stop gently. Before, it ends the program, because nothing was done yet."""
    signals.enter_context(stopping(stop.request))
    display.start()


# --- Ctrl-C and SIGTERM: the first stops gently, the second at once; both are safe -----------------------------

_STDERR = 2
_FIRST = b"\nstopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once\n"
_SECOND = b"\nexit at once; `contentops apply` continues what is running\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping(request: Callable[[], None]) -> Iterator[None]:
    """While open, the first signal calls `request` and the second ends the process with 130.

    Writes go to the file descriptor: a handler may run in the middle of a buffered write.
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
