"""Independent parts of one task shared out among processes: a cold plan builds and reads on all processors.

Python computes on one processor at a time. A process made by `os.fork` has at once all that this one knows, and gives
back texts, which is what caches keep anyway. It reads files and computes and does nothing else: connections, locks,
journals and the terminal stay its parent's, since it leaves without any of Python's own endings.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Part = TypeVar("Part")

MOST: Final = 4
"""With more processes, the one that takes in what the others make would be the slowest."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
_SIZE: Final = 8
"""The bytes that say how long a text is."""


def processors() -> int:
    """How many processes are of use here."""
    # The libraries of macOS do not bear a fork without an exec.
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return 1
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(count or 1, MOST)


def shared_out(
    parts: Sequence[Part],
    work: Callable[[Part], str],
    take: Callable[[Part, str], None],
    *,
    processes: int,
    weight: Callable[[Part], int],
) -> None:
    """Give `take` each part in order, with the text that one of so many other processes makes of it by `work`.

    What a process fails at is done again here, which raises what there is to raise: the outcome is that of a loop.
    The first part is done here, so that what all of them need, such as modules, is there once. Where threads run, all
    parts are, since a fork leaves their locks taken. By the weights of their parts, all processes have as much to do.
    """
    count = min(processes, len(parts) - 1)
    if count < 2 or threading.active_count() > 1:
        for part in parts:
            take(part, work(part))
        return
    take(parts[0], work(parts[0]))
    shares: list[list[Part]] = [[] for _ in range(count)]
    weights = [0] * count
    turns = []
    for part in parts[1:]:
        turns.append(weights.index(min(weights)))
        shares[turns[-1]].append(part)
        weights[turns[-1]] += weight(part)
    children: list[_Child] = []
    done = False
    try:
        with _without_signals() as signals:
            gc.freeze()  # what no collection walks stays shared
            children.extend(_Child(share, work, signals) for share in shares)
            gc.unfreeze()
        for part, turn in zip(parts[1:], turns, strict=True):
            text = children[turn].read()
            take(part, work(part) if text is None else text)
        done = True
    finally:
        with _without_signals():
            for child in children:
                child.end(at_once=not done)


class _Child:
    """A process that works on some parts; their texts come through a pipe."""

    def __init__(self, parts: Sequence[Part], work: Callable[[Part], str], signals: set[int]) -> None:
        self._texts: BinaryIO = io.BytesIO()
        self._process = 0
        with contextlib.suppress(OSError):  # the system allows no more of them, or no more open files
            reads, writes = os.pipe()
            self._texts = os.fdopen(reads, "rb")
            try:
                self._process = os.fork()
                if not self._process:
                    _work_on(parts, work, (reads, writes), signals)
            finally:
                os.close(writes)

    def read(self) -> str | None:
        """The text of the next part; None where the process has come to an end."""
        head = self._texts.read(_SIZE)
        size = int.from_bytes(head, "big")
        text = self._texts.read(size)
        return text.decode() if len(head) == _SIZE and len(text) == size else None

    def end(self, *, at_once: bool) -> None:
        """Wait until the process is gone."""
        self._texts.close()
        with contextlib.suppress(ChildProcessError):
            if self._process and not os.waitpid(self._process, os.WNOHANG if at_once else 0)[0]:
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)


def _work_on(parts: Sequence[Part], work: Callable[[Part], str], pipe: tuple[int, int], signals: set[int]) -> NoReturn:
    """Be a child: what Python would do at an end is the parent's to do."""
    try:
        reads, writes = pipe
        os.close(reads)  # so that no one reads when the parent is gone
        for number in _STOPPING:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        gc.disable()
        texts = os.fdopen(writes, "wb")  # never closed, so that its end is that of the process
        for part in parts:
            text = work(part).encode()
            texts.write(len(text).to_bytes(_SIZE, "big") + text)
            texts.flush()
    finally:
        os._exit(0)


@contextlib.contextmanager
def _without_signals() -> Iterator[set[int]]:
    """Hold back what would end this process between making a child and knowing of it; gives what was held back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
