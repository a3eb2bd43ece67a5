"""`--refresh`: what the server has of the project's items, before anything is planned.

One list, and a fetch of each content that the list does not show to be as it was last saved or looked at. All free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import Content, Failure, FailureKind, GetContent
from contentops.api.outcomes import is_about_one
from contentops.api.stamps import bears
from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.execution.stored_content import StoredContent
from contentops.model import Remote
from contentops.operations.contents.owners_in_locks import content_owners
from contentops.operations.contents.recorded_texts import mark_recorded
from contentops.operations.contents.stored_contents import as_error, converse
from contentops.operations.unchanged import forget_plan
from contentops.planning.remote_edits import saved_records
from contentops.state.seen import keep_seen_contents, seen_contents

if TYPE_CHECKING:
    from collections.abc import Container

    from contentops.api.calls import ContentEntry, Reply
    from contentops.digest import Digest
    from contentops.execution.content_owners import ContentOwners
    from contentops.model import ItemId, Record
    from contentops.operations.contents.stored_contents import Caller
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs
    from contentops.state.cache import Cache

_STUMBLED = 500
"""The status of a server that fails at something itself: at one content, or at all."""


def refresh(
    workspace: Workspace,
    inputs: PlanInputs,
    *,
    only: Container[ItemId] | None = None,
    listed: dict[str, ContentEntry] | None = None,
) -> PlanInputs:
    """The sides of a plan, with what the server has of each item where that may be something else than was saved.

    `only`: the ids of the records that are looked at; None: all. `listed`: the server's list by content id, which the
    first look of a command fills and the later ones use.

    Raises ApiError where the server does not answer, or the key is missing; Refused where the key may not go there.
    """
    project, cache = inputs.project, workspace.cache
    records = [one for one in saved_records(inputs) if only is None or one.id in only]
    if not records:
        return structs.replace(inputs, remote={})
    known, owners = seen_contents(cache, inputs.server), content_owners(project, inputs.state)

    async def story(caller: Caller) -> dict[ItemId, Remote]:
        entries = listed if listed is not None else {}
        if not entries:
            entries.update({entry.id: entry for entry in (await caller.listed()).entries})
        looked: dict[ItemId, Remote] = {}
        stumbled = False
        for record in records:
            entry = entries.get(record.content_id)
            before = known.get(record.content_id)
            if before is not None and _stands(before, entry, cache):
                looked[record.id] = structs.replace(before, saved=_saved_body(record))
            elif _is_candidate(record, entry):
                answer = await caller.ask(GetContent(record.content_id))
                again, stumbled = stumbled, isinstance(answer, Failure) and answer.status == _STUMBLED
                if isinstance(answer, Failure) and not _is_its_own(answer, again=again):
                    raise as_error(answer, project)
                looked[record.id] = _seen(cache, record, entry, answer)
                if isinstance(answer, Content) and _is_anothers(owners, answer):
                    looked[record.id] = Remote(content_id=record.content_id, taken=True, saved=_saved_body(record))
        return looked

    remote = converse(project, workspace.runtime, story, cache, workspace.limiter)
    readable = {each.content_id: each for each in remote.values() if not each.problem}
    if keep_seen_contents(cache, inputs.server, readable, {record.content_id for record in records}):
        forget_plan(project)
    return structs.replace(inputs, remote=mark_recorded(workspace, inputs, remote))


def _is_candidate(record: Record, entry: ContentEntry | None) -> bool:
    """Whether the list leaves open if the content is as it was saved: it bears another stamp, or none is known."""
    return entry is None or record.saved is None or not bears(entry, record.saved.stamp)


def _stands(before: Remote, entry: ContentEntry | None, cache: Cache) -> bool:
    """Whether a content is as it was when it was looked at, and its text is still here."""
    if entry is None or before.deleted:
        return entry is None and before.deleted
    return bears(entry, before.stamp) and cache.body(before.body) is not None


def _saved_body(record: Record) -> Digest:
    return record.saved.body if record.saved is not None else NOTHING


def _is_its_own(failure: Failure, *, again: bool) -> bool:
    """Whether a failure says something about one content alone; a server that stumbles `again` is not well."""
    return is_about_one(failure) or (failure.status == _STUMBLED and not again)


def _is_anothers(owners: ContentOwners, content: Content) -> bool:
    """Whether a content says that it belongs to another project."""
    owners.learn(StoredContent.of(content))
    owner = owners.owner(content.id)
    return owner is not None and owner.is_foreign


def _seen(cache: Cache, record: Record, entry: ContentEntry | None, answer: Reply | Failure) -> Remote:
    """One content as it is now; its text is kept by its digest."""
    content_id, saved = record.content_id, _saved_body(record)
    if isinstance(answer, Failure):
        deleted = answer.kind is FailureKind.NOT_FOUND
        problem = "" if deleted else answer.full_message
        return Remote(content_id=content_id, saved=saved, deleted=deleted, problem=problem)
    assert isinstance(answer, Content)
    text, front = _text_of(record, answer)
    body = clean_body(text)
    if not body.strip():
        return Remote(content_id=content_id, problem="it has no text")
    digest = body_digest(body)
    cache.keep_body(digest, body)
    # The list's own words, which the next list is compared with; a text that is newer is looked at again.
    stamp = entry.stamp if entry is not None else answer.stamp
    title = clean_title(answer.title)
    return Remote(content_id=content_id, title=title, body=digest, stamp=stamp, front=front, saved=saved)


def _text_of(record: Record, content: Content) -> tuple[str, tuple[str, ...]]:
    """Its text, and the keys of its front matter; that is a part of the text only where it was saved so."""
    saved = record.saved
    ours = saved.bodies if saved is not None else ()
    if content.whole and body_digest(content.whole) in ours:
        return content.whole, ()
    return content.body, tuple(content.front)
