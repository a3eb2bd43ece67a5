"""Submits a job without paying twice, finds it after a lost reply, and polls it until its text is there."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from contentops.api.calls import (
    Accepted,
    Content,
    ContentEntry,
    Failure,
    FailureKind,
    Generate,
    GetContent,
    GetStatus,
    JobStatus,
    RegenerateSection,
)
from contentops.api.outcomes import RETRY
from contentops.api.reading import is_as_created
from contentops.digest import Digest
from contentops.documents.clean import body_digest, clean_body, clean_title, title_digest
from contentops.execution.content_search import SLACK
from contentops.execution.contents import StoredContent
from contentops.execution.primitives import Ended, Item, ItemState, Lost, Priority, SentJob, Text, Withheld
from contentops.execution.records import (
    accepted,
    dated,
    failed,
    intended,
    keep_text,
    naming,
    new_job,
    note_new_section,
    textless,
    turned_down,
    unknown,
)
from contentops.execution.run_context import Attempts, Context
from contentops.model import Collect, Job, JobState, Record, Result, Saved, Submit
from contentops.model.jobs import UNIQUE_ID
from contentops.model.records import seconds_of
from contentops.planning.sides import is_protected
from contentops.planning.table import text_lost_hint
from contentops.state.codec import Drop
from contentops.tokens import PaidTokens

CANDIDATES = 10
"""The most stored contents that one run fetches to find the texts of jobs."""
_SHOWN = 5
"""The most stored contents that a message names."""
ARRIVAL = 15.0
"""Seconds for which a submit may still arrive after its reply was lost: a gateway replies before its backend."""
SECOND_LOOK = 5.0
"""The fewest seconds between the two requests that prove that there is no job."""
UNSEEN = 60.0
"""Seconds until a server certainly shows a new job by its id, if this time was never measured."""
LONGEST = 250.0
"""Seconds after which a submit has certainly lost its reply, even if its process was killed."""
GRAIN = 0.01
"""Seconds added to a wait, so that it is not too short because of rounding."""


def lost_earlier(ctx: Context, job: Job) -> Lost:
    """Return the submit request that an earlier process sent for `job` without receiving the server's reply."""
    now, submitted = ctx.run.now(), seconds_of(job.submitted_at)
    # The recorded time has no fraction of a second; a clock that was set back since makes it look like the future.
    sent = now - (UNSEEN if submitted is None else max(0.0, ctx.wall() - submitted - 1))
    # The answer was lost at the latest when the process gave up, or now.
    return Lost(job=job, why=job.why_unknown, sent=sent, lost=min(now, sent + LONGEST), ours=False)


async def collect_lost(ctx: Context, item: Item, job: Job) -> SentJob | Text:
    """Return the job or text of a submit request whose reply was lost.

    The request is not sent again. Raises Ended if it never arrived, or if its outcome is unknown.
    """
    lost = lost_earlier(ctx, job)
    found = await resolve(ctx, item, lost)
    if found is None:
        raise never_arrived(lost.why)
    return found


async def resolve(ctx: Context, item: Item, lost: Lost) -> SentJob | Text | None:
    """Find out whether a submit request arrived at the server.

    The server is asked now, and again when all other items are done. Returns None if the server has proved that the
    request never arrived, so that it may be sent again. Raises Ended if the outcome is unknown.
    """
    item.slot.take()
    if ctx.run.halted:
        raise undecided(ctx, item, lost)
    found, candidates = await _look(ctx, item, lost, last=False)
    if found is None and not ctx.run.stopped:
        lost = unknown(ctx, lost)
        if lost.ours:
            end = undecided(ctx, item, lost, candidates)
            ctx.count_refusal(lost.why)
            why = f"the outcome of the first job on this server is unknown: {end.error}"
            ctx.stop_after_first(why, end.hint)
        item.slot.leave()
        await ctx.run.last_look()
        found, others = await _look(ctx, item, lost, last=True)
        candidates = others or candidates
    if isinstance(found, Drop):
        ctx.run.record("never arrived", found)
        if lost.ours:
            del ctx.unsettled[item.id]
        return None
    if found is None:
        raise undecided(ctx, item, lost, candidates)
    return found


