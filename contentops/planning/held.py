"""What others work on: an item that a live process holds is not touched, and one that only waits is taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.model import Action, Drain, Reason, RequestId, request_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Change
    from contentops.planning.inputs import PlanInputs

HELD = "held"
"""The kind of the reason that another process works on an item."""
QUEUED = "queued"
"""The kind of the reason that a submit waits for a worker."""


def beside_others(inputs: PlanInputs, change: Change) -> Change:
    """The change as it is carried out beside `inputs.held`.

    What a live process holds is left to it: the whole item, where that is what would bring its text, else the drain
    of an earlier job alone. What only waits for a worker is done here, and the change says so.
    """
    held = inputs.held
    if not held:
        return change
    steps = tuple(
        step
        for step in change.steps
        if not (isinstance(step, Drain) and (found := held.get(step.entry.request_id)) is not None and found.kind)
    )
    own = next((held[id_] for id_ in _requests(inputs, change) if id_ in held), None)
    if own is None and not steps and change.steps and not change.blocked:
        own = held[change.drains[0].request_id]
    if change.blocked or own is None:
        return structs.replace(change, steps=steps)
    who = f"since {own.since}, deposited by {own.depositor}"
    if not own.kind:
        return structs.replace(change, steps=steps, reasons=(*change.reasons, Reason(kind=QUEUED, detail=who)))
    return structs.replace(
        change,
        action=Action.PENDING,
        steps=(),
        reasons=(
            *change.reasons,
            Reason(kind=HELD, detail=f"{f'{own.kind} {own.who}'.strip()} has it ({own.state}), {who}"),
        ),
        holder=own.holder,
        held=change.entry,
        hint="",
    )


def _requests(inputs: PlanInputs, change: Change) -> Iterator[RequestId]:
    """The submits that would bring the text of a change: what is open, and what it would pay for."""
    if change.entry is not None:
        yield change.entry.request_id
    if (step := change.submit) is not None:
        state = inputs.state
        name = request_id(state.lineage, inputs.project.environment, change.id, step.digest, step.attempt)
        yield RequestId(name)
