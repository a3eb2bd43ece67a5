"""The whole terminal, drawn again in place without flicker; what was on it before comes back at the end."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Final, Self

from contentops.cli.output import terminal
from contentops.reporting.layout import fitted, unpainted

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

# Another screen, no cursor, no wrapped lines; and back.
_OPEN: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_CLOSE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_END: Final = 5
"""Lines at the end of a text that stay: the sums of a plan."""
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Screen:
    """A terminal to draw on. Each drawing is one write, and one that changes nothing is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = ""

    def __enter__(self) -> Self:
        """Open the screen."""
        self._write(_OPEN)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Restore the terminal."""
        with contextlib.suppress(OSError, ValueError):
            self._write(_CLOSE)

    def draw(self, text: str, foot: str) -> None:
        """Show a text and a line below it; of a text that is too high, the middle is left out."""
        width, height = shutil.get_terminal_size()
        lines = fitted(text if terminal.wants_color(self._stream) else unpainted(text), width).split("\n")
        room = max(height - 2, 1)
        if len(lines) > room:
            head = max(room - 1 - _END, 0)
            end = lines[len(lines) - min(_END, room - 1) :] if room > 1 else []
            lines = [*lines[:head], f"\u2026 {len(lines) - head - len(end):,} more lines", *end]
        drawn = "".join(f"{line}{_REST_OF_LINE}\r\n" for line in (*lines, "", foot)).removesuffix("\r\n")
        if drawn != self._drawn:
            self._drawn = drawn
            self._write(f"{_HOME}{drawn}{_REST_OF_SCREEN}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
