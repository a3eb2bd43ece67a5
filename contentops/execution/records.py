"""Records the steps of items and the states of jobs: submitted, accepted, unknown, failed or paid."""

from __future__ import annotations

from msgspec import structs

from contentops.api.calls import Content, Failure, FailureKind
from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.documents.files import ENGINE
from contentops.execution.primitives import Ended, Item, ItemState, Lost, SentJob, Text, iso
from contentops.execution.run_context import Context
from contentops.model import ItemId, Job, JobState, Record, Remote, RequestId, Result, Submit, request_id
from contentops.model.records import CLOCKS, seconds_of
from contentops.planning.sides import TRIES, is_edited_on_server, is_protected
from contentops.state.codec import Drop, Forget

TEXTLESS = "the job completed without a text"
FIRST_FAILED = "the first job on this server failed"

# --- submits ---------------------------------------------------------------------------------------------------


def new_job(ctx: Context, item: Item, step: Submit) -> Job:
    """Return a new job, which `step` will submit. The job is not recorded yet."""
    return Job(
        request_id=request_id(ctx.plan.lineage, step.digest, step.attempt, step.section),
        item=item.id,
        digest=step.digest,
        attempt=step.attempt,
        state=JobState.SUBMITTING,
        server=ctx.server,
        dialect=ctx.dialect(),
        credits=step.credits,
        plan_id=ctx.plan.id,
        template=step.request.template or "",
        style=step.request.style or "",
        section=step.section,
        retry=step.retry,
        output=item.change.target,
        bound=step.tokens,
        frame=item.spec.frame,
        sources={one.id: one.text for one in item.spec.references} if item.spec.frame else {},
    )


def intended(ctx: Context, job: Job) -> Job:
    """Record that a submit request is about to be sent."""
    job = structs.replace(job, state=JobState.SUBMITTING, submitted_at=ctx.iso(), store=ctx.local_store, error="")
    ctx.unsettled[job.item], ctx.latest[job.item] = job.credits, job.request_id
    ctx.orders[job.request_id] = job.item
    ctx.run.record("submit", job)
    return job


def accepted(ctx: Context, item: Item, job: Job, job_id: str, *, sent: float | None) -> SentJob:
    """Record that the server has accepted a job, before its status is asked for.

    If this run submitted it, its credits count as spent. A job without an id cannot be polled: until its text is kept,
    it is a submit with an unknown outcome.
    """
    job = structs.replace(job, state=JobState.RUNNING if job_id else job.state, job_id=job_id, error="")
    if not job.submitted_at:
        job = structs.replace(job, submitted_at=ctx.iso(), store=ctx.local_store)
    item.slot.begin()
    ctx.admission.refused = 0
    if sent is not None:
        ctx.spent[item.id] += job.credits
        del ctx.unsettled[item.id]
        # The first submit may have gone out before anyone knew how the server is spoken to.
        job = structs.replace(job, dialect=ctx.dialect())
    ctx.latest[item.id] = job.request_id
    ctx.orders[job_id] = job.item
    ctx.run.record("accepted", job)
    ctx.event("step-done", item.id, "submit", job=job_id)
    return SentJob(job=job, sent=sent)


def dated(job: Job, at: str, timeout: float) -> Job:
    """Return the job with `at` as the time of its acceptance, if that time is plausible.

    `timeout` is the longest time, in seconds, that the job may take.
    """
    ours, theirs = seconds_of(job.submitted_at), seconds_of(at)
    if ours is None or theirs is None or not ours - CLOCKS <= theirs <= ours + timeout:
        return job
    return structs.replace(job, accepted=iso(theirs))


def unknown(ctx: Context, lost: Lost) -> Lost:
    """Record that the outcome of a submit request is unknown."""
    job = structs.replace(lost.job, state=JobState.UNKNOWN, error=lost.why)
    if job != lost.job:
        ctx.run.record("unknown", job)
    return structs.replace(lost, job=job)


def naming(job: Job) -> str:
    """Return a hint that says how to name the stored content that has a job's text."""
    return f"`contentops state resolve {job.item} --request {job.short} --content ID` if one of them is its text"


def failed(ctx: Context, item: Item, sent_job: SentJob, error: str) -> Ended:
    """Record that a job failed, and return the exception to raise."""
    if sent_job.sent is not None:
        # Failed generations are not meant to cost (the vendor's page on reliability).
        ctx.spent[item.id] -= sent_job.job.credits
    job = structs.replace(sent_job.job, state=JobState.FAILED, error=error, body=NOTHING, title="")
    ctx.run.record("failed", job)
    ctx.stop_after_first(f"{FIRST_FAILED}: {error}", "fix the item, then run `contentops apply` again")
    if len(item.failed) + 1 < TRIES:
        return Ended(Result.FAILED, error, "the next apply tries it again")
    return Ended(Result.FAILED, error, f"change its spec, bump `revision`, or `--replace {sent_job.job.item}`")


def turned_down(ctx: Context, failure: Failure) -> Ended:
    """Return the exception that ends the work on an item whose submit request was refused.

    If other requests would be refused too, the run stops.
    """
    if ctx.pauses(failure):
        return Ended(Result.PENDING)
    if failure.kind is FailureKind.UNAUTHORIZED:
        return Ended(Result.FAILED, failure.full_message, ctx.key_hint())
    ctx.count_refusal(failure.full_message)
    return Ended(Result.FAILED, failure.full_message)


