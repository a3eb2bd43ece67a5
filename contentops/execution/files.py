"""Fetch, write, update, remove: an item's text and its file. Each checks the file again directly before it acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import GetContent, GetStatus
from contentops.api.replies import Content, Failure, FailureKind, JobStatus
from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY, compose, provenance, replace_body, update
from contentops.documents.sections import main_heading
from contentops.errors import FileChanged
from contentops.execution.item import Ended, ItemRun, Text
from contentops.execution.jobs import fetch_paid
from contentops.model import Acknowledge, Fetch, Poll, Record, RequestId, Result, Saved, Write
from contentops.planning.body import is_protected
from contentops.state.lines import Drop, Forget

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from contentops.api.calls import Call
    from contentops.digest import Digest
    from contentops.execution.effects import Effect
    from contentops.model import Json, Observed


# --- the record --------------------------------------------------------------------------------------------


def base_record(run: ItemRun) -> Record:
    """The item's record with what no step decides: id, server, path, protection. New where there is none."""
    ctx, spec, old = run.ctx, run.spec, run.record
    protected = is_protected(spec, old)
    if old is None:
        return Record(
            id=spec.id,
            digest=spec.digest,
            request=spec.request.as_json(),
            server=ctx.server,
            dialect=ctx.dialect,
            output=run.path or run.change.target,
            used=spec.used,
            protected=protected,
            plan_id=ctx.plan.id,
            # Made under the new id: the pair that gave it has nothing left to rename.
            moved_from=ctx.swaps.get(spec.id, ""),
        )
    here = structs.replace(
        old, id=spec.id, output=run.path or run.change.target, protected=protected, plan_id=ctx.plan.id
    )
    if old.server == ctx.server:
        return structs.replace(here, dialect=ctx.dialect)
    # Another server's ids and catalog mean nothing here.
    return structs.replace(
        here,
        server=ctx.server,
        dialect=ctx.dialect,
        content_id="",
        superseded=(),
        saved=None,
        job_id="",
        request_id=RequestId(""),
    )


def note(run: ItemRun, step: str, record: Record, *drops: Drop) -> None:
    """Record a step, under the item's own id."""
    old = run.change.renamed_from
    if old is not None:
        # So that a file which still names the old id is known as this item's, should the run end here.
        record = structs.replace(record, moved_from=old)
    facts: list[Record | Drop | Forget] = [record, *drops]
    if old is not None and run.ctx.store.record(old) is not None:
        facts.append(Forget(old))
    run.ctx.store.note(step, *facts)
    run.record = record


def front_after(run: ItemRun, record: Record | None, *, existed: bool) -> dict[str, Json]:
    """The front matter keys the record says were last written."""
    found: dict[str, Json] = dict(record.metadata) if record is not None and existed else {}
    for key, value in run.change.front.items():
        if key == PROVENANCE_KEY:
            continue
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


# --- fetch -------------------------------------------------------------------------------------------------


def fetch(run: ItemRun) -> Generator[Effect, object, None]:
    """Bring a text that exists already: from the cache, else from its job, else from the stored content."""
    if run.entry is not None:
        yield from fetch_paid(run)
    elif any(isinstance(step, Fetch) and step.recorded for step in run.change.steps):
        yield from _fetch_recorded(run)
    else:
        _fetch_stored(run, run.spec.digest, frozenset())


def _fetch_stored(run: ItemRun, digest: Digest, wanted: frozenset[Digest]) -> bool:
    stored = run.ctx.cache.get_text(run.ctx.server, digest)
    if stored is None or (wanted and body_digest(stored.body) not in wanted):
        if not wanted:
            raise Ended(Result.BLOCKED, "its stored text is gone from the cache", "run `contentops apply` again")
        return False
    run.text = Text(
        title=stored.title, body=stored.body, content_id=stored.content_id, generated_at=stored.generated_at
    )
    run.source = stored
    return True


