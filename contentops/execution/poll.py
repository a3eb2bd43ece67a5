"""Gets the text of a job: polls the job, fetches the text, and keeps it in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import Content, Failure, FailureKind, GetContent, GetStatus, JobStatus
from contentops.documents.clean import body_digest, clean_body, clean_title, title_digest
from contentops.execution.contents import StoredContent
from contentops.execution.primitives import Ended, Priority, SentJob, Text, seconds_of
from contentops.execution.records import arrived, failed, keep_text, naming, textless
from contentops.execution.run_context import Attempts
from contentops.execution.submit import by_content, collect_lost
from contentops.model import JobState, Result, Saved
from contentops.planning.sides import is_protected
from contentops.planning.table import text_lost_hint
from contentops.state.cache import StoredText
from contentops.state.codec import Drop
from contentops.tokens import PaidTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.digest import Digest
    from contentops.execution.limiter import JobSlot
    from contentops.execution.primitives import Item, ItemState
    from contentops.execution.run_context import Context
    from contentops.model import Collect, Fetch, Job, Record

AGAIN = "run `contentops apply` again; it polls the same job"
_LASTING = frozenset({FailureKind.FORBIDDEN, FailureKind.REJECTED, FailureKind.UNUSABLE})
"""Failures of a poll that the next poll would only repeat."""


# --- poll ------------------------------------------------------------------------------------------------------


async def poll(ctx: Context, item: Item, slot: JobSlot, sent_job: SentJob) -> Text:
    """Wait for the job and keep its text. Raises Ended if it failed or takes too long."""
    slot.take()
    slot.begin()
    status = sent_job.done or await _until_done(ctx, item, slot, sent_job)
    if isinstance(status, Text):
        return status
    sent_job = _with_tokens(ctx, item, sent_job, status)
    if status.state == "failed":
        slot.leave()
        raise failed(ctx, item, sent_job, status.error or "the job failed without a reason")
    found, fetched = Content(status.content_id, status.title, status.body or "", front=status.front), False
    if not clean_body(found.body) and status.content_id:
        content = await ctx.ask(GetContent(status.content_id))
        if not isinstance(content, Failure):
            found, fetched = structs.replace(content, title=status.title or content.title), True
        elif content.kind is not FailureKind.NOT_FOUND or item.wants(sent_job.job):
            # The text exists and is paid for: a job whose text cannot be fetched now has not failed.
            slot.leave()
            raise _late(item, sent_job.job, f"its text cannot be fetched: {content.full_message}", content)
    if not clean_body(found.body):
        text, candidates = await by_content(ctx, item, sent_job)
        slot.leave()
        if text is None:
            raise textless(ctx, item, sent_job.job, candidates)
        return text
    slot.leave()
    return keep_text(ctx, sent_job, found, engine=status.engine, model=status.model, verbatim=fetched)


def _with_tokens(ctx: Context, item: Item, sent_job: SentJob, status: JobStatus) -> SentJob:
    """The job with the tokens of its final status, at the price of today; those it has already stay at their price."""
    if sent_job.job.tokens is not None or not (status.tokens or status.model):
        return sent_job
    tokens, price = PaidTokens.at(ctx.project.price, status.tokens), ctx.project.price
    if tokens is not None or price is not None:
        ctx.used.setdefault(item.id, []).append(tokens)
    bound = sent_job.job.bound if tokens is None else None
    return structs.replace(sent_job, job=structs.replace(sent_job.job, tokens=tokens, bound=bound))


async def _until_done(ctx: Context, item: Item, slot: JobSlot, sent_job: SentJob) -> JobStatus | Text:
    """The final status of the job, or its stored text where the server forgot the job. Raises Ended."""
    job, timeout = sent_job.job, ctx.project.api.job_timeout
    started = _started(ctx, sent_job)
    call = GetStatus(job.job_id, ours=job.request_id)
    polls, unfinished, attempts = 0, 0.0, Attempts(ctx)
    while True:
        answer = await ctx.run.poll(call, item.kind, started=started, polls=polls, until=started + timeout + 1)
        while isinstance(answer, Failure) and answer.server_failed and await attempts.again(answer):
            answer = await ctx.run.send(call, Priority.POLL)
        elapsed = ctx.run.now() - started
        if isinstance(answer, Failure):
            # A refused poll says nothing about the job, so the next one need not be later.
            polls += answer.kind is not FailureKind.THROTTLED
            _check_failure(ctx, slot, sent_job, answer)
            said = answer.full_message
        else:
            polls, attempts = polls + 1, Attempts(ctx)
            if sent_job.sent is not None:
                ctx.capabilities.saw_job(elapsed)
            if answer.state != "running":
                if answer.state == "completed" and sent_job.sent is not None:
                    ctx.durations.learn(item.kind, after=unfinished, by=elapsed)
                return answer
            unfinished, said = elapsed, "the job is not done"
            ctx.event("progress", job.item, "poll", stage=answer.stage, progress=answer.progress)
        if elapsed > timeout:
            slot.leave()
            failure = answer if isinstance(answer, Failure) else None
            if failure is not None and failure.kind is FailureKind.NOT_FOUND:
                text, candidates = await by_content(ctx, item, sent_job, forgotten=True)
                if text is not None:
                    return text
                said += candidates
            raise _late(item, job, f"after {timeout:.0f} s: {said}", failure)


def _late(item: Item, job: Job, error: str, failure: Failure | None) -> Ended:
    """The end of an item whose job stays open; a job that the server does not know may stay open for ever."""
    if failure is None or failure.kind is not FailureKind.NOT_FOUND:
        return Ended(Result.LATE, error, AGAIN)
    # The job was accepted, and some servers keep their jobs in memory alone.
    error = f"the server accepted job `{job.job_id}` but no longer knows it, as after a restart; {error}"
    lost = "the next apply pays for it again" if item.wants(job) else "its text is lost then"
    forget = f"`contentops state resolve {item.id} --forget --request {job.short}`"
    hint = f"{AGAIN}; to give it up: {forget}, but {lost}; {naming(job)}"
    return Ended(Result.LATE, error, hint, gone=True)


def _started(ctx: Context, sent_job: SentJob) -> float:
    """The loop time at which the job began, as far as that is known."""
    if sent_job.sent is not None:
        return sent_job.sent
    submitted = seconds_of(sent_job.job.submitted_at)
    return ctx.run.now() - (max(0.0, ctx.wall() - submitted) if submitted is not None else 0.0)


def _check_failure(ctx: Context, slot: JobSlot, sent_job: SentJob, failure: Failure) -> None:
    """Raise Ended if further polls are useless; a failed poll alone is no failed job."""
    job, capabilities = sent_job.job, ctx.capabilities
    missing = failure.kind is FailureKind.NOT_FOUND
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop_unauthorized(failure, at_once=True)
        raise Ended(Result.LATE, failure.full_message, ctx.key_hint())
    if missing and ctx.server == "local":
        slot.leave()
        ctx.run.record("lost", Drop(job.request_id))
        why = "the bundled server no longer knows the job"
        price = "the model writes it again, at its price" if ctx.project.api.has_model else "it is free"
        raise Ended(Result.FAILED, why, f"run `contentops apply` again; {price}")
    if missing and job.job_id == job.request_id and not capabilities.hides_jobs:
        capabilities.hides_jobs = True
        # A kill must not make the next run believe a 404 that this one has learned to doubt.
        capabilities.keep(ctx.cache, ctx.server)
    if failure.kind is FailureKind.QUOTA:
        # The model of the bundled server answers no prompt now; the job keeps the answers that are paid for.
        slot.leave()
        hint = "run `contentops apply` again: paid answers are kept, and only what is missing is asked"
        ctx.run.stop("model", failure.message, hint, at_once=False)
        raise Ended(Result.PENDING, failure.message, hint)
    if failure.kind in _LASTING:
        slot.leave()
        raise Ended(Result.LATE, failure.full_message, "the job stays open; run `contentops apply` again")
    if failure.kind is FailureKind.THROTTLED and not ctx.may_wait(failure, ctx.run.now()):
        raise Ended(Result.LATE, failure.full_message, AGAIN)


# --- fetch -----------------------------------------------------------------------------------------------------


async def fetch(ctx: Context, item: Item, slot: JobSlot, step: Fetch, record: Record | None) -> Text:
    """Fetch a text that exists: from the cache, else from its job, else from the stored content."""
    if step.job is not None:
        return await _fetch_paid(ctx, item, slot, step.job)
    assert record is not None
    return await _fetch_recorded(ctx, item, record)


async def _fetch_paid(ctx: Context, item: Item, slot: JobSlot, job: Job) -> Text:
    """Return the text of a paid job: from the cache, else from the stored content, else from its job."""
    if (stored := _stored(ctx, job)) is not None:
        return Text.of(stored, job)
    why = "its paid text is not in the cache of this machine"
    if job.content_id:
        content = await ctx.ask(GetContent(job.content_id))
        if isinstance(content, Failure):
            why = content.full_message
        elif clean_body(content.body) and (owner := _other_item(item, job, content)):
            why = f"content `{content.id}` is the text of `{owner}`"
        elif job.state is JobState.SETTLED and body_digest(clean_body(content.body)) != job.body:
            why = f"content `{content.id}` has another text by now"
        elif clean_body(content.body):
            return keep_text(ctx, SentJob(job=job), content, verbatim=True)
        else:
            why = f"content `{job.content_id}` has no text"
    if not job.job_id:
        hint = f"`contentops state resolve {item.id}`, or run `contentops apply` again"
        raise Ended(Result.UNKNOWN, f"its paid text cannot be found: {why}", hint)
    return await poll(ctx, item, slot, SentJob(job=job))


def _other_item(item: Item, job: Job, content: Content) -> str:
    """The other item that a content's metadata names; empty: none, or this one."""
    owner = StoredContent.of(content).item
    return owner if owner not in {"", job.item, item.id} else ""


