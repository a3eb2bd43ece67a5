"""The stored contents that one run has fetched: digests only, and each content once at most."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contentops.documents.clean import clean_title
from contentops.execution.content_owners import ContentOwners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.api.calls import ContentEntry, ContentList
    from contentops.execution.primitives import Draft
    from contentops.execution.stored_content import StoredContent


Looked = dict[str, tuple[str, str | None]]
"""By content: its time of change when it was looked at, and the request whose text it is by its metadata; empty: it
names none, None: it could not be read."""


@dataclass(slots=True)
class ContentIndex:
    """The stored contents that were seen in a run."""

    owners: ContentOwners = field(default_factory=ContentOwners)
    """The owners of the contents on this server."""
    looked: Looked = field(default_factory=dict)
    """What this and earlier runs looked at."""
    candidates: int = 0
    """Contents fetched in search of a lost job's text."""
    strangers: int = 0
    """Contents fetched in search of an earlier save."""
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Locked while one item finds out whether the server changes what is saved."""
    unverifiable: bool = False
    """That was not found out in this run."""
    fetching: dict[str, asyncio.Event] = field(default_factory=dict)
    seen: dict[str, tuple[str, StoredContent | None]] = field(default_factory=dict)
    by_request: dict[str, list[str]] = field(default_factory=dict)
    earlier: ContentList | None = None
    """The list before this run saved a text that no job made."""
    listing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def request_of(self, entry: ContentEntry) -> str | None:
        """The request that a content names as its own; empty: none; None: not fetched since its last change."""
        changed, request = self.looked.get(entry.id, ("", None))
        return request if changed == entry.updated_at else None

    def knows(self, entry: ContentEntry) -> bool:
        """Whether a content was fetched since the last change that the list shows."""
        seen = self.seen.get(entry.id)
        return seen is not None and seen[0] == entry.updated_at

    def is_free(self, draft: Draft, content_id: str) -> bool:
        """Whether a content belongs to the item or to no one."""
        return self.owners.is_free(content_id, draft.item, draft.item_state)

    def choose(
        self, draft: Draft, entries: Sequence[ContentEntry], *, titled: bool
    ) -> tuple[StoredContent | None, list[ContentEntry]]:
        """The content among the fetched `entries` that has our body, or None; and the entries that are not fetched."""
        unknown = [entry for entry in entries if not self.knows(entry)]
        for entry in entries:
            stored = self.seen[entry.id][1] if self.knows(entry) else None
            if stored is None or not stored.is_of(draft) or (titled and not stored.is_titled(draft)):
                continue
            if stored.is_of_another_job(draft):
                continue
            if not stored.is_titled(draft) and any(clean_title(each.title) == draft.title for each in unknown):
                # One that is not fetched yet may be this very text under our own title.
                unknown.append(entry)
                continue
            # Another item with the same words may have taken it while we asked.
            if self.is_free(draft, entry.id):
                self.owners.give(entry.id, draft.item.id)
                return stored, unknown
        return None, unknown

    def copies(self, draft: Draft, beside: Sequence[str] = ()) -> list[StoredContent]:
        """The fetched contents, of no other item, with a text of the request that brought ours."""
        ids = self.by_request.get(draft.item_state.recorded.request_id, ())
        seen = (self.seen[id_][1] for id_ in ids if id_ in self.seen and id_ not in beside)
        return [each for each in seen if each is not None and each.is_from(draft) and self.is_free(draft, each.id)]