def undecided(ctx: Context, item: Item, lost: Lost, candidates: str = "") -> Ended:
    """Record that the outcome of a submit request stays unknown, and return the exception to raise.

    `candidates` names stored contents that may be its text, or is empty.
    """
    lost = unknown(ctx, lost)
    hint = f"`contentops state resolve {item.id}`"
    return Ended(Result.UNKNOWN, lost.why + candidates, f"{naming(lost.job)}; otherwise {hint}" if candidates else hint)


def never_arrived(why: str) -> Ended:
    """Return the exception that ends the work on an item whose submit request did not arrive at the server.

    The request is not repeated in this run. `why` is the server's reply.
    """
    return Ended(Result.FAILED, f"its submit never arrived: {why}", "run `contentops apply` again")


async def _look(ctx: Context, item: Item, lost: Lost, *, last: bool) -> tuple[SentJob | Text | Drop | None, str]:
    """Ask the server for the job of a submit request, by its request id.

    Without a clear reply, search the stored contents for one that has this id. Returns the job or the text that was
    found, or the proof that the request never arrived. If there is none of these, returns None, and a part of a message
    that names contents that may have the text. Only the `last` look waits for more than a few seconds until the
    server's silence counts as proof.
    """
    if ctx.capabilities.honours_ids is not False:
        found = await _by_id(ctx, item, lost)
        patience = (UNSEEN if last else ARRIVAL) + 1
        # One absence may be a stumble, or one instance of several that does not know the job.
        wait = max(_seconds_to_proof(ctx, lost), 0.0 if ctx.server == "local" else SECOND_LOOK)
        if isinstance(found, Drop) and 0 < wait <= patience:
            await ctx.run.sleep(wait + GRAIN)
            found = await _by_id(ctx, item, lost)
        if isinstance(found, SentJob) or (found is not None and not _seconds_to_proof(ctx, lost)):
            return found, ""
    return await by_content(ctx, item, SentJob(job=lost.job, sent=lost.sent if lost.ours else None))


async def _by_id(ctx: Context, item: Item, lost: Lost) -> SentJob | Drop | None:
    job = lost.job
    answer = await ctx.ask(GetStatus(job.request_id))
    if isinstance(answer, JobStatus):
        return accepted(ctx, item, job, job.request_id, sent=lost.sent if lost.ours else None)
    # A 404 for our id proves, after a while, that the submit never arrived.
    is_known_by_it = ctx.capabilities.honours_ids is True and not ctx.capabilities.hides_jobs
    proven = answer.kind is FailureKind.NOT_FOUND and is_known_by_it
    return Drop(job.request_id, never=True) if proven else None


def _seconds_to_proof(ctx: Context, lost: Lost) -> float:
    """Return how many seconds must still pass before a 404 for a request id proves that there is no job.

    After that time, no submit request can still arrive.
    """
    if ctx.server == "local":
        return 0.0
    shows, now = ctx.capabilities.shows_after, ctx.run.now()
    return max(0.0, lost.sent + (UNSEEN if shows is None else shows) - now, lost.lost + ARRIVAL - now)


