"""`--refresh`: ask the server for the project's items before anything is planned.

One list, and a fetch of each content that the list does not show to be as it was last saved or looked at. All free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from contentops.api.calls import Content, Failure, FailureKind, GetContent
from contentops.api.outcomes import is_about_one
from contentops.api.stamps import has_stamp
from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.execution.stored_content import StoredContent
from contentops.model import Remote
from contentops.operations.contents.owners_in_locks import content_owners
from contentops.operations.contents.recorded_texts import mark_recorded
from contentops.operations.contents.stored_contents import converse
from contentops.operations.unchanged import forget_plan
from contentops.planning.remote_edits import saved_records

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from contentops.api.calls import ContentEntry, Reply
    from contentops.digest import Digest
    from contentops.execution.content_owners import ContentOwners
    from contentops.model import ItemId, Record
    from contentops.operations.contents.stored_contents import Caller
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs
    from contentops.state.cache import Cache

_SERVER_ERROR = 500
"""The status of a server that fails: at one content, or at every request."""


def refresh(
    workspace: Workspace,
    inputs: PlanInputs,
    *,
    only: Container[ItemId] | None = None,
    listed: dict[str, ContentEntry] | None = None,
) -> PlanInputs:
    """Return the inputs with what the server has of each item, where that may differ from what was saved.

    `only`: the ids of the records to look at; None: all. `listed`: the server's list by content id, which the first
    look of a command fills and the later ones use.

    Raises ApiError where the server does not answer, or the key is missing; Refused where the key may not go there.
    """
    project, cache = inputs.project, workspace.cache
    records = [one for one in saved_records(inputs) if only is None or one.id in only]
    if not records:
        return structs.replace(inputs, remote={})
    entries = listed if listed is not None else {}
    reader = _Reader(cache, content_owners(project, inputs.state), cache.seen(inputs.server))

    async def story(caller: Caller) -> dict[ItemId, Remote]:
        if not entries:
            entries.update({entry.id: entry for entry in (await caller.listed()).entries})
        return await reader.read_all(caller, records, entries)

    remote = converse(project, workspace.runtime, story, cache, workspace.limiter)
    readable = {each.content_id: each for each in remote.values() if not each.problem}
    if cache.keep_seen(inputs.server, readable, {record.content_id for record in records}):
        forget_plan(project)
    return structs.replace(inputs, remote=mark_recorded(workspace, inputs, remote))


class _Reader(NamedTuple):
    """Reads contents from the server. `earlier`: by content id, what earlier looks saw."""

    cache: Cache
    owners: ContentOwners
    earlier: Mapping[str, Remote]

    async def read_all(
        self, caller: Caller, records: Iterable[Record], entries: Mapping[str, ContentEntry]
    ) -> dict[ItemId, Remote]:
        """Read the contents that may differ from what was saved. `entries`: the server's list. Raises ApiError."""
        remote: dict[ItemId, Remote] = {}
        failed_before = False
        for record in records:
            entry, earlier = entries.get(record.content_id), self.earlier.get(record.content_id)
            if earlier is not None and self._is_unchanged(earlier, entry):
                remote[record.id] = structs.replace(earlier, saved=_saved_body(record))
            elif entry is None or record.saved is None or not has_stamp(entry, record.saved.stamp):
                answer = await caller.ask(GetContent(record.content_id))
                failed = isinstance(answer, Failure) and answer.status == _SERVER_ERROR
                # A server that fails twice in a row is not well; one failure may be about that content alone.
                if isinstance(answer, Failure) and not (is_about_one(answer) or (failed and not failed_before)):
                    raise caller.error(answer)
                failed_before = failed
                remote[record.id] = self._remote(record, entry, answer)
        return remote

    def _is_unchanged(self, earlier: Remote, entry: ContentEntry | None) -> bool:
        """Tell whether a content is as it was at an earlier look, and its text is still in the cache."""
        if entry is None or earlier.deleted:
            return entry is None and earlier.deleted
        return has_stamp(entry, earlier.stamp) and self.cache.body(earlier.body) is not None

    def _remote(self, record: Record, entry: ContentEntry | None, answer: Reply | Failure) -> Remote:
        """Return one content as it is now; the cache keeps its text."""
        content_id, saved = record.content_id, _saved_body(record)
        if isinstance(answer, Failure):
            deleted = answer.kind is FailureKind.NOT_FOUND
            problem = "" if deleted else answer.full_message
            return Remote(content_id=content_id, saved=saved, deleted=deleted, problem=problem)
        assert isinstance(answer, Content)
        self.owners.learn(StoredContent.of(answer))
        owner = self.owners.owner(answer.id)
        if owner is not None and owner.is_of_others:
            return Remote(content_id=content_id, taken=True, saved=saved)
        text, front = _text_of(record, answer)
        body = clean_body(text)
        if not body.strip():
            return Remote(content_id=content_id, problem="it has no text")
        digest = body_digest(body)
        self.cache.keep_body(digest, body)
        # The next list is compared with this one, so its stamp counts: a text that is newer is looked at again.
        stamp = entry.stamp if entry is not None else answer.stamp
        title = clean_title(answer.title)
        return Remote(content_id=content_id, title=title, body=digest, stamp=stamp, front=front, saved=saved)


def _saved_body(record: Record) -> Digest:
    return record.saved.body if record.saved is not None else NOTHING


def _text_of(record: Record, content: Content) -> tuple[str, tuple[str, ...]]:
    """Return its text, and the keys of its front matter, which is a part of the text only where it was saved so."""
    saved = record.saved
    ours = saved.bodies if saved is not None else ()
    if content.whole and body_digest(content.whole) in ours:
        return content.whole, ()
    return content.body, tuple(content.front)
