"""Fetches a text that was just saved: what the server changed in it, and its stamp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import Failure, GetContent
from contentops.api.stamps import CREATED, has_stamp
from contentops.digest import NOTHING
from contentops.documents.clean import title_digest
from contentops.execution.primitives import Priority, Stopped
from contentops.execution.records import note
from contentops.execution.stored_content import StoredContent

if TYPE_CHECKING:
    from contentops.execution.primitives import Draft, ItemState
    from contentops.execution.run_context import Context

SOON = 10.0
"""Seconds after a save within which a different text is the server's own change."""


async def verify(ctx: Context, draft: Draft) -> ItemState:
    """Fetch what was just saved; record its stamp, and its text where the server changed it.

    A server that keeps texts unchanged and stamps them is looked at once. Nothing here makes the save fail, which is
    recorded already.
    """
    capabilities, saved_at = ctx.capabilities, ctx.run.now()
    saved = draft.item_state.recorded.saved
    try:
        if capabilities.alters_texts is None:
            # Others that save at the same time wait for this answer instead of asking themselves.
            async with ctx.index.verifying:
                if ctx.capabilities.alters_texts is None and not ctx.index.unverifiable:
                    return await _look(ctx, draft, saved_at)
        stamped = saved is not None and bool(saved.stamp)
        needed = capabilities.alters_texts or not (stamped or ctx.index.unverifiable)
        return await _look(ctx, draft, saved_at) if needed else draft.item_state
    except Stopped:
        return draft.item_state


async def _look(ctx: Context, draft: Draft, saved_at: float) -> ItemState:
    item_state, record = draft.item_state, draft.item_state.recorded
    first, saved = ctx.capabilities.alters_texts is None, record.saved
    assert saved is not None
    answer = await ctx.ask(GetContent(record.content_id), Priority.SAVE)
    if isinstance(answer, Failure):
        ctx.index.unverifiable |= first
        return item_state
    stored = StoredContent.of(answer)
    proven = has_stamp(answer, saved.stamp)
    now = structs.replace(saved, stamp=saved.stamp if proven else stored.stamp)
    is_ours = draft.digest in stored.bodies and stored.title in ("", draft.title)
    if is_ours:
        if first:
            learn(ctx, alters=False)
        now = structs.replace(now, server_title=saved.title, server_body=draft.digest)
    elif (proven or saved.stamp in ("", CREATED)) and ctx.run.now() - saved_at <= SOON:
        learn(ctx, alters=True)
        server_title = title_digest(stored.title) if stored.title else NOTHING
        now = structs.replace(now, server_title=server_title, server_body=stored.body)
    else:
        # Someone may have edited it already.
        ctx.index.unverifiable |= first
        return item_state
    if now == saved:
        return item_state
    return structs.replace(item_state, record=note(ctx, draft.item, "given back", structs.replace(record, saved=now)))


def learn(ctx: Context, *, alters: bool) -> None:
    """Remember whether the server changes what it is given."""
    if ctx.capabilities.alters_texts is not alters:
        ctx.capabilities.alters_texts = alters
        # A kill must not make the next run ask again, or not ask.
        ctx.capabilities.keep(ctx.cache, ctx.server)
