"""What the server makes of a text it stores: looked at once after a save, and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import GetContent
from contentops.api.replies import Failure
from contentops.digest import NOTHING
from contentops.documents.clean import title_digest
from contentops.execution.content_index import StoredContent
from contentops.execution.primitives import Priority, Stopped
from contentops.execution.records import note

if TYPE_CHECKING:
    from contentops.execution.context import Context
    from contentops.execution.item import Draft, Standing

SOON = 10.0
"""Seconds after a save within which what the server gives back is its own doing, however different it is."""


async def verify(ctx: Context, draft: Draft) -> Standing:
    """Fetch what was saved a moment ago, and record it where it is not what was sent.

    One look tells for a server that keeps texts as they are: it is not asked again. Nothing that happens here is a
    failure of the save, which is on record.
    """
    capabilities, saved_at = ctx.capabilities, ctx.run.now()
    try:
        if capabilities.alters_texts is None:
            # Others that save at the same time wait for this answer instead of asking themselves.
            async with ctx.index.verifying:
                if capabilities.alters_texts is None and not ctx.index.unverifiable:
                    return await _look(ctx, draft, saved_at)
        return await _look(ctx, draft, saved_at) if capabilities.alters_texts else draft.standing
    except Stopped:
        return draft.standing


async def _look(ctx: Context, draft: Draft, saved_at: float) -> Standing:
    standing, record = draft.standing, draft.standing.recorded
    first = ctx.capabilities.alters_texts is None
    answer = await ctx.ask(GetContent(record.content_id), Priority.SAVE)
    if isinstance(answer, Failure):
        ctx.index.unverifiable |= first
        return standing
    stored = StoredContent.of(answer)
    if draft.digest in stored.bodies and stored.title in ("", draft.title):
        if first:
            _learn(ctx, alters=False)
        return standing
    if ctx.run.now() - saved_at > SOON:
        # Someone may have edited it already.
        ctx.index.unverifiable |= first
        return standing
    _learn(ctx, alters=True)
    assert record.saved is not None
    server_title = title_digest(stored.title) if stored.title else NOTHING
    saved = structs.replace(record.saved, server_title=server_title, server_body=stored.body)
    done = note(ctx, draft.item, "given back", structs.replace(record, saved=saved))
    return structs.replace(standing, record=done)


def _learn(ctx: Context, *, alters: bool) -> None:
    if ctx.capabilities.alters_texts is not alters:
        ctx.capabilities.alters_texts = alters
        # A kill must not make the next run ask again, or not ask.
        ctx.capabilities.keep(ctx.cache, ctx.server)
