"""Saves the text of a file on the server, without replacing a person's edit or storing a text twice."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from contentops.api.calls import (
    Content,
    Failure,
    FailureKind,
    GetContent,
    PutContent,
    SaveContent,
    SavedReply,
    SetStatus,
)
from contentops.api.outcomes import is_absent
from contentops.api.reading import CREATED, has_stamp
from contentops.digest import NOTHING, Digest
from contentops.documents.clean import body_digest, clean_body, clean_title, title_digest
from contentops.documents.front_matter import compose, split
from contentops.execution.content_search import find, not_saved
from contentops.execution.contents import StoredContent, metadata_of
from contentops.execution.primitives import Draft, Ended, Item, ItemState, Priority, Stopped, iso_exact
from contentops.execution.records import base_record, note
from contentops.execution.run_context import Attempts, Context
from contentops.model import Publish, Record, Remote, Result, Save, Saved

# ---- Fetches a text that was just saved: what the server changed in it, and its stamp.

SOON = 10.0
"""Seconds after a save within which a different text is the server's own change."""


async def verify(ctx: Context, draft: Draft, *, stored_now: bool = True) -> ItemState:
    """Fetch the content of a saved text, and record any change that the server made to the text.

    The content's stamp is recorded too. If a server keeps texts unchanged and stamps them, this is done only once. The
    save is recorded already, and nothing here makes it fail.

    If the text was not `stored_now`, a person may have edited it already. Then only the stamp proves that a change is
    the server's own.
    """
    capabilities, saved_at = ctx.capabilities, ctx.run.now()
    saved = draft.item_state.recorded.saved
    try:
        if capabilities.alters_texts is None:
            # Others that save at the same time wait for this answer instead of asking themselves.
            async with ctx.index.verifying:
                if ctx.capabilities.alters_texts is None and not ctx.index.unverifiable:
                    return await _look(ctx, draft, saved_at, stored_now=stored_now)
        stamped = saved is not None and bool(saved.stamp)
        needed = capabilities.alters_texts or not (stamped or ctx.index.unverifiable)
        return await _look(ctx, draft, saved_at, stored_now=stored_now) if needed else draft.item_state
    except Stopped:
        return draft.item_state


async def _look(ctx: Context, draft: Draft, saved_at: float, *, stored_now: bool) -> ItemState:
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
    elif (proven or (stored_now and saved.stamp in ("", CREATED))) and ctx.run.now() - saved_at <= SOON:
        learn(ctx, alters=True)
        server_title = title_digest(stored.title) if stored.title else NOTHING
        now = structs.replace(now, server_title=server_title, server_body=stored.body)
    else:
        # Someone may have edited it already.
        ctx.index.unverifiable |= first and stored_now
        return item_state
    return structs.replace(item_state, record=note(ctx, draft.item, "given back", structs.replace(record, saved=now)))


def learn(ctx: Context, *, alters: bool) -> None:
    """Remember whether the server changes the texts that it stores."""
    if ctx.capabilities.alters_texts is not alters:
        ctx.capabilities.alters_texts = alters
        # A kill must not make the next run ask again, or not ask.
        ctx.capabilities.keep(ctx.cache, ctx.server)


# ---- Saves the file's text with `/content/save`: overwrites no one's edit, and stores no text twice.


