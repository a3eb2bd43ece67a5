"""Find out what became of a submit whose answer was lost, by our id or by the content it left; pays for nothing."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from contentops.api.calls import GetContent, Status
from contentops.api.replies import Content, Failure, FailureKind, JobStatus
from contentops.executor.context import FETCHES, seconds_of
from contentops.executor.effects import Sleep
from contentops.executor.entries import accepted, keep_text
from contentops.model import JobState

if TYPE_CHECKING:
    from collections.abc import Generator

    from contentops.api.replies import ContentEntry
    from contentops.executor.context import Context
    from contentops.executor.effects import Effect
    from contentops.executor.item import ItemRun

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
    answer = yield from run.ctx.ask(Status(run.the_entry.request_id))
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
    """Search the stored contents of the time in question for one that carries our id."""
    ctx, entry = run.ctx, run.the_entry
    sent = seconds_of(entry.submitted_at)
    if sent is None or ctx.fetched >= FETCHES:
        return Found.UNCLEAR
    entries = yield from ctx.list_content()
    if isinstance(entries, Failure):
        return Found.UNCLEAR
    near = [found for found in entries if found.id not in ctx.owned and _made_by(ctx, found, sent)]
    for found in near:
        if ctx.fetched >= FETCHES:
            break
        ctx.fetched += 1
        content = yield from ctx.ask(GetContent(found.id))
        if isinstance(content, Content) and content.metadata.get("request_id") == entry.request_id and content.body:
            if run.intended is not None:
                run.credits += entry.credits
            ctx.refused = 0
            # The job's own id stays unknown: its content proves nothing about how this server names jobs.
            run.entry = dataclasses.replace(entry, state=JobState.RUNNING, job_id="")
            keep_text(run, content.title, content.body, content.id)
            return Found.JOB
    left = [f"`{found.id}`" for found in near if found.id not in ctx.owned]
    run.candidates = "; stored at that time and owned by no item: " + ", ".join(left[:5]) if left else ""
    return Found.UNCLEAR


def _made_by(ctx: Context, found: ContentEntry, sent: float) -> bool:
    made = seconds_of(found.created_at)
    return made is not None and sent - SETTLED <= made <= sent + ctx.project.api.job_timeout
