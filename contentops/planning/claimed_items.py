"""Submits of other processes: a claimed one is left to its process, and a queued one is done here instead."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import first_of, plural
from contentops.model import Action, Collect, Note, Reason, request_id
from contentops.planning.plan_inputs import is_same
from contentops.planning.renames import heirs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import Change, ItemId, PendingSubmit, RequestId
    from contentops.planning.plan_inputs import PlanInputs

    Queued = Mapping[Digest, list[PendingSubmit]]
    """Queued first attempts, by request digest."""

CLAIMED = "held"
"""The kind of the reason that another process has claimed an item."""
QUEUED = "queued"
"""The kind of the reason that a submit waits for a worker."""
_ANSWERS = (Action.FINISH, Action.PROMOTE, Action.KEEP)
"""Actions that answer a request without paying for it."""


def queued_first_attempts(inputs: PlanInputs) -> Queued:
    """By request digest, the queued first attempts, sorted by request id."""
    queued: dict[Digest, list[PendingSubmit]] = {}
    for _, submit in sorted(inputs.claimed.items()):
        if submit.state == QUEUED and _is_first(inputs, submit):
            queued.setdefault(submit.digest, []).append(submit)
    return queued


def _is_first(inputs: PlanInputs, submit: PendingSubmit) -> bool:
    name = request_id(inputs.state.lineage, inputs.project.environment, submit.item, submit.digest, 1)
    return submit.request_id == name


def with_claims(inputs: PlanInputs, change: Change, queued: Queued) -> Change:
    """The change without the steps that other processes have claimed.

    If a live process has claimed the submit of its text, the whole change is left to that process; if it has claimed an
    earlier job, only that collect step is. A submit in the queue is done here; one under another request id is
    withdrawn, and removed from `queued`.
    """
    claimed = inputs.claimed
    if not claimed:
        return change
    steps = tuple(
        step
        for step in change.steps
        if not (isinstance(step, Collect) and (claim := claimed.get(step.entry.request_id)) is not None and claim.kind)
    )
    others = tuple(_under_other_names(inputs, change, queued))
    own = next((claimed[id_] for id_ in _requests(inputs, change) if id_ in claimed), None)
    if own is None and change.submit is not None:
        own = max(others, key=lambda submit: bool(submit.kind), default=None)
    if own is None and not steps and change.steps and not change.blocked:
        own = claimed[change.collected_entries[0].request_id]
    if change.blocked:
        return structs.replace(change, steps=steps)
    withdraws = tuple(submit.request_id for submit in others if not submit.kind)
    for submit in others:
        if not submit.kind:
            # It answers one item: another item with the same request pays for its own.
            queued[submit.digest].remove(submit)
    if own is None:
        return structs.replace(change, steps=steps, withdraws=withdraws)
    who = f"since {own.since}, queued by {own.depositor}"
    if not own.kind:
        reasons = (*change.reasons, Reason(kind=QUEUED, detail=who))
        waits = change.submit is not None
        return structs.replace(change, steps=steps, withdraws=withdraws, reasons=reasons, queued=waits)
    return structs.replace(
        change,
        action=Action.PENDING,
        steps=(),
        reasons=(
            *change.reasons,
            Reason(kind=CLAIMED, detail=f"{f'{own.kind} {own.who}'.strip()} is working on it ({own.state}), {who}"),
        ),
        holder=own.holder,
        blocked_entry=change.entry,
        hint="",
    )


def _requests(inputs: PlanInputs, change: Change) -> Iterator[RequestId]:
    """The request ids of a change: of its open entry, and of its submit."""
    if change.entry is not None:
        yield change.entry.request_id
    if (step := change.submit) is not None:
        yield request_id(inputs.state.lineage, inputs.project.environment, change.id, step.digest, step.attempt)


def _under_other_names(inputs: PlanInputs, change: Change, queued: Queued) -> Iterator[PendingSubmit]:
    """Queued submits that a change replaces: of its item, or of one that no longer declares their request."""
    step = change.submit
    if change.spec is None or not (step is not None or change.action in _ANSWERS) or (step and step.section):
        return
    named = set(_requests(inputs, change))
    for submit in queued.get(change.spec.digest, ()):
        if submit.request_id not in named and (
            submit.item == change.id or not _asks_for(inputs, submit.item, submit.digest)
        ):
            yield submit


def _asks_for(inputs: PlanInputs, item: ItemId, digest: Digest) -> bool:
    spec = inputs.specs.get(item)
    return spec is not None and spec.digest == digest


def _is_wanted(inputs: PlanInputs, submit: PendingSubmit) -> bool:
    """Whether its item declares this request and has no text for it yet."""
    if not _asks_for(inputs, submit.item, submit.digest):
        return False
    answered = is_same(inputs.state.records.get(submit.item), submit.digest, inputs.server)
    return not (_is_first(inputs, submit) and answered)


def _by_former_ids(inputs: PlanInputs, submit: PendingSubmit, heirs: Mapping[ItemId, ItemId]) -> bool:
    """Whether it is an extra attempt that someone asked for under a former id of the item."""
    return (
        not _is_first(inputs, submit) and submit.item in heirs and _asks_for(inputs, heirs[submit.item], submit.digest)
    )


def unneeded_submits(inputs: PlanInputs, changes: Iterable[Change]) -> Iterator[Note]:
    """The note about queued submits that no item and no change of the plan needs."""
    withdrawn = {id_ for change in changes for id_ in change.withdraws}
    heirs = heirs_of(inputs.state, inputs.specs)
    unneeded = sorted(
        (submit.item, submit.request_id)
        for submit in inputs.claimed.values()
        if submit.state == QUEUED and not submit.kind
        if submit.request_id not in withdrawn
        and not _is_wanted(inputs, submit)
        and not _by_former_ids(inputs, submit, heirs)
    )
    if unneeded:
        verb = "is" if len(unneeded) == 1 else "are"
        items = first_of([item for item, _ in unneeded])
        message = f"{plural(len(unneeded), 'submit')} in the queue {verb} no longer needed: {items}"
        # The name of a declared item would cancel what that item needs as well.
        item, request = unneeded[0]
        name = request if item in inputs.specs else item
        cancel = f"`contentops queue cancel {name} --project {shlex.quote(inputs.project.name)}`"
        yield Note(kind="queued", message=message, hint=f"workers will still pay for it; {cancel} removes it")


def extra_attempts_of_others(inputs: PlanInputs) -> Iterator[Note]:
    """The note about extra attempts in the ledger that no process works on and no manifest here declares."""
    waiting = [entry for entry in inputs.extra_attempts if entry.request_id not in inputs.claimed]
    if waiting:
        verb, items = "waits" if len(waiting) == 1 else "wait", first_of([entry.item for entry in waiting])
        message = f"{plural(len(waiting), 'extra attempt')} {verb} in the ledger for another checkout: {items}"
        forget = f"`contentops state resolve {waiting[0].item} --forget --request {waiting[0].short}`"
        hint = f"the checkout that requested it writes it with its next apply; if no one needs it, {forget} gives it up"
        yield Note(kind="further-take", message=message, hint=hint)
