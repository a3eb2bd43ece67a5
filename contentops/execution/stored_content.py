"""The metadata of stored contents: read from a content, and saved with a text to recognise it later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.stamps import CREATED, is_as_created
from contentops.documents.clean import body_digest, clean_title, title_digest

if TYPE_CHECKING:
    from contentops.api.calls import Content
    from contentops.digest import Digest
    from contentops.execution.primitives import Draft
    from contentops.model import Json, Plan

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
    """The fields of a stored content that say whose it is."""

    id: str
    title: str
    """Cleaned."""
    body: Digest
    """Digest of its text without front matter."""
    bodies: frozenset[Digest]
    """Digests of its text, with and without its front matter."""
    item: str = ""
    """The item its metadata names, or empty."""
    request: str = ""
    """The request whose text it is by its metadata, or empty."""
    sent_title: str = ""
    sent_body: str = ""
    """Digests of what was sent when it was last saved, by its metadata; empty: not known."""
    stamp: str = ""
    is_as_created: bool = False
    lineage: str = ""
    environment: str = ""
    """The lineage of the state that saved it last and its environment, by its metadata; no lineage: not known."""

    @staticmethod
    def of(content: Content) -> StoredContent:
        """The fields of a content, texts as digests."""

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
        """Whether the item stored the draft's body here, even if the server changed it since.

        Under another id of the item, the request that brought the text proves it.
        """
        is_ours = self.item == draft.item.id or self.is_from(draft)
        return draft.digest in self.bodies or (is_ours and self.sent_body == draft.digest)

    def stamp_of(self, draft: Draft) -> str:
        """The stamp of the draft's own save, where no one can have changed the content since; else empty."""
        if draft.digest in self.bodies and self.title in ("", clean_title(draft.title)):
            return self.stamp
        return CREATED if self.is_as_created else ""

    def is_from(self, draft: Draft) -> bool:
        """Return whether the server stored it for the draft's request; either text may have been edited since."""
        request = draft.item_state.recorded.request_id
        return bool(request) and self.request == request

    def is_of_another_job(self, draft: Draft) -> bool:
        """Whether the server stored it for another job than the draft's, and no item has saved it since."""
        ours = {draft.item_state.recorded.request_id, draft.job_id}
        return bool(self.request) and not self.lineage and self.request not in ours

    def is_titled(self, draft: Draft) -> bool:
        """Whether it has the draft's title, or none."""
        return not self.title or title_digest(draft.title) in (title_digest(self.title), self.sent_title)


def metadata_of(plan: Plan, draft: Draft) -> dict[str, Json]:
    """The metadata that is saved with a text to recognise it later; others' keys of the content it replaces stay."""
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
