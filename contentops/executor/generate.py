"""Submit, look up, poll: how a text comes to be, without ever paying for it twice."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from contentops.api.calls import GetContent, Status, Submit
from contentops.api.replies import Accepted, Content, Failure, FailureKind, JobStatus
from contentops.digest import NOTHING
from contentops.document.clean import body_digest, clean_body, clean_title
from contentops.executor.context import ASK_FIRST, FETCHES, REFUSALS, RETRY_FOR, seconds_of
from contentops.executor.effects import Admit, AtEnd, Priority, Send, Sleep, Watch
from contentops.executor.item import Ended, ItemRun, Text
from contentops.model import JobState, OpenEntry, RequestId, Result
from contentops.state.lines import Drop
from contentops.state.lock import request_id

if TYPE_CHECKING:
    from collections.abc import Generator

    from contentops.executor.context import Context
    from contentops.executor.effects import Effect

SETTLED = 5.0
"""Seconds after the intent from which a 404 for our id can prove that the submit never arrived."""
RESENDS = 3
"""Submits of one id that are proven lost before the item gives up."""


# --- submit ------------------------------------------------------------------------------------------------


def submit(run: ItemRun) -> Generator[Effect, object, None]:
    """Start the generation this change pays for. Leaves `run.entry` running, or ends the item."""
    if run.text is not None or (run.entry is not None and run.entry.state is JobState.RUNNING):
        return  # a look-up has found the job, or its text
    if run.entry is None:
        run.entry = _new_entry(run)
    if not (yield Admit()):
        raise Ended(Result.PENDING)
    run.admitted = True
    if run.ctx.ask_first and run.ctx.traits.honours_ids is not False and (yield from _ask_first(run)):
        return
    yield from _send(run)


def _new_entry(run: ItemRun) -> OpenEntry:
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
    )


def _ask_first(run: ItemRun) -> Generator[Effect, object, bool]:
    """Look for a job a machine that is gone may have started under this id."""
    ctx, entry = run.ctx, run.the_entry
    answer = yield from ctx.ask(Status(entry.request_id))
    if isinstance(answer, JobStatus):
        ctx.not_found_first = 0
        _accepted(run, entry.request_id, spent=False)
        return True
    if ctx.stopped:
        raise Ended(Result.PENDING)
    ctx.not_found_first += 1
    if ctx.not_found_first >= ASK_FIRST:
        ctx.ask_first = False
    return False


def _send(run: ItemRun) -> Generator[Effect, object, None]:
    """Send the submit until it is accepted, refused, or its outcome is unknown."""
    ctx = run.ctx
    call = Submit(run.spec.request.as_json(), run.the_entry.request_id)
    began, tries = ctx.now(), 0
    while True:
        answer = yield Send(call, Priority.SUBMIT, lambda: _intend(run))
        if isinstance(answer, Accepted):
            ctx.refused = 0
            ctx.traits.honours_ids = answer.echoed and ctx.traits.honours_ids is not False
            _accepted(run, answer.job_id, spent=True)
            return
        if not isinstance(answer, Failure):
            answer = Failure(FailureKind.AMBIGUOUS, "the server's answer is no job")
        if answer.kind is FailureKind.AMBIGUOUS or answer.status == 409:
            if answer.retry_after:
                yield Sleep(ctx.now() + min(answer.retry_after, RETRY_FOR))
            yield from resolve(run, answer.message)
            return
        ctx.store.note("refused", Drop(run.the_entry.request_id))
        run.intended = None
        if answer.kind is FailureKind.THROTTLED:
            if not ctx.may_wait(answer, began):
                raise Ended(Result.PENDING)
            continue
        if answer.kind is FailureKind.NOT_SENT and ctx.now() - began < RETRY_FOR and not ctx.stopped:
            tries += 1
            yield Sleep(ctx.now() + ctx.backoff(tries))
            continue
        _refused(run, answer)


def _intend(run: ItemRun) -> None:
    """Record that a submit is about to leave."""
    entry = dataclasses.replace(run.the_entry, state=JobState.SUBMITTING, submitted_at=run.ctx.iso(), error="")
    run.entry, run.intended = entry, run.ctx.now()
    run.ctx.store.note("submit", entry)
    run.ctx.event("step-started", run.spec.id, "submit")


def _accepted(run: ItemRun, job_id: str, *, spent: bool) -> None:
    """Record the job before anything asks for it."""
    entry = dataclasses.replace(run.the_entry, state=JobState.RUNNING, job_id=job_id, error="")
    if not entry.submitted_at:
        entry = dataclasses.replace(entry, submitted_at=run.ctx.iso())
    run.entry = entry
    if spent:
        run.credits += entry.credits
    run.ctx.store.note("accepted", entry)
    run.ctx.event("step-done", run.spec.id, "submit", job=job_id)


def _refused(run: ItemRun, failure: Failure) -> None:
    """End an item whose submit was turned down, and the run where that says something about all of them."""
    ctx = run.ctx
    run.leave()
    if failure.kind is FailureKind.QUOTA:
        ctx.stop(
            "credits",
            f"no credits left: {failure.message}",
            "add credits, then run `contentops apply` again",
            at_once=False,
        )
        raise Ended(Result.PENDING)
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop("unauthorized", failure.message, ctx.key_hint(), at_once=True)
        raise Ended(Result.FAILED, failure.message, ctx.key_hint())
    ctx.refused += 1
    if ctx.refused >= REFUSALS:
        message = f"{REFUSALS} submits in a row were refused; the last: {failure.message}"
        ctx.stop("refused-submits", message, "check `api.base_url`, the key and the manifests", at_once=False)
    raise Ended(Result.FAILED, failure.message)


# --- look up -----------------------------------------------------------------------------------------------


def look_up(run: ItemRun) -> Generator[Effect, object, None]:
    """Find out what became of a submit whose answer was lost in an earlier run."""
    entry = run.the_entry
    run.admitted = True
    run.ctx.gate.in_flight += 1
    yield from resolve(run, entry.error or "the answer to its submit was lost")


def resolve(run: ItemRun, why: str) -> Generator[Effect, object, None]:
    """Look now, look again when everything else is done, and else leave the item unknown.

    Ends with `run.entry` running, or with `run.text` where the stored content was found.
    """
    for last in (False, True):
        if last:
            run.leave()
            _unknown(run, why)
            yield AtEnd()
        if (yield from _find(run)):
            return
        if run.ctx.stopped:
            break
        if (yield from _never_arrived(run)):
            run.resends += 1
            yield from _send(run)
            return
    if run.may_submit and run.change.attempt > run.the_entry.attempt and not run.ctx.stopped:
        # Asked for with `--resubmit-unknown`: a person chose to pay again.
        run.ctx.store.note("resubmit", Drop(run.the_entry.request_id))
        run.entry = _new_entry(run)
        yield from _send(run)
        return
    _unknown(run, why)
    hint = f"`contentops state resolve {run.spec.id}`, or `contentops apply --resubmit-unknown` to pay again"
    raise Ended(Result.UNKNOWN, why + run.candidates, hint)


def _unknown(run: ItemRun, why: str) -> None:
    entry = dataclasses.replace(run.the_entry, state=JobState.UNKNOWN, error=why)
    if entry != run.entry:
        run.entry = entry
        run.ctx.store.note("unknown", entry)


def _find(run: ItemRun) -> Generator[Effect, object, bool]:
    ctx, entry = run.ctx, run.the_entry
    run.not_there = False
    if ctx.traits.honours_ids is not False:
        answer = yield from ctx.ask(Status(entry.request_id))
        if isinstance(answer, JobStatus):
            _accepted(run, entry.request_id, spent=entry.plan_id == ctx.plan.id and run.change.entry is None)
            return True
        run.not_there = isinstance(answer, Failure) and answer.kind is FailureKind.NOT_FOUND
        if run.not_there and _proof(ctx):
            return False
    return (yield from _find_content(run))


def _proof(ctx: Context) -> bool:
    """Whether a 404 for our id means that nothing arrived."""
    return ctx.traits.honours_ids is True and not ctx.traits.hides_jobs


def _never_arrived(run: ItemRun) -> Generator[Effect, object, bool]:
    """Whether the server proves that it never saw the submit; waits until its silence counts as proof."""
    ctx = run.ctx
    if not (run.may_submit and run.not_there and _proof(ctx) and run.resends < RESENDS):
        return False
    sent = seconds_of(run.the_entry.submitted_at)
    age = ctx.wall() - sent if sent is not None else SETTLED
    if 0 <= age < SETTLED and ctx.server != "local":
        yield Sleep(ctx.now() + SETTLED - age)
        answer = yield from ctx.ask(Status(run.the_entry.request_id))
        if isinstance(answer, JobStatus):
            _accepted(run, run.the_entry.request_id, spent=False)
            return False
        return isinstance(answer, Failure) and answer.kind is FailureKind.NOT_FOUND
    return True


def _find_content(run: ItemRun) -> Generator[Effect, object, bool]:
    """Search the stored contents of the time in question for one that carries our id."""
    ctx, entry = run.ctx, run.the_entry
    sent = seconds_of(entry.submitted_at)
    if sent is None or ctx.fetched >= FETCHES:
        return False
    entries = yield from ctx.list_content()
    if isinstance(entries, Failure):
        return False
    owned = ctx.owned
    near = []
    for found in entries:
        made = seconds_of(found.created_at)
        if found.id not in owned and made is not None and sent - SETTLED <= made <= sent + ctx.project.api.job_timeout:
            near.append(found)
    for found in near:
        if ctx.fetched >= FETCHES:
            break
        ctx.fetched += 1
        content = yield from ctx.ask(GetContent(found.id))
        if isinstance(content, Content) and content.metadata.get("request_id") == entry.request_id:
            ctx.owned.add(content.id)
            run.entry = dataclasses.replace(entry, state=JobState.RUNNING, job_id=entry.request_id)
            keep_text(run, content.title, content.body, content.id)
            return True
    if near:
        run.candidates = "; stored at that time and owned by no item: " + ", ".join(
            f"`{found.id}`" for found in near[:5]
        )
    return False


# --- poll --------------------------------------------------------------------------------------------------


def poll(run: ItemRun) -> Generator[Effect, object, None]:
    """Wait for the job and keep its text; ends the item if it failed or takes too long."""
    if run.text is not None:
        return
    entry = run.the_entry
    status = yield from _until_done(run, entry)
    if status.state == "failed":
        run.leave()
        _tombstone(run, entry, status.error or "the job failed without a reason")
    body, title, content_id = status.body, status.title, status.content_id
    if body is None and content_id:
        content = yield from run.ctx.ask(GetContent(content_id))
        if isinstance(content, Content):
            body, title = content.body, title or content.title
    run.leave()
    if body is None or not clean_body(body):
        _tombstone(run, entry, "the job completed without a text")
    assert body is not None
    keep_text(run, title, body, content_id)


def _until_done(run: ItemRun, entry: OpenEntry) -> Generator[Effect, object, JobStatus]:
    ctx = run.ctx
    sent = seconds_of(entry.submitted_at)
    started = ctx.now() - max(0.0, ctx.wall() - sent) if sent is not None else ctx.now()
    if run.intended is not None:
        started = run.intended
    if not run.admitted:
        run.admitted = True
        ctx.gate.in_flight += 1
    limit = started + ctx.project.api.job_timeout
    kind = f"{run.kind}"
    polls = 0
    while True:
        answer = yield Watch(entry, kind, started, polls)
        polls += 1
        if isinstance(answer, JobStatus):
            if answer.state != "running":
                if answer.state == "completed" and run.intended is not None:
                    ctx.durations.learn(kind, ctx.now() - started)
                if answer.state == "completed":
                    ctx.gate.proven = True
                return answer
            ctx.event("progress", entry.item, "poll", stage=answer.stage, progress=answer.progress)
        elif isinstance(answer, Failure):
            _poll_failed(run, entry, answer)
        if ctx.now() > limit:
            said = "the job is not done" if isinstance(answer, JobStatus) else getattr(answer, "message", "no answer")
            run.leave()
            raise Ended(
                Result.LATE,
                f"after {ctx.project.api.job_timeout:.0f} s: {said}",
                "run `contentops apply` again; it polls the same job",
            )


def _poll_failed(run: ItemRun, entry: OpenEntry, failure: Failure) -> None:
    """A failed poll is no failed job: only a wrong key or a lost embedded job ends the wait."""
    ctx = run.ctx
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop("unauthorized", failure.message, ctx.key_hint(), at_once=True)
        raise Ended(Result.LATE, failure.message, ctx.key_hint())
    if failure.kind is FailureKind.NOT_FOUND and entry.job_id == entry.request_id:
        ctx.traits.hides_jobs = ctx.server != "local"
    if failure.kind is FailureKind.NOT_FOUND and ctx.server == "local":
        run.leave()
        ctx.store.note("lost", Drop(entry.request_id))
        raise Ended(
            Result.FAILED,
            "the embedded server does not know the job any more",
            "run `contentops apply` again; it is free",
        )
    if failure.kind in (FailureKind.FORBIDDEN, FailureKind.REJECTED, FailureKind.UNUSABLE):
        run.leave()
        raise Ended(Result.LATE, failure.message, "the job stays open; run `contentops apply` again")
    if failure.kind is FailureKind.THROTTLED and not ctx.may_wait(failure, ctx.now()):
        raise Ended(Result.LATE, failure.message)


def _tombstone(run: ItemRun, entry: OpenEntry, error: str) -> None:
    """Record a failed job; always raises Ended."""
    ctx = run.ctx
    ctx.store.note("failed", dataclasses.replace(entry, state=JobState.FAILED, error=error, body=NOTHING, title=""))
    if not ctx.gate.proven:
        ctx.stop(
            "first-contact",
            f"the first job on this server failed: {error}",
            "mend the item, then run `contentops apply` again",
            at_once=False,
        )
    raise Ended(Result.FAILED, error, "the next apply tries it once more")


def keep_text(run: ItemRun, title: str, body: str, content_id: str) -> None:
    """Keep a paid text before anything else happens to it."""
    ctx, entry = run.ctx, run.the_entry
    text = Text(
        title=clean_title(title),
        body=clean_body(body),
        content_id=content_id,
        generated_at=ctx.iso(),
    )
    if content_id:
        ctx.owned.add(content_id)
        ctx.traits.stores_jobs = True
    run.keep(text, entry)
    paid = dataclasses.replace(
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


# --- drain -------------------------------------------------------------------------------------------------


def drain(run: ItemRun) -> Generator[Effect, object, None]:
    """Bring the texts of jobs nobody waits for any more into the cache; writes nothing."""
    own, text = run.entry, run.text
    for entry in run.change.drains:
        keep_open = entry.digest == (run.change.spec.digest if run.change.spec else "") and bool(run.change.blocked)
        run.entry, run.text, run.admitted, run.intended = entry, None, False, None
        try:
            yield from _drain_one(run, entry, keep_open=keep_open)
        except Ended as end:
            run.leave()
            if end.result is Result.PENDING or run.ctx.stopped:
                raise
            run.drained.append(end)
    run.entry, run.text, run.admitted, run.intended = own, text, False, None


def _drain_one(run: ItemRun, entry: OpenEntry, *, keep_open: bool) -> Generator[Effect, object, None]:
    ctx = run.ctx
    if entry.state is JobState.SUBMITTING:
        run.may_submit = False
        yield from look_up(run)
        run.may_submit = run.change.submits > 0
    if run.the_entry.state is not JobState.PAID or ctx.cache.get_text(ctx.server, entry.digest) is None:
        yield from poll(run)
    run.leave()
    if not keep_open:
        ctx.store.note("drained", Drop(entry.request_id))
