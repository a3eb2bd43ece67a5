"""Submits a job without paying twice, and finds out what became of a submit whose answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import (
    Accepted,
    Content,
    Failure,
    FailureKind,
    Generate,
    GetContent,
    GetStatus,
    JobStatus,
    RegenerateSection,
)
from contentops.api.outcomes import RETRY
from contentops.documents.clean import clean_body
from contentops.execution.contents import SLACK
from contentops.execution.primitives import Ended, Lost, Priority, SentJob, Text, Withheld, seconds_of
from contentops.execution.records import accepted, dated, intended, keep_text, naming, new_job, turned_down, unknown
from contentops.execution.run_context import Attempts
from contentops.model import JobState, Result
from contentops.model.jobs import OrderEnd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.api.calls import ContentEntry
    from contentops.execution.limiter import JobSlot
    from contentops.execution.primitives import Item, ItemState
    from contentops.execution.run_context import Context
    from contentops.model import Job, Submit

CANDIDATES = 10
"""Stored contents looked at in one run for texts of ours."""
_SHOWN = 5
"""Stored contents named in a message."""
_UNIQUE = 16
"""Ids of jobs that are shorter may be numbers, which a server may give again after a restart."""
ARRIVAL = 15.0
"""Seconds after its answer was lost in which a submit may still arrive: a gateway answers before its backend."""
SECOND_LOOK = 5.0
"""Seconds between the two looks that prove a job absent, at least."""
UNSEEN = 60.0
"""Seconds until a server shows a job by its id, where it has not shown one yet."""
LONGEST = 250.0
"""Seconds after its intent by which the answer to a submit was lost, whatever became of the process."""
GRAIN = 0.01
"""Seconds that keep sums of times from falling short by a rounding error."""


def lost_earlier(ctx: Context, job: Job) -> Lost:
    """A submit of an earlier process whose answer was lost."""
    why = job.error or "the answer to its submit was lost"
    now, submitted = ctx.run.now(), seconds_of(job.submitted_at)
    # The recorded time has no fraction of a second; a clock that was set back since makes it look like the future.
    sent = now - (UNSEEN if submitted is None else max(0.0, ctx.wall() - submitted - 1))
    # The answer was lost at the latest when the process gave up, or now.
    return Lost(job=job, why=why, sent=sent, lost=min(now, sent + LONGEST), ours=False)


async def collect_lost(ctx: Context, item: Item, slot: JobSlot, job: Job) -> SentJob | Text:
    """The job of a lost submit that is not sent again. Raises Ended where there is none, or that is unknown."""
    found = await resolve(ctx, item, slot, lost_earlier(ctx, job))
    if found is None:
        slot.leave()
        raise never_arrived()
    return found


async def resolve(ctx: Context, item: Item, slot: JobSlot, lost: Lost) -> SentJob | Text | None:
    """Find out what became of a submit: now, and once more when everything else is done.

    None: the server has proved that it never got it, so that it may be sent again. Raises Ended where it is unknown.
    """
    slot.take()
    if ctx.run.halted:
        raise undecided(ctx, item, lost)
    candidates = ""
    for last in (False, True):
        if last:
            end, lost = undecided(ctx, item, lost, candidates), unknown(ctx, lost)
            if lost.ours:
                ctx.count_refusal(lost.why)
                why = f"the outcome of the canary job on this server is unknown: {end.error}"
                ctx.stop_after_first(why, end.hint)
            slot.leave()
            await ctx.run.last_look()
        found = await _look(ctx, item, slot, lost, last=last)
        if isinstance(found, OrderEnd):
            ctx.run.record("never arrived", found)
            if lost.ours:
                del ctx.unsettled[item.id]
            return None
        if not isinstance(found, str):
            return found
        candidates = found or candidates
        if ctx.run.stopped:
            break
    raise undecided(ctx, item, lost, candidates)


def undecided(ctx: Context, item: Item, lost: Lost, candidates: str = "") -> Ended:
    """Record that the outcome stays unknown; returns the end of its item, to be raised.

    `candidates`: words on stored contents that may be its text, or empty.
    """
    lost = unknown(ctx, lost)
    hint = f"`contentops state resolve {item.id}`"
    return Ended(Result.UNKNOWN, lost.why + candidates, f"{naming(lost.job)}; otherwise {hint}" if candidates else hint)


def never_arrived() -> Ended:
    """The end of an item whose submit is proven lost, and not sent again in this run."""
    return Ended(Result.FAILED, "its submit never arrived", "run `contentops apply` again")


async def _look(ctx: Context, item: Item, slot: JobSlot, lost: Lost, *, last: bool) -> SentJob | Text | OrderEnd | str:
    """Ask for our id, and where that proves nothing, for a stored content that carries it.

    Returns what it brought, or the proof that it never arrived, or words on contents that may be its text. Only the
    `last` look waits longer than a few seconds for the server's silence to count.
    """
    if ctx.capabilities.honours_ids is not False:
        found = await _by_id(ctx, item, slot, lost)
        patience = (UNSEEN if last else ARRIVAL) + 1
        # One absence may be a stumble, or one instance of several that does not know the job.
        wait = max(_still_open(ctx, lost), 0.0 if ctx.server == "local" else SECOND_LOOK)
        if isinstance(found, OrderEnd) and 0 < wait <= patience:
            await ctx.run.sleep(wait + GRAIN)
            found = await _by_id(ctx, item, slot, lost)
        if isinstance(found, SentJob) or (found is not None and not _still_open(ctx, lost)):
            return found
    text, candidates = await by_content(ctx, item, SentJob(job=lost.job, sent=lost.sent if lost.ours else None))
    return text or candidates


async def _by_id(ctx: Context, item: Item, slot: JobSlot, lost: Lost) -> SentJob | OrderEnd | None:
    job = lost.job
    answer = await ctx.ask(GetStatus(job.request_id, accepted=False))
    if isinstance(answer, JobStatus):
        return accepted(ctx, item, slot, job, job.request_id, sent=lost.sent if lost.ours else None)
    proven = answer.kind is FailureKind.NOT_FOUND and ctx.capabilities.absence_proves
    return OrderEnd(job.request_id, JobState.NEVER) if proven else None


def _still_open(ctx: Context, lost: Lost) -> float:
    """Seconds until an unknown id proves that no job came: by then, a job would show and no submit can still arrive."""
    if ctx.server == "local":
        return 0.0
    shows, now = ctx.capabilities.shows_after, ctx.run.now()
    return max(0.0, lost.sent + (UNSEEN if shows is None else shows) - now, lost.lost + ARRIVAL - now)


async def by_content(
    ctx: Context, item: Item, sent_job: SentJob, *, forgotten: bool = False
) -> tuple[Text | None, str]:
    """Search the stored contents for one that carries our id, or its job's, likeliest first by their time.

    Also returns words on contents that may be it. `forgotten`: the server does not know the job any more.
    """
    job = sent_job.job
    sent = seconds_of(job.submitted_at)
    if sent is None or ctx.index.candidates >= CANDIDATES:
        return None, ""
    lost = job.state in (JobState.SUBMITTING, JobState.UNKNOWN)
    listed = await ctx.list_content(sent - SLACK, needed=lost)
    if isinstance(listed, Failure):
        return None, ""
    ours = {job.request_id, job.job_id} - {""}
    if forgotten and len(job.job_id) < _UNIQUE:
        # A server that has forgotten the job may have given its id to another one.
        ours = {job.request_id}
    near = _near(ctx, item, listed.entries, sent)
    content = await _first_of(ctx, near, ours)
    if content is not None:
        return _taken(ctx, item, sent_job, content, lost=lost), ""
    return None, _candidates(ctx, near)


async def _first_of(ctx: Context, near: Sequence[ContentEntry], ours: set[str]) -> Content | None:
    """Fetch contents one by one, as many as a run may, until one names a request that is `ours`."""
    index = ctx.index
    for entry in near:
        if index.knows(entry) and ((known := index.known(entry)) is None or known.request not in ours):
            continue
        if index.candidates >= CANDIDATES:
            break
        index.candidates += 1
        content = await ctx.ask(GetContent(entry.id))
        if isinstance(content, Failure):
            continue
        stored = index.note(entry, content)
        is_free = index.owners.owner(entry.id) is None
        if stored is not None and stored.request in ours and clean_body(content.body) and is_free:
            return content
    return None


def _candidates(ctx: Context, near: Sequence[ContentEntry]) -> str:
    """The contents that may be the text, in words, likeliest first."""
    known = ((entry, ctx.index.known(entry)) for entry in near)
    unnamed = [f"`{entry.id}`" for entry, stored in known if stored is None or not stored.request]
    if not unnamed:
        return ""
    more = f" and {len(unnamed) - _SHOWN:,} more" if len(unnamed) > _SHOWN else ""
    return f"; stored at about that time, without an item: {', '.join(unnamed[:_SHOWN])}{more}"


def _taken(ctx: Context, item: Item, sent_job: SentJob, content: Content, *, lost: bool) -> Text:
    """Keep a stored text of our request."""
    job = structs.replace(sent_job.job, state=JobState.RUNNING)
    if lost:
        if sent_job.sent is not None:
            ctx.spent[item.id] += job.credits
            del ctx.unsettled[item.id]
        # The job's own id stays unknown: its content proves nothing about how this server names jobs.
        job = structs.replace(job, job_id="")
    ctx.admission.refused = 0
    return keep_text(ctx, structs.replace(sent_job, job=job), content)


def _near(ctx: Context, item: Item, entries: tuple[ContentEntry, ...], sent: float) -> list[ContentEntry]:
    """The contents without an owner that the job may have stored, nearest first to the time when it should have.

    The server's clock may be off: only the id that a text carries proves that it is ours.
    """
    first, last = sent - SLACK, sent + ctx.project.api.job_timeout + SLACK
    due = sent + ctx.durations.median(item.kind)
    made = [(seconds_of(entry.created_at), entry) for entry in entries if ctx.index.owners.owner(entry.id) is None]
    timed = [(abs(at - due), entry) for at, entry in made if at is not None and first <= at <= last]
    return [entry for _, entry in sorted(timed, key=lambda each: each[0])]


RESENDS = 3
"""Submits of one id that are proven lost before the item gives up."""
NOT_SENT = frozenset({FailureKind.NOT_SENT})
_TAKEN = 409
"""The status of a submit whose id the server has seen before."""


async def look_up(ctx: Context, item: Item, slot: JobSlot, item_state: ItemState, job: Job) -> SentJob | Text:
    """Find out what became of a submit of an earlier run, and send again what never arrived. Raises Ended."""
    step = item.change.submit
    assert step is not None
    found = await resolve(ctx, item, slot, lost_earlier(ctx, job))
    if found is not None:
        return found
    if ctx.run.stopped or not await slot.enter(asks=False):
        raise Ended(Result.PENDING)
    is_same = job.digest == step.digest
    return await _start(ctx, item, slot, item_state, job if is_same else new_job(ctx, item, step))


async def submit(ctx: Context, item: Item, slot: JobSlot, item_state: ItemState, step: Submit) -> SentJob | Text:
    """Start the generation this step pays for. Raises Ended if there is no job afterwards."""
    admission, job = ctx.admission, new_job(ctx, item, step)
    if not admission.proven or not admission.open():
        ctx.event("waiting", item.id, "submit", on="turn" if admission.proven else "first-job")
    if not await slot.enter(asks=True):
        raise Ended(Result.PENDING)
    if not step.section and not ctx.is_current(item.change):
        changed = "not submitted: the texts that it is made from have changed since the plan"
        raise Ended(Result.BLOCKED, changed, "run `contentops apply` to see the new plan")
    ctx.event("progress", item.id, "submit", stage="", progress=None)
    if admission.ask_first and await _is_known(ctx, job):
        return accepted(ctx, item, slot, job, job.request_id, sent=None)
    return await _start(ctx, item, slot, item_state, job)


async def _is_known(ctx: Context, job: Job) -> bool:
    """Whether another machine has started a job under this id. Raises Ended where that is unknown."""
    answer = await ctx.ask(GetStatus(job.request_id, accepted=False))
    if isinstance(answer, JobStatus):
        ctx.admission.answered(known=True)
        return True
    unanswered = answer.is_inconclusive
    ctx.admission.answered(known=None if unanswered else False)
    if ctx.run.stopped:
        raise Ended(Result.PENDING)
    if unanswered:
        # Without an answer the submit could pay for a job that runs already, or reach another server.
        ctx.count_refusal(answer.full_message)
        raise Ended(Result.FAILED, f"not submitted: {answer.full_message}", "run `contentops apply` again")
    return False


async def _start(ctx: Context, item: Item, slot: JobSlot, item_state: ItemState, job: Job) -> SentJob | Text:
    """Send a submit until it has a job; one that provably never arrived is sent again under its own id."""
    for resends in range(RESENDS + 1):
        if resends and (ctx.run.stopped or not await slot.enter(asks=False)):
            raise Ended(Result.PENDING)
        sent = await _send(ctx, item, slot, item_state, job)
        found = sent if isinstance(sent, SentJob) else await resolve(ctx, item, slot, sent)
        if found is not None:
            return found
    slot.leave()
    raise never_arrived()


async def _send(ctx: Context, item: Item, slot: JobSlot, item_state: ItemState, job: Job) -> SentJob | Lost:
    """Send a submit until it is accepted, or its outcome is unknown. Raises Ended where it is refused."""
    attempts, sent = Attempts(ctx), ctx.run.now()

    def intend() -> None:
        nonlocal job, sent
        job, sent = intended(ctx, structs.replace(job, plan_id=ctx.plan.id)), ctx.run.now()

    while True:
        try:
            answer = await ctx.run.send(_call(item, item_state, job), Priority.SUBMIT, intend)
        except Withheld:
            ctx.run.record("withheld", OrderEnd(job.request_id, JobState.NEVER))
            del ctx.unsettled[item.id]
            raise
        if isinstance(answer, Accepted):
            # Of a job that ended at once no one knows whether it can be asked for: our id on it proves nothing.
            job_id = "" if answer.done is not None and answer.echoed else answer.job_id
            if job_id:
                ctx.capabilities.honours_ids = answer.echoed and ctx.capabilities.honours_ids is not False
            sent_job = accepted(ctx, item, slot, dated(job, answer.at, ctx.project.api.job_timeout), job_id, sent=sent)
            return structs.replace(sent_job, done=answer.done)
        if answer.status == _TAKEN or answer.kind is FailureKind.AMBIGUOUS:
            why, now = answer.full_message, ctx.run.now()
            if answer.retry_after:
                await ctx.run.sleep(min(answer.retry_after, RETRY.total))
            return Lost(job=job, why=why, sent=sent, lost=now, ours=True)
        ctx.run.record("refused", OrderEnd(job.request_id, JobState.NEVER))
        del ctx.unsettled[item.id]
        if answer.kind is FailureKind.NOT_SENT and ctx.run.stopped:
            raise turned_down(ctx, slot, answer)
        if not await attempts.again(answer, NOT_SENT):
            raise turned_down(ctx, slot, answer)


def _call(item: Item, item_state: ItemState, job: Job) -> Generate | RegenerateSection:
    """The call that pays: for the whole text, or for one section of the stored one."""
    request = item.spec.request
    if job.section and item_state.record is not None:
        return RegenerateSection(item_state.record.content_id, job.section, request.mode, job.request_id)
    return Generate(request.as_json(), job.request_id)
