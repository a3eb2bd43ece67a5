"""Finds a text of this project among the texts that the server stores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from contentops.api.calls import ContentEntry, ContentList, Failure, FailureKind, GetContent
from contentops.api.outcomes import is_about_one
from contentops.documents.clean import title_digest
from contentops.execution.contents import StoredContent
from contentops.execution.primitives import Draft, Ended, ItemState, Priority
from contentops.execution.run_context import Context
from contentops.model import Result
from contentops.model.records import seconds_of

SLACK = 900.0
"""Seconds by which our clock and the server's may differ when contents are matched by time."""
STRANGERS = 200
"""The most contents without an owner that a run fetches; each change of its plan adds two."""


async def find(
    ctx: Context, draft: Draft, *, titled: bool = False, beside: Sequence[str] = (), again: bool = True
) -> StoredContent | None:
    """Return a stored content that has the draft's body, and make the draft's item its owner.

    Contents that another item owns are left out. If none has the body, return a content with an earlier text of the
    draft's request, otherwise None.

    `titled`: only a content with the draft's title. `beside`: contents to leave out. Without `again`, this run has sent
    nothing that could be it. Raises Ended if that cannot be decided: the server did not reply, or there are too many
    contents, or some have an unusable id.
    """
    index = ctx.index
    listed = await _listed(ctx, draft, again=again)
    if isinstance(listed, Failure):
        raise not_saved(ctx, listed)
    found: StoredContent | None = None
    for entry in _likely(ctx, draft, listed.entries, beside):
        stored = index.known(entry) if index.knows(entry) else await _fetched(ctx, draft, entry)
        # Another item with the same words may have taken it while we asked.
        if stored is None or not index.is_free(draft, entry.id):
            continue
        if stored.holds(draft) and (stored.is_titled(draft) or not titled):
            found = stored
            break
        found = stored if found is None and stored.is_from(draft) else found
    if found is not None and index.is_free(draft, found.id):
        index.owners.give(found.id, draft.item.id)
        return found
    if number := len(_likely(ctx, draft, listed.unnamed, ())):
        raise Ended(
            Result.BLOCKED,
            f"not saved: its text may be stored already, under an unusable id ({number:,})",
            "its file is written; set `save: false`, or repair the server first",
        )
    return None


async def _listed(ctx: Context, draft: Draft, *, again: bool) -> ContentList | Failure:
    """Return the server's list of stored contents; one of them may have the draft's text.

    A text that no job made can only have been saved by an earlier run, so one list serves all such texts.
    """
    index, since = ctx.index, _since(ctx, draft.item_state)
    if again or since is not None or draft.item_state.text is not None:
        return await ctx.list_content(None if since is None else since - SLACK)
    async with index.searching:
        if index.earlier is None:
            answer = await ctx.list_content()
            if isinstance(answer, Failure):
                return answer
            index.earlier = answer
        return index.earlier


async def _fetched(ctx: Context, draft: Draft, entry: ContentEntry) -> StoredContent | None:
    """Fetch the stored content that a list entry names, or return None if the key must not read it.

    Each content is fetched only once in a run. Raises Ended.
    """
    index, most = ctx.index, STRANGERS + 2 * len(ctx.plan.changes)
    async with index.searching:
        if index.knows(entry) or not index.is_free(draft, entry.id):
            return index.known(entry)
        if index.strangers >= most:
            raise Ended(
                Result.BLOCKED,
                f"not saved: more than {most} stored contents without an item could be its text",
                "`contentops content list` lists them; delete those you do not need, then run `contentops apply` again",
            )
        index.strangers += 1
        answer = await ctx.ask(GetContent(entry.id), Priority.SAVE)
        if not isinstance(answer, Failure):
            return index.note(entry, answer)
        if not is_about_one(answer):
            # It may be this text, and saving would store it twice.
            raise not_saved(ctx, answer)
        return index.note(entry, None)


def _likely(ctx: Context, draft: Draft, entries: Sequence[ContentEntry], beside: Sequence[str]) -> list[ContentEntry]:
    """Return the stored contents that should be fetched, the most likely ones first.

    Those with the draft's title come first, then those made soonest after its text.
    """
    since = _since(ctx, draft.item_state)
    # A server that lists titles lists ours too.
    untitled = not (draft.title and any(entry.title for entry in entries))
    ranked = []
    for slot, entry in enumerate(entries):
        if entry.id in beside or not ctx.index.is_free(draft, entry.id):
            continue
        made = seconds_of(entry.created_at)
        ours = bool(entry.title) and title_digest(entry.title) == title_digest(draft.title)
        # Under another title it may be ours if it was made since the text can have been stored.
        in_time = untitled and not entry.title if since is None else made is None or made >= since - SLACK
        if ours or in_time:
            away = abs(made - since) if made is not None and since is not None else math.inf
            ranked.append((not ours, away, slot, entry))
    ranked.sort(key=lambda each: each[:3])
    return [entry for *_, entry in ranked]


def _since(ctx: Context, item_state: ItemState) -> float | None:
    """Return the earliest time at which the server can have stored the text, or None if it is unknown."""
    record, job = item_state.record, item_state.text.job if item_state.text is not None else None
    made_by = ctx.made_by(record) if record is not None else None
    times = (
        job.submitted_at if job is not None else "",
        record.saved_at if record is not None else "",
        made_by.generated_at if made_by is not None else "",
    )
    return next((when for text in times if (when := seconds_of(text)) is not None), None)


def not_saved(ctx: Context, failure: Failure) -> Ended:
    """Return the exception that ends the work on an item whose text could not be saved.

    The save failed, or the search before it.
    """
    if ctx.pauses(failure):
        return Ended(Result.PENDING, failure.full_message)
    if failure.kind is FailureKind.UNNAMED:
        hint = "its file is written; the next apply searches the server before it saves again"
        return Ended(Result.FAILED, f"possibly saved: {failure.full_message}", hint)
    hint = "its file is written; run `contentops apply` again to save it"
    return Ended(Result.FAILED, f"not saved: {failure.full_message}", hint)
