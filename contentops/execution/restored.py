"""Submits that a ledger may have forgotten, since a backup or a replica took its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.execution.primitives import Ended
from contentops.execution.records import naming
from contentops.model import JobState, Result

if TYPE_CHECKING:
    from contentops.execution.limiter import JobSlot
    from contentops.execution.primitives import ItemState
    from contentops.execution.run_context import Context
    from contentops.model import OpenEntry

WHY = "not submitted: the ledger was restored, and this server cannot tell whether this was submitted before"


def block_forgotten(ctx: Context, slot: JobSlot, item_state: ItemState, entry: OpenEntry) -> None:
    """Record a submit as unknown if it may have been sent before and the server cannot say; raises Ended then.

    A submit that follows a text paid for in this run cannot have been sent before.
    """
    paid_now = item_state.text is not None and item_state.text.paid_now
    if not ctx.admission.restored or ctx.capabilities.absence_proves or paid_now:
        return
    slot.leave()
    unknown = structs.replace(entry, state=JobState.UNKNOWN, submitted_at=ctx.iso(), error=WHY)
    ctx.run.record("unknown", unknown)
    hint = f"{naming(unknown)}; `contentops apply --resubmit-unknown` submits it"
    hint += "; `contentops ledger restored --nothing-lost` if nothing was submitted since the backup"
    raise Ended(Result.UNKNOWN, WHY, hint)
