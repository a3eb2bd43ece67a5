"""`queue`: list what is queued and running in a ledger, and cancel submits that were not sent yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import UsageError
from contentops.ledger import queue
from contentops.model import Cancelled
from contentops.operations.ledger.ledger_maintenance import opened
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Queue, QueuedShare


def read(address: str, *, project: str = "", most: int = 100) -> Queue:
    """Read the queue of a project or of all, with at most so many submits. Raises UsageError, StateError."""
    with opened(address) as session:
        return queue.read_queue(session, project=project, most=most)


def shares(address: str, *, project: str = "", environment: str | None = None) -> tuple[QueuedShare, ...]:
    """Count the waiting submits by project, of one environment or of all. Raises UsageError, StateError."""
    with opened(address) as session:
        return queue.read_shares(session, project=project, environment=environment)


def cancel(
    address: str,
    names: Iterable[str],
    *,
    project: str = "",
    environment: str | None = None,
    everything: bool = False,
) -> Cancelled:
    """Take items or requests, by their ids, or everything out of the queue, of one environment or of all.

    Raises UsageError, also where nothing queued or running has such an id; StateError.
    """
    names = tuple(names)
    with opened(address) as session:
        cancelled = queue.cancel(session, names, project=project, environment=environment, everything=everything)
    if cancelled == Cancelled() and not everything:
        called = ", ".join(f"`{visible(name)}`" for name in names)
        hint = "`contentops queue` lists the items, and `contentops queue --json` their requests"
        raise UsageError(f"the queue has no item or request {called}", code="not-queued", hint=hint)
    return cancelled
