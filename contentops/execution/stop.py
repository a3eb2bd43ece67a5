"""How a run is told to end early."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stop:
    """A person's wish to end the run; may be asked for from a signal handler."""

    def __init__(self) -> None:
        self.requested = False
        self._wake: Callable[[], object] | None = None

    def request(self) -> None:
        """Submit nothing more, keep what there is, and end."""
        self.requested = True
        if self._wake is not None:
            self._wake()

    def bind(self, wake: Callable[[], object] | None) -> None:
        """Whom to tell at once."""
        self._wake = wake
