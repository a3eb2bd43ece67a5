"""What one run has seen of the texts the server has stored: their digests, never the texts themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING, Digest
from contentops.documents.clean import body_digest, clean_title
from contentops.documents.typography import plain, words_digest

if TYPE_CHECKING:
    from contentops.api.replies import Content, ContentEntry

ITEM_KEY = "contentops_item"
SPEC_KEY = "contentops_digest"
BODY_KEY = "contentops_body"
"""Keys of the metadata we save: whose text it is, the spec it answers, and the digest of the very body we sent."""


class Stored(Struct, frozen=True, kw_only=True):
    """One stored content, as far as it takes to tell whose it is."""

    id: str
    title: str
    """Cleaned."""
    body: Digest
    """Digest of its text without front matter."""
    bodies: frozenset[Digest]
    """Digests of its text, with and without its front matter."""
    words: Digest
    """Digest of its text whatever the typography."""
    item: str = ""
    """The item its metadata names, or empty."""
    sent: Digest = NOTHING
    """Digest of the body that was sent when it was last saved, by its metadata; empty: not known."""
    updated_at: str = ""

    @staticmethod
    def of(content: Content) -> Stored:
        """What is worth remembering of a content."""
        item, sent = content.metadata.get(ITEM_KEY), content.metadata.get(BODY_KEY)
        return Stored(
            id=content.id,
            title=clean_title(content.title),
            body=body_digest(content.body),
            bodies=frozenset(body_digest(text) for text in (content.body, content.whole) if text),
            words=words_digest(content.body),
            item=item if isinstance(item, str) else "",
            sent=Digest(sent) if isinstance(sent, str) else NOTHING,
            updated_at=content.updated_at,
        )

    def is_of(self, item: str, body: str) -> bool:
        """Whether this is `body` as `item` had it stored, whatever the server then made of its typography."""
        digest = body_digest(body)
        if digest in self.bodies:
            return True
        if self.item and self.item != item:
            return False
        if self.item and self.sent:
            # Our own word for what was sent: the same words under another digest are an earlier save.
            return self.sent == digest
        return self.words == words_digest(body)

    def is_titled(self, title: str) -> bool:
        """Whether it has this title, whatever the typography; one without a title contradicts none."""
        return not self.title or is_same_title(self.title, title)


def is_same_title(one: str, other: str) -> bool:
    """Whether two titles are the same words."""
    return clean_title(one) == clean_title(other) or plain(clean_title(one)) == plain(clean_title(other))


@dataclass(slots=True)
class Shelf:
    """The stored contents that were fetched in a run, so that none is fetched twice."""

    asking: set[str] = field(default_factory=set)
    """Contents some item is fetching right now."""
    fetched: int = 0
    requests: dict[str, str] = field(default_factory=dict)
    """By content: the request whose text it is, by its metadata; empty: it names none."""
    looking_back: bool = False
    """Some item is finding out whether the server changes what it is given."""
    blind: bool = False
    """That could not be found out in this run."""
    _seen: dict[str, tuple[str, Stored | None]] = field(default_factory=dict)

    def knows(self, entry: ContentEntry) -> bool:
        """Whether it was fetched as the list shows it now."""
        found = self._seen.get(entry.id)
        return found is not None and found[0] == entry.updated_at

    def get(self, entry: ContentEntry) -> Stored | None:
        """A known content; None if it has gone, or is not for us to see."""
        return self._seen[entry.id][1]

    def put(self, entry: ContentEntry, stored: Stored | None) -> None:
        """Remember a content as the list showed it."""
        self._seen[entry.id] = (entry.updated_at, stored)

    def forget(self, content_id: str) -> None:
        """It is not what it was."""
        self._seen.pop(content_id, None)
