"""The standard streams as a command may rely on them: always there, and never the end of a run by accident."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class StdoutFailed(OutputError):
    """A result cannot be written to stdout."""


@contextlib.contextmanager
def dependable() -> Iterator[None]:
    """While open, a closed stream is an empty one, what stderr cannot take is lost, and stdout says why it failed.

    A failed write to stdout raises StdoutFailed, or BrokenPipeError where its reader is gone.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Takes the free number of the stream, too: a state file that got it would be written into by a child.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        # PYTHONUNBUFFERED: what a short write leaves over would be lost without a word.
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding=sys.stdout.encoding)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # Characters that a stream cannot encode appear as escapes instead of ending the program.
            reconfigure(errors="backslashreplace")
    out, err = _Guarded(sys.stdout, needed=True), _Guarded(sys.stderr, needed=False)
    with contextlib.redirect_stdout(cast("TextIO", out)), contextlib.redirect_stderr(cast("TextIO", err)):
        yield


class _Guarded:
    """A stream that gives way to the null device once it fails, so that the flush at exit does not fail again."""

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed
        self._failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._guard():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._guard():
            self._stream.flush()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            if self._needed:
                said = f"stdout cannot be written: {error.strerror or error}"
                self._failure = error if isinstance(error, BrokenPipeError) else StdoutFailed(said)
        if self._failure is not None:
            # Again at each try: whoever caught it the first time must not end as if all had been said.
            raise self._failure