async def by_content(
    ctx: Context, item: Item, sent_job: SentJob, *, forgotten: bool = False
) -> tuple[Text | None, str]:
    """Search the stored contents for one whose metadata names the request id or the job id.

    The most likely contents come first. Also returns a text that names contents that may be it. `forgotten`: the server
    no longer knows the job.
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
    if forgotten and len(job.job_id) < UNIQUE_ID:
        # A server that has forgotten the job may have given its id to another one.
        ours = {job.request_id}
    near = _near(ctx, item, listed.entries, sent)
    content = await _first_of(ctx, near, ours)
    if content is not None:
        return _keep_stored(ctx, item, sent_job, content, lost=lost), ""
    return None, _candidates(ctx, near)


async def _first_of(ctx: Context, near: Sequence[ContentEntry], ours: set[str]) -> Content | None:
    """Return the first stored content that names a request id from the set `ours`, or None.

    Contents are fetched until one of them fits, or until a limit is reached.
    """
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
    """Return the part of a message that lists the stored contents which may have the job's text.

    The most likely ones come first.
    """
    known = ((entry, ctx.index.known(entry)) for entry in near)
    unnamed = [f"`{entry.id}`" for entry, stored in known if stored is None or not stored.request]
    if not unnamed:
        return ""
    more = f" and {len(unnamed) - _SHOWN:,} more" if len(unnamed) > _SHOWN else ""
    return f"; stored at about that time, without an item: {', '.join(unnamed[:_SHOWN])}{more}"


def _keep_stored(ctx: Context, item: Item, sent_job: SentJob, content: Content, *, lost: bool) -> Text:
    """Put the text of a stored content into the cache, and record that the job's request made this text."""
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
    """Return the stored contents that this job may have made and that have no owner.

    Those nearest to its expected end come first. The server's clock may be wrong: only the id that a content names
    proves that it is from this job.
    """
    first, last = sent - SLACK, sent + ctx.project.api.job_timeout + SLACK
    due = sent + ctx.durations.median(item.kind)
    made = [(seconds_of(entry.created_at), entry) for entry in entries if ctx.index.owners.owner(entry.id) is None]
    timed = [(abs(at - due), entry) for at, entry in made if at is not None and first <= at <= last]
    return [entry for _, entry in sorted(timed, key=lambda each: each[0])]


RESENDS = 3
"""How often a submit that never arrived is sent again before the item gives up."""
NOT_SENT = frozenset({FailureKind.NOT_SENT})
_ID_IN_USE = 409
"""The status of a submit whose id the server has seen before."""


async def look_up(ctx: Context, item: Item, item_state: ItemState, job: Job) -> SentJob | Text:
    """Find out whether an earlier run's submit request arrived at the server, and send it again if not.

    Raises Ended.
    """
    step = item.change.submit
    assert step is not None
    found = await resolve(ctx, item, lost_earlier(ctx, job))
    if found is not None:
        return found
    if not await item.slot.enter(asks=False):
        raise Ended(Result.PENDING)
    is_same = job.digest == step.digest
    return await _start(ctx, item, item_state, job if is_same else new_job(ctx, item, step))


async def submit(ctx: Context, item: Item, item_state: ItemState, step: Submit) -> SentJob | Text:
    """Submit the job that this step pays for. Raises Ended if there is no job afterwards."""
    admission, job = ctx.admission, new_job(ctx, item, step)
    if not admission.proven or not admission.open():
        ctx.event("waiting", item.id, "submit", on="turn" if admission.proven else "first-job")
    if not await item.slot.enter(asks=True):
        raise Ended(Result.PENDING)
    if not step.section and not ctx.is_current(item.change):
        changed = "not submitted: the texts that it is made from have changed since the plan"
        raise Ended(Result.BLOCKED, changed, "run `contentops apply` to see the new plan")
    ctx.event("progress", item.id, "submit", stage="", progress=None)
    if admission.ask_first and await _runs_already(ctx, job):
        return accepted(ctx, item, job, job.request_id, sent=None)
    return await _start(ctx, item, item_state, job)


async def _runs_already(ctx: Context, job: Job) -> bool:
    """Return whether another machine has started a job with the request id of `job`. Raises Ended if unknown."""
    answer = await ctx.ask(GetStatus(job.request_id))
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


async def _start(ctx: Context, item: Item, item_state: ItemState, job: Job) -> SentJob | Text:
    """Send a submit request, and send it again if it did not arrive, until there is a job.

    A request that never arrived is sent again under the same id. Raises Ended if there is no job afterwards.
    """
    why = ""
    for resends in range(RESENDS + 1):
        if resends and not await item.slot.enter(asks=False):
            raise Ended(Result.PENDING)
        sent = await _send(ctx, item, item_state, job)
        if isinstance(sent, SentJob):
            return sent
        found, why = await resolve(ctx, item, sent), sent.why
        if found is not None:
            return found
    raise never_arrived(why)


