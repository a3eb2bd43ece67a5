"""Distributes independent parts of one task among processes, so that a cold plan uses all processors.

A process made by `os.fork` has all data of its parent at once, and returns texts. It only reads files and computes:
connections, locks, journals and the terminal belong to its parent, since it ends without Python's cleanup.
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
"""The most processes: with more, the parent that reads their results would be the slowest."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
_SIZE: Final = 8
"""The bytes of the length before each text."""


def processors() -> int:
    """The number of processes that are useful on this machine."""
    # The libraries of macOS do not support a fork without an exec.
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return 1
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(count or 1, MOST)


def distribute(
    parts: Sequence[Part],
    work: Callable[[Part], str],
    accept: Callable[[Part, str], None],
    *,
    processes: int,
    weight: Callable[[Part], int],
) -> None:
    """Call `accept` with each part in order and the text that `work` makes of it in one of so many other processes.

    The result is that of a loop: this process repeats a part that another one failed at, and raises its error. It does
    the first part itself, so that modules are imported once, and all parts where threads run, since a fork copies their
    locks. `weight` balances the processes.
    """
    count = min(processes, len(parts) - 1)
    if count < 2 or threading.active_count() > 1:
        for part in parts:
            accept(part, work(part))
        return
    accept(parts[0], work(parts[0]))
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
            accept(part, work(part) if text is None else text)
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
        """The text of the next part; None if the process has ended."""
        head = self._texts.read(_SIZE)
        size = int.from_bytes(head, "big")
        text = self._texts.read(size)
        return text.decode() if len(head) == _SIZE and len(text) == size else None

    def end(self, *, at_once: bool) -> None:
        """Wait for the end of the process; `at_once` kills it."""
        self._texts.close()
        with contextlib.suppress(ChildProcessError):
            if self._process and not os.waitpid(self._process, os.WNOHANG if at_once else 0)[0]:
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)


def _work_on(parts: Sequence[Part], work: Callable[[Part], str], pipe: tuple[int, int], signals: set[int]) -> NoReturn:
    """The work of a child process, which ends without Python's cleanup."""
    try:
        reads, writes = pipe
        os.close(reads)  # so that a write fails when the parent has ended
        for number in _STOPPING:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        gc.disable()
        texts = os.fdopen(writes, "wb")  # closed by the end of the process
        for part in parts:
            text = work(part).encode()
            texts.write(len(text).to_bytes(_SIZE, "big") + text)
            texts.flush()
    finally:
        os._exit(0)


@contextlib.contextmanager
def _without_signals() -> Iterator[set[int]]:
    """Block signals that could end this process between making a child and storing its id; gives the mask before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
