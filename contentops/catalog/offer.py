"""What a server offers: templates with their inputs, style profiles, verticals.

An `Offer` holds all that a person may want to read; the `Catalog` of `contentops.model`, which manifests are checked
against, is made from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from contentops.model import Catalog, Template, TemplateInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json


class OfferedInput(Struct, frozen=True, kw_only=True):
    """One input of a template. `kind` is as in `model.TemplateInput`; `default` None means that there is none."""

    name: str
    kind: str = "any"
    required: bool = False
    default: Json = None
    options: tuple[Json, ...] = ()
    aliases: tuple[str, ...] = ()
    description: str = ""


class OfferedTemplate(Struct, frozen=True, kw_only=True):
    """One template. `inputs` are sorted by name, and None where the server does not tell them.

    `manner` is the start of a digest over what the server tells of how it writes; empty where it tells nothing.
    """

    slug: str
    name: str = ""
    category: str = ""
    description: str = ""
    manner: str = ""
    inputs: tuple[OfferedInput, ...] | None = None


class OfferedChoice(Struct, frozen=True, kw_only=True):
    """A style profile or a vertical: a slug and what the server says of it. `tone` is a style's.

    `manner` is as in `OfferedTemplate`.
    """

    slug: str
    name: str = ""
    category: str = ""
    description: str = ""
    tone: str = ""
    manner: str = ""


class Offer(Struct, frozen=True, kw_only=True):
    """Everything one server offers, by slug, sorted. `verticals` is None where the server does not tell them."""

    templates: Mapping[str, OfferedTemplate] = field(default_factory=dict)
    styles: Mapping[str, OfferedChoice] = field(default_factory=dict)
    verticals: Mapping[str, OfferedChoice] | None = None


def catalog(offer: Offer) -> Catalog:
    """What manifests are checked against."""
    return Catalog(
        templates={slug: _template(each) for slug, each in offer.templates.items()},
        styles=frozenset(offer.styles),
        verticals=None if offer.verticals is None else frozenset(offer.verticals),
    )


def _template(offered: OfferedTemplate) -> Template:
    return Template(
        slug=offered.slug,
        name=offered.name,
        category=offered.category,
        inputs_known=offered.inputs is not None,
        inputs=tuple(
            TemplateInput(
                name=each.name, required=each.required, kind=each.kind, options=each.options, aliases=each.aliases
            )
            for each in offered.inputs or ()
        ),
    )
