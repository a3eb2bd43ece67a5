"""Which items are made from the texts of which, as `contentops graph` shows it."""

from __future__ import annotations

from msgspec import Struct

from contentops.model.records import ItemId


class GraphItem(Struct, frozen=True, kw_only=True):
    """An item, and the items whose texts its own is made from, sorted."""

    id: ItemId
    state: str
    """As `status` shows it."""
    output: str
    sources: tuple[ItemId, ...] = ()
    mentions: tuple[ItemId, ...] = ()
    """The items whose texts only its front matter uses."""


class ItemGraph(Struct, frozen=True, kw_only=True):
    """Items in the order in which their texts are made; sources that are no items of it are not selected."""

    items: tuple[GraphItem, ...]
    alone: int = 0
    """The number of items that are left out because they use no text, and no item uses theirs."""
