"""What one run has seen of the texts the server has stored, and how a text of ours is found among them.

Digests are kept, never texts, and each content is fetched once in a run at most.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.calls import Failure, FailureKind, GetContent
from contentops.api.stamps import CREATED, is_as_created
from contentops.documents.clean import body_digest, clean_title, title_digest
from contentops.execution.content_owners import ContentOwners
from contentops.execution.primitives import Ended, Priority
from contentops.execution.times import seconds_of
from contentops.model import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.api.calls import Content, ContentEntry, ContentList
    from contentops.digest import Digest
    from contentops.execution.context import Context
    from contentops.execution.primitives import Draft, Standing
    from contentops.model import Json

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
SLACK = 900.0
"""Seconds our clock and the server's may differ when contents are matched by time."""
STRANGERS = 200
"""Contents of no one that a run fetches at most, besides two for each change of its plan."""
_NOT_FOR_US = frozenset({FailureKind.NOT_FOUND, FailureKind.FORBIDDEN, FailureKind.REJECTED, FailureKind.UNUSABLE})


class StoredContent(Struct, frozen=True, kw_only=True):
    """One stored content, as far as it takes to tell whose it is."""

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
        """What is worth remembering of a content."""

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

        Under another id of the item the request that brought it tells.
        """
        is_ours = self.item == draft.item.id or self.is_from(draft)
        return draft.digest in self.bodies or (is_ours and self.sent_body == draft.digest)

    def stamp_of(self, draft: Draft) -> str:
        """The stamp of the draft's own save, where no one can have changed the content since; else empty."""
        if draft.digest in self.bodies and self.title in ("", clean_title(draft.title)):
            return self.stamp
        return CREATED if self.is_as_created else ""

    def is_from(self, draft: Draft) -> bool:
        """Whether it is the text of the very request that brought the draft's, whatever became of either since."""
        request = draft.standing.recorded.request_id
        return bool(request) and self.request == request

    def is_of_another_job(self, draft: Draft) -> bool:
        """Whether the server stored it for a job that did not bring the draft's text; no save has named it since."""
        record = draft.standing.recorded
        return bool(self.request) and not self.lineage and self.request not in {record.request_id, record.job_id}

    def is_titled(self, draft: Draft) -> bool:
        """Whether it was stored under the draft's title; one without a title contradicts none."""
        return not self.title or title_digest(draft.title) in (title_digest(self.title), self.sent_title)


def metadata_of(ctx: Context, draft: Draft) -> dict[str, Json]:
    """What is saved with a text, so that it is known again; what others put on the content it replaces stays."""
    found: dict[str, Json] = {
        **{key: value for key, value in draft.metadata.items() if key not in _KEYS},
        ITEM_KEY: draft.item.id,
        SPEC_KEY: draft.item.spec.digest,
        BODY_KEY: draft.digest,
        SENT_TITLE_KEY: title_digest(draft.title),
    }
    named = (
        (REQUEST_KEY, draft.standing.recorded.request_id),
        (LINEAGE_KEY, ctx.plan.lineage),
        (ENVIRONMENT_KEY, ctx.plan.environment),
    )
    return {**found, **{key: value for key, value in named if value}}


