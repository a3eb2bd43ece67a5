"""Moves, writes, updates and removes the file of an item; each step checks the file again before it acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from contentops.api.reading import CREATED
from contentops.digest import NOTHING, Digest, digest_bytes, is_same_json
from contentops.documents.blocks import Unusable, put_section, take_section
from contentops.documents.clean import body_digest, clean_title, title_digest
from contentops.documents.front_matter import (
    PROVENANCE_KEY,
    TITLE_KEY,
    carry,
    compose,
    provenance,
    replace_body,
    split,
    update,
    written_entries,
)
from contentops.documents.preset import apply_preset, uses_changed_at, with_changed_at
from contentops.documents.word_diff import take_new
from contentops.errors import FileChanged
from contentops.execution.primitives import Ended, Item, ItemState, MergedBody, Text, iso_exact
from contentops.execution.records import base_record, note
from contentops.execution.run_context import Context
from contentops.model import (
    Acknowledge,
    JobState,
    Json,
    KeptWords,
    MergeEdit,
    Move,
    Observed,
    Promote,
    Record,
    Remove,
    Replace,
    RequestId,
    Restore,
    Result,
    Save,
    Saved,
    Update,
    Write,
)
from contentops.planning.approval import Brought, written_title
from contentops.planning.edits import UNMERGEABLE, as_saved, heading_of
from contentops.planning.front_matter import provenance_of
from contentops.planning.promote import known_texts, unusable_hint, unusable_words
from contentops.planning.sides import is_edited, is_protected
from contentops.state.codec import Drop, Forget

# ---- The body that is written with a person's words in it: a new text and an edit, merged.


def merged(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed) -> ItemState:
    """Return the item's state; a person's words that must stay are merged into the new body.

    Raises Ended if they cannot be merged.
    """
    text = item_state.text
    assert text is not None
    if item.change.section:
        return _with_section(ctx, item, item_state, step, seen)
    mode = step.mode
    if item_state.merged is not None or not isinstance(mode, MergeEdit) or not seen.exists or seen.problem:
        return item_state
    edited = split(ctx.outputs.read(step.target)).body
    if text.job_id and seen.provenance.get("job") == text.job_id:
        # A run that was cut short has merged this very text already, and perhaps a person went on from there.
        return structs.replace(item_state, merged=MergedBody(edited))
    base = ctx.text(mode.base)
    if base is None:
        hint = "run `contentops plan` to see how to get it"
        raise Ended(Result.BLOCKED, "the text before the edits is missing; the new text is kept", hint)
    renewed = take_new(base, edited, text.body)
    if renewed is None:
        raise Ended(Result.BLOCKED, "not merged; the new text is kept", UNMERGEABLE)
    kept_words = tuple(KeptWords(heading=heading_of(each.key), new=each.new) for each in renewed.kept)
    return structs.replace(item_state, merged=MergedBody(renewed.body, kept_words))


def _with_section(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed) -> ItemState:
    """Return the item's state, with the new section inserted into the text of the item's file.

    Raises Ended if the section cannot be placed there.
    """
    text, record = item_state.text, item_state.recorded
    assert text is not None
    if item_state.merged is not None:
        return item_state
    if not seen.exists or seen.problem:
        raise Ended(Result.BLOCKED, seen.problem or f"`{step.target}` was removed; its new section is kept", _AGAIN)
    edited = split(ctx.outputs.read(step.target)).body
    bases = known_texts(record, body_digest(text.body), ctx.text)
    placed = take_section(edited, text.body, item.change.section, bases)
    if isinstance(placed, Unusable):
        hint = unusable_hint(item.id, text.job, placed) if text.job is not None else ""
        raise Ended(Result.BLOCKED, unusable_words(item.change.section, placed), hint)
    body, new = placed
    # A job made only the section; the rest of the file keeps its owner.
    base = edited if seen.body == record.generated else ctx.text(record.generated) if record.generated else None
    generated = put_section(base, new) if base is not None else None
    if text.content_id != record.content_id:
        # The item keeps its content, wherever else the server stored the new section.
        item_state = structs.replace(item_state, text=structs.replace(text, content_id=""))
    return structs.replace(item_state, merged=MergedBody(body, generated=generated or ""))


_AGAIN = "run `contentops plan` to see what to do"


# ---- Move, write, update, remove: an item's file. Each step checks the file again directly before it acts.

# --- move ------------------------------------------------------------------------------------------------------


def move(ctx: Context, item: Item, item_state: ItemState, step: Move) -> ItemState:
    """Move the item's file to its new path, and record the path.

    Raises Ended if another file is there, or OutputError if the file cannot be moved.
    """
    try:
        ctx.outputs.move(step.source, step.target, expect=step.expects)
    except FileChanged as error:
        # An earlier run may have moved it: then the source is gone, and the target is this file.
        source, target = ctx.outputs.observe(step.source), ctx.outputs.observe(step.target)
        if source.exists or target.file != step.expects:
            raise Ended(Result.BLOCKED, error.message, error.hint) from error
    item_state = structs.replace(item_state, path=step.target)
    record = item_state.record
    if record is None:
        return item_state  # written by a run that was cut short; what follows records it
    # The digest stays as it was: the steps that bring another text may never run.
    record = structs.replace(
        record,
        id=item.id,
        output=step.target,
        protected=is_protected(item.spec, record),
        # The address it had follows from the output that is overwritten here.
        addresses=item.change.addresses,
    )
    return structs.replace(item_state, record=note(ctx, item, "move", record))


# --- promote ---------------------------------------------------------------------------------------------------


def promote(ctx: Context, step: Promote) -> Text:
    """Return the text of another environment's file, if the file has not changed since the plan.

    Raises Ended if it has.
    """
    try:
        text = ctx.outputs.read(step.path)
    except FileChanged:
        text = ""
    if digest_bytes(text.encode()) != step.expects:
        message = f"`{step.path}` changed during this run, so its text was not promoted"
        raise Ended(Result.BLOCKED, message, "run `contentops plan` to see what to do")
    document = split(text)
    ctx.cache.keep_body(step.body, document.body)
    return Text(title=document.title, body=document.body, entries=written_entries(text, step.carries))


# --- write -----------------------------------------------------------------------------------------------------


def with_day(ctx: Context, item: Item, item_state: ItemState, step: Write) -> Write:
    """Return the step with the day of the new text in the front matter keys that use `changed_at`.

    If a person wrote the words, their day is that of their commit, and the next plan writes it. A value that a person
    changed stays.
    """
    text, promotion, metadata = item_state.text, item.change.promotion, item.spec.metadata
    is_a_persons = promotion is not None and promotion.body != promotion.generated
    made = promotion or (text.job if text is not None else None)
    if made is None or not made.generated_at or is_a_persons or not step.is_new or not uses_changed_at(metadata):
        return step
    preset, day = ctx.project.preset, made.generated_at[: len("2026-03-01")]
    others = apply_preset(preset, with_changed_at(metadata, ""))
    seen = ctx.outputs.observe(step.target)
    written = item_state.record.metadata if item_state.record is not None else {}
    ours = {
        key: value
        for key, value in apply_preset(preset, with_changed_at(metadata, day)).items()
        if key not in others and (not seen.exists or is_same_json(seen.front.get(key), written.get(key)))
    }
    return structs.replace(step, front={**step.front, **ours})


def write(ctx: Context, item: Item, item_state: ItemState, step: Write) -> ItemState:
    """Write the title, front matter and body into the item's file, and record what was written.

    If the file has them already, only record them.
    """
    seen = ctx.outputs.observe(step.target)
    item_state = merged(ctx, item, item_state, step, seen)
    title, digest = coming_title(ctx, item, item_state, step, seen), body_digest(item_state.body)
    is_written, is_as_planned = seen.exists and not seen.problem and seen.body == digest, seen.file == step.expects
    if not (is_as_planned or is_written):
        raise _changed(step.target)
    if _edited_since(ctx, item, item_state, step, seen, digest):
        raise Ended(
            Result.BLOCKED,
            f"`{step.target}` was edited by hand after this text was written; the text is kept",
            "run `contentops plan` to see what to do",
        )
    copy = ""
    if not is_as_planned:
        title = seen.title or title
    else:
        may_lose = seen.exists and _may_be_a_persons(ctx, item, item_state.record, step, seen, is_written=is_written)
        if may_lose and (item_state.merged is None or item.change.section):
            # Its copy on the server will be saved over, and it may not be in git.
            copy = ctx.outputs.set_aside(step.target, ctx.outputs.read(step.target))
        try:
            ctx.outputs.write(step.target, composed(ctx, item, item_state, step, seen), expect=step.expects)
        except FileChanged as error:
            raise _changed(step.target) from error
    ours = coming_title(ctx, item, item_state, step, structs.replace(seen, title=""))
    item_state = structs.replace(item_state, path=step.target, copy=copy, title=title)
    # A title of a person that stays in the file is not recorded as ours.
    is_a_persons_title = item_state.record is not None and title == seen.title and title != ours
    record = structs.replace(
        base_record(ctx, item, item_state),
        title=item_state.recorded.title if is_a_persons_title else title,
        metadata=_front_after(step, item_state.record, existed=seen.exists),
        output=step.target,
    )
    return _record_written(ctx, item, item_state, step, record)


def _record_written(ctx: Context, item: Item, item_state: ItemState, step: Write, record: Record) -> ItemState:
    """Record that the text was written, and close the jobs that are no longer needed."""
    text = item_state.text
    assert text is not None
    digest = body_digest(item_state.body)
    if isinstance(step.mode, Restore):
        if record.saved is not None and digest == record.saved.server_body:
            record = structs.replace(record, saved=structs.replace(record.saved, body=digest))
        return structs.replace(item_state, record=note(ctx, item, "write", record))
    # The record settles the job of its text; failed attempts at the request are closed with it.
    drops = [Drop(job.request_id) for job in item.failed]
    record = _record_of_text(ctx, item, item_state, record, text)
    is_own = ctx.index.owners.is_free(text.content_id, item, item_state)
    saves_merge = item_state.merged is not None and item.change.has(Save) and not item.change.section
    if text.content_id and is_own and saves_merge:
        record = _stored_by_itself(ctx, record, text)
    saved = record.saved
    if item.change.section and not text.content_id and saved is not None and saved.body == digest:
        # The server may have stored the section elsewhere, or nowhere: a stop before the save must not hide that.
        record = structs.replace(record, saved=structs.replace(saved, body=saved.server_body, server_body=saved.body))
    return structs.replace(item_state, record=note(ctx, item, "write", record, *drops), fresh=True)


def _stored_by_itself(ctx: Context, record: Record, text: Text) -> Record:
    """Return the record of a new text that the server has stored by itself, without a request to save it.

    The merged text is saved over that content, even after a stop.
    """
    saved = Saved(title=title_digest(text.title), body=body_digest(text.body), stamp=CREATED)
    old = dict.fromkeys((*record.superseded, record.content_id))
    superseded = tuple(each for each in old if each not in ("", text.content_id))
    at = iso_exact(ctx.wall())
    return structs.replace(record, content_id=text.content_id, superseded=superseded, saved=saved, saved_at=at)


def coming_title(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed) -> str:
    """Return the title that `step` writes into the file."""
    text = item_state.text
    assert text is not None
    is_known = not step.is_new or item.change.promotion is not None
    brought = Brought(text.title, text.body, bool(item.change.section), is_known=is_known)
    return written_title(step.title, seen, item_state.record, brought, item=item.id, preset=ctx.project.preset)


def _edited_since(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed, digest: Digest) -> bool:
    """Return whether a person has edited the file after a killed run wrote this text into the file.

    The plan cannot notice this if neither the cache nor the job has the text. In that case the provenance block of the
    file decides.
    """
    text, job = item_state.text, item.change.job
    if seen.body == digest or _is_over_edit(step):
        return False
    if item.change.section and text is not None and text.job_id:
        return seen.provenance.get("job") == text.job_id
    # The plan knew the text of a job with a body, and a merge keeps the person's words.
    if job is None or job.body or isinstance(step.mode, MergeEdit):
        return False
    ours = seen.owner == item.id and seen.provenance.get("digest") == item.spec.digest
    return ours and is_edited(seen, item_state.record, ctx.made)


def _is_over_edit(step: Write) -> bool:
    return isinstance(step.mode, Replace) and step.mode.over_edit


def _may_be_a_persons(
    ctx: Context, item: Item, record: Record | None, step: Write, seen: Observed, *, is_written: bool
) -> bool:
    """Return whether a write could replace words of a person, in the body or in the front matter.

    The record is not used here: a merge or another program may have changed it.
    """
    is_unknown_body = _is_over_edit(step) if item.change.section else seen.body not in ctx.made
    return (is_unknown_body and not is_written) or _replaces_values(record, step, seen)


def _replaces_values(record: Record | None, step: Write | Update, seen: Observed) -> bool:
    """Return whether this write would replace a front matter value, or a title, that a person changed.

    Such a value differs from the value that was last written and from the value to write now.
    """
    written = record.metadata if record is not None else {}
    titles = (step.title, seen.title) if record is None else (step.title, "", record.title)
    return (step.title is not None and seen.title not in titles) or any(
        key in seen.front and not any(is_same_json(seen.front[key], each) for each in (value, written.get(key)))
        for key, value in step.front.items()
    )


def _changed(target: str) -> Ended:
    return Ended(
        Result.BLOCKED,
        f"`{target}` changed during this run; the new text is kept",
        "run `contentops plan` to see what to do",
    )


def _record_of_text(ctx: Context, item: Item, item_state: ItemState, record: Record, text: Text) -> Record:
    """Return the new record of an item whose text a job made in this or in another environment."""
    before, job, step = item_state.record, text.job, item.change.promotion
    record = structs.replace(
        record,
        **_asked(item, text),
        saved=record.saved if before is not None and before.server == ctx.server else None,
        promoted=NOTHING,
        promoted_from="",
        declined=NOTHING,
    )
    if step is not None:
        return structs.replace(
            record,
            generated=step.generated,
            outline=step.outline,
            adopted=NOTHING,
            promoted=step.body,
            promoted_from=item.change.promoted_from,
            request_id=RequestId(""),
        )
    assert job is not None
    merged, generated = item_state.merged, job.body or body_digest(text.body)
    if item.change.section:
        made = merged.generated if merged is not None else ""
        # Without the generated text, the file stays one that a person wrote in.
        generated = body_digest(made) if made else record.generated
        if made:
            ctx.cache.keep_body(generated, made)
    return structs.replace(
        record,
        generated=generated,
        adopted=record.adopted if not generated else NOTHING,
        # Around one new section the rest stays what it was.
        outline=job.outline or (bool(item.change.section) and record.outline),
        dialect=job.dialect,
        request_id=job.request_id,
    )


def _asked(item: Item, text: Text) -> dict[str, Any]:
    """Return the fields of a record that say which request its text was made for.

    A new section belongs to the request of the whole text. If the text was made before its sources changed, the fields
    describe their words at that time.
    """
    spec, job = item.spec, text.job
    if item.change.section:
        return {}
    if job is None or not job.frame or job.digest == spec.digest:
        return spec.asked
    return {**spec.asked, "digest": job.digest, "sources": job.sources}


def _provenance(ctx: Context, item: Item, record: Record | None, text: Text) -> dict[str, Json] | None:
    if not ctx.project.provenance:
        return None
    if record is not None:
        return provenance_of(structs.replace(record, id=item.id), ctx.made_by(record), ctx.project.editor)
    made = item.change.promotion or text.job
    assert made is not None
    return provenance(
        item=item.id,
        digest=item.spec.digest,
        job=text.job_id,
        generated_at=made.generated_at,
        promoted_from=item.change.promoted_from,
        model=made.model,
        editor=ctx.project.editor,
    )


def composed(ctx: Context, item: Item, item_state: ItemState, step: Write, seen: Observed) -> str:
    """Return the complete new text of the file."""
    text, record = item_state.text, item_state.record if not step.is_new else None
    assert text is not None
    title = coming_title(ctx, item, item_state, step, seen)
    body = item_state.body
    # Without its job, what the block says of that is not known.
    keeps_block = record is not None and seen.exists and bool(record.generated) and ctx.made_by(record) is None
    block = None if keeps_block else _provenance(ctx, item, record, text)
    if not seen.exists or seen.problem:
        return carry(compose(title, step.front, block, body), text.entries)
    changes: dict[str, Json] = {**step.front, **({TITLE_KEY: title} if title else {})}
    if block is not None:
        changes[PROVENANCE_KEY] = block
    return replace_body(carry(update(ctx.outputs.read(step.target), changes), text.entries), body)


# --- update, record, remove ------------------------------------------------------------------------------------


def update_front(ctx: Context, item: Item, item_state: ItemState, step: Update) -> ItemState:
    """Write the changed front matter keys into the item's file, and record the new values."""
    changes: Mapping[str, Json] = dict(step.front)
    if step.title is not None:
        changes = {**changes, TITLE_KEY: step.title}
    seen = ctx.outputs.observe(step.target)
    is_written = all(
        is_same_json(seen.title if key == TITLE_KEY else seen.front.get(key), value) for key, value in changes.items()
    )
    if seen.file == step.expects:
        try:
            before = ctx.outputs.read(step.target)
            if _replaces_values(item_state.record, step, seen):
                item_state = structs.replace(item_state, copy=ctx.outputs.set_aside(step.target, before))
            ctx.outputs.write(step.target, update(before, changes), expect=step.expects)
        except FileChanged as error:
            raise _changed(step.target) from error
    elif not is_written:
        raise _changed(step.target)
    return acknowledge(ctx, item, item_state, Acknowledge(front=step.front, title=step.title))