async def _send(ctx: Context, item: Item, item_state: ItemState, job: Job) -> SentJob | Lost:
    """Send a submit request until it is accepted, or until its outcome is unknown. Raises Ended if it is refused."""
    attempts, sent = Attempts(ctx), ctx.run.now()

    def intend() -> None:
        nonlocal job, sent
        job, sent = intended(ctx, structs.replace(job, plan_id=ctx.plan.id)), ctx.run.now()

    while True:
        try:
            answer = await ctx.run.send(_call(item, item_state, job), Priority.SUBMIT, intend)
        except Withheld:
            ctx.run.record("withheld", Drop(job.request_id, never=True))
            del ctx.unsettled[item.id]
            raise
        if isinstance(answer, Accepted):
            return _begun(ctx, item, job, answer, sent)
        if answer.status == _ID_IN_USE or answer.kind is FailureKind.AMBIGUOUS:
            why, now = answer.full_message, ctx.run.now()
            if answer.retry_after:
                await ctx.run.sleep(min(answer.retry_after, RETRY.total))
            return Lost(job=job, why=why, sent=sent, lost=now, ours=True)
        ctx.run.record("refused", Drop(job.request_id, never=True))
        del ctx.unsettled[item.id]
        if answer.kind is FailureKind.NOT_SENT and ctx.run.stopped:
            raise turned_down(ctx, answer)
        if not await attempts.again(answer, NOT_SENT):
            raise turned_down(ctx, answer)


def _begun(ctx: Context, item: Item, job: Job, answer: Accepted, sent: float) -> SentJob | Lost:
    """Return the job of an accepted submit request.

    If the reply names the job of another item, return the submit as a lost one.
    """
    # Of a job that finished at once no one knows whether it can be asked for: our id on it proves nothing.
    job_id = "" if answer.done is not None and answer.echoed else answer.job_id
    if job_id and (other := ctx.orders.get(job_id, job.item)) != job.item:
        # A mixed-up reply: that job's text would be written into two files.
        why = f"the answer to its submit names job `{job_id}`, which is the job of `{other}`"
        return Lost(job=job, why=why, sent=sent, lost=ctx.run.now(), ours=True)
    if job_id:
        ctx.capabilities.honours_ids = answer.echoed and ctx.capabilities.honours_ids is not False
    sent_job = accepted(ctx, item, dated(job, answer.at, ctx.project.api.job_timeout), job_id, sent=sent)
    return structs.replace(sent_job, done=answer.done)


def _call(item: Item, item_state: ItemState, job: Job) -> Generate | RegenerateSection:
    """Return the call that pays for a whole text, or for one section of a stored text."""
    request = item.spec.request
    if job.section and item_state.record is not None:
        return RegenerateSection(item_state.record.content_id, job.section, request.mode, job.request_id)
    return Generate(request.as_json(), job.request_id)


# --- poll ------------------------------------------------------------------------------------------------------


AGAIN = "run `contentops apply` again; it polls the same job"
_LASTING = frozenset({FailureKind.FORBIDDEN, FailureKind.REJECTED, FailureKind.UNUSABLE})
"""Failures of a poll that the next poll would only repeat."""


async def poll(ctx: Context, item: Item, sent_job: SentJob) -> Text:
    """Wait until the job is done, and store its text in the cache. Raises Ended if it failed or takes too long."""
    item.slot.take()
    item.slot.begin()
    status: JobStatus | Text | None = sent_job.done
    was_running = True
    if status is None:
        status, was_running = await _until_done(ctx, item, sent_job)
    if isinstance(status, Text):
        return status
    sent_job = _with_tokens(ctx, item, sent_job, status)
    if status.state == "failed":
        raise failed(ctx, item, sent_job, status.error or "the job failed without a reason")
    found, fetched = Content(status.content_id, status.title, status.body or "", front=status.front), False
    if not clean_body(found.body) and status.content_id:
        content = await ctx.ask(GetContent(status.content_id))
        if not isinstance(content, Failure):
            found, fetched = structs.replace(content, title=status.title or content.title), True
        elif content.kind is not FailureKind.NOT_FOUND or item.wants(sent_job.job):
            # The text exists and is paid for: a job whose text cannot be fetched now has not failed.
            raise _late(item, sent_job.job, f"its text cannot be fetched: {content.full_message}", content)
    if not clean_body(found.body):
        text, candidates = await by_content(ctx, item, sent_job)
        if text is None:
            raise textless(ctx, item, sent_job.job, candidates)
        item.slot.leave()
        return text
    item.slot.leave()
    text = keep_text(ctx, sent_job, found, engine=status.engine, model=status.model, verbatim=fetched)
    return structs.replace(text, made_now=was_running or sent_job.sent is not None)