async def save(ctx: Context, item: Item, item_state: ItemState, step: Save) -> ItemState:
    """Save the title and body of the item's file as the item's content on the server. Raises Ended."""
    item_state = ctx.index.owners.take_content(item, item_state)
    text, draft = item_state.text, _draft(ctx, item, item_state, step.path)
    is_unchanged = text is not None and (draft.title, draft.digest) == (text.title, body_digest(text.body))
    if text is not None and text.content_id and not text.from_earlier_run and is_unchanged:
        given = _saved(draft, CREATED)
        if text.verbatim:
            given = structs.replace(given, server_title=given.title, server_body=given.body)
        done = _record_save(ctx, draft, text.content_id, given)
        return done.item_state if text.verbatim else await verify(ctx, done, stored_now=text.made_now)
    if step.replaces:
        their_text = ctx.cache.body(step.replaces)
        if their_text is None:
            error = "this machine has no copy of the text in WriterzRoom that this save would replace"
            raise Ended(Result.BLOCKED, error, "run `contentops apply --refresh` again")
        remote = item.change.remote
        title = remote.title if remote is not None and title_digest(remote.title) not in _our_digests(draft)[0] else ""
        copy = ctx.outputs.set_aside(step.path, compose(title, {}, None, their_text))
        item_state = structs.replace(item_state, copy=item_state.copy or copy)
        draft = structs.replace(draft, item_state=item_state)
    content_ids = [item_state.recorded.content_id]
    if text is not None and text.content_id and item_state.fresh:
        # The content of a cached text may have been deleted or changed meanwhile.
        content_ids = [text.content_id, *(content_ids if text.from_earlier_run else [])]
    for content_id in dict.fromkeys(filter(None, content_ids)):
        if (owned := await _may_overwrite(ctx, draft, content_id, step.replaces)) is not None:
            return await _overwrite(ctx, owned, content_id)
    return await _store(ctx, draft, "", look=_may_be_stored(ctx, draft))


def _draft(ctx: Context, item: Item, item_state: ItemState, path: str) -> Draft:
    """Return the title and body of the item's file, to be saved. Raises Ended if the file cannot be read."""
    if item_state.fresh and item_state.text is not None:
        # This run wrote the file a moment ago.
        title, body, job = item_state.title, item_state.body, item_state.text.job_id
    else:
        seen = ctx.outputs.observe(path)
        if not seen.exists or seen.problem:
            raise Ended(Result.BLOCKED, seen.problem or f"`{path}` is gone", "run `contentops plan`")
        # A title that a person removed from the front matter stays the title.
        title = seen.title or item_state.recorded.title
        body = split(ctx.outputs.read(path)).body
        # Without its job, its own file says which one it was; an adopted one may be a copy of another project's.
        record, made_by = item_state.recorded, ctx.made_by(item_state.recorded)
        is_own = seen.owner == item.id and not record.adopted
        said = str(seen.provenance.get("job") or "") if is_own else ""
        job = made_by.job_id if made_by is not None else said
    return Draft(
        item=item,
        item_state=item_state,
        title=clean_title(title),
        body=body,
        digest=body_digest(body),
        job_id=job,
    )


async def publish(ctx: Context, item: Item, item_state: ItemState, step: Publish) -> ItemState:
    """Set the status of the item's content on the server: published or draft. Raises Ended.

    A published content must still have the text of the file.
    """
    record, content_id = item_state.recorded, item_state.recorded.content_id
    if step.published:
        draft = _draft(ctx, item, item_state, step.path)
        if await _may_overwrite(ctx, draft, content_id, NOTHING) is None:
            error = f"content `{content_id}`, which should be published, was deleted"
            raise Ended(Result.BLOCKED, error, "run `contentops apply --refresh`, which saves it again")
    status = "published" if step.published else "draft"
    answer = await ctx.ask(SetStatus(content_id, status), Priority.SAVE)
    if isinstance(answer, Failure) and is_absent(answer) and not step.published:
        answer = SavedReply(content_id)  # what is gone is published nowhere
    if isinstance(answer, Failure):
        if is_absent(answer):
            error = f"this server cannot set the status of content `{content_id}`: {answer.full_message}"
            raise Ended(Result.BLOCKED, error, "remove `publish` from `approval`, and publish it by hand")
        raise not_saved(ctx, answer)
    saved = structs.replace(record.saved or Saved(), published=step.published, stamp=answer.stamp)
    ctx.cache.keep_seen(ctx.server, {}, (content_id,))
    record = structs.replace(base_record(ctx, item, item_state), saved=saved)
    return structs.replace(item_state, record=note(ctx, item, "publish", record))


# --- over a content we own -------------------------------------------------------------------------------------


