"""Which item a finished text may serve, and which attempt comes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import ItemId, RequestId, request_id

if TYPE_CHECKING:
    from contentops.planning.existing_texts import FinishedText
    from contentops.planning.plan_inputs import ItemSides

_FAR = 50
"""How many attempts beyond those that are known are told by their request."""


def stored_text(item: ItemSides) -> FinishedText | None:
    """The finished text of the very request that is declared, if it may serve the item; none that was given up does."""
    text = item.inputs.stored(item.spec.digest)
    return text if text is not None and not text.given_up and _may_serve(text, item) else None


def _may_serve(text: FinishedText, item: ItemSides) -> bool:
    """Whether a text is the item's own, or one that no declared item has; never one that another item asks for too."""
    payer = ItemId(text.item)
    carrier = item.inputs.carriers.get(RequestId(text.request_id), payer)
    if carrier == item.spec.id:
        return True
    if is_anothers(item, carrier) or is_anothers(item, payer):
        return False
    is_gone = carrier not in item.inputs.specs and item.inputs.heirs.get(item.spec.digest) == item.spec.id
    return is_gone or payer in item.ids


def is_anothers(item: ItemSides, id_: ItemId | None) -> bool:
    """Whether an id is that of another declared item that asks for the same."""
    spec = item.inputs.specs.get(id_) if id_ is not None else None
    return spec is not None and spec.id != item.spec.id and spec.digest == item.spec.digest


def after_stored(item: ItemSides, attempt: int) -> int:
    """`attempt`, or the one after that of the finished text: where that alone is left of an attempt, it tells which.

    Never one whose text another item has that asks for the same: that one had this id once.
    """
    stored = item.inputs.stored(item.spec.digest)
    if stored is not None and stored.request_id:
        later = (number for number in range(attempt, attempt + _FAR) if _name(item, number) == stored.request_id)
        attempt = 1 + next(later, attempt - 1)
    while is_anothers(item, item.inputs.carriers.get(_name(item, attempt))):
        attempt += 1
    return attempt


def _name(item: ItemSides, attempt: int) -> RequestId:
    """The request of an attempt at what is declared."""
    state, environment = item.inputs.state, item.inputs.project.environment
    return request_id(state.lineage, environment, item.spec.id, item.spec.digest, attempt)
