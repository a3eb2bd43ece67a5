"""Submit and look up: how a job comes to be, without ever paying for it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.api.backoff import RETRY_FOR
from contentops.api.calls import Generate, GetStatus, RegenerateSection
from contentops.api.replies import Accepted, Failure, FailureKind, JobStatus
from contentops.execution.effects import Admit, AtEnd, Priority, Send, Sleep
from contentops.execution.entries import accepted, count_refusal, intend, new_entry, unknown
from contentops.execution.item import Ended, ItemRun
from contentops.execution.lookup import Found, look
from contentops.model import JobState, Result
from contentops.state.codec import Drop

if TYPE_CHECKING:
    from collections.abc import Generator

    from contentops.execution.effects import Effect

RESENDS = 3
"""Submits of one id that are proven lost before the item gives up."""
DOWN = frozenset({None, 502, 503, 504})
"""Statuses (None: no answer) that say nothing of the id that was asked for."""
_SUCCESS = range(200, 300)


# --- submit ------------------------------------------------------------------------------------------------


def submit(run: ItemRun) -> Generator[Effect, object, None]:
    """Start the generation this change pays for. Leaves `run.entry` running, or ends the item."""
    if run.text is not None or (run.entry is not None and run.entry.state is JobState.RUNNING):
        return  # a look-up has found the job, or its text
    if run.entry is None:
        run.entry = new_entry(run)
    if not (yield from _admitted(run)):
        raise Ended(Result.PENDING)
    if run.ctx.gate.ask_first and (yield from _ask_first(run)):
        return
    yield from _send(run)


def _admitted(run: ItemRun) -> Generator[Effect, object, bool]:
    """Whether the item may submit; waits for a place among the unfinished jobs."""
    ctx = run.ctx
    if not run.admitted:
        if not ctx.gate.proven or not ctx.gate.open():
            ctx.event("waiting", run.change.id, "submit", on="turn" if ctx.gate.proven else "first-job")
        run.admitted = (yield Admit()) is True
        if run.admitted:
            ctx.event("progress", run.change.id, "submit", stage="", progress=None)
    return run.admitted


def _ask_first(run: ItemRun) -> Generator[Effect, object, bool]:
    """Look for a job a machine that is gone may have started under this id."""
    ctx, entry = run.ctx, run.the_entry
    answer = yield from ctx.ask(GetStatus(entry.request_id))
    unanswered = isinstance(answer, Failure) and _says_nothing(answer)
    if unanswered:
        ctx.gate.asking -= 1  # neither known nor unknown
    else:
        ctx.gate.answered(known=isinstance(answer, JobStatus))
    if isinstance(answer, JobStatus):
        accepted(run, entry.request_id)
        return True
    if ctx.stopped:
        raise Ended(Result.PENDING)
    if isinstance(answer, Failure) and unanswered:
        # Without an answer the submit could pay for a job that runs already, or go to who knows whom.
        count_refusal(ctx, answer.told)
        raise Ended(Result.FAILED, f"not submitted: {answer.told}", "run `contentops apply` again")
    return False


def _says_nothing(failure: Failure) -> bool:
    """Whether an answer leaves open if the id that was asked for is known.

    A success that cannot be read may well have been the job.
    """
    passing = failure.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)
    return failure.foreign or (passing and (failure.status in DOWN or failure.status in _SUCCESS))


def _call(run: ItemRun) -> Generate | RegenerateSection:
    """What pays: the whole text, or one section of the one the server has."""
    entry, record = run.the_entry, run.record
    if entry.section and record is not None:
        return RegenerateSection(record.content_id, entry.section, run.spec.request.mode, entry.request_id)
    return Generate(run.spec.request.as_json(), entry.request_id)


def _send(run: ItemRun) -> Generator[Effect, object, None]:
    """Send the submit until it is accepted, refused, or its outcome is unknown."""
    ctx = run.ctx
    call = _call(run)
    began: float | None = None
    tries = 0
    while True:
        answer = yield Send(call, Priority.SUBMIT, lambda: intend(run))
        began = ctx.now() if began is None else began
        if isinstance(answer, Accepted):
            ctx.traits.honours_ids = answer.echoed and ctx.traits.honours_ids is not False
            accepted(run, answer.job_id)
            return
        if not isinstance(answer, Failure):
            answer = Failure(FailureKind.AMBIGUOUS, "the server's answer is no job")
        if answer.kind is FailureKind.AMBIGUOUS or answer.status == 409:
            run.lost = ctx.now()
            if answer.retry_after:
                yield Sleep(ctx.now() + min(answer.retry_after, RETRY_FOR))
            yield from _resolve(run, answer.told)
            return
        ctx.store.note("refused", Drop(run.the_entry.request_id))
        run.intended = None
        if answer.kind is FailureKind.THROTTLED:
            if not ctx.may_wait(answer, began):
                raise Ended(Result.PENDING)
            continue
        if answer.kind is FailureKind.NOT_SENT and ctx.now() - began < RETRY_FOR and not ctx.stopped:
            tries += 1
            yield ctx.pause(tries, answer)
            continue
        raise _refused(run, answer)


def _refused(run: ItemRun, failure: Failure) -> Ended:
    """The end of an item whose submit was turned down, and of the run where that says something about all of them."""
    ctx = run.ctx
    run.leave()
    if failure.kind is FailureKind.QUOTA:
        ctx.stop(
            "credits",
            f"no credits left: {failure.told}",
            "add credits, then run `contentops apply` again",
            at_once=False,
        )
        return Ended(Result.PENDING)
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop("unauthorized", failure.told, ctx.key_hint(), at_once=True)
        return Ended(Result.FAILED, failure.told, ctx.key_hint())
    count_refusal(ctx, failure.told)
    return Ended(Result.FAILED, failure.told)


# --- look up -----------------------------------------------------------------------------------------------


def look_up(run: ItemRun) -> Generator[Effect, object, None]:
    """Find out what became of a submit whose answer was lost in an earlier run."""
    run.admitted = True
    run.ctx.gate.in_flight += 1
    yield from _resolve(run, run.the_entry.error or "the answer to its submit was lost")


def _resolve(run: ItemRun, why: str) -> Generator[Effect, object, None]:
    """Look now, look again when everything else is done, and else leave the item unknown.

    Ends with `run.entry` running, or with `run.text` where the stored content was found.
    """
    ctx = run.ctx
    for last in (False, True):
        if last:
            run.leave()
            unknown(run, why)
            if run.intended is not None:
                count_refusal(ctx, why)
            yield AtEnd()
        found = yield from look(run, last=last)
        if found is Found.JOB:
            return
        if found is Found.NOTHING and (yield from _again(run)):
            return
        if ctx.stopped:
            break
    if run.may_submit and run.change.attempt > run.the_entry.attempt and (yield from _readmitted(run)):
        # Asked for with `--resubmit-unknown`: a person chose to pay again.
        ctx.store.note("resubmit", Drop(run.the_entry.request_id))
        run.entry = new_entry(run)
        yield from _send(run)
        return
    unknown(run, why)
    hint = f"`contentops state resolve {run.change.id}`, or `contentops apply --resubmit-unknown` to pay again"
    raise Ended(Result.UNKNOWN, why + run.candidates, hint)


def _again(run: ItemRun) -> Generator[Effect, object, bool]:
    """Send a submit again that provably never arrived, under its own id; False where this run may not."""
    if not run.may_submit:
        run.leave()
        run.ctx.store.note("never arrived", Drop(run.the_entry.request_id))
        raise Ended(Result.FAILED, "its submit never arrived", "run `contentops apply` again")
    if run.ctx.stopped or run.resends >= RESENDS or not (yield from _readmitted(run)):
        return False
    run.resends += 1
    yield from _send(run)
    return True


def _readmitted(run: ItemRun) -> Generator[Effect, object, bool]:
    """The same for a submit that is sent once more: it has asked for its id already."""
    if run.admitted:
        return True
    if (yield from _admitted(run)) and run.ctx.gate.ask_first:
        run.ctx.gate.asking -= 1
    return run.admitted