def _fetch_recorded(run: ItemRun) -> Generator[Effect, object, None]:
    """The `saved` text, else the `generated` one, of an item whose file is gone."""
    ctx, record = run.ctx, run.record
    assert record is not None
    run.restored = True
    silent, given_back = "", None
    saved = record.saved or Saved()
    for wanted in dict.fromkeys(digest for digest in (saved.body, record.generated) if digest):
        if _fetch_stored(run, record.digest, frozenset({wanted})):
            return
        calls: list[Call] = [GetContent(record.content_id)] if record.content_id else []
        if record.job_id and wanted == record.generated:
            calls.append(GetStatus(record.job_id))
        for call in calls:
            answer = yield from ctx.ask(call)
            run.text = _told(answer, wanted)
            if run.text is not None:
                return
            given_back = _told(answer, saved.server_body) or given_back
            if isinstance(answer, Failure) and answer.kind is not FailureKind.NOT_FOUND:
                silent = answer.told
        if given_back is not None:
            # Nobody has it to the letter any more: what the server made of it is nearer than any earlier text.
            run.text = structs.replace(given_back, title=record.title or given_back.title)
            return
    if ctx.stopped:
        raise Ended(Result.PENDING)
    if silent:
        raise Ended(Result.FAILED, f"its text cannot be fetched: {silent}", "run `contentops apply` again")
    raise Ended(
        Result.BLOCKED,
        "neither cache nor server has its text any more",
        f"`contentops apply --replace {run.spec.id}` generates it again",
    )


def _told(answer: object, wanted: Digest) -> Text | None:
    """The text of an answer, if it is the one that is wanted."""
    if not isinstance(answer, Content | JobStatus):
        return None
    content_id, texts = (
        (answer.id, (answer.body, answer.whole)) if isinstance(answer, Content) else ("", (answer.body,))
    )
    body = next((clean_body(text) for text in texts if text and body_digest(text) == wanted), "")
    return Text(title=clean_title(answer.title), body=body, content_id=content_id) if body else None


# --- write -------------------------------------------------------------------------------------------------


def write(run: ItemRun) -> None:
    """Write title, front matter and body, and record them; a file that holds this text already is only recorded."""
    text = run.text
    assert text is not None
    target = run.change.target
    seen = run.ctx.outputs.observe(target)
    title = _title(run, seen, text)
    digest = body_digest(text.body)
    stands = seen.exists and not seen.problem and seen.body == digest
    if seen.file != run.expected and not stands:
        raise _changed(target)
    if _edited_since(run, seen, digest):
        raise Ended(
            Result.BLOCKED,
            f"`{target}` was edited by hand since this text was first written into it; the text is kept",
            "run `contentops plan` to see where it stands",
        )
    made = _composed(run, seen, title, text)
    if not (stands and seen.file != run.expected):
        try:
            run.expected = run.ctx.outputs.write(target, made, expect=run.expected)
        except FileChanged as error:
            raise _changed(target) from error
    else:
        run.expected, title = seen.file, seen.title or title
    run.path = target
    record = structs.replace(
        base_record(run), title=title, metadata=front_after(run, run.record, existed=seen.exists), output=target
    )
    if run.restored:
        if record.saved is not None and digest == record.saved.server_body:
            record = structs.replace(record, saved=structs.replace(record.saved, body=digest))
        note(run, "write", record)
    else:
        note(run, "write", _generated(run, record, text, digest), *_answered(run))
        run.fresh = True


def _edited_since(run: ItemRun, seen: Observed, digest: Digest) -> bool:
    """Whether a lost run had written this text already and a person worked on it since.

    The plan cannot know where neither cache nor entry tells the text: it takes the provenance block's word for it.
    """
    entry = run.change.entry
    if entry is None or entry.body or not run.change.has(Poll) or seen.body == digest:
        return False
    if any(isinstance(step, Write) and step.replaces_edit for step in run.change.steps):
        return False  # the plan said so, and that it is replaced
    ours = seen.owner == run.spec.id and seen.provenance.get("digest") == run.spec.digest
    return ours and (run.record is None or seen.body != run.record.generated)


def _changed(target: str) -> Ended:
    return Ended(
        Result.BLOCKED,
        f"`{target}` changed while this ran; the new text is kept",
        "run `contentops plan` to see where it stands",
    )


