"""Types of the check that runs directly before the bytes of a call leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentops.api.calls import Call, Failure, Reply

MayLeave = Callable[[], bool]
"""Whether a call that is not repeatable may leave: after a freeze, another process may have given up on it."""
Send = Callable[["Call", MayLeave], Awaitable["Reply | Failure"]]
"""Sends a call and returns the reply or the failure."""


def always() -> bool:
    """The check of a call that always may leave."""
    return True
