"""Carry out a plan: renames first, then every item's steps at once, checkpoints between, the count at the end."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.errors import FileChanged, OutputError, StateError
from contentops.execution import files, generate, jobs, saving
from contentops.execution.context import Context, Traits
from contentops.execution.durations import Durations
from contentops.execution.effects import Stopped
from contentops.execution.forecast import seconds_left
from contentops.execution.item import Ended, ItemRun
from contentops.execution.limiter import Limiter
from contentops.execution.scheduler import Gate, Scheduler
from contentops.model import (
    Acknowledge,
    Action,
    Drain,
    Fetch,
    JobState,
    LookUp,
    Outcome,
    Poll,
    Remove,
    Result,
    Run,
    Save,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.model import Move as MoveStep
from contentops.planning.body import is_protected
from contentops.planning.moves import Move, order_moves
from contentops.planning.situation import honours_ids, open_entries
from contentops.state.lines import Forget

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from contentops.api.calls import Call
    from contentops.api.replies import Failure, Reply
    from contentops.documents.files import Outputs
    from contentops.execution.effects import Effect
    from contentops.execution.stop import Stop
    from contentops.model import Event, ItemId, OpenEntry, Plan, Project, State, Step
    from contentops.state.cache import Cache
    from contentops.state.store import StateStore

CHECKPOINT_EVERY = 60.0
"""Seconds between checkpoints of the lock while a run goes on."""
HEARTBEAT = 15.0
"""Seconds between events that say what the run waits for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The world an apply touches, passed in."""

    store: StateStore
    cache: Cache
    outputs: Outputs
    send: Callable[[Call], Awaitable[Reply | Failure]]
    emit: Callable[[Event], None]
    wall: Callable[[], float]
    random: random.Random


async def execute(
    project: Project,
    plan: Plan,
    state: State,
    edges: Edges,
    *,
    stop: Stop,
    deadline: float | None = None,
    swaps: Mapping[ItemId, ItemId] | None = None,
) -> Run:
    """Run exactly the steps of `plan`, made from `state`, and say what happened.

    `deadline` is seconds from now; `swaps` is as `planner.situation.swapped` gives it. Raises StateError where lock,
    journal or cache cannot be written; everything recorded until then is kept.
    """
    loop = asyncio.get_running_loop()
    settings = project.api
    learned = dict(edges.cache.durations())
    here = learned.get(plan.server)
    durations = Durations.load(here if isinstance(here, dict) else {})
    traits = _traits(edges.cache, state, plan.server)
    _check_cache(edges.cache, plan, traits)
    gate = Gate(
        max_in_flight=settings.max_in_flight,
        proven=_proven(state, plan, settings.dialect),
        # A journal does not show whether the run that began it came to the end of its questions.
        ask_first=traits.honours_ids is not False,
    )
    limit = 0 if plan.server == "local" else settings.requests_per_minute
    ctx = Context(
        project=project,
        plan=plan,
        store=edges.store,
        cache=edges.cache,
        outputs=edges.outputs,
        durations=durations,
        gate=gate,
        traits=traits,
        emit=edges.emit,
        now=loop.time,
        wall=edges.wall,
        random=edges.random,
        halt=lambda: scheduler.stop(loop.time()),
        owned=_owned(state, plan.server),
        swaps=swaps or {},
    )
    if deadline is not None:
        ctx.deadline = loop.time() + deadline
    outcomes: dict[ItemId, Outcome] = {}

    async def send(call: Call) -> Reply | Failure:
        answer = await edges.send(call)
        ctx.heard(answer)
        return answer

    scheduler = Scheduler(
        send=send,
        flush=edges.store.flush,
        tick=_Tick(ctx, stop, loop.time(), lambda: seconds_left(ctx, limit, outcomes)),
        limiter=Limiter(limit),
        durations=durations,
        gate=gate,
        per_minute=limit,
    )

    def wake() -> None:
        loop.call_soon_threadsafe(scheduler.wake)

    stop.bind(wake)
    started = ctx.iso()
    ctx.event("run-started", items=len(plan.changes), credits=plan.credits, submits=plan.submits)
    try:
        _write_renamed_ids(ctx, state)
        runs = _start(ctx, state)
        _move_files(ctx, runs, outcomes)
        programs = [_program(run, outcomes) for run in runs.values() if run.change.id not in outcomes]
        await scheduler.run(programs)
    finally:
        stop.bind(None)
        edges.store.checkpoint()
        edges.cache.put_durations({**learned, plan.server: durations.seen})
        edges.cache.put_server_facts(plan.server, ctx.traits.as_json())
    run = Run(
        id=str(uuid.UUID(int=edges.random.getrandbits(128), version=4)),
        plan_id=plan.id,
        environment=plan.environment,
        server=plan.server,
        started_at=started,
        ended_at=ctx.iso(),
        outcomes=tuple(outcomes[change.id] for change in plan.changes if change.id in outcomes),
        requests=scheduler.requests,
        stopped=ctx.stopped,
        message=ctx.message,
        hint=ctx.hint,
    )
    ctx.event("run-done", credits=run.credits, requests=run.requests)
    return run


class _Tick:
    """What happens between turns: stop, deadline, checkpoint, heartbeat."""

    def __init__(self, ctx: Context, stop: Stop, now: float, left: Callable[[], float | None]) -> None:
        self._ctx, self._stop, self._left = ctx, stop, left
        self._checkpoint = now + CHECKPOINT_EVERY
        self._heartbeat = now + HEARTBEAT

    def __call__(self, scheduler: Scheduler, now: float) -> None:
        ctx = self._ctx
        again = "run `contentops apply`; it goes on where this stopped"
        if self._stop.requested and ctx.stopped != "interrupted":
            ctx.stopped = ""
            ctx.stop("interrupted", "interrupted; nothing more was submitted", again, at_once=True)
            ctx.store.checkpoint()
        if ctx.deadline is not None and now >= ctx.deadline and not ctx.stopped:
            ctx.stop("deadline", "the deadline has come; nothing more was submitted", again, at_once=True)
        if now >= self._checkpoint:
            self._checkpoint = now + CHECKPOINT_EVERY
            ctx.store.checkpoint()
        if now >= self._heartbeat:
            self._heartbeat = now + HEARTBEAT
            what, until = scheduler.waiting_for(now)
            seconds = round(max(0.0, until - now), 1) if until else None
            left = None if what == "retry" or not ctx.reached else self._left()
            ctx.event("waiting", on=what, seconds=seconds, left=left)


def _check_cache(cache: Cache, plan: Plan, traits: Traits) -> None:
    """Refuse to pay for texts that could not be kept. Raises StateError."""
    cache.put_server_facts(plan.server, traits.as_json())
    if plan.submits and cache.problem:
        raise StateError(
            f"the cache cannot keep a paid text: {cache.problem}",
            code="text-not-kept",
            hint="nothing was submitted; delete `.contentops/cache`, or make room, and run again",
        )


def _proven(state: State, plan: Plan, dialect: str) -> bool:
    """Whether a job has completed on this server in this dialect before."""
    return plan.server == "local" or any(
        record.server == plan.server and record.dialect == dialect and record.job_id and record.generated
        for record in state.records.values()
    )


def _owned(state: State, server: str) -> set[str]:
    found: set[str] = set()
    for record in state.records.values():
        if record.server == server:
            found.update((record.content_id, *record.superseded))
    return found - {""}


def _traits(cache: Cache, state: State, server: str) -> Traits:
    known = cache.server_facts(server)
    shows = known.get("shows_after")
    return Traits(
        honours_ids=honours_ids(state, server),
        hides_jobs=known.get("hides_jobs") is True,
        shows_after=shows if isinstance(shows, int | float) and not isinstance(shows, bool) and shows >= 0 else None,
        stores_jobs=known.get("stores_jobs") if isinstance(known.get("stores_jobs"), bool) else None,
        creates_only=known.get("creates_only") is True,
        alters_texts=_alters_texts(state, server, known.get("alters_texts")),
    )


def _alters_texts(state: State, server: str, known: object) -> bool | None:
    """Whether the server changes what it stores: one text it gave back otherwise proves it, also without the cache."""
    saves = (record.saved for record in state.records.values() if record.server == server)
    if known is True or any(saved.server_body not in (NOTHING, saved.body) for saved in saves if saved is not None):
        return True
    return False if known is False or server == "local" else None


def _write_renamed_ids(ctx: Context, state: State) -> None:
    """Write all ids that `moved` pairs gave, in one go: a swap half written would mix two items up."""
    before = ctx.store.state
    fresh = [record for id_, record in state.records.items() if before.records.get(id_) != record]
    moved = [record for record in fresh if record.moved_from]
    entries = [entry for key, entry in state.entries.items() if before.entries.get(key) != entry]
    if not moved and not entries:
        return
    planned = {change.id for change in ctx.plan.changes}
    moved = [structs.replace(one, plan_id=ctx.plan.id) if one.id in planned else one for one in moved]
    gone = [Forget(id_) for id_ in before.records if id_ not in state.records]
    ctx.store.note("moved", *moved, *gone, *entries)
    ctx.store.flush()


def _start(ctx: Context, state: State) -> dict[ItemId, ItemRun]:
    failed: dict[ItemId, list[OpenEntry]] = {}
    for item, entries in open_entries(state, ctx.server).items():
        failed[item] = [entry for entry in entries if entry.state is JobState.FAILED]
    runs = {}
    for change in ctx.plan.changes:
        digest = change.spec.digest if change.spec else None
        runs[change.id] = ItemRun(
            ctx=ctx,
            change=change,
            record=change.record,
            entry=change.entry,
            expected=change.file.file,
            path=change.source,
            may_submit=change.submits > 0,
            failed=tuple(entry for entry in failed.get(change.id, ()) if digest in (None, entry.digest)),
        )
    return runs


# --- moves -------------------------------------------------------------------------------------------------


def _move_files(ctx: Context, runs: dict[ItemId, ItemRun], outcomes: dict[ItemId, Outcome]) -> None:
    moving = [run for run in runs.values() if run.change.has(MoveStep)]
    wanted = [Move(run.change.id, run.path, run.change.target) for run in moving if run.path != run.change.target]
    for run in moving:
        if run.path == run.change.target:
            _moved(run, run.path)
    for move in order_moves(wanted):
        run = runs[move.item]
        if run.change.id in outcomes:
            continue
        try:
            ctx.outputs.move(move.source, move.target, expect=run.expected)
        except FileChanged as error:
            if not _stands(run, move):
                outcomes[run.change.id] = _outcome(run, Result.BLOCKED, error.message, error.hint)
                continue
        except OutputError as error:
            outcomes[run.change.id] = _outcome(run, Result.BLOCKED, error.message, error.hint)
            continue
        _moved(run, move.target)
        ctx.store.flush()


def _stands(run: ItemRun, move: Move) -> bool:
    """Whether the move has happened already: its source is gone, and the target holds this very file."""
    here, there = run.ctx.outputs.observe(move.source), run.ctx.outputs.observe(move.target)
    return not here.exists and there.file == run.expected


def _moved(run: ItemRun, path: str) -> None:
    run.path = path
    record = run.record
    assert record is not None
    # Whose text it is stays as it was: the steps that give it another one may never come.
    protected = is_protected(run.spec, record)
    record = structs.replace(record, id=run.spec.id, output=path, protected=protected, plan_id=run.ctx.plan.id)
    files.note(run, "move", record)
    if path == run.change.target:
        run.done.append("move")
        run.ctx.event("step-done", run.change.id, "move", path=path)


# --- one item ----------------------------------------------------------------------------------------------


def _program(run: ItemRun, outcomes: dict[ItemId, Outcome]) -> Generator[Effect, object, None]:
    """All steps of one item; every way it can end becomes its outcome."""
    change, ctx = run.change, run.ctx
    ctx.event("item-started", change.id, action=change.action)
    try:
        for step in change.steps:
            name = name_of(step)
            if isinstance(step, MoveStep) or name in run.done:
                continue  # moved before, or one of several drains, which are carried out together
            ctx.event("step-started", change.id, name)
            yield from _step(run, step)
            run.done.append(name)
            if ctx.last_done != (change.id, name):
                # Steps that know more than that tell it themselves.
                ctx.event("step-done", change.id, name)
        outcome = _end(run)
    except Ended as end:
        outcome = _outcome(run, end.result, end.error, end.hint)
    except Stopped:
        outcome = _stopped(run)
    except OutputError as error:
        outcome = _outcome(run, Result.FAILED, error.message, error.hint)
    finally:
        run.leave()
    outcomes[change.id] = outcome
    ctx.event(
        "item-done",
        change.id,
        result=outcome.result,
        action=change.action,
        output=outcome.output,
        error=outcome.error,
        credits=outcome.credits,
    )


def _end(run: ItemRun) -> Outcome:
    """The outcome of an item whose steps are all carried out."""
    change = run.change
    if change.blocked:
        return _outcome(run, Result.BLOCKED, change.hint or change.blocked)
    for entry, end in run.drained:
        if all(isinstance(step, Drain) for step in change.steps):
            return _outcome(run, end.result, end.error, end.hint)
        if _is_left(run, entry):
            return _outcome(run, end.result, f"the job of an earlier request: {end.error}", end.hint)
    return _outcome(run, Result.DONE)


def _is_left(run: ItemRun, entry: OpenEntry) -> bool:
    """Whether a job is still to be drained: the next plan lists it again."""
    kept = run.ctx.store.entry(entry.request_id)
    return kept is not None and kept.state in (JobState.RUNNING, JobState.PAID)


def _step(run: ItemRun, step: Step) -> Generator[Effect, object, None]:
    if (talking := _TALKING.get(type(step))) is not None:
        yield from talking(run)
    else:
        _ON_DISK[type(step)](run)


_TALKING: dict[type[Step], Callable[[ItemRun], Generator[Effect, object, None]]] = {
    Drain: jobs.drain,
    LookUp: generate.look_up,
    Submit: generate.submit,
    Poll: jobs.poll,
    Fetch: files.fetch,
    Save: saving.save,
}
_ON_DISK: dict[type[Step], Callable[[ItemRun], None]] = {
    Write: files.write,
    Update: files.update_front,
    Remove: files.remove,
    Acknowledge: files.record_only,
}


def _stopped(run: ItemRun) -> Outcome:
    """How an item ended that the stop of the run caught waiting."""
    entry = run.entry
    lost = entry is not None and entry.state is JobState.SUBMITTING and run.intended is not None
    if entry is not None and (entry.state is JobState.UNKNOWN or lost):
        hint = f"`contentops state resolve {run.change.id}`, or run `contentops apply` again"
        return _outcome(run, Result.UNKNOWN, entry.error, hint)
    if entry is not None and entry.state is JobState.RUNNING:
        return _outcome(run, Result.PENDING, "", "its job goes on; the next apply polls it")
    return _outcome(run, Result.PENDING)


def _outcome(run: ItemRun, result: Result, error: str = "", hint: str = "") -> Outcome:
    change = run.change
    return Outcome(
        id=change.id,
        action=change.action if change.action is not Action.NONE else Action.UPDATE,
        result=result,
        steps=tuple(run.done),
        credits=run.credits,
        output=run.path or change.target,
        error=error,
        hint=hint,
    )
