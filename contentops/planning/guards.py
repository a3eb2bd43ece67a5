"""When a plan is too dear or too sweeping to be applied unasked. `plan` says so; only `apply` refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import Action, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.model import Change, Plan
    from contentops.planning.inputs import PlanInputs

SWEEPING = frozenset({Action.REGENERATE, Action.OVERWRITE, Action.REMOVE})


def refusals(inputs: PlanInputs, changes: Sequence[Change]) -> tuple[Refusal, ...]:
    """Every guard that stands in the way of these changes."""
    found = [_server(inputs), _emptied(inputs), *_budget(inputs, changes), _ratio(inputs, changes)]
    return tuple(refusal for refusal in found if refusal is not None)


def review(plan: Plan, limit: int, approved: int | None) -> Refusal | None:
    """The refusal of a plan that costs more credits than `limit`, and more than were `approved`."""
    if plan.credits <= max(limit, approved or 0):
        return None
    covered = "" if approved is None else f", and {approved} were approved"
    return Refusal(
        guard="review-credits",
        message=f"the plan costs {plan.credits} credits; `--max-credits` is {limit}{covered}",
        flag=f"--approve-credits {plan.credits}",
    )


def approved(plan: Plan, limit: int | None) -> Refusal | None:
    """The refusal of a plan that costs more credits than a person approved; None where none stated a limit."""
    if limit is None or plan.credits <= limit:
        return None
    return Refusal(
        guard="approved-credits",
        message=f"it costs {plan.credits} credits, and {limit} were approved",
        flag=f"--approve-credits {plan.credits}",
    )


def _server(inputs: PlanInputs) -> Refusal | None:
    others = sorted({record.server for record in inputs.state.records.values()} - {inputs.server, "local"})
    if not others:
        return None
    return Refusal(
        guard="server-changed",
        message=f"the records were made by `{others[0]}`, and the project now points at `{inputs.server}`",
        flag=f"contentops state mv --server {others[0]} {inputs.server}",
    )


def _emptied(inputs: PlanInputs) -> Refusal | None:
    if inputs.desired.specs or not inputs.state.records:
        return None
    return Refusal(
        guard="empty",
        message=f"the manifests declare no item, but the lock has {len(inputs.state.records)}",
        flag="--approve-empty",
    )


def _budget(inputs: PlanInputs, changes: Sequence[Change]) -> list[Refusal]:
    budget = inputs.project.budget
    credits_ = sum(change.credits for change in changes)
    submits = sum(change.submits for change in changes)
    found = []
    if budget.credits_per_apply is not None and credits_ > budget.credits_per_apply:
        found.append(
            Refusal(
                guard="budget-credits",
                message=f"it costs {credits_} credits; `budget.credits_per_apply` is {budget.credits_per_apply}",
                flag=f"--approve-credits {credits_}",
            )
        )
    if budget.items_per_apply is not None and submits > budget.items_per_apply:
        found.append(
            Refusal(
                guard="budget-items",
                message=f"it generates {submits} items; `budget.items_per_apply` is {budget.items_per_apply}",
                flag=f"--approve-credits {credits_}",
            )
        )
    return found


def _ratio(inputs: PlanInputs, changes: Sequence[Change]) -> Refusal | None:
    guards = inputs.project.guards
    recorded = sum(record.server != "local" for record in inputs.state.records.values())
    swept = sum(
        change.action in SWEEPING and change.record is not None and change.record.server != "local"
        for change in changes
    )
    if recorded < guards.from_items or not swept or swept <= guards.max_changed_ratio * recorded:
        return None
    return Refusal(
        guard="changed-ratio",
        message=(
            f"it rewrites or removes {swept} of {recorded} recorded items ({swept / recorded:.0%}); "
            f"`guards.max_changed_ratio` is {guards.max_changed_ratio:.0%}"
        ),
        flag="--approve-changes",
    )