async def _may_overwrite(ctx: Context, draft: Draft, content_id: str, replaces: Digest) -> Draft | None:
    """Return the draft if its text may overwrite the text of the stored content.

    Returns None if the content is gone or belongs to another item. Raises Ended if a person edited it in WriterzRoom.
    """
    answer = await ctx.ask(GetContent(content_id), Priority.SAVE)
    if isinstance(answer, Failure):
        if answer.kind is FailureKind.NOT_FOUND:
            return None
        raise not_saved(ctx, answer)
    stored, (titles, bodies) = StoredContent.of(answer), _our_digests(draft)
    ctx.index.owners.learn(stored)
    if not ctx.index.is_free(draft, stored.id):
        return None
    draft = structs.replace(draft, metadata=answer.metadata)
    if stored.bodies & bodies and (not stored.title or title_digest(stored.title) in titles):
        return draft
    if stored.bodies & bodies and stored.is_from(draft) and stored.is_as_created:
        return draft  # the title is the server's own
    if replaces in stored.bodies:
        return draft
    if _is_as_we_left_it(ctx, draft, answer):
        # The server's own version of our text, which the look after the save has missed.
        learn(ctx, alters=True)
        copy = ctx.outputs.set_aside(draft.item_state.path, answer.whole or answer.body)
        item_state = draft.item_state
        return structs.replace(draft, item_state=structs.replace(item_state, copy=item_state.copy or copy))
    # Perhaps the server changed it: the next save is looked at again.
    ctx.capabilities.alters_texts = ctx.capabilities.alters_texts or None
    raise _edited_there(ctx, draft, answer)


def _is_as_we_left_it(ctx: Context, draft: Draft, content: Content) -> bool:
    """Return whether a stored content still has the version stamp that it got when it was saved or created."""
    record, text = draft.item_state.record, draft.item_state.text
    saved = (
        record.saved if record is not None and (record.server, record.content_id) == (ctx.server, content.id) else None
    )
    if saved is not None:
        # What was seen under this stamp is known: another text is an edit on a server that does not date them.
        return not (saved.sent or saved.server_body) and has_stamp(content, saved.stamp)
    return (
        text is not None and text.content_id == content.id and not text.from_earlier_run and has_stamp(content, CREATED)
    )


def _edited_there(ctx: Context, draft: Draft, content: Content) -> Ended:
    path, content_id, body = draft.item_state.path, content.id, clean_body(content.body)
    record, shown = _with_its_content(ctx, draft, content), f"`contentops content get {content_id}` shows the text"
    if record.content_id == content_id and record.saved is not None:
        seen = Remote(
            content_id=content_id,
            title=clean_title(content.title),
            body=body_digest(body),
            stamp=content.stamp,
            saved=record.saved.body,
        )
        ctx.cache.keep_body(seen.body, body)
        ctx.cache.keep_seen(ctx.server, {content_id: seen})
        shown += ", and `contentops plan --refresh` what to do"
    return Ended(
        Result.BLOCKED,
        f"content `{content_id}` was edited in WriterzRoom since it was last saved",
        f"{shown}. Copy that text into `{path}`, or delete the content in WriterzRoom to save the file as new; "
        "then run `contentops apply --refresh`",
    )


def _with_its_content(ctx: Context, draft: Draft, content: Content) -> Record:
    """Return the item's record, after adding this content's id if the record has no content id.

    A refresh then sees the edit. It counts as an edit of the text that the job made: what was saved there since,
    perhaps by another clone, has words that may exist nowhere else.
    """
    record, text, stored = draft.item_state.recorded, draft.item_state.text, StoredContent.of(content)
    items = {"", draft.item.id, draft.item.change.renamed_from}
    ours = not stored.lineage or (stored.lineage, stored.environment) == (ctx.plan.lineage, ctx.plan.environment)
    if record.content_id or not record.generated or not ours or stored.item not in items:
        return record
    title = title_digest(text.title if text is not None else record.title)
    record = structs.replace(
        base_record(ctx, draft.item, draft.item_state),
        content_id=content.id,
        saved=Saved(title=title, body=record.generated),
    )
    ctx.index.owners.give(content.id, draft.item.id)
    return note(ctx, draft.item, "save", record)