def acknowledge(ctx: Context, item: Item, item_state: ItemState, step: Acknowledge) -> ItemState:
    """Update an item's record although no text changes, for example after a kept edit or for a new id."""
    before, spec = item_state.record, item.spec
    record = base_record(ctx, item, item_state)
    record = structs.replace(record, metadata=_front_after(step, before, existed=before is not None))
    if step.title is not None:
        record = structs.replace(record, title=clean_title(step.title))
    if before is None and item_state.path:
        record = structs.replace(record, title=ctx.outputs.observe(item_state.path).title)
    if step.remote is not None:
        saved = as_saved(record, step.remote)
        record = structs.replace(record, saved=saved, saved_at=iso_exact(ctx.wall()))
    if step.accepts:
        record = structs.replace(record, **spec.asked, declined=step.declined or record.declined)
    drops: list[Drop] = []
    if before is None or step.accepts:
        # The file answers the request, so a text that was paid for it is not written.
        jobs = (ctx.store.open_job(job.request_id) for job in item.jobs)
        drops = [Drop(job.request_id) for job in jobs if job is not None and job.state is JobState.PAID]
    return structs.replace(item_state, record=note(ctx, item, "record", record, *drops))


def remove(ctx: Context, item: Item, step: Remove) -> None:
    """Remove the record and the file of an item that no manifest declares any more.

    Its content on the server stays. If a person edited the file, a copy of it is kept.
    """
    if step.target and step.expects:
        try:
            if ctx.outputs.observe(step.target).body not in ctx.made:
                ctx.outputs.set_aside(step.target, ctx.outputs.read(step.target))
            ctx.outputs.remove(step.target, expect=step.expects)
        except FileChanged as error:
            raise _changed(step.target) from error
    ctx.run.record("remove", Forget(item.id), *(Drop(job.request_id) for job in item.failed))


def _front_after(step: Write | Acknowledge, record: Record | None, *, existed: bool) -> dict[str, Json]:
    """Return the front matter values that contentops has now written, to be recorded."""
    before = record.metadata if record is not None and existed else {}
    front = {**before, **step.front}
    return {key: value for key, value in front.items() if key != PROVENANCE_KEY and value is not None}
