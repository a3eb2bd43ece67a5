"""Carries out a plan: moves files first, then carries out the steps of each item, and returns the results."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import MappingProxyType
from typing import Any

from msgspec import structs

from contentops.api.calls import Call, Failure, Reply
from contentops.api.session import MayLeave
from contentops.errors import NotShared, StateError, plural
from contentops.execution.contents import ContentIndex
from contentops.execution.durable_run import UNSHARED, DurableRun
from contentops.execution.limiter import Admission, Limits, Outage
from contentops.execution.primitives import Durations, Ended, Item, ItemState, Stop, Stopped
from contentops.execution.program import ItemAtState, begin, carry_out, move_files, outcome_of
from contentops.execution.run_context import Context, Edges, ServerCapabilities
from contentops.model import (
    Action,
    Change,
    ItemId,
    JobState,
    Outcome,
    Plan,
    Project,
    Result,
    Run,
    Spec,
    State,
    WaitReason,
    Write,
)
from contentops.model.desired import Stage, stage_of
from contentops.model.jobs import made_texts
from contentops.planning.select import in_order
from contentops.planning.sources import stage_coming, words
from contentops.state.codec import Forget

# ---- Carries out an item whose text, title or front matter is made from the texts of others, once these are there.


class Stages:
    """Records which stages the items have reached, and whether each stage ended as planned."""

    def __init__(self, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        self._ends: dict[tuple[ItemId, Stage], asyncio.Future[bool]] = {}
        self.unfinished: set[ItemId] = set()
        """Items whose file this run has written, but of which a later step failed."""
        for change in plan.changes:
            first = stage_coming(change)
            for stage in Stage:
                end = self._ends[change.id, stage] = loop.create_future()
                if first is None or stage < first:
                    end.set_result(True)

    def reach(self, item: ItemId, stage: Stage, *, done: bool) -> None:
        """Record that an item has reached a stage.

        Then it has also reached all stages before that one.
        """
        for each in Stage:
            end = self._ends.get((item, each))
            if end is not None and each <= stage and not end.done():
                end.set_result(done)

    def of(self, readings: Iterable[tuple[ItemId, Stage]]) -> list[asyncio.Future[bool]]:
        """Return a future for each stage that an item waits for; the future is done once the stage is reached."""
        return [self._ends[each] for each in dict.fromkeys(readings) if each in self._ends]

    def coming(self, spec: Spec) -> dict[ItemId, Stage]:
        """Return the unfinished items that `spec` uses, each with the first stage that the item has not reached."""
        ids = {one.id for one in (*spec.references, *spec.mentions)}
        ends = ((id_, stage, self._ends.get((id_, stage))) for id_ in ids for stage in reversed(Stage))
        return {id_: stage for id_, stage, end in ends if end is not None and not (end.done() and end.result())}


async def follow(ctx: Context, item: Item, item_state: ItemState, stages: Stages) -> Outcome:
    """Carry out all work on an item, stage by stage.

    A waiting item continues as soon as the texts that it reads exist.
    """
    change, spec = item.change, item.change.spec
    if change.action is Action.WAIT and not change.steps:
        outcome = await _text(ctx, change, stages) if change.waits else None
    else:
        outcome = await carry_out(ctx, item, item_state)
    is_fine = outcome is None or outcome.result is Result.DONE
    if outcome is not None and not is_fine and "write" in outcome.steps:
        stages.unfinished.add(item.id)
    names: Iterable[str] = change.updates_later if is_fine else ()
    if is_fine and change.waits and spec is not None:
        # The plan could not know what else follows from the texts that it waited for.
        names = [name for name in spec.readings if stage_of(name) is not Stage.TEXT]
    for stage in (Stage.TEXT, Stage.HEAD, Stage.FRONT):
        asked = [name for name in names if stage_of(name) is stage]
        if asked and spec is not None:
            ends = stages.of(_read(spec, asked))
            outcome = await _front(ctx, change, outcome, stages, ends)
            is_fine = is_fine and all(end.done() and end.result() for end in ends)
        stages.reach(item.id, stage, done=is_fine)
    assert outcome is not None
    return outcome


async def _text(ctx: Context, change: Change, stages: Stages) -> Outcome:
    """Wait until the item's sources have their texts, then carry out the item's steps and return its outcome.

    If they do not get their texts in this run, return the outcome of an item that still waits.
    """
    spec = change.spec
    assert spec is not None
    names = [name for name in spec.readings if stage_of(name) is Stage.TEXT]
    if not change.pays_later:
        return _waiting(change)
    try:
        if not all(await ctx.run.others(stages.of(_read(spec, names)))):
            late = [one.id for one in change.waits if one.id in stages.unfinished]
            why = [f"`{one.id}` {words(one)}" for one in change.waits if one.id not in late]
            why = [*(f"`{id_}` has its text, but is not done" for id_ in late), *why]
            return structs.replace(_waiting(change), error="; ".join(why), hint=change.hint if not late else AGAIN)
    except Stopped:
        return structs.replace(_waiting(change), error="", hint="")
    now = ctx.again(change, stages.coming(spec))
    if now is None:
        return Outcome(id=change.id, action=Action.UPDATE, result=Result.DONE, output=change.target)
    if now.action is Action.WAIT:
        return _waiting(now)
    return await _carried_out(ctx, now)


async def _front(
    ctx: Context,
    change: Change,
    before: Outcome | None,
    stages: Stages,
    ends: Sequence[asyncio.Future[bool]],
) -> Outcome:
    """Update the item's front matter from the texts that it mentions, and return the item's outcome."""
    done = before or Outcome(id=change.id, action=Action.UPDATE, result=Result.DONE, output=change.target)
    try:
        await ctx.run.others(ends)
    except Stopped:
        return done if before is not None else structs.replace(_waiting(change), error="", hint="")
    planned = structs.replace(change, pays_later=(), waits=())
    assert change.spec is not None
    now = ctx.again(planned, stages.coming(change.spec))
    if now is None or now.action is Action.WAIT:
        return done
    after = await _carried_out(ctx, now)
    if before is None or after.result is not Result.DONE:
        return after if before is None else structs.replace(before, error=after.error, hint=after.hint)
    return structs.replace(before, steps=(*before.steps, *after.steps), output=after.output)


async def _carried_out(ctx: Context, change: Change) -> Outcome:
    """Carry out a change that was planned during this run, and return the item's outcome."""
    outcomes: dict[ItemId, Outcome] = {}
    ((item, item_state),) = move_files(ctx, [begin(ctx, change)], outcomes)
    return outcomes.get(change.id) or await carry_out(ctx, item, item_state)