def _with_tokens(ctx: Context, item: Item, sent_job: SentJob, status: JobStatus) -> SentJob:
    """Return the job with the tokens that its final status reports, and their cost at today's price.

    If the job has tokens already, they keep their price.
    """
    if sent_job.job.tokens is not None or not (status.tokens or status.model):
        return sent_job
    project = ctx.project
    tokens = PaidTokens.at(project.price, status.tokens)
    if tokens is not None or project.price is not None or project.api.has_model:
        ctx.used.setdefault(item.id, []).append(tokens)
    bound = sent_job.job.bound if tokens is None else None
    return structs.replace(sent_job, job=structs.replace(sent_job.job, tokens=tokens, bound=bound))


async def _until_done(ctx: Context, item: Item, sent_job: SentJob) -> tuple[JobStatus | Text, bool]:
    """Poll a job until it is done. Return its final status, and whether a poll saw it running. Raises Ended.

    If the server has forgotten the job, return its stored text instead of the status.
    """
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
            _check_failure(ctx, sent_job, answer)
            said = answer.full_message
        else:
            polls, attempts = polls + 1, Attempts(ctx)
            if sent_job.sent is not None:
                known = ctx.capabilities.shows_after
                ctx.capabilities.shows_after = round(elapsed if known is None else min(elapsed, known), 1)
            if answer.state != "running":
                if answer.state == "completed" and sent_job.sent is not None:
                    ctx.durations.learn(item.kind, after=unfinished, by=elapsed)
                return answer, unfinished > 0
            unfinished, said = elapsed, "the job is not done"
            ctx.event("progress", job.item, "poll", stage=answer.stage, progress=answer.progress)
        if elapsed > timeout:
            item.slot.leave()
            failure = answer if isinstance(answer, Failure) else None
            if failure is not None and failure.kind is FailureKind.NOT_FOUND:
                text, candidates = await by_content(ctx, item, sent_job, forgotten=True)
                if text is not None:
                    return text, unfinished > 0
                said += candidates
            raise _late(item, job, f"after {timeout:.0f} s: {said}", failure)


def _late(item: Item, job: Job, error: str, failure: Failure | None) -> Ended:
    """Return the exception that ends the work on an item in this run although its job stays open.

    The job takes too long, or its server no longer knows it.
    """
    if failure is None or failure.kind is not FailureKind.NOT_FOUND:
        return Ended(Result.LATE, error, AGAIN)
    # The job was accepted, and some servers keep their jobs in memory alone.
    error = f"the server accepted job `{job.job_id}` but no longer knows it, as after a restart; {error}"
    lost = "the next apply pays for it again" if item.wants(job) else "its text is lost then"
    forget = f"`contentops state resolve {item.id} --forget --request {job.short}`"
    hint = f"{AGAIN}; to give it up: {forget}, but {lost}; {naming(job)}"
    return Ended(Result.LATE, error, hint, gone=True)


def _started(ctx: Context, sent_job: SentJob) -> float:
    """Return the time at which the job began, as a time of the event loop.

    If it is not known, return the current time.
    """
    if sent_job.sent is not None:
        return sent_job.sent
    submitted = seconds_of(sent_job.job.submitted_at)
    return ctx.run.now() - (max(0.0, ctx.wall() - submitted) if submitted is not None else 0.0)