def _our_digests(draft: Draft) -> tuple[set[Digest], set[Digest]]:
    """Return the digests of all titles and bodies that contentops or the server is known to have written.

    They were saved, are about to be saved, were returned after a save, or were made by a job.
    """
    text, both = draft.item_state.text, (draft.item.change.record, draft.item_state.record)
    records = [record for record in both if record is not None]
    saves = [record.saved for record in records if record.saved is not None]
    named = [draft.title, *(record.title for record in records), *([text.title] if text is not None else [])]
    made = [draft.digest, *(record.generated for record in records)]
    made += [body_digest(text.body)] if text is not None else []
    titles = {*map(title_digest, named)}.union(*(saved.titles for saved in saves))
    return titles - {NOTHING}, {*made}.union(*(saved.bodies for saved in saves)) - {NOTHING}


async def _overwrite(ctx: Context, draft: Draft, content_id: str, *, beside: Sequence[str] = ()) -> ItemState:
    """Replace the text of the item's content on the server. If that content is gone, create a new one.

    It uses PUT if a save on this server always creates a content.
    """
    if ctx.capabilities.creates_only:
        return await _put(ctx, draft, content_id, beside=beside)
    saved = draft.item_state.recorded.saved
    # An earlier run may have been about to save this text, or an earlier one of the file.
    look = saved is not None and saved.sent != NOTHING
    return await _store(ctx, draft, content_id, look=look, beside=beside)


async def _store(ctx: Context, draft: Draft, content_id: str, *, look: bool, beside: Sequence[str] = ()) -> ItemState:
    """Save a text on the server.

    After a temporary failure, it is saved again for a limited time. Before each repetition, look on the server for the
    text, because perhaps only the reply was lost.

    `content_id`: the content to replace; if it is empty, a new one is made. `beside`: the contents that this save could
    not replace.
    """

    def intend() -> None:
        nonlocal draft
        draft = _about_to_send(ctx, draft, content_id)

    began, attempts = ctx.run.now(), Attempts(ctx)
    while True:
        earlier = await _find_saved(ctx, draft, content_id, beside, again=bool(attempts.failed)) if look else None
        if earlier is not None and earlier.is_of(draft) and earlier.is_titled(draft):
            given_back = earlier if attempts.failed and ctx.run.now() - began <= SOON else None
            saved = _saved(draft, earlier.stamp_of(draft), given_back)
            return _record_reply(ctx, draft, content_id, earlier.id, saved, beside).item_state
        if earlier is not None and (owned := await _may_overwrite(ctx, draft, earlier.id, NOTHING)) is not None:
            if content_id:
                # The save over one content made another one, so this server only creates.
                return await _put(ctx, owned, earlier.id, beside=(*beside, content_id))
            return await _overwrite(ctx, owned, earlier.id, beside=beside)
        call = SaveContent(draft.title, draft.body, content_id, metadata_of(ctx.plan, draft))
        answer = await ctx.run.send(call, Priority.SAVE, intend)
        if not isinstance(answer, Failure):
            saved = _saved(draft, answer.stamp or ("" if content_id else CREATED))
            return await verify(ctx, _record_reply(ctx, draft, content_id, answer.content_id, saved, beside))
        if not await attempts.again(answer):
            raise not_saved(ctx, answer)
        look = look or answer.kind not in (FailureKind.NOT_SENT, FailureKind.THROTTLED)


async def _put(ctx: Context, draft: Draft, content_id: str, *, beside: Sequence[str]) -> ItemState:
    answer = await ctx.ask(PutContent(content_id, draft.title, draft.body, metadata_of(ctx.plan, draft)), Priority.SAVE)
    if not isinstance(answer, Failure):
        return await verify(ctx, _record_save(ctx, draft, content_id, _saved(draft, answer.stamp), supersedes=beside))
    if not is_absent(answer):
        raise not_saved(ctx, answer)
    return await _store(ctx, draft, "", look=_may_be_stored(ctx, draft), beside=(*beside, content_id))


def _about_to_send(ctx: Context, draft: Draft, content_id: str) -> Draft:
    """Record, before the draft's body is saved, that the server may have this body from now on."""
    record = draft.item_state.recorded
    if not content_id or record.saved is None or record.saved.sent == draft.digest:
        return draft
    saved = structs.replace(record.saved, sent=draft.digest)
    record = note(ctx, draft.item, "saving", structs.replace(record, saved=saved))
    return structs.replace(draft, item_state=structs.replace(draft.item_state, record=record))