def _read(spec: Spec, names: Iterable[str]) -> Iterator[tuple[ItemId, Stage]]:
    """Yield the items from which the named values of `spec` are made, each with the stage to wait for."""
    without = {one.id for one in (*spec.references, *spec.mentions) if one.wait is not None}
    for name in names:
        for one in spec.readings[name]:
            # Of an item that has no text yet, also its address is not final.
            stage = one.stage or (Stage.TEXT if one.id in without else None)
            if stage is not None:
                yield one.id, stage


def _waiting(change: Change) -> Outcome:
    """Return the outcome of an item that still waits for other texts."""
    why = "; ".join(reason.detail for reason in change.reasons if reason.kind == "waits")
    return Outcome(
        id=change.id, action=Action.WAIT, result=Result.PENDING, output=change.target, error=why, hint=change.hint
    )


# ---- Carry out a plan: renames first, then every item's steps, checkpoints between, the count at the end.

CHECKPOINT_EVERY = 60.0
"""Seconds between checkpoints of the lock while a run goes on."""
HEARTBEAT = 15.0
"""Seconds between events that say what the run waits for."""
WAITING = 256
"""The most items begun in addition to those whose jobs run; it limits the memory for a large plan."""
AGAIN = "run `contentops apply`; it continues where this run stopped"


