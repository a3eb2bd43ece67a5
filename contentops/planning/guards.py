"""The guards: why an apply refuses a plan, and what overrides that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.model import Action, LookUp, Refusal
from contentops.model.cost import cost_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import Change, MonthSpend, Plan, Record
    from contentops.planning.plan_inputs import PlanInputs

SWEEPING = frozenset({Action.REGENERATE, Action.OVERWRITE, Action.MERGE, Action.REMOVE})


def refusals(inputs: PlanInputs, changes: Sequence[Change]) -> tuple[Refusal, ...]:
    """Every guard that refuses these changes."""
    return (*_state(inputs), *_budget(inputs, changes), *_month(inputs, changes), *_ratio(inputs, changes))


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
    others = sorted({record.server for record in records.values() if _counts(record)} - {inputs.server})
    if others:
        message = f"the records belong to server `{others[0]}`, but the project now uses `{inputs.server}`"
        flag = f"contentops state mv --server {others[0]} {inputs.server}"
        yield Refusal(guard="server-changed", message=message, flag=flag)
    if records and not inputs.desired.specs:
        message = f"the manifests declare no items, but the lock has {len(records)}"
        yield Refusal(guard="empty", message=message, flag="--approve-empty")


def _counts(record: Record) -> bool:
    """Whether a record is not of the bundled server without a model, whose texts are free at any time."""
    return record.server != "local" or bool(record.model)


def _budget(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget = inputs.project.budget
    most = sum(change.credits_worst for change in changes)
    submits = sum(change.submits_worst for change in changes if not change.queued)
    if budget.credits_per_apply is not None and most > budget.credits_per_apply:
        limit = _limit("credits_per_apply", budget.credits_per_apply, changes)
        yield Refusal(guard="budget-credits", message=f"it costs {cost_words(changes)}; {limit}", flag=_approval(most))
    if budget.items_per_apply is not None and submits > budget.items_per_apply:
        message = f"it generates {plural(submits, 'item')}; `budget.items_per_apply` is {budget.items_per_apply}"
        yield Refusal(guard="budget-items", message=message, flag=_approval(most))


def _limit(name: str, number: int, changes: Sequence[Change]) -> str:
    """What a limit in credits is, and whether it is less than any text of these changes costs."""
    prices = (change.submit.credits for change in changes if change.submit is not None)
    least = min(filter(None, prices), default=0)
    return f"`budget.{name}` is {number:,}" + (f", and one text costs {least:,}" if least > number else "")


def _month(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    limit, spent = inputs.project.budget.credits_per_month, month_spent(inputs, changes)
    if limit is None or spent is None:
        return
    most = sum(change.credits_worst for change in changes)
    for gap in spent.gaps:
        message = f"what was spent in {spent.month} cannot be counted for `budget.credits_per_month`: {gap}"
        yield Refusal(guard="budget-unknown", message=message, flag=_approval(most))
    # These submits are in the price of the plan too.
    again = {
        step.entry.request_id for each in changes if each.submit for step in each.steps if isinstance(step, LookUp)
    }
    again |= {name for change in changes for name in change.withdraws}
    before = spent.credits - sum(spent.uncertain.get(name, 0) for name in again)
    if before + most > limit:
        words = f"it costs {cost_words(changes)}, and {plural(before, 'credit')} of {spent.month} are spent"
        message = f"{words}; {_limit('credits_per_month', limit, changes)}"
        yield Refusal(guard="budget-month", message=message, flag=_approval(most))


def month_spent(inputs: PlanInputs, changes: Sequence[Change]) -> MonthSpend | None:
    """What was spent this month; None where no budget asks for it, or the changes cost nothing."""
    is_asked = inputs.project.budget.is_monthly and any(change.credits_worst for change in changes)
    return inputs.spent() if is_asked else None


def _ratio(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    guards = inputs.project.guards
    recorded = sum(map(_counts, inputs.state.records.values()))
    swept = sum(
        change.action in SWEEPING and change.record is not None and _counts(change.record) for change in changes
    )
    if recorded >= guards.from_items and swept > guards.max_changed_ratio * recorded:
        message = (
            f"it rewrites or removes {swept} of {recorded} recorded items ({swept / recorded:.0%}); "
            f"`guards.max_changed_ratio` is {guards.max_changed_ratio:.0%}"
        )
        yield Refusal(guard="changed-ratio", message=message, flag="--approve-changes")
