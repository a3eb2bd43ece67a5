"""`queue`: how everything that is queued or under way stands, and taking out what nothing was sent of yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.ledger import queue
from contentops.operations.ledger_maintenance import opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Cancelled, Queue


def read(address: str, *, project: str = "", most: int = 100) -> Queue:
    """Of a project by its name, or of all; at most so many submits one by one. Raises UsageError, StateError."""
    with opened(address) as session:
        return queue.read_queue(session, project=project, most=most)


def cancel(address: str, names: Iterable[str], *, project: str = "", everything: bool = False) -> Cancelled:
    """Take items or requests, by their names, or everything out of the queue. Raises UsageError, StateError."""
    with opened(address) as session:
        return queue.cancel(session, names, project=project, everything=everything)
