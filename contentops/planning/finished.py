"""Which item may use a finished text, and which attempt comes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import ItemId, RequestId, request_id

if TYPE_CHECKING:
    from contentops.planning.existing_texts import FinishedText
    from contentops.planning.plan_inputs import ItemSides

_FAR = 50
"""How many attempts after the known ones are searched for a request id."""


def stored_text(item: ItemSides) -> FinishedText | None:
    """The finished text of the declared request that the item may use; never one that was given up.

    Where a model writes, an outline is no finished text: all environments of the bundled server share their texts.
    """
    text = item.inputs.stored(item.spec.digest)
    if text is None or text.given_up or (text.outline and item.inputs.project.api.has_model):
        return None
    return text if _may_serve(text, item) else None


def _may_serve(text: FinishedText, item: ItemSides) -> bool:
    """Whether the item may use a text: its own, or of no declared item, never of another with this request."""
    payer = ItemId(text.item)
    carrier = item.inputs.carriers.get(RequestId(text.request_id), payer)
    if carrier == item.spec.id:
        return True
    if is_anothers(item, carrier) or is_anothers(item, payer):
        return False
    is_gone = carrier not in item.inputs.specs and item.inputs.heirs.get(item.spec.digest) == item.spec.id
    return is_gone or payer in item.ids


def is_anothers(item: ItemSides, id_: ItemId | None) -> bool:
    """Whether an id is that of another item that declares the same request."""
    spec = item.inputs.specs.get(id_) if id_ is not None else None
    return spec is not None and spec.id != item.spec.id and spec.digest == item.spec.digest


def after_stored(item: ItemSides, attempt: int) -> int:
    """The first free attempt from `attempt` on. That of the finished text is taken, even if no entry names it.

    It is never one whose text another item of the same request has, which had this id once.
    """
    stored = item.inputs.stored(item.spec.digest)
    if stored is not None and stored.request_id:
        later = (number for number in range(attempt, attempt + _FAR) if _name(item, number) == stored.request_id)
        attempt = 1 + next(later, attempt - 1)
    while is_anothers(item, item.inputs.carriers.get(_name(item, attempt))):
        attempt += 1
    return attempt


def _name(item: ItemSides, attempt: int) -> RequestId:
    """The request id of an attempt at the declared request."""
    state, environment = item.inputs.state, item.inputs.project.environment
    return request_id(state.lineage, environment, item.spec.id, item.spec.digest, attempt)
