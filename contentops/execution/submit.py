"""Submit: how a job comes to be, without ever being paid for twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.api.calls import Generate, GetStatus, RegenerateSection
from contentops.api.replies import Accepted, Failure, FailureKind, JobStatus
from contentops.execution.backoff import RETRY_FOR
from contentops.execution.context import Attempts
from contentops.execution.item import Job, Lost
from contentops.execution.lookup import NeverArrived, Unclear, lost_earlier, resolve, undecided
from contentops.execution.primitives import Ended, Priority
from contentops.execution.records import accepted, intended, new_entry
from contentops.model import Result
from contentops.state.lines import Drop

if TYPE_CHECKING:
    from contentops.execution.admission import Place
    from contentops.execution.context import Context
    from contentops.execution.item import Item, Standing, Text
    from contentops.model import LookUp, OpenEntry, Submit

RESENDS = 3
"""Submits of one id that are proven lost before the item gives up."""
DOWN = frozenset({None, 502, 503, 504})
"""Statuses (None: no answer) that say nothing of the id that was asked for."""
NOT_SENT = frozenset({FailureKind.NOT_SENT})
_SUCCESS = range(200, 300)
_TAKEN = 409
"""The status of a submit whose id the server has seen before."""


async def look_up(
    ctx: Context, item: Item, place: Place, standing: Standing, step: LookUp, submit: Submit
) -> Job | Text:
    """Find out what became of a submit of an earlier run; `submit` says what may be sent if it never arrived."""
    found = await resolve(ctx, item, place, lost_earlier(ctx, step.entry), resend=True)
    match found:
        case NeverArrived(entry) if not ctx.run.stopped and await place.enter(asks=False):
            return await _start(ctx, item, place, standing, entry)
        case NeverArrived(entry):
            raise undecided(ctx, item, Unclear(lost_earlier(ctx, entry)))
        case Unclear(lost) if submit.attempt > lost.entry.attempt and await place.enter(asks=False):
            # Asked for with `--resubmit-unknown`: a person chose to pay again.
            ctx.run.record("resubmit", Drop(lost.entry.request_id))
            return await _start(ctx, item, place, standing, new_entry(ctx, item, submit))
        case Unclear():
            raise undecided(ctx, item, found)
        case _:
            return found


async def submit(ctx: Context, item: Item, place: Place, standing: Standing, step: Submit) -> Job | Text:
    """Start the generation this step pays for. Raises Ended where it brings no job."""
    admission, entry = ctx.admission, new_entry(ctx, item, step)
    if not admission.proven or not admission.open():
        ctx.event("waiting", item.id, "submit", on="turn" if admission.proven else "first-job")
    if not await place.enter(asks=True):
        raise Ended(Result.PENDING)
    ctx.event("progress", item.id, "submit", stage="", progress=None)
    if admission.ask_first and await _is_known(ctx, entry):
        return accepted(ctx, item, place, entry, entry.request_id, sent=None)
    return await _start(ctx, item, place, standing, entry)


async def _is_known(ctx: Context, entry: OpenEntry) -> bool:
    """Whether a machine that is gone has started a job under this id. Raises Ended where nobody can say."""
    answer = await ctx.ask(GetStatus(entry.request_id))
    if isinstance(answer, JobStatus):
        ctx.admission.answered(known=True)
        return True
    unanswered = _says_nothing(answer)
    ctx.admission.answered(known=None if unanswered else False)
    if ctx.run.stopped:
        raise Ended(Result.PENDING)
    if unanswered:
        # Without an answer the submit could pay for a job that runs already, or go to who knows whom.
        ctx.count_refusal(answer.told)
        raise Ended(Result.FAILED, f"not submitted: {answer.told}", "run `contentops apply` again")
    return False


def _says_nothing(failure: Failure) -> bool:
    """Whether an answer leaves open if the id that was asked for is known.

    A success that cannot be read may well have been the job.
    """
    passing = failure.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)
    return failure.foreign or (passing and (failure.status in DOWN or failure.status in _SUCCESS))


async def _start(ctx: Context, item: Item, place: Place, standing: Standing, entry: OpenEntry) -> Job | Text:
    """Send a submit until it has a job; one that provably never arrived is sent again under its own id."""
    for resends in range(RESENDS + 1):
        sent = await _send(ctx, item, place, standing, entry)
        if isinstance(sent, Job):
            return sent
        found = await resolve(ctx, item, place, sent, resend=resends < RESENDS)
        match found:
            case NeverArrived(entry):
                if ctx.run.stopped or not await place.enter(asks=False):
                    raise undecided(ctx, item, Unclear(sent))
            case Unclear():
                raise undecided(ctx, item, found)
            case _:
                return found
    raise AssertionError(entry.request_id)  # `resolve` proves nothing after the last resend


async def _send(ctx: Context, item: Item, place: Place, standing: Standing, entry: OpenEntry) -> Job | Lost:
    """Send a submit until it is accepted, or its outcome is unknown. Raises Ended where it is refused."""
    attempts, sent = Attempts(ctx), ctx.run.now()

    def intend() -> None:
        nonlocal entry, sent
        entry, sent = intended(ctx, entry), ctx.run.now()

    while True:
        answer = await ctx.run.send(_call(item, standing, entry), Priority.SUBMIT, intend)
        if isinstance(answer, Accepted):
            ctx.capabilities.honours_ids = answer.echoed and ctx.capabilities.honours_ids is not False
            return accepted(ctx, item, place, entry, answer.job_id, sent=sent)
        if answer.kind is FailureKind.AMBIGUOUS or answer.status == _TAKEN:
            lost = Lost(entry=entry, why=answer.told, sent=sent, lost=ctx.run.now(), ours=True)
            if answer.retry_after:
                await ctx.run.sleep(min(answer.retry_after, RETRY_FOR))
            return lost
        ctx.run.record("refused", Drop(entry.request_id))
        if answer.kind is FailureKind.NOT_SENT and ctx.run.stopped:
            raise _refused(ctx, place, answer)
        if not await attempts.again(answer, NOT_SENT):
            raise _refused(ctx, place, answer)


def _call(item: Item, standing: Standing, entry: OpenEntry) -> Generate | RegenerateSection:
    """What pays: the whole text, or one section of the one the server has."""
    request = item.spec.request
    if entry.section and standing.record is not None:
        return RegenerateSection(standing.record.content_id, entry.section, request.mode, entry.request_id)
    return Generate(request.as_json(), entry.request_id)


def _refused(ctx: Context, place: Place, failure: Failure) -> Ended:
    """The end of an item whose submit was turned down, and of the run where that says something about all of them."""
    place.leave()
    match failure.kind:
        case FailureKind.THROTTLED:
            return Ended(Result.PENDING)
        case FailureKind.QUOTA:
            message = f"no credits left: {failure.told}"
            ctx.run.stop("credits", message, "add credits, then run `contentops apply` again", at_once=False)
            return Ended(Result.PENDING)
        case FailureKind.UNAUTHORIZED:
            ctx.stop_unauthorized(failure, at_once=True)
            return Ended(Result.FAILED, failure.told, ctx.key_hint())
    ctx.count_refusal(failure.told)
    return Ended(Result.FAILED, failure.told)