def _generated(run: ItemRun, record: Record, text: Text, digest: Digest) -> Record:
    """The record of a text a job made."""
    spec, entry, stored = run.spec, run.entry, run.source
    same = run.record is not None and run.record.server == run.ctx.server
    return structs.replace(
        record,
        digest=spec.digest,
        request=spec.request.as_json(),
        used=spec.used,
        generated=digest,
        saved=record.saved if same else None,
        job_id=entry.job_id if entry else stored.job_id if stored else "",
        request_id=entry.request_id if entry else RequestId(stored.request_id if stored else ""),
        # Never falls, so that a later `--replace` cannot meet an id that was used before.
        attempt=max(record.attempt, entry.attempt if entry else run.change.attempt),
        credits=entry.credits if entry else stored.credits if stored else 0,
        plan_id=run.ctx.plan.id,
        generated_at=text.generated_at or run.ctx.iso(),
    )


def _answered(run: ItemRun) -> list[Drop]:
    """The open entries this text makes an end of: its own, and failed attempts at the same digest."""
    own = [run.entry] if run.entry is not None else []
    return [Drop(entry.request_id) for entry in (*own, *run.failed)]


def _title(run: ItemRun, seen: Observed, text: Text) -> str:
    """The title to write: the manifest's, else a person's, else the text's, else its first heading, else the id."""
    if run.change.title is not None:
        return clean_title(run.change.title)
    if run.change.section and seen.title:
        return seen.title
    if seen.exists and run.record is not None and seen.title and seen.title != run.record.title:
        return seen.title
    if text.title:
        return text.title
    return clean_title(main_heading(text.body)) or str(run.spec.id)


def _composed(run: ItemRun, seen: Observed, title: str, text: Text) -> str:
    block = None
    if run.ctx.project.provenance:
        entry, stored = run.entry, run.source
        record = run.record if run.restored else None
        block = provenance(
            item=run.spec.id,
            digest=record.digest if record else run.spec.digest,
            job=record.job_id if record else entry.job_id if entry else stored.job_id if stored else "",
            generated_at=record.generated_at if record else text.generated_at,
        )
    if not seen.exists or seen.problem:
        return compose(title, run.change.front, block, text.body)
    changes: dict[str, Json] = {**run.change.front, TITLE_KEY: title}
    if block is not None:
        changes[PROVENANCE_KEY] = block
    return replace_body(update(run.ctx.outputs.read(run.change.target), changes), text.body)


# --- update, record, remove --------------------------------------------------------------------------------


def update_front(run: ItemRun) -> None:
    """Write changed front matter keys into the file as it stands."""
    changes: Mapping[str, Json] = dict(run.change.front)
    if run.change.title is not None:
        changes = {**changes, TITLE_KEY: run.change.title}
    seen = run.ctx.outputs.observe(run.path)
    if seen.file != run.expected:
        if all((seen.title if key == TITLE_KEY else seen.front.get(key)) == value for key, value in changes.items()):
            run.expected = seen.file
        else:
            raise _changed(run.path)
    else:
        try:
            new = update(run.ctx.outputs.read(run.path), changes)
            run.expected = run.ctx.outputs.write(run.path, new, expect=run.expected)
        except FileChanged as error:
            raise _changed(run.path) from error
    record_only(run)


def record_only(run: ItemRun) -> None:
    """Bring the record up to what the manifest says where no text changes: kept edits, new ids, protection."""
    spec, change = run.spec, run.change
    seen = run.ctx.outputs.observe(run.path) if run.path else None
    known = run.record
    record = base_record(run)
    record = structs.replace(record, metadata=front_after(run, known, existed=known is not None))
    if change.title is not None:
        record = structs.replace(record, title=clean_title(change.title))
    if known is None and seen is not None:
        job = seen.provenance.get("job")
        record = structs.replace(record, title=seen.title, job_id=job if isinstance(job, str) else "")
    if any(isinstance(step, Acknowledge) and step.accepts for step in change.steps):
        record = structs.replace(
            record,
            digest=spec.digest,
            request=spec.request.as_json(),
            used=spec.used,
            plan_id=run.ctx.plan.id,
        )
    note(run, "record", record)


def remove(run: ItemRun) -> None:
    """Remove an orphan's unedited file and its record; nothing on the server."""
    ctx, change = run.ctx, run.change
    if change.target and change.file.file:
        try:
            ctx.outputs.remove(change.target, expect=change.file.file)
        except FileChanged as error:
            raise _changed(change.target) from error
    ctx.store.note("remove", Forget(change.id), *(Drop(entry.request_id) for entry in run.failed))
