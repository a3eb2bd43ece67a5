"""Claims the submits of a plan in the ledger, so that no other process pays for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.model import Action, Collect, request_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from contentops.ledger.project import ProjectLedger
    from contentops.model import Change, Plan, RequestId, State


def claim(shared: ProjectLedger, plan: Plan, state: State) -> tuple[Plan, frozenset[RequestId]]:
    """Claim the submits of a plan; return the plan for what was claimed, and the submits that it leaves to others.

    In the plan, an item is blocked whose text was paid for and recorded in another checkout, and pending where another
    process works on it by now.
    """
    left = {*shared.pending, *(_of_other_shards(plan, state) if shared.has_shard else ())}
    submits = {name: change.id for change in plan.changes if (name := submit_of(plan, change)) is not None}
    claimed = shared.claim((entry for id_, entry in state.entries.items() if id_ not in left), submits)
    recorded = {submits[id_] for id_ in claimed.recorded}
    changes = (_blocked(change) if change.id in recorded else change for change in plan.changes)
    remaining = structs.replace(plan, changes=tuple(changes)) if recorded else plan
    return _left_to_others(remaining, claimed.lost), frozenset({*left, *claimed.lost})


def _of_other_shards(plan: Plan, state: State) -> Iterator[RequestId]:
    """Yield the open entries of items that the plan of a shard does not have."""
    items = {change.id for change in plan.changes}
    own = {entry.request_id for change in plan.changes for entry in (change.entry, *change.collected_entries) if entry}
    for id_, entry in state.entries.items():
        if entry.item not in items and id_ not in own:
            yield id_


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
    return request_id(plan.lineage, plan.environment, change.id, step.digest, step.attempt)


def _blocked(change: Change) -> Change:
    hint = "another checkout has paid for its text and recorded it or given it up: pull the lock and the files"
    hint += " from git; for another text, bump its `revision`"
    steps = tuple(step for step in change.steps if isinstance(step, Collect))
    return structs.replace(change, steps=steps, blocked="recorded-elsewhere", hint=hint)