def _check_failure(ctx: Context, sent_job: SentJob, failure: Failure) -> None:
    """Raise Ended if it is useless to ask again for the status of the job.

    A failed poll does not mean that the job failed.
    """
    job, capabilities = sent_job.job, ctx.capabilities
    missing = failure.kind is FailureKind.NOT_FOUND
    if failure.kind is FailureKind.UNAUTHORIZED:
        ctx.stop_unauthorized(failure, at_once=True)
        raise Ended(Result.LATE, failure.full_message, ctx.key_hint())
    if missing and ctx.server == "local":
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
        hint = "run `contentops apply` again: paid answers are kept, and only what is missing is asked"
        ctx.run.stop("model", failure.message, hint, at_once=False)
        raise Ended(Result.PENDING, failure.message, hint)
    if failure.kind in _LASTING:
        raise Ended(Result.LATE, failure.full_message, "the job stays open; run `contentops apply` again")
    if failure.kind is FailureKind.THROTTLED and not ctx.may_wait(failure, ctx.run.now()):
        raise Ended(Result.LATE, failure.full_message, AGAIN)


# --- fetch -----------------------------------------------------------------------------------------------------


async def fetch_paid(ctx: Context, item: Item, job: Job) -> Text:
    """Return the text of a paid job from the cache, the stored content, or the job on the server."""
    if (local := _local(ctx, job)) is not None:
        return local
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
            # Someone may have changed the title since: what the job gave is known.
            is_same = not job.title or title_digest(content.title) == title_digest(job.title)
            is_as_made = is_same or is_as_created(content)
            made = content if is_as_made else structs.replace(content, title=job.title)
            return keep_text(ctx, SentJob(job=job), made, verbatim=is_as_made)
        else:
            why = f"content `{job.content_id}` has no text"
    if not job.job_id:
        hint = f"`contentops state resolve {item.id}`, or run `contentops apply` again"
        raise Ended(Result.UNKNOWN, f"its paid text cannot be found: {why}", hint)
    return await poll(ctx, item, SentJob(job=job))


def _other_item(item: Item, job: Job, content: Content) -> str:
    """Return the other item that a stored content's metadata names, or an empty string if it names none."""
    owner = StoredContent.of(content).item
    return owner if owner not in {"", job.item, item.id} else ""


def _local(ctx: Context, job: Job) -> Text | None:
    """Return the text that this job made, or None if it is not on this machine. Other attempts' texts do not count."""
    body = ctx.text(job.body) if job.body else None
    return None if body is None else Text.of(job, body, ctx.cache.front(job.body))


async def fetch_recorded(ctx: Context, item: Item, record: Record) -> Text:
    """Return the recorded text of an item whose file was deleted."""
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
    """Return the text `wanted` of a record, or None if the text is not on this machine."""
    body, made_by = ctx.text(wanted), ctx.made_by(record)
    if body is None or made_by is None or made_by.body != wanted:
        return None if body is None else Text(title=record.title, body=body)
    return Text(title=made_by.title, body=body, content_id=made_by.content_id, from_earlier_run=True)


def with_body(answers: Sequence[Content | JobStatus | Failure], wanted: Digest) -> Text | None:
    """Return the text of the first server reply that has a body with the digest `wanted`."""
    for answer in answers:
        if isinstance(answer, Failure):
            continue
        content_id, whole = (answer.id, answer.whole) if isinstance(answer, Content) else ("", "")
        body = next((clean_body(text) for text in (answer.body, whole) if text and body_digest(text) == wanted), "")
        if body:
            return Text(title=clean_title(answer.title), body=body, content_id=content_id)
    return None


# --- collect ---------------------------------------------------------------------------------------------------


async def collect(ctx: Context, item: Item, item_state: ItemState, step: Collect) -> ItemState:
    """Put the text of a job into the cache although no change needs the text. Raises Ended.

    It writes no file.
    """
    job, text = step.job, None
    if job.state is JobState.PAID:
        try:
            text = await fetch_paid(ctx, item, job)
        except Ended as end:
            if end.gone:
                # The text is lost, and no item waits for it: an open job would only repeat this.
                ctx.run.record("lost", Drop(job.request_id, lost=True))
            raise
    else:
        sent_job: SentJob | Text = SentJob(job=job)
        if job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
            sent_job = await collect_lost(ctx, item, job)
        text = await poll(ctx, item, sent_job) if isinstance(sent_job, SentJob) else sent_job
    return note_new_section(ctx, item, item_state, text)
