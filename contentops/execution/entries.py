"""What is recorded of one submit: intended, accepted, unknown, failed, paid; durable before the next request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_body, clean_title
from contentops.execution.context import REFUSALS
from contentops.execution.item import Ended, ItemRun, Text
from contentops.model import JobState, OpenEntry, RequestId, Result
from contentops.planning.body import TRIES
from contentops.state.lock import request_id

if TYPE_CHECKING:
    from contentops.execution.context import Context

TEXTLESS = "the job completed without a text"


def new_entry(run: ItemRun) -> OpenEntry:
    """The entry of the submit this change pays for; not recorded yet."""
    ctx, spec = run.ctx, run.spec
    rid = request_id(ctx.plan.lineage, ctx.plan.environment, spec.id, spec.digest, run.change.attempt)
    return OpenEntry(
        request_id=RequestId(rid),
        item=spec.id,
        digest=spec.digest,
        attempt=run.change.attempt,
        state=JobState.SUBMITTING,
        server=ctx.server,
        dialect=ctx.dialect,
        credits=run.change.credits,
        plan_id=ctx.plan.id,
        section=run.change.section,
    )


def intend(run: ItemRun) -> None:
    """Record that a submit is about to leave."""
    entry = structs.replace(run.the_entry, state=JobState.SUBMITTING, submitted_at=run.ctx.iso(), error="")
    run.entry, run.intended = entry, run.ctx.now()
    run.ctx.store.note("submit", entry)


def accepted(run: ItemRun, job_id: str) -> None:
    """Record the job before anything asks for it; a submit of this very run counts as spent."""
    entry = structs.replace(run.the_entry, state=JobState.RUNNING, job_id=job_id, error="")
    if not entry.submitted_at:
        entry = structs.replace(entry, submitted_at=run.ctx.iso())
    run.entry = entry
    run.begin()
    run.ctx.refused = 0
    if run.intended is not None:
        run.credits += entry.credits
    run.ctx.store.note("accepted", entry)
    run.ctx.event("step-done", run.change.id, "submit", job=job_id)


def unknown(run: ItemRun, why: str) -> None:
    """Record that nobody can say what became of the submit."""
    entry = structs.replace(run.the_entry, state=JobState.UNKNOWN, error=why)
    if entry != run.entry:
        run.entry = entry
        run.ctx.store.note("unknown", entry)


def failed(run: ItemRun, entry: OpenEntry, error: str) -> Ended:
    """Record a failed job; the end of its item, to be raised."""
    ctx = run.ctx
    if run.intended is not None and run.entry is not None:
        run.credits -= entry.credits  # failed generations are not meant to cost (the vendor's page on reliability)
    _note_failed(ctx, entry, error)
    _stop_first(ctx, error, "mend the item, then run `contentops apply` again")
    if len(run.failed) + 1 < TRIES:
        return Ended(Result.FAILED, error, "the next apply tries it once more")
    return Ended(Result.FAILED, error, f"change its spec, bump `revision`, or `--replace {entry.item}`")


def textless(run: ItemRun, entry: OpenEntry) -> Ended:
    """The end, to be raised, of an item whose job completed and left no text: charged, so never paid anew by itself."""
    ctx = run.ctx
    # Under the same request the next submit would have the same id, and be answered with the same job.
    hint = "run `contentops apply` again; it asks the same job; to generate and pay for it anew, bump its `revision`"
    if not run.wants(entry):
        # Nothing is paid for in its place.
        _note_failed(ctx, entry, TEXTLESS)
        return Ended(Result.FAILED, TEXTLESS)
    kept = structs.replace(entry, state=JobState.RUNNING, body=NOTHING, title="")
    if kept != entry:
        ctx.store.note("textless", kept)
    _stop_first(ctx, TEXTLESS, hint)
    return Ended(Result.FAILED, TEXTLESS + run.candidates, hint)


def _note_failed(ctx: Context, entry: OpenEntry, error: str) -> None:
    ctx.store.note("failed", structs.replace(entry, state=JobState.FAILED, error=error, body=NOTHING, title=""))


def _stop_first(ctx: Context, error: str, hint: str) -> None:
    """Submit nothing more where the first job of a server went wrong."""
    if not ctx.gate.proven:
        ctx.stop("first-contact", f"the first job on this server failed: {error}", hint, at_once=False)


def count_refusal(ctx: Context, message: str) -> None:
    """Count a submit that brought no job; five in a row say something about all of them."""
    ctx.refused += 1
    if ctx.refused >= REFUSALS:
        ctx.stop(
            "refused-submits",
            f"{REFUSALS} submits in a row brought no job; the last: {message}",
            "check `api.base_url`, the key and the manifests",
            at_once=False,
        )


def keep_text(run: ItemRun, title: str, body: str, content_id: str) -> None:
    """Keep a paid text before anything else happens to it."""
    ctx, entry = run.ctx, run.the_entry
    text = Text(title=clean_title(title), body=clean_body(body), content_id=content_id, generated_at=ctx.iso())
    ctx.gate.proven = True
    if content_id:
        ctx.owned.add(content_id)
        ctx.traits.stores_jobs = True
    run.keep(text, entry)
    paid = structs.replace(
        entry,
        state=JobState.PAID,
        title=text.title,
        body=body_digest(text.body),
        content_id=content_id,
        generated_at=text.generated_at,
        error="",
    )
    run.entry, run.text = paid, text
    ctx.store.note("paid", paid)
    ctx.event("step-done", entry.item, "poll")