def _stored(ctx: Context, job: Job) -> StoredText | None:
    """The cached text of this submit; another attempt of the same request has another text."""
    stored = ctx.cache.get_text(ctx.server, job.digest, job.request_id)
    body = ctx.text(job.body) if stored is None and job.body else None
    if body is None:
        return stored
    return StoredText(
        title=job.title,
        body=body,
        content_id=job.content_id,
        job_id=job.job_id,
        request_id=job.request_id,
        item=job.item,
        generated_at=job.generated_at,
        outline=job.outline,
        model=job.model,
    )


async def _fetch_recorded(ctx: Context, item: Item, record: Record) -> Text:
    """The text of an item whose file is gone."""
    silent, saved, made_by = "", record.saved or Saved(), ctx.made_by(record)
    job_id = made_by.job_id if made_by is not None and record.request_id else ""
    # A title that a person saved is on the server alone.
    retitled = bool(record.content_id) and saved.title not in ("", title_digest(record.title))
    for wanted in record.restorable:
        local = _local_text(ctx, record, wanted)
        if local is not None and not retitled:
            return local
        answers: list[Content | JobStatus | Failure] = []
        if record.content_id:
            answers.append(await ctx.ask(GetContent(record.content_id)))
        text = with_body(answers, wanted) or local
        if text is None and job_id and wanted == record.generated:
            answers.append(await ctx.ask(GetStatus(job_id, ours=record.request_id)))
            text = with_body(answers, wanted)
        if text is not None:
            return text
        if (nearest := with_body(answers, saved.server_body)) is not None:
            # The exact text is lost: the server's version of it is nearer than any earlier text.
            return structs.replace(nearest, title=record.title or nearest.title)
        failures = [each for each in answers if isinstance(each, Failure) and each.kind is not FailureKind.NOT_FOUND]
        if failures:
            # The server may have it: no earlier text is used instead.
            silent = failures[-1].full_message
            break
    if ctx.run.stopped:
        raise Ended(Result.PENDING)
    if silent:
        raise Ended(Result.FAILED, f"its text cannot be fetched: {silent}", "run `contentops apply` again")
    hint = text_lost_hint(record, is_protected=is_protected(item.spec, record))
    raise Ended(Result.BLOCKED, "its text is no longer in the cache, in git or on the server", hint)


