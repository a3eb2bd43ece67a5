"""Contains what a run knows about stored contents: their owners, and which contents the run has fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct, structs

from contentops.api.calls import Content, ContentEntry, ContentList
from contentops.api.reading import CREATED, is_as_created
from contentops.digest import Digest
from contentops.documents.clean import body_digest, clean_title, title_digest
from contentops.execution.primitives import Draft, Item, ItemState
from contentops.model import Job, Json, Plan

# ---- The metadata of stored contents: read from a content, and saved with a text to recognise it later.

ITEM_KEY = "contentops_item"
REQUEST_KEY = "request_id"
SPEC_KEY = "contentops_digest"
BODY_KEY = "contentops_body"
SENT_TITLE_KEY = "contentops_title"
LINEAGE_KEY = "contentops_lineage"
ENVIRONMENT_KEY = "contentops_environment"
"""Keys of the metadata we save: whose text it is, the request that paid for it (servers write that one too), the spec
it answers, digests of the very body and title we sent, the project and its environment (none: the default one)."""
_KEYS = {ITEM_KEY, REQUEST_KEY, SPEC_KEY, BODY_KEY, SENT_TITLE_KEY, LINEAGE_KEY, ENVIRONMENT_KEY}


class StoredContent(Struct, frozen=True, kw_only=True):
    """The fields of a stored content that show which item owns it."""

    id: str
    title: str
    """The cleaned title."""
    body: Digest
    """The digest of its text without front matter."""
    bodies: frozenset[Digest]
    """The digests of its text, with and without its front matter."""
    item: str = ""
    """The item its metadata names, or empty."""
    request: str = ""
    """The request that its metadata names, whose text it is; or empty."""
    sent_title: str = ""
    sent_body: str = ""
    """The digests of the title and body that were last saved, from its metadata; empty if unknown."""
    stamp: str = ""
    is_as_created: bool = False
    lineage: str = ""
    environment: str = ""
    """The project and environment that saved it last, from its metadata; both are unknown without a lineage."""

    @staticmethod
    def of(content: Content) -> StoredContent:
        """Return the fields of a stored content, with a digest of its text instead of the text."""

        def named(key: str) -> str:
            value = content.metadata.get(key)
            return value if isinstance(value, str) else ""

        return StoredContent(
            id=content.id,
            title=clean_title(content.title),
            body=body_digest(content.body),
            bodies=frozenset(body_digest(text) for text in (content.body, content.whole) if text),
            item=named(ITEM_KEY),
            request=named(REQUEST_KEY),
            sent_title=named(SENT_TITLE_KEY),
            sent_body=named(BODY_KEY),
            stamp=content.stamp,
            is_as_created=is_as_created(content),
            lineage=named(LINEAGE_KEY),
            environment=named(ENVIRONMENT_KEY),
        )

    def is_of(self, draft: Draft) -> bool:
        """Return whether this content was saved with the body of `draft`.

        The server may have changed the body since the save. In that case the content's metadata must name the draft's
        item, or the request of the draft's text.
        """
        is_ours = self.item == draft.item.id or self.is_from(draft)
        return draft.digest in self.bodies or (is_ours and self.sent_body == draft.digest)

    def stamp_of(self, draft: Draft) -> str:
        """Return the version stamp of this content, if the content has the body and the title of `draft`.

        Otherwise return `CREATED` for a content that has not changed since it was created, and an empty string for
        others.
        """
        if draft.digest in self.bodies and self.title in ("", clean_title(draft.title)):
            return self.stamp
        return CREATED if self.is_as_created else ""

    def is_from(self, draft: Draft) -> bool:
        """Return whether this content was stored for the request of `draft`.

        The text of the content may have been edited since then.
        """
        request = draft.item_state.recorded.request_id
        return bool(request) and self.request == request

    def holds(self, draft: Draft) -> bool:
        """Return whether the content has the draft's text; its title does not matter.

        A content that the server stored for another job does not count, unless an item has saved it since.
        """
        ours = {"", draft.item_state.recorded.request_id, draft.job_id}
        return self.is_of(draft) and (bool(self.lineage) or self.request in ours)

    def is_titled(self, draft: Draft) -> bool:
        """Return whether the content has the draft's title, or no title."""
        return not self.title or title_digest(draft.title) in (title_digest(self.title), self.sent_title)


def metadata_of(plan: Plan, draft: Draft) -> dict[str, Json]:
    """Return the metadata that is saved with a text, so that a later run recognises the stored text.

    Keys that other programs wrote into the replaced content stay.
    """
    metadata: dict[str, Json] = {
        **{key: value for key, value in draft.metadata.items() if key not in _KEYS},
        ITEM_KEY: draft.item.id,
        SPEC_KEY: draft.item.spec.digest,
        BODY_KEY: draft.digest,
        SENT_TITLE_KEY: title_digest(draft.title),
    }
    named = (
        (REQUEST_KEY, draft.item_state.recorded.request_id),
        (LINEAGE_KEY, plan.lineage),
        (ENVIRONMENT_KEY, plan.environment),
    )
    return {**metadata, **{key: value for key, value in named if value}}


# ---- The owners of stored contents; checked before an item takes one of them.


