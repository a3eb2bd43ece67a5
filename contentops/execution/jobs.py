"""Poll, fetch, drain: from a job that was started to a text that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.api.calls import GetContent, GetStatus
from contentops.api.replies import Content, Failure, FailureKind, JobStatus
from contentops.documents.clean import clean_body
from contentops.execution.context import seconds_of
from contentops.execution.effects import Priority, Send, Watch
from contentops.execution.entries import failed, keep_text, textless
from contentops.execution.generate import look_up
from contentops.execution.item import Ended, ItemRun, Text
from contentops.execution.lookup import Found, by_content
from contentops.model import JobState, OpenEntry, Result
from contentops.state.codec import Drop

if TYPE_CHECKING:
    from collections.abc import Generator

    from contentops.execution.effects import Effect

AGAIN = "run `contentops apply` again; it polls the same job"


# --- poll --------------------------------------------------------------------------------------------------


def poll(run: ItemRun) -> Generator[Effect, object, None]:
    """Wait for the job and keep its text; ends the item if it failed or takes too long."""
    if run.text is not None:
        return
    entry = run.the_entry
    status = yield from _until_done(run, entry)
    if status is None:
        return
    if status.state == "failed":
        run.leave()
        raise failed(run, entry, status.error or "the job failed without a reason")
    body, title = status.body or "", status.title
    if not clean_body(body) and status.content_id:
        content = yield from run.ctx.ask(GetContent(status.content_id))
        if isinstance(content, Failure) and (content.kind is not FailureKind.NOT_FOUND or run.wants(entry)):
            # The text exists and is paid for: a job whose text cannot be fetched now has not failed.
            run.leave()
            run.not_there = content.kind is FailureKind.NOT_FOUND
            raise Ended(Result.LATE, f"its text cannot be fetched: {content.told}", _late_hint(run, entry))
        if isinstance(content, Content):
            body, title, run.fetched = content.body, title or content.title, True
    if not clean_body(body):
        stored = (yield from by_content(run)) is Found.JOB
        run.leave()
        if stored:
            return
        raise textless(run, entry)
    run.leave()
    keep_text(run, title, body, status.content_id)


def _until_done(run: ItemRun, entry: OpenEntry) -> Generator[Effect, object, JobStatus | None]:
    """The status of the ended job, or None where the server forgot the job but has its text, which is kept then.

    Ends the item if it takes longer than `job_timeout`.
    """
    ctx = run.ctx
    started = _started(run, entry)
    if not run.admitted:
        run.admitted = True
        ctx.gate.in_flight += 1
    run.begin()
    polls, unfinished, said = 0, 0.0, "no answer"
    while True:
        until = started + ctx.project.api.job_timeout + 1
        answer = yield from _reached(Watch(entry, run.kind, started, polls, until))
        # A poll that was turned away told nothing, so the next one need not be later for it; the limiter paces them.
        polls += not (isinstance(answer, Failure) and answer.kind is FailureKind.THROTTLED)
        elapsed = ctx.now() - started
        run.not_there = isinstance(answer, Failure) and answer.kind is FailureKind.NOT_FOUND
        if isinstance(answer, Failure):
            _poll_failed(run, entry, answer)
            said = answer.told
        elif isinstance(answer, JobStatus):
            if run.intended is not None:
                ctx.traits.saw_job(elapsed)
            if answer.state != "running":
                _learn(run, answer, unfinished, elapsed)
                return answer
            unfinished = elapsed
            said = "the job is not done"
            ctx.event("progress", entry.item, "poll", stage=answer.stage, progress=answer.progress)
        if elapsed > ctx.project.api.job_timeout:
            run.leave()
            if run.not_there and (yield from by_content(run)) is Found.JOB:
                return None
            raise Ended(Result.LATE, f"after {ctx.project.api.job_timeout:.0f} s: {said}", _late_hint(run, entry))


def _reached(watch: Watch) -> Generator[Effect, object, object]:
    """The first answer to a poll; where there is no connection, the run says when it is sent again, and how long."""
    answer: object = yield watch
    while isinstance(answer, Failure) and answer.unreached:
        answer = yield Send(GetStatus(watch.entry.job_id), Priority.POLL)
    return answer


def _late_hint(run: ItemRun, entry: OpenEntry) -> str:
    """What to do about a job that takes too long; one the server does not know may never end."""
    if not run.not_there:
        return AGAIN
    lost = "the next apply pays for it anew" if run.wants(entry) else "its text is lost then"
    return f"{AGAIN}; `contentops state resolve {run.change.id} --forget` gives it up, but {lost}"


def _started(run: ItemRun, entry: OpenEntry) -> float:
    """The loop time at which the job began, as far as that is known."""
    if run.intended is not None:
        return run.intended
    sent = seconds_of(entry.submitted_at)
    return run.ctx.now() - (max(0.0, run.ctx.wall() - sent) if sent is not None else 0.0)


def _learn(run: ItemRun, status: JobStatus, unfinished: float, elapsed: float) -> None:
    """Remember how long a completed job took: it ended between the last poll that found it running and this one."""
    if status.state != "completed":
        return
    if run.intended is not None:
        run.ctx.durations.learn(run.kind, after=unfinished, by=elapsed)


def _poll_failed(run: ItemRun, entry: OpenEntry, failure: Failure) -> None:
    """A failed poll is no failed job: only a wrong key or a lost embedded job ends the wait."""
    ctx = run.ctx
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop("unauthorized", failure.told, ctx.key_hint(), at_once=True)
        raise Ended(Result.LATE, failure.told, ctx.key_hint())
    if failure.kind is FailureKind.NOT_FOUND and ctx.server == "local":
        run.leave()
        ctx.store.note("lost", Drop(entry.request_id))
        raise Ended(
            Result.FAILED,
            "the embedded server does not know the job any more",
            "run `contentops apply` again; it is free",
        )
    if failure.kind is FailureKind.NOT_FOUND and entry.job_id == entry.request_id and not ctx.traits.hides_jobs:
        ctx.traits.hides_jobs = True
        # A kill must not make the next run believe a 404 that this one has learned to doubt.
        ctx.cache.put_server_facts(ctx.server, ctx.traits.as_json())
    if failure.kind in (FailureKind.FORBIDDEN, FailureKind.REJECTED, FailureKind.UNUSABLE):
        run.leave()
        raise Ended(Result.LATE, failure.told, "the job stays open; run `contentops apply` again")
    if failure.kind is FailureKind.THROTTLED and not ctx.may_wait(failure, ctx.now()):
        raise Ended(Result.LATE, failure.told, AGAIN)


# --- fetch -------------------------------------------------------------------------------------------------


def fetch_paid(run: ItemRun) -> Generator[Effect, object, None]:
    """Bring the text of a paid entry: from the cache, else from the stored content, else from its job."""
    ctx, entry = run.ctx, run.the_entry
    stored = ctx.cache.get_text(ctx.server, entry.digest)
    if stored is not None:
        run.text = Text(
            title=stored.title, body=stored.body, content_id=stored.content_id, generated_at=stored.generated_at
        )
        return
    why = "its paid text is in no cache here"
    if entry.content_id:
        content = yield from ctx.ask(GetContent(entry.content_id))
        if isinstance(content, Content) and clean_body(content.body):
            run.fetched = True
            keep_text(run, content.title, content.body, content.id)
            return
        why = content.told if isinstance(content, Failure) else f"content `{entry.content_id}` has no text"
    if not entry.job_id:
        hint = f"`contentops state resolve {run.change.id}`, or run `contentops apply` again"
        raise Ended(Result.UNKNOWN, f"its paid text cannot be found: {why}", hint)
    yield from poll(run)


# --- drain -------------------------------------------------------------------------------------------------


def drain(run: ItemRun) -> Generator[Effect, object, None]:
    """Bring the texts of jobs nobody waits for any more into the cache; writes nothing."""
    own, text, may_submit = run.entry, run.text, run.may_submit
    run.may_submit = False
    for entry in run.change.drains:
        keep_open = entry.digest == (run.change.spec.digest if run.change.spec else "") and bool(run.change.blocked)
        run.entry, run.text, run.admitted, run.intended = entry, None, False, None
        try:
            yield from _drain_one(run, entry)
            run.leave()
            if not keep_open:
                run.ctx.store.note("drained", Drop(entry.request_id))
        except Ended as end:
            run.leave()
            if end.result is Result.PENDING or run.ctx.stopped:
                raise
            if run.ctx.store.entry(entry.request_id) is not None:
                run.drained.append((entry, end))
    run.entry, run.text, run.admitted, run.intended, run.may_submit = own, text, False, None, may_submit
    run.fetched = False


def _drain_one(run: ItemRun, entry: OpenEntry) -> Generator[Effect, object, None]:
    if entry.state in (JobState.SUBMITTING, JobState.UNKNOWN):
        yield from look_up(run)
    if entry.state is not JobState.PAID:
        yield from poll(run)
        return
    try:
        yield from fetch_paid(run)
    except Ended as end:
        if end.result is Result.LATE and run.not_there:
            # Nobody waits for it, and nobody has it: keeping the entry would only repeat this for ever.
            run.ctx.store.note("lost", Drop(entry.request_id))
        raise
