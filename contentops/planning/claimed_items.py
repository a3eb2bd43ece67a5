"""Submits that other processes have claimed: these are left to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.model import Action, Collect, Reason, request_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Change, RequestId
    from contentops.planning.plan_inputs import PlanInputs

CLAIMED = "held"
"""The kind of the reason that another process has claimed an item."""


def with_claims(inputs: PlanInputs, change: Change) -> Change:
    """Return the change without the steps that other processes have claimed.

    If a live process has claimed the submit of its text, the whole change is left to that process; if it has claimed an
    earlier job, only that collect step is.
    """
    claimed = inputs.claimed
    if not claimed:
        return change
    steps = tuple(step for step in change.steps if not (isinstance(step, Collect) and step.entry.request_id in claimed))
    own = next((claimed[id_] for id_ in _requests(inputs, change) if id_ in claimed), None)
    if own is None and not steps and change.steps:
        own = claimed[change.collected_entries[0].request_id]
    if own is None or change.blocked:
        return structs.replace(change, steps=steps)
    detail = f"{own.holder} is working on it ({own.state}), since {own.since}"
    return structs.replace(
        change,
        action=Action.PENDING,
        steps=(),
        reasons=(*change.reasons, Reason(kind=CLAIMED, detail=detail)),
        holder=own.holder,
        blocked_entry=change.entry,
        hint="",
    )


def _requests(inputs: PlanInputs, change: Change) -> Iterator[RequestId]:
    """Yield the request ids of a change: of its open entry, and of its submit."""
    if change.entry is not None:
        yield change.entry.request_id
    if (step := change.submit) is not None:
        yield request_id(inputs.state.lineage, step.digest, step.attempt, step.section)