def _local_text(ctx: Context, record: Record, wanted: Digest) -> Text | None:
    """The text of a record from this machine."""
    stored = ctx.cache.get_text(ctx.server, record.digest, record.request_id)
    if stored is not None and body_digest(stored.body) == wanted:
        return Text.of(stored)
    body = ctx.text(wanted)
    return None if body is None else Text(title=record.title, body=body)


def with_body(answers: Sequence[Content | JobStatus | Failure], wanted: Digest) -> Text | None:
    """The text of the first answer whose body has the digest `wanted`."""
    for answer in answers:
        if isinstance(answer, Failure):
            continue
        content_id, whole = (answer.id, answer.whole) if isinstance(answer, Content) else ("", "")
        body = next((clean_body(text) for text in (answer.body, whole) if text and body_digest(text) == wanted), "")
        if body:
            return Text(title=clean_title(answer.title), body=body, content_id=content_id)
    return None


# --- collect ---------------------------------------------------------------------------------------------------


async def collect(ctx: Context, item: Item, slot: JobSlot, item_state: ItemState, step: Collect) -> ItemState:
    """Store the text of a job that no change waits for in the cache; writes nothing. Raises Ended."""
    job, text = step.job, None
    if job.state is JobState.PAID:
        try:
            text = await _fetch_paid(ctx, item, slot, job)
        except Ended as end:
            if end.gone:
                # The text is lost, and no item waits for it: an open job would only repeat this.
                ctx.run.record("lost", Drop(job.request_id, lost=True))
            raise
    else:
        sent_job: SentJob | Text = SentJob(job=job)
        if job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
            sent_job = await collect_lost(ctx, item, slot, job)
        text = await poll(ctx, item, slot, sent_job) if isinstance(sent_job, SentJob) else sent_job
    return arrived(ctx, item, item_state, text)
