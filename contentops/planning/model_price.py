"""What a generation may cost where a model of the settings writes the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from contentops.errors import price
from contentops.job_limits import VALUE, section_limit, text_limit
from contentops.model.cost import NO_PRICE, bound_words
from contentops.planning.plan_inputs import price_of
from contentops.pricing import CREDITS
from contentops.tokens import PaidTokens, add_money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Json, Project, Spec


_ANY_TEXTS = {f"text {number}": "\uffff" * VALUE for number in range(4)}


def tokens_at_most(spec: Spec, project: Project, section: str = "") -> PaidTokens | None:
    """The most tokens of one submit of `spec`, or of a section of it, at the price of the settings if they have one.

    None without a model here.
    """
    request = spec.request.as_json()
    if spec.waits:
        # The texts that it is made from are not known yet: they fill the brief.
        request["inputs"] = {**request["inputs"], **_ANY_TEXTS}
    return tokens_of_request(request, project, section)


def tokens_of_request(request: Mapping[str, Json], project: Project, section: str = "") -> PaidTokens | None:
    """The same for a request as a record keeps it: what a text of unknown tokens may have used."""
    if not project.api.has_model or not request.get("template"):
        return None
    fields = dict(request)
    inputs, mode = fields.pop("inputs", {}), str(fields.get("mode"))
    if mode not in CREDITS or not isinstance(inputs, Mapping):
        return None
    api = project.api
    if section:
        return PaidTokens.at(project.price, section_limit(mode, fields, inputs, api.max_tokens))
    return PaidTokens.at(project.price, text_limit(mode, fields, inputs, api.max_tokens, passes=api.passes))


def generation_words(specs: Iterable[Spec], project: Project) -> str:
    """What one generation of each costs together, in words: `free`, `4 credits`, `at most 0.04 USD`, `no price set`."""
    specs = [*specs]
    if tokens := [found for spec in specs if (found := tokens_at_most(spec, project)) is not None]:
        money = add_money(one.money for one in tokens)
        return bound_words(money, money) if money else NO_PRICE
    costs = [price_of(spec, project.api.server) for spec in specs]
    credits_ = sum(cost.credits for cost in costs)
    return price(credits_, credits_, at_most=any(cost.at_most for cost in costs)) if credits_ else "free"
