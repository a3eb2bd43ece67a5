"""One apply at a time: an operating-system lock that dies with its owner, and a note that says who owns it."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Self

from contentops.atomic_io import PRIVATE, Disk
from contentops.digest import canonical
from contentops.errors import LockHeld, StateError
from contentops.state import state_dir

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from filelock import BaseFileLock

_SHOWN = 200


class ApplyLock:
    """A context manager that holds the apply lock of one environment.

    `who` is user@host, `now` an ISO time, `where` the address of the CI run, if there is one. Entering raises LockHeld,
    naming the holder, if another process (or another part of this one) holds it, and StateError if the file system
    cannot lock. The note beside the lock is information only: a stale one is overwritten.
    """

    def __init__(self, root: Path, *, environment: str, who: str, now: str, where: str = "") -> None:
        self._root = root
        self._environment = environment
        self._lock_name = state_dir.named("apply", environment, "lock")
        self._note_name = state_dir.named("apply", environment, "json")
        self._note = {"who": who, "pid": os.getpid(), "since": now, "where": where}
        self._held: BaseFileLock | None = None

    def __enter__(self) -> Self:
        folder = state_dir.make(self._root)
        self._held = _acquire(folder / self._lock_name)
        if self._held is None:
            raise self._refusal(folder)
        note = canonical({key: value for key, value in self._note.items() if value}).encode()
        with contextlib.suppress(StateError):
            Disk().replace(folder / self._note_name, note, PRIVATE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            with contextlib.suppress(OSError):
                (self._root / state_dir.FOLDER / self._note_name).unlink()
            self._held.release()
            self._held = None

    def _refusal(self, folder: Path) -> LockHeld:
        message = "another `contentops` command is running here"
        if self._environment:
            message = f"another `contentops` command for environment `{self._environment}` is running here"
        return LockHeld(
            message + _holder(folder / self._note_name),
            hint="wait for it to end, or end that process: the lock goes with it, there is nothing to unlock",
        )


def _acquire(path: Path) -> BaseFileLock | None:
    """The lock, held; None if someone else holds it."""
    import filelock

    # A lock that is only a file would outlive its owner.
    hard: dict[str, Any] = {"fallback_to_soft": False} if hasattr(filelock.FileLock, "fallback_to_soft") else {}
    try:
        lock: BaseFileLock = filelock.FileLock(path, timeout=0, mode=PRIVATE, **hard)
        lock.acquire()
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        words = (getattr(error, "strerror", None) or str(error)).lower()
        message = f"cannot lock `{state_dir.FOLDER}/{path.name}`: {words}"
        raise StateError(message, hint="the project must lie on a file system with locks, and be writable") from error
    return lock


def _holder(path: Path) -> str:
    """Who, where, since when, as far as the note can be read."""
    try:
        found = json.loads(Disk().read(path) or b"{}")
    except (StateError, ValueError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    shown = {key: _clean(value) for key, value in found.items() if isinstance(value, str | int)}
    words = (("who", " by {}"), ("pid", ", process {}"), ("where", ", at {}"), ("since", ", since {}"))
    return "".join(text.format(shown[key]) for key, text in words if shown.get(key))


def _clean(value: str | int) -> str:
    return "".join(letter for letter in str(value) if letter.isprintable())[:_SHOWN]
