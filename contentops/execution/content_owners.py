"""Who owns the stored contents of a run: the one place that is asked before any of them is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.planning.owners import Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.execution.primitives import Item, Standing
    from contentops.model import OpenEntry


class ContentOwners:
    """The owners of contents by their ids: as the state knows them, and as the run goes on."""

    def __init__(self, known: Mapping[str, Owner] | None = None) -> None:
        self._known = dict(known or {})

    def owner(self, content_id: str) -> Owner | None:
        """Whose a content is; None: no one's."""
        return self._known.get(content_id)

    def give(self, content_id: str, item: str, superseded: Iterable[str] = ()) -> None:
        """A content is that of an item from now on, as are those that it had before."""
        self._known[content_id] = Owner(item=item)
        self._known.update(dict.fromkeys(superseded, Owner(item=item, superseded=True)))

    def give_entry(self, content_id: str, entry: OpenEntry) -> None:
        """A content that no one has is that of an open submit, whose text it is."""
        self._known.setdefault(content_id, Owner(item=entry.item, request=entry.request_id))

    def is_free(self, content_id: str, item: Item, standing: Standing) -> bool:
        """Whether an item may have its text in a content: it is the item's own, or no one's."""
        owner = self.owner(content_id)
        if owner is None:
            return True
        if owner.lock or owner.superseded:
            return False
        if owner.request:
            entry = standing.text.entry if standing.text is not None else None
            return entry is not None and entry.request_id == owner.request
        return owner.item in {item.id, item.change.renamed_from}
