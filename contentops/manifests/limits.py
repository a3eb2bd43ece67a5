"""The limits of one template: work, counted the same on every machine, and processor time.

Work is charged before it is done, by the size of its values, so loops, padding, powers and doubling cannot take long or
fill memory. The time limit is for what counting misses; it needs signals, so it works in the main thread only.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Final, NoReturn

from msgspec import Struct

from contentops.manifests.values import MAX_TEXT, TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_WIDTH: Final = 1_000
"""Widest padding or indentation, and largest batch."""

MAX_BITS: Final = 4_096
"""Widest whole number of an intermediate result."""

_ENTRY = 4
"""The size of an entry of a list or map, in characters."""

_UNTIMED = 2_000
"""Templates that spend less are not timed, since setting a timer costs more than rendering most of them."""


class TemplateLimits(Struct, frozen=True):
    """The limits of one template with its macros."""

    work: int = 200_000
    """About a unit per loop pass, filter, call, and 16 characters or 4 entries of their values."""
    seconds: float = 3.0
    """Processor time."""


LIMITS: Final = TemplateLimits()


class Allowance:
    """The rest of the limits of the template that is being rendered."""

    __slots__ = ("_handler", "_seconds", "_timed_below", "_work")

    def __init__(self, limits: TemplateLimits) -> None:
        self._work = limits.work
        self._seconds = limits.seconds
        self._timed_below = limits.work - _UNTIMED
        self._handler: Any = None

    def spend(self, amount: int) -> None:
        """Charge some work. Raises TemplateError when it is used up."""
        self._work -= amount
        if self._work < self._timed_below:
            if self._work < 0:
                hint = "loop over less, or prepare the list in a data file"
                raise TemplateError("template-limit", "needs too many steps", hint=hint)
            self._timed_below = 0
            self.resume()

    def charge(self, value: Any) -> Any:
        """Charge for handling a value once, by its size; returns the value."""
        self.spend(1 + (_size(value, (self._work + 1) << 4) >> 4))
        return value

    def room(self, size: int) -> None:
        """Charge for a text or list of this size before it is made. Raises TemplateError where it is too long."""
        if size > MAX_TEXT:
            message = f"makes a text or list longer than {MAX_TEXT} characters or entries"
            raise TemplateError("template-limit", message)
        self.spend(1 + (size >> 4))

    def pause(self) -> None:
        """Stop the clock, while another template is rendered or when this one is done."""
        if self._handler is not None:
            self._seconds = max(signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0], 0.001)
            signal.signal(signal.SIGVTALRM, self._handler)
            self._handler = None

    def resume(self) -> None:
        """Start the clock, if this template has spent so much that it is timed."""
        is_main = threading.current_thread() is threading.main_thread()
        if self._timed_below == 0 and is_main and hasattr(signal, "setitimer"):
            self._handler = signal.signal(signal.SIGVTALRM, _too_long) or signal.SIG_DFL
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, 0.1)


def _too_long(*_: object) -> NoReturn:
    raise TemplateError("template-limit", "takes too long", hint="prepare the text or list in a data file")


def narrow(width: object) -> int:
    """A width or count, or the length of a padding. Raises TemplateError where it is too large."""
    count = len(width) if isinstance(width, str) else width
    if not isinstance(count, int) or abs(count) > MAX_WIDTH:
        raise TemplateError("template-limit", f"uses a width or count above {MAX_WIDTH}")
    return count


def bits_of(value: object) -> int:
    """The bits of a number."""
    return value.bit_length() if isinstance(value, int) else 64


def check_bits(bits: int) -> None:
    """Raise TemplateError for a number that would be too wide."""
    if bits > MAX_BITS:
        raise TemplateError("template-limit", "makes a number that is too large")


def _size(value: object, limit: int) -> int:
    """The characters of a value, with `_ENTRY` for each entry; a list that is contained twice counts twice.

    Counting stops a little over `limit`.
    """
    if isinstance(value, str):
        return len(value)
    size = 0
    todo: list[Iterable[object]] = []
    _open(value, todo)
    while todo and size <= limit:
        for entry in todo.pop():
            size += _ENTRY + (len(entry) if isinstance(entry, str) else 0)
            _open(entry, todo)
            if size > limit:
                break
    return size


def _open(value: object, todo: list[Iterable[object]]) -> None:
    if isinstance(value, dict):
        todo += (value, value.values())
    elif isinstance(value, list | tuple):
        todo.append(value)
