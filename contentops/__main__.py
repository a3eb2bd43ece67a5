"""Starts the command line, and imports only the modules that a command needs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default the one of this process, and return the exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    if args == ["--version"] and _print_version():
        return 0
    # The default of 700 new objects makes the collector walk a growing project again and again, and frees nothing.
    # A server would grow in vain until so many are new.
    gc.set_threshold(20_000 if {"review", "serve"} & {*args} else 1_000_000, 50)
    try:
        from contentops.cli.entry import run
    except (KeyboardInterrupt, RuntimeError) as error:
        # Ctrl-C while modules load; inside of a class definition it arrives as the cause of a RuntimeError.
        if not isinstance(error, KeyboardInterrupt) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.stderr.write("\ninterrupted\n")
        return 130
    code = run(args)
    if arguments is None:
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """End the process without Python's own cleanup.

    In a plan without changes, the cleanup would take a sixth of the time.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _print_version() -> bool:
    """Print the version without importing other modules, because scripts ask for it often. Return whether it worked."""
    from contentops import __version__

    stream = sys.__stdout__
    if stream is None or sys.stdout is not stream:
        return False
    try:
        # Unbuffered: data that stays in the buffer after a failed write would fail again at the exit.
        os.write(stream.fileno(), f"contentops {__version__}\n".encode())
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
