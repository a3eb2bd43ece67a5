"""Who owns the stored contents of a run: the one place that is asked before any of them is taken."""

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

    `lineage` and `environment` are those of the state here. Without a lineage, metadata tells nothing.
    """

    def __init__(self, owners: Mapping[str, Owner] | None = None, *, lineage: str = "", environment: str = "") -> None:
        self._owners = dict(owners or {})
        self._here = (lineage, environment)
        self._named: dict[str, StoredContent] = {}
        """The contents whose metadata names another lineage or environment."""

    def learn(self, stored: StoredContent) -> None:
        """Take in what a content that was fetched says of itself."""
        if stored.lineage and self._here[0] and (stored.lineage, stored.environment) != self._here:
            self._named[stored.id] = stored
        else:
            self._named.pop(stored.id, None)

    def owner(self, content_id: str) -> Owner | None:
        """Whose a content is; None: no one's.

        A record may have a content of another environment of its project, since environments can be renamed; one of
        another project it cannot have.
        """
        known_owner, named = self._owners.get(content_id), self._named.get(content_id)
        if named is not None and (known_owner is None or named.lineage != self._here[0]):
            return Owner(item=named.item, elsewhere=True)
        return known_owner

    def give(self, content_id: str, item: str, superseded: Iterable[str] = ()) -> None:
        """A content is that of an item from now on, as are those that it had before."""
        self._owners[content_id] = Owner(item=item)
        self._owners.update(dict.fromkeys(superseded, Owner(item=item, superseded=True)))

    def give_entry(self, content_id: str, entry: OpenEntry) -> None:
        """A content that no one has is that of an open submit, whose text it is."""
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
        """Where an item stands once it has taken the content that came with its text, or left it to its owner.

        One that no one has is the item's from now on: another item may ask for it while this one waits.
        """
        text = item_state.text
        if text is None or not text.content_id:
            return item_state
        if not self.is_free(text.content_id, item, item_state):
            return structs.replace(item_state, text=structs.replace(text, content_id=""))
        self.give(text.content_id, item.id)
        return item_state

    def superseded(self, content_ids: Iterable[str]) -> tuple[str, ...]:
        """Those of the contents an item had that may be listed as its earlier ones: no one else's, each once."""
        owners = ((content_id, self.owner(content_id)) for content_id in dict.fromkeys(content_ids) if content_id)
        return tuple(content_id for content_id, owner in owners if owner is None or not owner.is_of_others)
