"""What a generation may cost where a model of the settings writes the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import price
from contentops.job_limits import section_limit, text_limit
from contentops.model.cost import bound_words
from contentops.planning.plan_inputs import price_of
from contentops.tokens import PaidTokens

if TYPE_CHECKING:
    from contentops.model import Project, Spec


def tokens_at_most(spec: Spec, project: Project, section: str = "") -> PaidTokens | None:
    """The most tokens of one submit of `spec`, or of a section of it; None without a price, or without a model here."""
    if project.price is None or not project.api.has_model or not spec.request.template:
        return None
    fields = spec.request.as_json()
    inputs, mode = fields.pop("inputs"), fields["mode"]
    limit = section_limit if section else text_limit
    return PaidTokens.at(project.price, limit(mode, fields, inputs, project.api.max_tokens))


def generation_words(spec: Spec, project: Project) -> str:
    """What one generation of `spec` costs, in words; empty: it is free."""
    if (tokens := tokens_at_most(spec, project)) is not None:
        return bound_words(tokens.money, tokens.money)
    cost = price_of(spec, project.api.server)
    return price(cost.credits, cost.credits, at_most=cost.at_most) if cost.credits else ""