class Owner(Struct, frozen=True, kw_only=True):
    """The owner of a stored content: an item, an open job, or an item outside this checkout.

    `superseded`: the item has a newer content. `lock`: the lock file that names the item, if it is another
    environment's.
    """

    item: str = ""
    superseded: bool = False
    lock: str = ""
    request: str = ""
    """The request id of the open job whose text it is, if no record has the content yet."""
    elsewhere: bool = False
    """Its metadata names another project, or an environment whose state does not know it."""

    @property
    def is_of_others(self) -> bool:
        """Return whether the owner belongs to another environment or another project."""
        return bool(self.lock) or self.elsewhere

    @property
    def living(self) -> bool:
        """Return whether this is the content that its item uses now, not an earlier content of the item."""
        return bool(self.item) and not self.superseded


class ContentOwners:
    """Knows the owner of each stored content, by the content's id.

    They come from all locks, from metadata and from the saves of this run. `lineage` and `environment` are those of
    this state. Without a lineage, metadata proves nothing.
    """

    def __init__(self, owners: Mapping[str, Owner] | None = None, *, lineage: str = "", environment: str = "") -> None:
        self._owners = dict(owners or {})
        self._here = (lineage, environment)
        self._named: dict[str, StoredContent] = {}
        """The contents whose metadata names another lineage or environment."""

    def learn(self, stored: StoredContent) -> None:
        """Remember the owner that a fetched content's metadata names."""
        if stored.lineage and self._here[0] and (stored.lineage, stored.environment) != self._here:
            self._named[stored.id] = stored
        else:
            self._named.pop(stored.id, None)

    def owner(self, content_id: str) -> Owner | None:
        """Return the owner of a stored content, or None if it has no owner.

        A record may have a content of another environment of its project, since environments can be renamed. It cannot
        have a content of another project.
        """
        known_owner, named = self._owners.get(content_id), self._named.get(content_id)
        if named is not None and (known_owner is None or named.lineage != self._here[0]):
            return Owner(item=named.item, elsewhere=True)
        return known_owner

    def give(self, content_id: str, item: str, superseded: Iterable[str] = ()) -> None:
        """Make an item the owner of a stored content, and of the stored contents that the item used earlier."""
        self._owners[content_id] = Owner(item=item)
        self._owners.update(dict.fromkeys(superseded, Owner(item=item, superseded=True)))

    def give_job(self, content_id: str, job: Job) -> None:
        """Make an open job the owner of a stored content, if the content has no owner yet.

        The content has the text of the job.
        """
        self._owners.setdefault(content_id, Owner(item=job.item, request=job.request_id))

    def is_free(self, content_id: str, item: Item, item_state: ItemState) -> bool:
        """Return whether an item may use a stored content: either the item owns it, or it has no owner."""
        owner = self.owner(content_id)
        if owner is None:
            return True
        if owner.is_of_others or owner.superseded:
            return False
        if owner.request:
            job = item_state.text.job if item_state.text is not None else None
            return job is not None and job.request_id == owner.request
        return owner.item in {item.id, item.change.renamed_from}

    def take_content(self, item: Item, item_state: ItemState) -> ItemState:
        """Make the item the owner of the stored content with the item's text, and return the item's state.

        If the content belongs to someone else, the returned state has no content. Nothing is awaited in between,
        because another item may ask for the same content.
        """
        text = item_state.text
        if text is None or not text.content_id:
            return item_state
        if not self.is_free(text.content_id, item, item_state):
            return structs.replace(item_state, text=structs.replace(text, content_id=""))
        self.give(text.content_id, item.id)
        return item_state

    def superseded(self, content_ids: Iterable[str]) -> tuple[str, ...]:
        """Return each of the given content ids once, without the contents of other environments and projects."""
        owners = ((content_id, self.owner(content_id)) for content_id in dict.fromkeys(content_ids) if content_id)
        return tuple(content_id for content_id, owner in owners if owner is None or not owner.is_of_others)


# ---- The stored contents that one run has fetched: digests only, and each content once at most.


@dataclass(slots=True)
class ContentIndex:
    """The stored contents that a run has fetched."""

    owners: ContentOwners = field(default_factory=ContentOwners)
    """The owners of the contents on this server."""
    seen: dict[str, tuple[str, StoredContent | None]] = field(default_factory=dict)
    """By content id: when it was last changed, as fetched, and the content; None if the key may not read it."""
    candidates: int = 0
    """Contents fetched in search of a lost job's text."""
    strangers: int = 0
    """Contents fetched in search of an earlier save."""
    earlier: ContentList | None = None
    """The list before this run saved a text that no job made."""
    searching: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Locked while one item searches, so that no content is fetched twice."""
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Locked while one item finds out whether the server changes what is saved."""
    unverifiable: bool = False
    """This run could not find out whether the server changes what is saved."""

    def knows(self, entry: ContentEntry) -> bool:
        """Return whether this run has fetched a stored content in its current version.

        The list of contents shows when a content was last changed.
        """
        return entry.id in self.seen and self.seen[entry.id][0] == entry.updated_at

    def known(self, entry: ContentEntry) -> StoredContent | None:
        """Return the stored content if this run has fetched its current version, otherwise None."""
        return self.seen[entry.id][1] if self.knows(entry) else None

    def note(self, entry: ContentEntry, content: Content | None) -> StoredContent | None:
        """Remember a stored content that was fetched, and its owner. None means that the key must not read it."""
        stored = StoredContent.of(content) if content is not None else None
        self.seen[entry.id] = (entry.updated_at, stored)
        if stored is not None:
            self.owners.learn(stored)
        return stored

    def is_free(self, draft: Draft, content_id: str) -> bool:
        """Return whether the content belongs to the draft's item or has no owner."""
        return self.owners.is_free(content_id, draft.item, draft.item_state)