async def execute(
    project: Project,
    plan: Plan,
    state: State,
    edges: Edges,
    *,
    stop: Stop,
    renamed: Mapping[ItemId, ItemId] = MappingProxyType({}),
    deadline: float | None = None,
    is_partial: bool = False,
) -> Run:
    """Carry out exactly the steps of `plan`, and return what happened.

    The plan was made from `state`. `renamed` gives the old id for each new id from a `moved` pair. `deadline` is in
    seconds from now. `is_partial` says that a selection or a plan file leaves items out.

    Raises StateError if lock, journal or cache cannot be written, or the lock was replaced meanwhile. Everything
    recorded until then is kept.
    """
    loop = asyncio.get_running_loop()
    ctx = _assemble(project, plan, state, edges, stop, deadline)
    run = ctx.run
    stop.wake = partial(loop.call_soon_threadsafe, run.wake)
    started = ctx.iso()
    outcomes: dict[ItemId, Outcome] = {}
    ctx.event("run-started", items=len(plan.changes), credits=plan.credits, submits=plan.submits)
    try:
        _write_renamed_ids(ctx, renamed)
        _write_targets(ctx)
        items = move_files(ctx, [begin(ctx, change) for change in plan.changes], outcomes)
        run.every(CHECKPOINT_EVERY, edges.store.checkpoint)
        run.every(HEARTBEAT, lambda: _heartbeat(ctx))
        if ctx.deadline is not None:
            late = "the deadline was reached; nothing more was submitted"
            run.at(ctx.deadline, partial(run.stop, "deadline", late, AGAIN, at_once=True))
        await run.carry_out(_programs(ctx, items, outcomes), most=project.api.max_in_flight + WAITING)
    finally:
        stop.wake = None
        run.close()
        _last_checkpoint(ctx)
        learned = edges.cache.recall("durations", dict[str, Any]) or {}
        edges.cache.remember("durations", {**learned, plan.server: ctx.durations.seen})
        ctx.capabilities.keep(edges.cache, plan.server)
    if is_partial and not run.stopped and (elsewhere := _not_selected(plan, outcomes)):
        verb = "waits" if elsewhere == 1 else "wait"
        message = f"{plural(elsewhere, 'item')} {verb} for texts of items that are not selected"
        run.stop("sources", message, "apply again once these have their texts, or select them too", at_once=False)
    done = Run(
        id=str(uuid.UUID(int=edges.random.getrandbits(128), version=4)),
        plan_id=plan.id,
        environment=plan.environment,
        server=plan.server,
        started_at=started,
        ended_at=ctx.iso(),
        outcomes=tuple(outcomes[change.id] for change in plan.changes if change.id in outcomes),
        requests=edges.requests + run.requests,
        stopped=run.stopped,
        message=run.message,
        hint=run.hint,
    )
    ctx.event("run-done", credits=done.credits, requests=done.requests)
    return done


def _not_selected(plan: Plan, outcomes: Mapping[ItemId, Outcome]) -> int:
    """Return how many items wait for texts of items that are not in this plan."""
    known = {change.id for change in plan.changes}
    waiting = (change for change in plan.changes if change.id in outcomes and change.action is Action.WAIT)
    comes = {WaitReason.NO_TEXT, WaitReason.CHANGES}
    return sum(
        outcomes[change.id].action is Action.WAIT
        and any(one.wait in comes and one.id not in known for one in change.waits)
        for change in waiting
    )


def _assemble(project: Project, plan: Plan, state: State, edges: Edges, stop: Stop, deadline: float | None) -> Context:
    """Return the context of the run. Raises StateError if a paid text could not be kept."""
    capabilities = ServerCapabilities.load(edges.cache, state, plan.server)
    capabilities.keep(edges.cache, plan.server)
    if plan.submits_worst and edges.cache.problem:
        raise StateError(
            f"the cache cannot keep a paid text: {edges.cache.problem}",
            code="text-not-kept",
            hint="nothing was submitted; free some space or delete `.contentops/cache`, then run again",
        )
    admission = Admission(
        max_in_flight=project.api.max_in_flight,
        proven=_is_proven(state, plan, edges.dialect(), has_model=project.api.has_model),
        # Without a ledger, or with an empty one, another machine may have paid: a journal does not show whether the run
        # that began it has asked for all its ids.
        ask_first=capabilities.honours_ids is not False and not edges.knows_texts,
    )
    learned = edges.cache.recall("durations", dict[str, Any]) or {}
    durations = Durations.load(learned.get(plan.server), plan.server)
    outage = Outage(edges.random)

    async def deliver(call: Call, may_leave: MayLeave) -> Reply | Failure:
        return await ctx.deliver(call, may_leave)

    run = DurableRun(
        edges.store,
        Limits(edges.limiter, admission, outage),
        durations,
        send=deliver,
        fence=edges.fence,
        on_turn=lambda: _check_stop(ctx, stop),
    )
    outside: dict[str, Any] = {each.name: getattr(edges, each.name) for each in fields(edges)}
    ctx = Context(
        **outside,
        project=project,
        plan=plan,
        state=state,
        run=run,
        admission=admission,
        durations=durations,
        capabilities=capabilities,
        index=ContentIndex(owners=edges.owners),
        outage=outage,
        made=made_texts(state),
        orders={
            name: job.item
            for job in state.open_jobs.values()
            if job.server == plan.server and job.state is not JobState.FAILED
            for name in (job.request_id, job.job_id)
        },
        deadline=None if deadline is None else run.now() + deadline,
    )
    return ctx


