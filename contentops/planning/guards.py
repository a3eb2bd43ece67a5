"""The guards: why an apply refuses a plan, and what overrides that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.model import Action, Refusal
from contentops.model.cost import cost_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import Change, Plan
    from contentops.planning.plan_inputs import PlanInputs

SWEEPING = frozenset({Action.REGENERATE, Action.OVERWRITE, Action.MERGE, Action.REMOVE})


def refusals(inputs: PlanInputs, changes: Sequence[Change]) -> tuple[Refusal, ...]:
    """Every guard that refuses these changes."""
    return (*_state(inputs), *_budget(inputs, changes), *_ratio(inputs, changes))


def review(plan: Plan, limit: int, approved: int | None) -> Refusal | None:
    """The refusal of a plan that costs more credits than `limit`, and more than were `approved`."""
    most = plan.credits_worst
    if most <= max(limit, approved or 0):
        return None
    covered = "" if approved is None else f", and {approved} were approved"
    message = f"the plan costs {cost_words(plan.changes)}; `--max-credits` is {limit}{covered}"
    return Refusal(guard="review-credits", message=message, flag=_approval(most))


def approved(plan: Plan, limit: int | None) -> Refusal | None:
    """The refusal of a plan that costs more credits than `limit`, which a person approved; None: no limit."""
    most = plan.credits_worst
    if limit is None or most <= limit:
        return None
    message = f"it costs {cost_words(plan.changes)}, and {limit} were approved"
    return Refusal(guard="approved-credits", message=message, flag=_approval(most))


def _approval(most: int) -> str:
    return f"--approve-credits {most}"


def _state(inputs: PlanInputs) -> Iterator[Refusal]:
    records = inputs.state.records
    others = sorted({record.server for record in records.values()} - {inputs.server, "local"})
    if others:
        message = f"the records belong to server `{others[0]}`, but the project now uses `{inputs.server}`"
        flag = f"contentops state mv --server {others[0]} {inputs.server}"
        yield Refusal(guard="server-changed", message=message, flag=flag)
    if records and not inputs.desired.specs:
        message = f"the manifests declare no items, but the lock has {len(records)}"
        yield Refusal(guard="empty", message=message, flag="--approve-empty")


def _budget(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget = inputs.project.budget
    most = sum(change.credits_worst for change in changes)
    submits = sum(change.submits_worst for change in changes if not change.queued)
    if budget.credits_per_apply is not None and most > budget.credits_per_apply:
        message = f"it costs {cost_words(changes)}; `budget.credits_per_apply` is {budget.credits_per_apply}"
        yield Refusal(guard="budget-credits", message=message, flag=_approval(most))
    if budget.items_per_apply is not None and submits > budget.items_per_apply:
        message = f"it generates {plural(submits, 'item')}; `budget.items_per_apply` is {budget.items_per_apply}"
        yield Refusal(guard="budget-items", message=message, flag=_approval(most))


def _ratio(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    guards = inputs.project.guards
    recorded = sum(record.server != "local" for record in inputs.state.records.values())
    swept = sum(
        change.action in SWEEPING and change.record is not None and change.record.server != "local"
        for change in changes
    )
    if recorded >= guards.from_items and swept > guards.max_changed_ratio * recorded:
        message = (
            f"it rewrites or removes {swept} of {recorded} recorded items ({swept / recorded:.0%}); "
            f"`guards.max_changed_ratio` is {guards.max_changed_ratio:.0%}"
        )
        yield Refusal(guard="changed-ratio", message=message, flag="--approve-changes")
