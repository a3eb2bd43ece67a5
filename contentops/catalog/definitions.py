"""What of an offer shapes texts, as digests: what a record is later held against.

Only meaning counts. Order, names, descriptions, labels, aliases and counters may change without any text becoming
another one, and an aspect that a server does not tell is unknown, which is not a change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contentops.digest import digest_text
from contentops.model import Definitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.catalog.offer import Offer, OfferedChoice, OfferedInput, OfferedTemplate
    from contentops.model import Json

DIGITS = 12
"""Digits of a digest that are kept: enough to tell two versions of one template apart."""


def definitions(offer: Offer) -> Definitions:
    """Every template and style of an offer, by aspect."""
    return Definitions(
        templates={slug: _template(each) for slug, each in offer.templates.items()},
        styles={slug: _style(each) for slug, each in offer.styles.items()},
    )


def start_of(value: Json) -> str:
    """The first digits of a JSON value's digest."""
    # As ASCII: whatever a server says, half a character too, has a digest.
    return digest_text(json.dumps(value, sort_keys=True)).removeprefix("sha256:")[:DIGITS]


def meaning(offered: OfferedInput) -> tuple[Json, ...]:
    """What matters of an input besides its name: whether it is required, its kind, its options and its default."""
    # Options are a set to choose from; `1`, `1.0` and `true` are three of them, so they are compared as written.
    return offered.required, offered.kind, sorted(map(repr, offered.options)), offered.default


def _template(offered: OfferedTemplate) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if offered.inputs is not None:
        found["inputs"] = start_of({each.name: list(meaning(each)) for each in offered.inputs})
    if offered.manner:
        found["manner"] = offered.manner
    return found


def _style(offered: OfferedChoice) -> Mapping[str, str]:
    return {"manner": offered.manner} if offered.manner else {}
