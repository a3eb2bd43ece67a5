"""Claims the submits of a plan in the ledger, so that no other process pays for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.model import Action, Collect, JobState, request_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from contentops.ledger.project import ProjectLedger
    from contentops.model import Change, Plan, RequestId

_WORKING = frozenset({JobState.SUBMITTING, JobState.UNKNOWN, JobState.RUNNING})


def claim(shared: ProjectLedger, plan: Plan) -> Plan:
    """Claim what a plan orders and polls; in the plan returned, what other processes have claimed is left to them."""
    wanted = {(plan.server, name) for change in plan.changes if (name := submit_of(plan, change)) is not None}
    entries = (entry for change in plan.changes for entry in (change.entry, *change.collected_entries))
    wanted |= {(one.server, one.request_id) for one in entries if one is not None and one.state in _WORKING}
    return _left_to_others(plan, shared.claim(wanted))


def _left_to_others(plan: Plan, lost: Collection[RequestId]) -> Plan:
    """Return the plan in which changes that need these submits are pending: another process works on them."""
    if not lost:
        return plan
    changes: list[Change] = []
    for change in plan.changes:
        own = {submit_of(plan, change), change.entry.request_id if change.entry is not None else None}
        steps = tuple(
            step for step in change.steps if not (isinstance(step, Collect) and step.entry.request_id in lost)
        )
        if not own.isdisjoint(lost) or (change.steps and not steps):
            holder = change.holder or "another process"
            changed = structs.replace(change, action=Action.PENDING, steps=(), holder=holder, hint="")
            changes.append(structs.replace(changed, blocked_entry=change.entry))
        else:
            changes.append(structs.replace(change, steps=steps))
    return structs.replace(plan, changes=tuple(changes))


def submit_of(plan: Plan, change: Change) -> RequestId | None:
    """Return the request id of the submit that a change pays for; None: it pays for none."""
    step = change.submit
    if step is None:
        return None
    return request_id(plan.lineage, step.digest, step.attempt, step.section)
