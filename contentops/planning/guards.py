"""The guards: why an apply refuses a plan, and what overrides that."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from contentops.errors import plural, price
from contentops.model import Action, Collect, LookUp, Refusal
from contentops.model.cost import cost_words, money_words
from contentops.model.limits import as_counted
from contentops.tokens import add_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contentops.model import Change, MonthSpend, OpenEntry, Plan, Record
    from contentops.planning.plan_inputs import PlanInputs

SWEEPING = frozenset({Action.REGENERATE, Action.OVERWRITE, Action.MERGE, Action.REMOVE})


def refusals(inputs: PlanInputs, changes: Sequence[Change]) -> tuple[Refusal, ...]:
    """Every guard that refuses these changes."""
    return (
        *_state(inputs),
        *_budget(inputs, changes),
        *_money(inputs, changes),
        *_month(inputs, changes),
        *_ratio(inputs, changes),
    )


def review(plan: Plan, limit: int) -> Refusal | None:
    """The refusal of a plan that costs more credits than `limit`."""
    most = plan.credits_worst
    if most <= limit:
        return None
    message = f"the plan costs {cost_words(plan.changes)}; `--max-credits` is {limit}"
    return Refusal(guard="review-credits", message=message, flag=f"--max-credits {most}")


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
    known = {record.server for record in records.values() if _counts(record)} | inputs.ordered_at
    others = sorted(known - {inputs.server})
    if others:
        message = f"the records belong to server `{others[0]}`, but the project now uses `{inputs.server}`"
        flag = f"contentops state mv --server {others[0]} {inputs.server}"
        yield Refusal(guard="server-changed", message=message, flag=flag)
    if records and not inputs.desired.specs:
        message = f"the manifests declare no items, but the lock has {len(records)}"
        yield Refusal(guard="empty", message=message, flag="--approve-empty")


def _counts(record: Record) -> bool:
    """Whether a record is not of the bundled server without a model, whose texts are free at any time."""
    return record.server != "local" or (bool(record.generated) and not record.outline)


def _budget(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget = inputs.project.budget
    most = sum(change.credits_worst for change in changes)
    submits = sum(change.submits_worst for change in changes)
    if budget.credits_per_apply is not None and most > budget.credits_per_apply:
        limit = _limit("credits_per_apply", budget.credits_per_apply, changes)
        message = f"it costs {_credit_words(changes)}; {limit}"
        yield Refusal(guard="budget-credits", message=message, flag=_approval(most))
    if budget.items_per_apply is not None and submits > budget.items_per_apply:
        message = f"it generates {plural(submits, 'item')}; `budget.items_per_apply` is {budget.items_per_apply}"
        yield Refusal(guard="budget-items", message=message, flag=_approval(most))


def _priced_again(change: Change) -> Iterator[OpenEntry]:
    """The open jobs whose cost is in the price of a change."""
    for step in change.steps:
        if (isinstance(step, LookUp) and change.submit is not None) or (isinstance(step, Collect) and step.tokens):
            yield step.entry


def _limit(name: str, number: int, changes: Sequence[Change]) -> str:
    """What a limit in credits is, and whether it is less than any text of these changes costs."""
    prices = (change.submit.credits for change in changes if change.submit is not None)
    least = min(filter(None, prices), default=0)
    return f"`budget.{name}` is {number:,}" + (f", and one text costs {least:,}" if least > number else "")


def _month(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget, spent = inputs.project.budget, month_spent(inputs, changes)
    if spent is None:
        return
    most = sum(change.credits_worst for change in changes)
    for gap in spent.gaps:
        message = f"`budget` limits the month, and what was spent in {spent.month} cannot be counted: {gap}"
        if budget.money_per_month is not None:
            yield Refusal(guard="budget-money-unknown", message=message)
        else:
            yield Refusal(guard="budget-unknown", message=message, flag=_approval(most))
    # These jobs are in the price of the plan too.
    again = {job.request_id for change in changes for job in _priced_again(change)}
    before = spent.credits - sum(spent.uncertain.get(name, 0) for name in again)
    limit = budget.credits_per_month
    if limit is not None and most and before + most > limit:
        words = f"it costs {_credit_words(changes)}, and {plural(before, 'credit')} of {spent.month} are spent"
        message = f"{words}; {_limit('credits_per_month', limit, changes)}"
        yield Refusal(guard="budget-month", message=message, flag=_approval(most))
    if budget.money_per_month is not None:
        paid = as_counted(spent.money.get(budget.currency, Decimal(0)))
        paid -= sum(spent.uncertain_money.get(name, 0) for name in again)
        # A model of another server has no bound: as soon as the month has nothing left, it is not asked.
        worst = max(_money_of(changes, budget.currency), 1)
        if paid + worst > as_counted(budget.money_per_month):
            words = f"and {money_words({budget.currency: paid})} of {spent.month} are spent"
            yield _money_refusal("money_per_month", budget.money_per_month, budget.currency, changes, words)


def _money(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget = inputs.project.budget
    limit = budget.money_per_apply
    if limit is not None and _money_of(changes, budget.currency) > as_counted(limit):
        yield _money_refusal("money_per_apply", limit, budget.currency, changes)


def _money_of(changes: Iterable[Change], currency: str) -> int:
    return add_money(change.money_worst for change in changes).get(currency, 0)


def _money_refusal(name: str, limit: Decimal, currency: str, changes: Sequence[Change], spent: str = "") -> Refusal:
    """The refusal of a plan that may cost more money than the settings allow, which no option overrides."""
    least = min((worst for change in changes if (worst := _money_of([change], currency))), default=0)
    is_below = least > as_counted(limit)
    way = "raise it" if is_below else "raise it, or apply fewer items with `--select` or `--canary`"
    stated = f"`budget.{name}` is {money_words({currency: as_counted(limit)})}"
    one = f", and one text may cost {money_words({currency: least}, is_bound=True)}" if is_below else ""
    words = ", ".join(filter(None, (f"it costs {cost_words(changes)}", spent)))
    guard = f"budget-{name.replace('_per_', '-').replace('-apply', '')}"
    return Refusal(guard=guard, message=f"{words}; {stated}{one}: {way}")


def _credit_words(changes: Iterable[Change]) -> str:
    costs = [(change.credits, change.credits_worst, change.credits_at_most) for change in changes]
    return price(sum(cost[0] for cost in costs), sum(cost[1] for cost in costs), at_most=any(cost[2] for cost in costs))


def month_spent(inputs: PlanInputs, changes: Sequence[Change]) -> MonthSpend | None:
    """What was spent this month; None where no budget asks for it, or the changes cost nothing."""
    is_asked = inputs.project.budget.is_monthly and any(each.credits_worst or each.money_worst for each in changes)
    return inputs.spent() if is_asked else None


def _ratio(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    guards = inputs.project.guards
    recorded = sum(map(_counts, inputs.state.records.values()))
    swept = sum(
        (change.action in SWEEPING or bool(change.later)) and change.record is not None and _counts(change.record)
        for change in changes
    )
    if recorded >= guards.from_items and swept > guards.max_changed_ratio * recorded:
        message = (
            f"it rewrites or removes {swept} of {recorded} recorded items ({swept / recorded:.0%}); "
            f"`guards.max_changed_ratio` is {guards.max_changed_ratio:.0%}"
        )
        yield Refusal(guard="changed-ratio", message=message, flag="--approve-changes")
