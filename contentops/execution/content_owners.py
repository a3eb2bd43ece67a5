"""The owners of stored contents; checked before an item takes one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.planning.owners import Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.execution.primitives import Item, ItemState
    from contentops.execution.stored_content import StoredContent
    from contentops.model import OpenEntry


class ContentOwners:
    """The owners of contents by their ids: from all locks, the contents' metadata, and what this run saved.

    `lineage` and `environment` are those of this state. Without a lineage, metadata proves nothing.
    """

    def __init__(self, owners: Mapping[str, Owner] | None = None, *, lineage: str = "", environment: str = "") -> None:
        self._owners = dict(owners or {})
        self._here = (lineage, environment)
        self._named: dict[str, StoredContent] = {}
        """The contents whose metadata names another lineage or environment."""

    def learn(self, stored: StoredContent) -> None:
        """Learn the owner of a fetched content from its metadata."""
        if stored.lineage and self._here[0] and (stored.lineage, stored.environment) != self._here:
            self._named[stored.id] = stored
        else:
            self._named.pop(stored.id, None)

    def owner(self, content_id: str) -> Owner | None:
        """The owner of a content; None: no one.

        A record may have a content of another environment of its project, since environments can be renamed; one of
        another project it cannot have.
        """
        known_owner, named = self._owners.get(content_id), self._named.get(content_id)
        if named is not None and (known_owner is None or named.lineage != self._here[0]):
            return Owner(item=named.item, elsewhere=True)
        return known_owner

    def give(self, content_id: str, item: str, superseded: Iterable[str] = ()) -> None:
        """Make an item the owner of a content, and of those that it had before."""
        self._owners[content_id] = Owner(item=item)
        self._owners.update(dict.fromkeys(superseded, Owner(item=item, superseded=True)))

    def give_entry(self, content_id: str, entry: OpenEntry) -> None:
        """Make an open submit the owner of the content with its text, unless it has one."""
        self._owners.setdefault(content_id, Owner(item=entry.item, request=entry.request_id))

    def is_free(self, content_id: str, item: Item, item_state: ItemState) -> bool:
        """Whether an item may have its text in a content: it is the item's own, or no one's."""
        owner = self.owner(content_id)
        if owner is None:
            return True
        if owner.is_of_others or owner.superseded:
            return False
        if owner.request:
            entry = item_state.text.entry if item_state.text is not None else None
            return entry is not None and entry.request_id == owner.request
        return owner.item in {item.id, item.change.renamed_from}

    def take_content(self, item: Item, item_state: ItemState) -> ItemState:
        """The state of an item once it owns the content that came with its text, or left it to its owner.

        At once, as another item may ask for the same content while this one waits.
        """
        text = item_state.text
        if text is None or not text.content_id:
            return item_state
        if not self.is_free(text.content_id, item, item_state):
            return structs.replace(item_state, text=structs.replace(text, content_id=""))
        self.give(text.content_id, item.id)
        return item_state

    def superseded(self, content_ids: Iterable[str]) -> tuple[str, ...]:
        """The contents an item had, each once, without those that someone else owns."""
        owners = ((content_id, self.owner(content_id)) for content_id in dict.fromkeys(content_ids) if content_id)
        return tuple(content_id for content_id, owner in owners if owner is None or not owner.is_of_others)
