"""Refuses plans that cost or change too much, and computes the cost of generations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, structs

from contentops.errors import Refused, plural, price
from contentops.model import (
    Action,
    Change,
    Checks,
    Collect,
    CountedMonth,
    Job,
    LookUp,
    Note,
    Plan,
    Project,
    Record,
    Refusal,
    Spec,
    Submit,
)
from contentops.model.jobs import NO_PRICE, bound_words, cost_words, credit_words, money_words
from contentops.planning.sides import PlanInputs, price_of
from contentops.tokens import PaidTokens, add_money, counted, largest_call, section_limit, text_limit

# ---- The guards: why an apply refuses a plan, and what overrides that.

SWEEPING = frozenset({Action.REGENERATE, Action.OVERWRITE, Action.MERGE, Action.REMOVE})


def refusals(inputs: PlanInputs, changes: Sequence[Change]) -> tuple[Refusal, ...]:
    """Check the changes against all guards, and return their refusals."""
    return (
        *_state(inputs),
        *_budget(inputs, changes),
        *_money(inputs, changes),
        *_month(inputs, changes),
        *_ratio(inputs, changes),
    )


def review(plan: Plan, limit: int) -> Refusal | None:
    """Return a refusal if the plan costs more credits than `limit`, or None if it does not."""
    most = plan.credits_worst
    message = f"the plan costs {cost_words(plan.changes)}; `--max-credits` is {limit}"
    return Refusal(guard="review-credits", message=message, flag=f"--max-credits {most}") if most > limit else None


class Overrides(Struct, frozen=True, kw_only=True):
    """The guards that a person chose to override.

    `credits` is the most that the plan may cost. A plan that costs more is refused in any case.
    """

    credits: int | None = None
    changes: bool = False
    empty: bool = False


def overridden(plan: Plan, overrides: Overrides) -> Plan:
    """Return the plan without the refusals that the command-line options override.

    A `--approve-credits` that is too low is also refused.
    """
    most, limit = plan.credits_worst, overrides.credits
    is_approved = limit is not None and most <= limit
    allowed = {"changed-ratio": overrides.changes, "empty": overrides.empty}
    allowed |= dict.fromkeys(("budget-credits", "budget-items", "budget-month", "budget-unknown"), is_approved)
    remaining = [refusal for refusal in plan.refusals if not allowed.get(refusal.guard)]
    if limit is not None and not is_approved:
        message = f"it costs {cost_words(plan.changes)}, and {limit} were approved"
        remaining.append(Refusal(guard="approved-credits", message=message, flag=_approval(most)))
    return structs.replace(plan, refusals=tuple(remaining))


def check_guards(plan: Plan) -> None:
    """Raise Refused if a guard refuses the plan.

    The hint lists the options that override the refusals, if each of them has one.
    """
    if not plan.refusals:
        return
    message = "apply refuses this plan: " + "; ".join(refusal.message for refusal in plan.refusals)
    flags = dict.fromkeys(refusal.flag for refusal in plan.refusals if refusal.flag)
    # If one refusal has no flag, the flags of the others do not help: the plan would be refused again.
    is_open = all(refusal.flag for refusal in plan.refusals)
    hint = f"if that is meant: {', '.join(f'`{flag}`' for flag in flags)}" if is_open else ""
    raise Refused(message, code=plan.refusals[0].guard, hint=hint)


def _approval(most: int) -> str:
    return f"--approve-credits {most}"


def _state(inputs: PlanInputs) -> Iterator[Refusal]:
    records = inputs.records
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
    """Return whether the guards count a record among the texts that they protect.

    They count the texts of other servers, and those of the bundled server that a model wrote.
    """
    return record.server != "local" or (bool(record.generated) and not record.outline)


def _budget(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget = inputs.project.budget
    most = sum(change.credits_worst for change in changes)
    submits = sum(change.submits_worst for change in changes)
    if budget.credits_per_apply is not None and most > budget.credits_per_apply:
        limit = _limit("credits_per_apply", budget.credits_per_apply, changes)
        message = f"it costs {credit_words(changes)}; {limit}"
        yield Refusal(guard="budget-credits", message=message, flag=_approval(most))
    if budget.items_per_apply is not None and submits > budget.items_per_apply:
        message = f"it generates {plural(submits, 'item')}; `budget.items_per_apply` is {budget.items_per_apply}"
        yield Refusal(guard="budget-items", message=message, flag=_approval(most))


def _limit(name: str, number: int, changes: Sequence[Change]) -> str:
    """Return a limit of the budget in words, with its name and number.

    If every text costs more than the limit, the words also name the cost of the cheapest text.
    """
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
    again = {
        step.job.request_id
        for change in changes
        for step in change.steps
        if (isinstance(step, LookUp) and change.submit is not None) or (isinstance(step, Collect) and step.tokens)
    }
    before = spent.credits - sum(spent.uncertain.get(name, 0) for name in again)
    limit = budget.credits_per_month
    if limit is not None and most and before + most > limit:
        words = f"it costs {credit_words(changes)}, and {plural(before, 'credit')} of {spent.month} are spent"
        message = f"{words}; {_limit('credits_per_month', limit, changes)}"
        yield Refusal(guard="budget-month", message=message, flag=_approval(most))
    if budget.money_per_month is not None:
        paid = counted(spent.money.get(budget.currency, "0"))
        paid -= sum(spent.uncertain_money.get(name, 0) for name in again)
        # A model of another server has no bound: as soon as the month has nothing left, it is not asked.
        worst = max(_money_of(changes, budget.currency), 1)
        if paid + worst > counted(budget.money_per_month):
            words = f"and {money_words({budget.currency: paid})} of {spent.month} are spent"
            yield _money_refusal("money_per_month", budget.money_per_month, budget.currency, changes, words)


def _money(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    budget = inputs.project.budget
    limit = budget.money_per_apply
    if limit is not None and _money_of(changes, budget.currency) > counted(limit):
        yield _money_refusal("money_per_apply", limit, budget.currency, changes)


def _money_of(changes: Iterable[Change], currency: str) -> int:
    return add_money(change.money_worst for change in changes).get(currency, 0)


def _money_refusal(name: str, limit: str, currency: str, changes: Sequence[Change], spent: str = "") -> Refusal:
    """Return the refusal for a plan that may cost more money than the settings allow. No option overrides it."""
    least = min((worst for change in changes if (worst := _money_of([change], currency))), default=0)
    is_below = least > counted(limit)
    way = "raise it" if is_below else "raise it, or apply fewer items with `--select` or `--canary`"
    stated = f"`budget.{name}` is {money_words({currency: counted(limit)})}"
    one = f", and one text may cost {money_words({currency: least}, is_bound=True)}" if is_below else ""
    words = ", ".join(filter(None, (f"it costs {cost_words(changes)}", spent)))
    guard = f"budget-{name.replace('_per_', '-').replace('-apply', '')}"
    return Refusal(guard=guard, message=f"{words}; {stated}{one}: {way}")


def month_spent(inputs: PlanInputs, changes: Sequence[Change]) -> CountedMonth | None:
    """Return this month's spending, or None if the plan does not need to know it.

    A plan needs it only if a month has a budget and the changes cost something.
    """
    is_asked = inputs.project.budget.is_monthly and any(each.credits_worst or each.money_worst for each in changes)
    return inputs.spent() if is_asked else None


def _ratio(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Refusal]:
    guards = inputs.project.guards
    recorded = sum(map(_counts, inputs.records.values()))
    swept = sum(
        (change.action in SWEEPING or bool(change.pays_later)) and change.record is not None and _counts(change.record)
        for change in changes
    )
    if recorded >= guards.from_items and swept > guards.max_changed_ratio * recorded:
        message = (
            f"it rewrites or removes {swept} of {recorded} recorded items ({swept / recorded:.0%}); "
            f"`guards.max_changed_ratio` is {guards.max_changed_ratio:.0%}"
        )
        yield Refusal(guard="changed-ratio", message=message, flag="--approve-changes")


# ---- What a generation may cost where a model of the settings writes the text.

_ANY_TEXTS = {f"text {number}": "\uffff" * 4_000 for number in range(4)}
"""Long texts that stand for texts that are not known yet."""


def tokens_at_most(spec: Spec, project: Project, section: str = "", *, waits: bool = False) -> PaidTokens | None:
    """Return the highest number of tokens that one request can use, and their price.

    The request is for the whole text or one section. `waits`: it uses texts that are not known yet. Return None if the
    settings have no model, or the item has no template.
    """
    api, mode = project.api, spec.request.mode
    if not api.has_model or not spec.request.template:
        return None
    fields = spec.request.as_json()
    inputs = {**spec.request.inputs, **(_ANY_TEXTS if waits else {})}
    del fields["inputs"]
    if section:
        return PaidTokens.at(project.price, section_limit(mode, fields, inputs, api.max_tokens))
    return PaidTokens.at(project.price, text_limit(mode, fields, inputs, api.max_tokens, passes=api.passes))


def order_of(spec: Spec, project: Project, section: str = "", *, waits: bool = False) -> Submit:
    """Return the step that submits a text or one section, with its price. `waits`: see `tokens_at_most`."""
    price_ = price_of(spec, project.api.server, section)
    return Submit(
        request=spec.request,
        digest=spec.digest,
        attempt=1,
        credits=price_.credits,
        at_most=price_.at_most,
        section=section,
        tokens=tokens_at_most(spec, project, section, waits=waits),
    )


def retries_left(checks: Checks, done: int = 0) -> int:
    """Return how many retries are left for a text that fails its checks, after `done` retries."""
    return max(0, checks.retries - done) if checks.can_block else 0


def beyond_context(spec: Spec, project: Project) -> str:
    """Return why a prompt is too long for the model, or an empty text if it fits."""
    api, fields = project.api, spec.request.as_json()
    if not api.has_model or not api.context or not spec.request.template:
        return ""
    inputs = fields.pop("inputs")
    most = largest_call(spec.request.mode, fields, inputs, api.max_tokens, passes=api.passes)
    if most.input + most.output <= api.context:
        return ""
    longest = max(inputs, key=lambda name: len(str(inputs[name])), default="")
    return (
        f"a prompt has up to {most.input:,} tokens and its answer {most.output:,}, and `api.context` is"
        f" {api.context:,}: shorten the inputs (the longest is `{longest}`), or use a model with a larger context"
    )


def collecting(project: Project, jobs: Iterable[Job]) -> tuple[Collect, ...]:
    """Return the steps that collect the texts of open jobs. Each has the highest cost that its job may still cause."""
    if not project.api.has_model:
        return tuple(Collect(job=job) for job in jobs)
    return tuple(Collect(job=job, tokens=PaidTokens.at(project.price, job.bound)) for job in jobs)


def usual_cost(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Note]:
    """Yield a note that estimates the cost of the plan's texts from the average cost of earlier texts.

    The price in a plan is an upper bound. The average is that of texts with the same model and template. Sections are
    compared with sections. Today's price counts.
    """
    api, price_ = inputs.project.api, inputs.project.price
    steps = [step for each in changes for step in (*each.steps, *each.pays_later) if isinstance(step, Submit)]
    if not api.has_model or price_ is None or not steps:
        return
    known: dict[tuple[str, bool], list[int]] = {}
    for job in inputs.state.jobs:
        if job.tokens is not None and job.has_text and job.model == api.model:
            known.setdefault((job.template, bool(job.section)), []).append(price_.of(job.tokens))
    alike = [known[kind] for step in steps if (kind := (step.request.template, bool(step.section))) in known]
    if not alike:
        return
    usual = sum(sum(costs) // len(costs) for costs in alike)
    texts = sum(len(known[kind]) for kind in {(step.request.template, bool(step.section)) for step in steps} & {*known})
    of = plural(len(steps), "text") if len(alike) == len(steps) else f"{len(alike)} of {plural(len(steps), 'text')}"
    message = f"{of}: {money_words({price_.currency: usual})} by the average of {plural(texts, 'such text')} so far"
    yield Note(kind="usual-cost", message=message)


def generation_words(specs: Iterable[Spec], project: Project) -> str:
    """Return in words what it costs to generate each item once, such as `free`, `4 credits` or `at most 0.04 USD`."""
    specs = [*specs]
    if tokens := [found for spec in specs if (found := tokens_at_most(spec, project)) is not None]:
        money = add_money(one.money for one in tokens)
        return bound_words(money, money) if money else NO_PRICE
    costs = [price_of(spec, project.api.server) for spec in specs]
    credits_ = sum(cost.credits for cost in costs)
    return price(credits_, credits_, at_most=any(cost.at_most for cost in costs)) if credits_ else "free"