def _last_checkpoint(ctx: Context) -> None:
    try:
        ctx.store.checkpoint()
    except NotShared as error:
        ctx.run.stop(UNSHARED, error.message, error.hint, at_once=True)
        ctx.store.checkpoint()


def _check_stop(ctx: Context, stop: Stop) -> None:
    """Stop the run if a person asked for it."""
    if stop.requested and ctx.run.stopped != "interrupted":
        ctx.run.stopped = ""
        ctx.run.stop("interrupted", "interrupted; nothing more was submitted", AGAIN, at_once=True)
        ctx.store.checkpoint()


def _heartbeat(ctx: Context) -> None:
    reason, until = ctx.run.waiting_for()
    ctx.stop_with_others(reason, until)
    seconds = round(max(0.0, until - ctx.now()), 1) if until else None
    why = ctx.outage.why if reason == "retry" else ""
    ctx.event("waiting", on=reason, seconds=seconds, why=why)


def _programs(
    ctx: Context, items: Iterable[ItemAtState], outcomes: dict[ItemId, Outcome]
) -> Iterator[Coroutine[None, None, None]]:
    """Yield a coroutine for each item, first for items that pay nothing, and last for items that wait."""
    waiting = [(item, item_state) for item, item_state in items if item.id not in outcomes]

    stages = Stages(ctx.plan)
    for id_, outcome in outcomes.items():
        stages.reach(id_, Stage.FRONT, done=outcome.result is Result.DONE)

    async def program(item: Item, item_state: ItemState) -> None:
        try:
            outcomes[item.id] = await follow(ctx, item, item_state, stages)
        except NotShared as error:
            ctx.run.stop(UNSHARED, error.message, error.hint, at_once=True)
            outcomes[item.id] = outcome_of(ctx, item, item_state, Ended(Result.PENDING))
        finally:
            stages.reach(item.id, Stage.FRONT, done=False)

    waits = {item.id: [one.id for one in item.change.waits] for item, _ in waiting if item.change.action is Action.WAIT}
    order = {id_: number for number, id_ in enumerate(in_order(waits))}
    for item, item_state in sorted(waiting, key=lambda each: _turn(each[0], order)):
        yield program(item, item_state)


def _turn(item: Item, order: Mapping[ItemId, int]) -> tuple[int, int]:
    """Return the key by which the items of a run are sorted.

    Items that pay nothing come first, then those that pay, then those that wait. An item that waits comes after its
    sources.
    """
    change = item.change
    return (2, order[item.id]) if change.action is Action.WAIT else (int(change.submits_worst > 0), 0)


def _is_proven(state: State, plan: Plan, dialect: str, *, has_model: bool) -> bool:
    """Return whether the server of this plan has completed a job with this dialect and kind of model."""
    return (plan.server == "local" and not has_model) or any(
        job.server == plan.server and job.dialect == dialect and job.has_text and (job.model or not has_model)
        for job in state.jobs
    )


def _write_renamed_ids(ctx: Context, renamed: Mapping[ItemId, ItemId]) -> None:
    """Record the new ids of all renamed items in one step, because recording only some would mix up items."""
    if not renamed:
        return
    moved = [structs.replace(ctx.state.records[old], id=new) for new, old in renamed.items()]
    forgotten = (Forget(id_) for id_ in renamed.values() if id_ not in renamed)
    ctx.store.note("moved", *moved, *forgotten)
    ctx.store.flush()


def _write_targets(ctx: Context) -> None:
    """Record the target paths of running jobs in the file of jobs.

    The files are then known before a record names them.
    """
    under_way = [change.job for change in ctx.plan.changes if change.has(Write)]
    ours = [job for job in under_way if job is not None and job.output]
    ctx.store.note("target", *(job for job in ours if ctx.store.open_job(job.request_id) not in (None, job)))
    ctx.store.flush()
