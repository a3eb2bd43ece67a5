"""What a generation may cost where a model of the settings writes the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import plural, price
from contentops.job_limits import largest_call, section_limit, text_limit
from contentops.model import Collect, Note, Submit
from contentops.model.cost import NO_PRICE, bound_words, money_words
from contentops.planning.plan_inputs import price_of
from contentops.tokens import PaidTokens, add_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contentops.model import Change, OpenEntry, Project, Spec
    from contentops.planning.plan_inputs import PlanInputs


_ANY_TEXTS = {f"text {number}": "\uffff" * 4_000 for number in range(4)}
"""Instead of texts that are not known yet."""


def tokens_at_most(spec: Spec, project: Project, section: str = "", *, waits: bool = False) -> PaidTokens | None:
    """The most tokens of one submit of `spec`, or of a section of it, at the price of the settings if they have one.

    `waits`: it is made from texts that are not known yet. None without a model here.
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


def beyond_context(spec: Spec, project: Project) -> str:
    """Return why the model of the settings cannot hold a prompt for `spec`, with the numbers; empty: it can."""
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


def collecting(project: Project, entries: Iterable[OpenEntry]) -> tuple[Collect, ...]:
    """The steps that collect jobs, each with the most that its model may still cost."""
    if not project.api.has_model:
        return tuple(Collect(entry=entry) for entry in entries)
    return tuple(Collect(entry=entry, tokens=PaidTokens.at(project.price, entry.bound)) for entry in entries)


def usual_cost(inputs: PlanInputs, changes: Sequence[Change]) -> Iterator[Note]:
    """Yield a note of what the texts to generate cost on average so far, beside the most that a plan shows.

    By the jobs of the same model and template, at the price of today; of sections, by those of sections.
    """
    api, price_ = inputs.project.api, inputs.project.price
    steps = [step for each in changes for step in (*each.steps, *each.later) if isinstance(step, Submit)]
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
    """What one generation of each costs together, in words: `free`, `4 credits`, `at most 0.04 USD`, `no price set`."""
    specs = [*specs]
    if tokens := [found for spec in specs if (found := tokens_at_most(spec, project)) is not None]:
        money = add_money(one.money for one in tokens)
        return bound_words(money, money) if money else NO_PRICE
    costs = [price_of(spec, project.api.server) for spec in specs]
    credits_ = sum(cost.credits for cost in costs)
    return price(credits_, credits_, at_most=any(cost.at_most for cost in costs)) if credits_ else "free"
