"""What of an offer shapes texts, so that `catalog pull` can say what changed.

Only meaning counts. Order, names, descriptions, labels, aliases and counters may change without any text becoming
another one, and an aspect that a server does not tell is unknown, which is not a change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contentops.digest import digest_text

if TYPE_CHECKING:
    from contentops.catalog.offer import OfferedInput
    from contentops.model import Json

DIGITS = 12
"""Digits of a digest that are kept: enough to tell two versions of one template apart."""


def start_of(value: Json) -> str:
    """The first digits of a JSON value's digest."""
    # As ASCII: whatever a server says, half a character too, has a digest.
    return digest_text(json.dumps(value, sort_keys=True)).removeprefix("sha256:")[:DIGITS]


def meaning(offered: OfferedInput) -> tuple[Json, ...]:
    """What matters of an input besides its name: whether it is required, its kind, its options and its default."""
    # Options are a set to choose from; `1`, `1.0` and `true` are three of them, so they are compared as written.
    return offered.required, offered.kind, sorted(map(repr, offered.options)), offered.default
