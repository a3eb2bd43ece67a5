"""Find out what became of a submit whose answer was lost, by our id or by the content it left; pays for nothing."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import GetContent, GetStatus
from contentops.api.replies import Content, Failure, FailureKind, JobStatus
from contentops.documents.clean import clean_body
from contentops.execution.context import seconds_of
from contentops.execution.effects import Sleep
from contentops.execution.entries import accepted, keep_text
from contentops.execution.searching import SLACK
from contentops.model import JobState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from contentops.api.replies import ContentEntry
    from contentops.execution.context import Context
    from contentops.execution.effects import Effect
    from contentops.execution.item import ItemRun

CANDIDATES = 10
"""Stored contents looked at in one run for texts of ours."""
_UNIQUE = 16
"""Letters from which on a server's id for a job is taken for no counter, which may begin again."""
SETTLED = 15.0
"""Seconds after its answer was lost in which a submit may still arrive: a gateway answers before its backend."""
UNSEEN = 60.0
"""Seconds until a server shows a job by its id, where it has not shown one yet."""
LONGEST = 250.0
"""Seconds after its intent by which the answer to a submit was lost, whatever became of the process."""
GRAIN = 0.01
"""Seconds that keep sums of times from falling short by a rounding error."""


class Found(enum.Enum):
    """What a look brought."""

    JOB = enum.auto()
    """The job runs or has ended: `run.entry` names it. Or its stored text was found: `run.text` holds it."""
    NOTHING = enum.auto()
    """The server proves that it never saw the submit."""
    UNCLEAR = enum.auto()
    """Nobody can say."""


def look(run: ItemRun, *, last: bool) -> Generator[Effect, object, Found]:
    """Ask for our id, and where that proves nothing, for a stored content that carries it.

    Only the `last` look waits longer than a few seconds for the server's silence to count.
    """
    ctx = run.ctx
    if ctx.traits.honours_ids is not False:
        found = yield from _by_id(run)
        patience = (UNSEEN if last else SETTLED) + 1
        if found is Found.NOTHING and _proves(ctx) and 0 < (wait := _unsettled(run)) <= patience:
            yield Sleep(ctx.now() + wait + GRAIN)
            found = yield from _by_id(run)
        if found is Found.JOB or (found is Found.NOTHING and _proves(ctx) and not _unsettled(run)):
            return found
    return (yield from by_content(run))


def _by_id(run: ItemRun) -> Generator[Effect, object, Found]:
    answer = yield from run.ctx.ask(GetStatus(run.the_entry.request_id))
    if isinstance(answer, JobStatus):
        accepted(run, run.the_entry.request_id)
        return Found.JOB
    absent = isinstance(answer, Failure) and answer.kind is FailureKind.NOT_FOUND
    return Found.NOTHING if absent else Found.UNCLEAR


def _proves(ctx: Context) -> bool:
    """Whether a 404 for our id means that nothing arrived."""
    return ctx.traits.honours_ids is True and not ctx.traits.hides_jobs


def _unsettled(run: ItemRun) -> float:
    """Seconds until the server's silence counts: it would show the job by then, and nothing can arrive any more."""
    ctx = run.ctx
    if ctx.server == "local":
        return 0.0
    shown = UNSEEN if ctx.traits.shows_after is None else ctx.traits.shows_after
    sent = _sent(run)
    if run.lost is None:
        # Lost by a process that is gone: at the latest when it gave up, or just now.
        run.lost = min(ctx.now(), sent + LONGEST)
    return max(0.0, sent + shown - ctx.now(), run.lost + SETTLED - ctx.now())


def _sent(run: ItemRun) -> float:
    """The loop time at which the submit was sent, at the latest."""
    ctx = run.ctx
    if run.intended is not None:
        return run.intended
    sent = seconds_of(run.the_entry.submitted_at)
    if sent is None:
        return ctx.now() - UNSEEN
    if (age := ctx.wall() - sent) >= 0:
        # The time on record has lost its fraction of a second.
        return ctx.now() - age + 1
    # The clock was set back since: the intent looks like the future, which must not make us wait for it.
    return run.lost if run.lost is not None else ctx.now()


def by_content(run: ItemRun) -> Generator[Effect, object, Found]:
    """Search the stored contents for one that carries our id, or its job's, likeliest first by their time."""
    ctx, entry = run.ctx, run.the_entry
    sent = seconds_of(entry.submitted_at)
    if sent is None or ctx.fetched >= CANDIDATES:
        return Found.UNCLEAR
    entries = yield from ctx.list_content(needed=entry.state in (JobState.SUBMITTING, JobState.UNKNOWN))
    if isinstance(entries, Failure):
        return Found.UNCLEAR
    near = _near(run, entries, sent)
    ours = {entry.request_id, entry.job_id} - {""}
    if run.not_there and len(entry.job_id) < _UNIQUE:
        # A server that has forgotten the job may have given its id to another one.
        ours = {entry.request_id}
    for found in near:
        if ctx.shelf.requests.get(found.id) not in {None, *ours}:
            continue
        if ctx.fetched >= CANDIDATES:
            break
        ctx.fetched += 1
        content = yield from ctx.ask(GetContent(found.id))
        if not isinstance(content, Content) or not clean_body(content.body):
            continue
        named = content.metadata.get("request_id")
        ctx.shelf.requests[found.id] = named = named if isinstance(named, str) else ""
        if named in ours:
            _take(run, content)
            return Found.JOB
    left = [f"`{found.id}`" for found in near if found.id not in ctx.owned]
    run.candidates = "; stored at about that time and owned by no item: " + ", ".join(left[:5]) if left else ""
    return Found.UNCLEAR


def _take(run: ItemRun, content: Content) -> None:
    """Keep the stored text of our request."""
    ctx, entry = run.ctx, run.the_entry
    if entry.state in (JobState.SUBMITTING, JobState.UNKNOWN):
        if run.intended is not None:
            run.credits += entry.credits
        # The job's own id stays unknown: its content proves nothing about how this server names jobs.
        entry = structs.replace(entry, job_id="")
    ctx.refused = 0
    run.entry = structs.replace(entry, state=JobState.RUNNING)
    keep_text(run, content.title, content.body, content.id)


def _near(run: ItemRun, entries: Iterable[ContentEntry], sent: float) -> list[ContentEntry]:
    """The contents of nobody that the job may have left, nearest first to when it should have.

    The server's clock may be off: what proves a text ours is the id it carries, never its time.
    """
    ctx = run.ctx
    first, last = sent - SLACK, sent + ctx.project.api.job_timeout + SLACK
    due = sent + ctx.durations.median(run.kind)
    made = [(seconds_of(found.created_at), found) for found in entries if found.id not in ctx.owned]
    timed = [(abs(at - due), found) for at, found in made if at is not None and first <= at <= last]
    return [found for _, found in sorted(timed, key=lambda each: each[0])]
