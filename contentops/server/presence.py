"""Which runners are alive: each holds an operating system lock that dies with its process.

A job names the runner that works on it. When a process was killed, its lock is free, and another runner may go on.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.server.store import Store


class Presence:
    """One runner's sign of life beside the store's file; a store in memory has only its own runner."""

    def __init__(self, store: Store) -> None:
        self.id = uuid.uuid4().hex
        self._folder = None if store.path is None else store.path.with_name(f"{store.path.name}.runners")
        self._held: FileLock | None = None

    def announce(self) -> None:
        """Be seen as alive, until `leave` or the end of the process; a second call does nothing."""
        if self._folder is None or self._held is not None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        held = _lock(self._folder / self.id)
        held.acquire(blocking=False)
        self._held = held

    def alive(self, runner: str) -> bool:
        """Whether the runner of that id is still at work."""
        if runner == self.id or self._folder is None:
            return runner == self.id
        path = self._folder / runner
        if not path.exists():
            return False
        lock = _lock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        _forget(path)
        return False

    def leave(self) -> None:
        """Be gone; a second call does nothing."""
        if self._held is not None and self._folder is not None:
            self._held.release()
            self._held = None
            _forget(self._folder / self.id)


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=0o600, thread_local=False)


def _forget(path: Path) -> None:
    # Another process may have removed it, or hold it open where open files cannot be removed.
    with contextlib.suppress(OSError):
        path.unlink()
