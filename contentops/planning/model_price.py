"""What a generation may cost where a model of the settings writes the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import price
from contentops.job_limits import largest_call, section_limit, text_limit
from contentops.model import Collect
from contentops.model.cost import NO_PRICE, bound_words
from contentops.planning.plan_inputs import price_of
from contentops.tokens import PaidTokens, add_money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import OpenEntry, Project, Spec


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
        f" {api.context:,}: shorten the inputs (the longest is `{longest}`), or use a model that holds more"
    )


def collecting(project: Project, entries: Iterable[OpenEntry]) -> tuple[Collect, ...]:
    """The steps that collect jobs, each with the most that its model may still cost."""
    if not project.api.has_model:
        return tuple(Collect(entry=entry) for entry in entries)
    return tuple(Collect(entry=entry, tokens=PaidTokens.at(project.price, entry.bound)) for entry in entries)


def generation_words(specs: Iterable[Spec], project: Project) -> str:
    """What one generation of each costs together, in words: `free`, `4 credits`, `at most 0.04 USD`, `no price set`."""
    specs = [*specs]
    if tokens := [found for spec in specs if (found := tokens_at_most(spec, project)) is not None]:
        money = add_money(one.money for one in tokens)
        return bound_words(money, money) if money else NO_PRICE
    costs = [price_of(spec, project.api.server) for spec in specs]
    credits_ = sum(cost.credits for cost in costs)
    return price(credits_, credits_, at_most=any(cost.at_most for cost in costs)) if credits_ else "free"