def textless(ctx: Context, item: Item, job: Job, candidates: str) -> Ended:
    """Return the exception that ends the work on an item whose job was completed without a text.

    The job was charged, so no other one is paid for unless a person asks.
    """
    # Under the same request the next submit would have the same id, and be answered with the same job.
    hint = "run `contentops apply` again; it polls the same job; to pay for a new text, bump its `revision`"
    if not item.wants(job):
        # Nothing is paid for instead. It is closed as a paid one, so that its credits are counted.
        paid = structs.replace(job, state=JobState.PAID, body=NOTHING, title="", error="")
        ctx.run.record("textless", paid, Drop(job.request_id, lost=True))
        return Ended(Result.FAILED, TEXTLESS, charged=True)
    running = structs.replace(job, state=JobState.RUNNING, body=NOTHING, title="")
    if running != job:
        ctx.run.record("textless", running)
    ctx.stop_after_first(f"{FIRST_FAILED}: {TEXTLESS}", hint)
    return Ended(Result.FAILED, TEXTLESS + candidates, hint)


def keep_text(
    ctx: Context, sent_job: SentJob, content: Content, *, engine: str = "", model: str = "", verbatim: bool = False
) -> Text:
    """Store a paid text in the cache and record it at once, so that the text cannot get lost."""
    job, now = sent_job.job, ctx.iso()
    stated = content.metadata.get("model")
    ctx.admission.proven = True
    if content.id:
        ctx.index.owners.give_job(content.id, job)
        ctx.capabilities.stores_jobs = True
    body = clean_body(content.body)
    ctx.cache.put_text(body, content.front, item=job.item)
    paid = structs.replace(
        job,
        state=JobState.PAID,
        title=clean_title(content.title),
        # What a stored content has by now may be a person's: it counts as an edit of what the job made.
        body=job.body or body_digest(body),
        content_id=content.id,
        generated_at=job.generated_at or now,
        outline=job.outline or ENGINE in (engine, content.metadata.get("engine")),
        model=clean_title(model or (stated if isinstance(stated, str) else "") or job.model),
        error="",
    )
    ctx.run.record("paid", paid)
    # A file may be written next: if no one knew of the text in it, a person's edit of it could not be told apart.
    ctx.store.flush()
    text = Text.of(paid, body, content.front)
    return structs.replace(text, paid_now=sent_job.sent is not None, verbatim=verbatim)


def note_new_section(ctx: Context, item: Item, item_state: ItemState, brought: Text | None = None) -> ItemState:
    """Record that the server may have stored a new section by itself.

    Otherwise the section would be taken for a person's edit. `brought` is the text, or None for that of `item_state`.
    Until the file's text is saved, the record says that the server does not have it.
    """
    record, text = item_state.record, brought or item_state.text
    job = text.job if text is not None else None
    if record is None or record.saved is None or record.server != ctx.server or job is None:
        return item_state
    if not job.section or job.item != item.id or record.saved.body == job.body:
        return item_state
    saved = structs.replace(record.saved, body=job.body, server_body=record.saved.body)
    return structs.replace(item_state, record=note(ctx, item, "section", structs.replace(record, saved=saved)))


# --- the item --------------------------------------------------------------------------------------------------


def base_record(ctx: Context, item: Item, item_state: ItemState) -> Record:
    """Return the item's record with its current id, server, path and protection.

    If there is none, the record is new. The dialect stays that of the job that made its text: it proves that the server
    uses it.
    """
    spec, old = item.spec, item_state.record
    output = item_state.path or item.change.target
    protected = is_protected(spec, old)
    if old is None:
        return Record(
            id=spec.id,
            server=ctx.server,
            dialect=ctx.dialect(),
            output=output,
            **spec.asked,
            protected=protected,
        )
    record = structs.replace(
        old,
        id=spec.id,
        output=output,
        protected=protected,
        addresses=item.change.addresses,
    )
    if old.frame == spec.earlier_frame != spec.frame:
        # Its sources have other ids now, and nothing else is different.
        ids = {before: now for now, before in spec.earlier_ids.items()}
        sources = {ids.get(ItemId(id_), ItemId(id_)): text for id_, text in old.sources.items()}
        record = structs.replace(record, frame=spec.frame, sources=sources)
    if old.server == ctx.server:
        return _stamped(record, item.change.remote)
    # Another server's ids mean nothing here.
    return structs.replace(
        record,
        server=ctx.server,
        dialect=ctx.dialect(),
        saved=None,
        content_id="",
        superseded=(),
        request_id=RequestId(""),
    )


def _stamped(record: Record, remote: Remote | None) -> Record:
    """Return the record with the current version stamp of its stored content.

    The record stays unchanged if the text of the content was changed, or if there is no stamp.
    """
    saved = record.saved
    if saved is None or remote is None or not remote.stamp or remote.content_id != record.content_id:
        return record
    if remote.saved != saved.body or remote.is_lost or remote.recorded or is_edited_on_server(remote, record):
        return record
    return structs.replace(record, saved=structs.replace(saved, stamp=remote.stamp))


def note(ctx: Context, item: Item, step: str, record: Record, *drops: Drop) -> Record:
    """Store the new record of an item with the name of the step that made the record, and return the record."""
    old = item.change.renamed_from
    facts: list[Record | Drop | Forget] = [*drops]
    if old is not None and ctx.store.record(old) is not None:
        facts.append(Forget(old))
    ctx.run.record(step, record, *facts)
    return record