@dataclass(slots=True)
class ContentIndex:
    """The stored contents that were seen in a run."""

    owners: ContentOwners = field(default_factory=ContentOwners)
    """Whose the contents on this server are."""
    looked: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """By content that this or an earlier run looked at: its time of change then, and the request whose text it is by
    its metadata; empty: it names none, None: it could not be read."""
    candidates: int = 0
    """Contents fetched in search of a lost job's text."""
    strangers: int = 0
    """Contents fetched in search of an earlier save."""
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while some item finds out whether the server changes what it is given."""
    unverifiable: bool = False
    """That could not be found out in this run."""
    _fetching: dict[str, asyncio.Event] = field(default_factory=dict)
    _seen: dict[str, tuple[str, StoredContent | None]] = field(default_factory=dict)
    _by_request: dict[str, list[str]] = field(default_factory=dict)
    _earlier: ContentList | None = None
    """What was stored before this run saved a text that no job made."""
    _listing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def request_of(self, entry: ContentEntry) -> str | None:
        """The request whose text a content is; empty: it names none, None: not known as the list shows it now."""
        changed, request = self.looked.get(entry.id, ("", None))
        return request if changed == entry.updated_at else None

    def knows(self, entry: ContentEntry) -> bool:
        """Whether it was fetched as the list shows it now."""
        found = self._seen.get(entry.id)
        return found is not None and found[0] == entry.updated_at

    def is_free(self, draft: Draft, stored: StoredContent) -> bool:
        """Whether a content that was fetched is the item's own, or no one's, also by its metadata."""
        self.owners.learn(stored)
        return self.owners.is_free(stored.id, draft.item, draft.standing)

    def forget(self, content_id: str) -> None:
        """It is not what it was."""
        self._seen.pop(content_id, None)

    async def find(
        self, ctx: Context, draft: Draft, *, titled: bool = False, beside: Sequence[str] = (), again: bool = True
    ) -> StoredContent | None:
        """A stored content that no other item owns and whose body is ours, or None; it is ours from now on.

        Where there is none, one with an earlier text of our request. `titled`: of those with our body only one with our
        title too. `beside`: contents that are not meant. Without `again`, this run has sent nothing that could be it.
        Raises Ended where there is no telling: the server does not answer, or there are too many to look at, or some
        that cannot be asked for.
        """
        listed = await self._listed(ctx, draft, again=again)
        if isinstance(listed, Failure):
            raise not_saved(ctx, listed)
        left = _likely(ctx, draft, listed.entries, beside)
        while left:
            found, unknown = self._choose(ctx, draft, left, titled=titled)
            if found is not None:
                return found
            left = [entry for entry in unknown if _is_free(ctx, draft, entry.id)]
            fetch = [entry for entry in left if not self.knows(entry)]
            mine = next((entry for entry in fetch if entry.id not in self._fetching), None)
            if mine is not None:
                await self._fetch(ctx, mine)
            elif fetch:
                await self._fetching[fetch[0].id].wait()
        if copies := self.copies(ctx, draft, beside):
            self.owners.give(copies[0].id, draft.item.id)
            return copies[0]
        if odd := _likely(ctx, draft, listed.unnamed, ()):
            raise _unnamed(len(odd))
        return None

    async def _listed(self, ctx: Context, draft: Draft, *, again: bool) -> ContentList | Failure:
        """What may hold the draft's text.

        A text that no job made can only have been saved by an earlier run: one list does for all of those.
        """
        since = _since(draft.standing)
        if again or since is not None or draft.standing.text is not None:
            return await ctx.list_content(None if since is None else since - SLACK)
        async with self._listing:
            if self._earlier is None:
                answer = await ctx.list_content()
                if isinstance(answer, Failure):
                    return answer
                self._earlier = answer
            return self._earlier

    def _choose(
        self, ctx: Context, draft: Draft, left: Sequence[ContentEntry], *, titled: bool
    ) -> tuple[StoredContent | None, list[ContentEntry]]:
        """The content of those that are known with our body, or None; and those that are still of interest."""
        unknown = [entry for entry in left if not self.knows(entry)]
        for entry in left:
            stored = self._seen[entry.id][1] if self.knows(entry) else None
            if stored is None or not stored.is_of(draft) or (titled and not stored.is_titled(draft)):
                continue
            if stored.is_of_another_job(draft):
                continue
            if not stored.is_titled(draft) and any(clean_title(each.title) == draft.title for each in unknown):
                # One that is not fetched yet may be this very text under our own title.
                unknown.append(entry)
                continue
            # Another item with the same words may have taken it while we asked.
            if _is_free(ctx, draft, entry.id):
                self.owners.give(entry.id, draft.item.id)
                return stored, unknown
        return None, unknown

    def copies(self, ctx: Context, draft: Draft, beside: Sequence[str] = ()) -> list[StoredContent]:
        """The contents of no other item, among those that were seen, with a text of the request that brought ours."""
        ids = self._by_request.get(draft.standing.recorded.request_id, ())
        seen = (self._seen[id_][1] for id_ in ids if id_ in self._seen and id_ not in beside)
        return [each for each in seen if each is not None and each.is_from(draft) and _is_free(ctx, draft, each.id)]

    async def _fetch(self, ctx: Context, entry: ContentEntry) -> None:
        most = STRANGERS + 2 * len(ctx.plan.changes)
        if self.strangers >= most:
            raise Ended(
                Result.BLOCKED,
                f"not saved: more than {most} stored contents that belong to no item could be its text already",
                "`contentops content list` shows them; delete those no one needs, then run `contentops apply` again",
            )
        self.strangers += 1
        self._fetching[entry.id] = done = asyncio.Event()
        try:
            answer = await ctx.ask(GetContent(entry.id), Priority.SAVE)
        finally:
            del self._fetching[entry.id]
            done.set()
        if isinstance(answer, Failure) and answer.kind not in _NOT_FOR_US:
            # What it holds is not known, so saving could store the text twice.
            raise not_saved(ctx, answer)
        stored = None if isinstance(answer, Failure) else StoredContent.of(answer)
        self._seen[entry.id] = (entry.updated_at, stored)
        if stored is not None:
            self.owners.learn(stored)
            if stored.request:
                self._by_request.setdefault(stored.request, []).append(stored.id)


def _is_free(ctx: Context, draft: Draft, content_id: str) -> bool:
    return ctx.index.owners.is_free(content_id, draft.item, draft.standing)


def _likely(ctx: Context, draft: Draft, entries: Sequence[ContentEntry], beside: Sequence[str]) -> list[ContentEntry]:
    """The contents worth a fetch, likeliest first: titled as ours, then made soonest after the text may have been."""
    since = _since(draft.standing)
    # A server that lists titles lists ours too.
    untitled = not (draft.title and any(entry.title for entry in entries))
    ranked = []
    for place, entry in enumerate(entries):
        if entry.id in beside or not _is_free(ctx, draft, entry.id):
            continue
        made = seconds_of(entry.created_at)
        ours = _has_title_of(draft, entry)
        if ours or (untitled and not entry.title if since is None else _in_time(made, since)):
            away = abs(made - since) if made is not None and since is not None else math.inf
            ranked.append((not ours, away, place, entry))
    ranked.sort(key=lambda each: each[:3])
    return [entry for *_, entry in ranked]


def _in_time(made: float | None, since: float) -> bool:
    """Whether a content under another title may be ours: made since the text can have been stored."""
    return made is None or made >= since - SLACK


def _has_title_of(draft: Draft, entry: ContentEntry) -> bool:
    return bool(entry.title) and title_digest(entry.title) == title_digest(draft.title)


def _since(standing: Standing) -> float | None:
    """When the text can first have been stored: at its submit, else after the save on record. None: no telling."""
    record, entry = standing.record, standing.text.entry if standing.text is not None else None
    times = [entry.submitted_at] if entry is not None else []
    times += [record.saved_at, record.generated_at] if record is not None else []
    return next((when for text in times if (when := seconds_of(text)) is not None), None)


def _unnamed(number: int) -> Ended:
    """How an item ends whose text may be stored already, in a content that no one can ask for."""
    return Ended(
        Result.BLOCKED,
        f"not saved: contents that may be its text already are listed under an id that cannot be used ({number:,})",
        "its file is written; `save: false` keeps it from being saved, else the server has to be put right first",
    )


def not_saved(ctx: Context, failure: Failure) -> Ended:
    """How an item ends whose save, or a look that must come before it, got no good answer."""
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop_unauthorized(failure, at_once=True)
    if failure.kind is FailureKind.QUOTA:
        message = f"no credits left: {failure.full_message}"
        ctx.run.stop("credits", message, "run `contentops apply` again later", at_once=False)
    if failure.kind in (FailureKind.QUOTA, FailureKind.THROTTLED):
        return Ended(Result.PENDING, failure.full_message)
    if failure.kind is FailureKind.UNNAMED:
        hint = "its file is written; the next apply looks for what is stored before it saves again"
        return Ended(Result.FAILED, f"perhaps saved: {failure.full_message}", hint)
    hint = "its file is written; run `contentops apply` again to save it"
    return Ended(Result.FAILED, f"not saved: {failure.full_message}", hint)
