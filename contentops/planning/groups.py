"""The groups in which `checks.similar` compares texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import Location

if TYPE_CHECKING:
    from contentops.model import Spec

GroupKey = Location | str
"""What the items of a group have in common: the location of their declaration, `tag:NAME` or `all`."""


def group_of(spec: Spec) -> GroupKey | None:
    """The group in which an item's text is compared; None: it is not."""
    similar = spec.checks.similar
    if similar is None:
        return None
    return spec.location if similar.within == "for_each" else similar.within


def is_member(spec: Spec, key: GroupKey) -> bool:
    """Whether texts of a group are compared with this item's."""
    if isinstance(key, Location):
        return spec.location == key
    return key == "all" or key.removeprefix("tag:") in spec.tags
