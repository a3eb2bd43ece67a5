"""Ctrl-C and SIGTERM during an apply: the first stops gently, the second at once. Both are safe."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from contentops.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_STDERR = 2
_FIRST = b"\nstopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once\n"
# A display may have hidden the cursor; no one else will bring it back.
_SHOWN = b"\x1b[?25h"
_SECOND = b"\nexit at once; `contentops apply` goes on with what is under way\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping(request: Callable[[], None], *, displayed: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """While open, the first signal calls `request` and the second ends the process with 130.

    `displayed` says whether a display shows by itself that the run is stopping: what is written between lines that are
    redrawn is gone at once. It is called in the handler, so it must only set a flag. Writes go to the file descriptor
    itself: a handler may run in the middle of a buffered write.
    """
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _say(_SHOWN + _SECOND if os.isatty(_STDERR) else _SECOND)
            os._exit(ExitCode.INTERRUPTED)
        asked = True
        if not displayed():
            _say(_FIRST)
        request()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _say(words: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(_STDERR, words)
