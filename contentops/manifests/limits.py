"""What one template may spend: work, counted the same on every machine, and processor time where it can be had.

Work is charged before it is done, by the size of what is worked on, so neither loops, padding, powers nor doubling
can take long or fill memory. The time limit is for what counting misses; it needs signals, so it only holds in the
main thread of a system that has them.
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
"""Widest whole number on the way to a result."""

_ENTRY = 4
"""What an entry of a list or map counts, in characters."""

_UNTIMED = 2_000
"""Templates that spend less are not timed: setting a timer costs more than most of them."""


class TemplateLimits(Struct, frozen=True):
    """What one template may spend, for itself and its macros."""

    work: int = 200_000
    """About a unit per loop pass, filter, call, and 16 characters or 4 entries they are about."""
    seconds: float = 3.0
    """Processor time."""


LIMITS: Final = TemplateLimits()


class Allowance:
    """What is left of the limits of the template being rendered."""

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
                raise TemplateError("template-limit", "takes too many steps", hint=hint)
            self._timed_below = 0
            self.resume()

    def charge(self, value: Any) -> Any:
        """Charge for handling a value once, by its size; gives the value back."""
        self.spend(1 + (_size(value, (self._work + 1) << 4) >> 4))
        return value

    def room(self, size: int) -> None:
        """Charge for a text or list about to be made. Raises TemplateError where it is too long."""
        if size > MAX_TEXT:
            message = f"makes a text or list of more than {MAX_TEXT} characters or entries"
            raise TemplateError("template-limit", message)
        self.spend(1 + (size >> 4))

    def pause(self) -> None:
        """Stop the clock: another template is rendered on the way, or this one is done."""
        if self._handler is not None:
            self._seconds = max(signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0], 0.001)
            signal.signal(signal.SIGVTALRM, self._handler)
            self._handler = None

    def resume(self) -> None:
        """Let the clock run, if this template is one of the heavy ones."""
        is_main = threading.current_thread() is threading.main_thread()
        if self._timed_below == 0 and is_main and hasattr(signal, "setitimer"):
            self._handler = signal.signal(signal.SIGVTALRM, _too_long) or signal.SIG_DFL
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, 0.1)


def _too_long(*_: object) -> NoReturn:
    raise TemplateError("template-limit", "takes too long", hint="prepare the text or list in a data file")


def narrow(width: object) -> int:
    """A width or count, or the length of a padding; raises TemplateError where it is too large."""
    count = len(width) if isinstance(width, str) else width
    if not isinstance(count, int) or abs(count) > MAX_WIDTH:
        raise TemplateError("template-limit", f"asks for a width or count that is not within {MAX_WIDTH}")
    return count


def bits_of(value: object) -> int:
    """How wide a number is."""
    return value.bit_length() if isinstance(value, int) else 64


def check_bits(bits: int) -> None:
    """Raise TemplateError for a number about to be too wide."""
    if bits > MAX_BITS:
        raise TemplateError("template-limit", "makes a number that is too large")


def _size(value: object, limit: int) -> int:
    """The characters of a value, an entry counted as several, a shared list once for each place it stands in.

    At most a little over `limit`, so that a list which holds itself many times is not walked to its end.
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
