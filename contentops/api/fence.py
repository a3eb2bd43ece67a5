"""What tells, directly before the bytes of a call leave, whether they still may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentops.api.calls import Call, Failure, Reply

MayLeave = Callable[[], bool]
"""Of what is not repeatable: a process that was frozen must not send what another one has given up on meanwhile."""
Send = Callable[["Call", MayLeave], Awaitable["Reply | Failure"]]
"""What answers calls."""


def always() -> bool:
    """Of a call that nothing holds back."""
    return True