def _record_reply(
    ctx: Context, draft: Draft, content_id: str, answered: str, saved: Saved, beside: Sequence[str]
) -> Draft:
    """Record that a text was saved on the server.

    If the reply has another content id, this server always creates a new content.
    """
    if content_id and answered != content_id:
        ctx.capabilities.creates_only = True
        beside = (*beside, content_id)
        saved = structs.replace(saved, stamp=saved.stamp or CREATED)
    return _record_save(ctx, draft, answered, saved, supersedes=beside)


async def _find_saved(
    ctx: Context, draft: Draft, content_id: str, beside: Sequence[str], *, again: bool
) -> StoredContent | None:
    """Return the stored content in which an earlier attempt has saved this text, or None.

    If every save on this server creates a new content, the result has another id than `content_id`.
    """
    if not content_id:
        content = await find(ctx, draft, beside=beside, again=again)
        if _is_paid_now(draft) and ctx.capabilities.stores_jobs is None:
            # No one but the server itself can have stored a text that this run has only just paid for.
            ctx.capabilities.stores_jobs = content is not None
        return content
    answer = await ctx.ask(GetContent(content_id), Priority.SAVE)
    if not isinstance(answer, Failure):
        stored = StoredContent.of(answer)
        if stored.is_of(draft) and stored.is_titled(draft):
            return stored
    # With the old title it is the content as before: the save with the new title may have made another one.
    return await find(ctx, draft, titled=True, beside=(*beside, content_id))


def _may_be_stored(ctx: Context, draft: Draft) -> bool:
    """Return whether the server may have this text already, although no save of it is recorded.

    A save may have been lost, or the job stored it. If this run paid for the text or promoted it, no earlier save of it
    can be lost: an earlier run would have recorded the text before its save. The server may store texts of jobs itself,
    as long as the opposite is not known.
    """
    if draft.item_state.fresh and draft.item.change.promotion is not None:
        return False
    first = draft.item_state.fresh and _is_paid_now(draft)
    return not first or ctx.capabilities.stores_jobs is not False


def _is_paid_now(draft: Draft) -> bool:
    return draft.item_state.text is not None and draft.item_state.text.paid_now


def _saved(draft: Draft, stamp: str, given_back: StoredContent | None = None) -> Saved:
    """Return the values that are recorded after a text was saved.

    `stamp` is empty if it is unknown. `given_back`: the content that was fetched just after the save.
    """
    saved = Saved(title=title_digest(draft.title), body=draft.digest, stamp=stamp)
    if given_back is None or draft.digest in given_back.bodies:
        return saved
    server_title = title_digest(given_back.title)
    return structs.replace(saved, server_title=server_title, server_body=given_back.body, stamp=given_back.stamp)


def _record_save(ctx: Context, draft: Draft, content_id: str, saved: Saved, *, supersedes: Sequence[str] = ()) -> Draft:
    """Record that the item's content on the server now has the text of the draft."""
    record = draft.item_state.recorded
    ctx.index.seen.pop(content_id, None)
    ctx.cache.keep_seen(ctx.server, {}, (content_id,))
    old = ctx.index.owners.superseded((*record.superseded, *supersedes, record.content_id))
    done = structs.replace(
        base_record(ctx, draft.item, draft.item_state),
        saved=saved,
        content_id=content_id,
        superseded=tuple(each for each in old if each != content_id),
        saved_at=iso_exact(ctx.wall()),
    )
    done = note(ctx, draft.item, "save", done)
    ctx.index.owners.give(content_id, draft.item.id, done.superseded)
    if draft.digest != record.generated:
        # No job's text, which the cache has anyway: kept as the base of a later merge.
        ctx.cache.keep_body(draft.digest, draft.body)
    ctx.event("step-done", draft.item.id, "save", content=content_id)
    return structs.replace(draft, item_state=structs.replace(draft.item_state, record=done))
