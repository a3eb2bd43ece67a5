"""Carry out a plan: renames first, then every item's steps, checkpoints between, the count at the end."""

from __future__ import annotations

import asyncio
import math
import uuid
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import NotShared, StateError, plural
from contentops.execution.assemble_run import ServerKnowledge, assemble
from contentops.execution.content_index import ContentIndex, Looked
from contentops.execution.durable_run import UNSHARED
from contentops.execution.durations import Durations, kind_of
from contentops.execution.first_contact import admit
from contentops.execution.follow import Stages, follow
from contentops.execution.primitives import Ended
from contentops.execution.program import begin, move_files, outcome_of
from contentops.execution.run_context import ServerCapabilities
from contentops.model import Action, Poll, Result, Run, Submit, WaitReason, Write
from contentops.model.jobs import made_texts
from contentops.model.references import Stage
from contentops.planning.dependants import in_order
from contentops.state.codec import Forget

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine, Iterable, Iterator, Mapping

    from contentops.execution.assemble_run import Edges
    from contentops.execution.durable_run import DurableRun
    from contentops.execution.primitives import Item, ItemState, Stop
    from contentops.execution.program import ItemAtState
    from contentops.execution.run_context import Context
    from contentops.model import ItemId, Outcome, Plan, Project, State
    from contentops.state.store import StateStore

REQUESTS = 3
"""Requests an item takes: submit, poll, save."""


def seconds_left(ctx: Context, per_minute: int, done: Container[ItemId]) -> float | None:
    """Seconds until all items are done, or None where that is unknown.

    The requests through the limit or the jobs, whichever takes longer. The first job of a server runs alone.
    """
    admission = ctx.admission
    changes = [change for change in ctx.plan.changes if change.id not in done]
    requests = REQUESTS * len(changes) * 60.0 / per_minute if per_minute else 0.0
    jobs = [change for change in changes if change.has(Submit, Poll)]
    if not jobs:
        return round(requests) or None
    estimates = [ctx.durations.estimate(kind) for kind in {kind_of(change.spec) for change in jobs}]
    known = [one for one in estimates if one is not None]
    if len(known) < len(estimates):
        return None
    one = max(known)
    alone = 0 if admission.proven else 1
    turns = alone + math.ceil((len(jobs) - alone) / admission.max_in_flight)
    since = ctx.run.now() - admission.progress_at if admission.running else 0.0
    if since > one and turns * one > requests:
        return None  # the jobs take longer than all known ones
    return round(max(requests, turns * one - min(since, one))) or None


CHECKPOINT_EVERY = 60.0
"""Seconds between checkpoints of the lock while a run goes on."""
HEARTBEAT = 15.0
"""Seconds between events that say what the run waits for."""
WAITING = 256
"""Items begun beyond those whose jobs run, at most; keeps the memory of a large plan small."""
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
) -> Run:
    """Run exactly the steps of `plan`, made from `state`, and return what happened.

    `renamed`: ids that `moved` pairs gave, each with the old one. `deadline` is seconds from now. Raises StateError
    where lock, journal or cache cannot be written, or the lock was replaced meanwhile; everything recorded until then
    is kept.
    """
    loop = asyncio.get_running_loop()
    ctx = _assemble(project, plan, state, edges, stop, deadline)
    run = ctx.run
    learned = dict(edges.cache.learned("durations"))
    stop.bind(partial(loop.call_soon_threadsafe, run.wake))
    started = ctx.iso()
    outcomes: dict[ItemId, Outcome] = {}
    ctx.event("run-started", items=len(plan.changes), credits=plan.credits, submits=plan.submits)
    try:
        _write_renamed_ids(ctx, state, edges.store, renamed)
        _write_targets(ctx, edges.store)
        begun = move_files(ctx, begin(ctx, state), outcomes, edges.store.flush)
        run.every(CHECKPOINT_EVERY, edges.store.checkpoint)
        run.every(HEARTBEAT, lambda: _heartbeat(ctx, outcomes))
        if ctx.deadline is not None:
            run.at(ctx.deadline, lambda: _stop_at_deadline(run))
        await run.carry_out(
            _programs(ctx, begun, outcomes, edges.store.flush), most=project.api.max_in_flight + WAITING
        )
    finally:
        stop.bind(None)
        run.close()
        _last_checkpoint(run, edges.store)
        edges.cache.learn("durations", {**learned, plan.server: ctx.durations.seen})
        ctx.capabilities.keep(edges.cache, plan.server)
    if not run.stopped and (elsewhere := _not_selected(plan, outcomes)):
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
    """How many items wait for texts of items that this plan leaves alone: another apply may bring these."""
    known = {change.id for change in plan.changes}
    waiting = (change for change in plan.changes if change.id in outcomes and change.action is Action.WAIT)
    comes = {WaitReason.NO_TEXT, WaitReason.CHANGES}
    return sum(
        outcomes[change.id].action is Action.WAIT
        and any(one.wait in comes and one.id not in known for one in change.waits)
        for change in waiting
    )


def _assemble(project: Project, plan: Plan, state: State, edges: Edges, stop: Stop, deadline: float | None) -> Context:
    """The context of the run. Raises StateError where a paid text could not be kept."""
    capabilities = ServerCapabilities.load(edges.cache, state, plan.server)
    capabilities.keep(edges.cache, plan.server)
    if plan.submits_worst and edges.cache.problem:
        raise StateError(
            f"the cache cannot keep a paid text: {edges.cache.problem}",
            code="text-not-kept",
            hint="nothing was submitted; free some space or delete `.contentops/cache`, then run again",
        )
    admission = admit(
        project.api.max_in_flight,
        (plan.server, edges.dialect()),
        edges.paid_at,
        proven=_is_proven(state, plan, edges.dialect(), has_model=project.api.has_model),
        honours_ids=capabilities.honours_ids,
    )
    knowledge = ServerKnowledge(
        admission=admission,
        durations=Durations.load(edges.cache.learned("durations").get(plan.server), plan.server),
        capabilities=capabilities,
        index=ContentIndex(owners=edges.owners, looked=edges.cache.recall(f"looked {plan.server}", Looked) or {}),
    )
    ctx = assemble(project, plan, state, edges, knowledge, lambda: _check_stop(ctx.run, stop, edges.store))
    ctx.made = made_texts(state)
    ctx.deadline = None if deadline is None else ctx.now() + deadline
    return ctx


def _last_checkpoint(run: DurableRun, store: StateStore) -> None:
    try:
        store.checkpoint()
    except NotShared as error:
        run.stop(UNSHARED, error.message, error.hint, at_once=True)
        store.checkpoint()


def _check_stop(run: DurableRun, stop: Stop, store: StateStore) -> None:
    """Stop the run if a person asked for it, which counts more than any other reason."""
    if stop.requested and run.stopped != "interrupted":
        run.stopped = ""
        run.stop("interrupted", "interrupted; nothing more was submitted", AGAIN, at_once=True)
        store.checkpoint()


def _stop_at_deadline(run: DurableRun) -> None:
    if not run.stopped:
        run.stop("deadline", "the deadline was reached; nothing more was submitted", AGAIN, at_once=True)


def _heartbeat(ctx: Context, outcomes: Mapping[ItemId, Outcome]) -> None:
    reason, until = ctx.run.waiting_for()
    ctx.stop_with_others(reason, until)
    seconds = round(max(0.0, until - ctx.now()), 1) if until else None
    limit = 0 if ctx.server == "local" else ctx.project.api.requests_per_minute
    estimate = None if reason == "retry" or not ctx.outage.reached else seconds_left(ctx, limit, outcomes)
    why = ctx.outage.why if reason == "retry" else ""
    ctx.event("waiting", on=reason, seconds=seconds, left=estimate, why=why)


def _programs(
    ctx: Context, begun: Iterable[ItemAtState], outcomes: dict[ItemId, Outcome], flush: Callable[[], None]
) -> Iterator[Coroutine[None, None, None]]:
    """Every item's program, made when its turn comes: those that pay for nothing first, then in plan order."""
    waiting = [(item, item_state) for item, item_state in begun if item.id not in outcomes]

    stages = Stages(ctx.plan)
    for id_, outcome in outcomes.items():
        stages.reach(id_, Stage.FRONT, done=outcome.result is Result.DONE)

    async def program(item: Item, item_state: ItemState) -> None:
        try:
            outcomes[item.id] = await follow(ctx, item, item_state, stages, flush)
        except NotShared as error:
            ctx.run.stop(UNSHARED, error.message, error.hint, at_once=True)
            outcomes[item.id] = outcome_of(ctx, item, item_state, Ended(Result.PENDING))
        finally:
            stages.reach(item.id, Stage.FRONT, done=False)

    order = {id_: number for number, id_ in enumerate(in_order(_sources(ctx.plan)))}
    for item, item_state in sorted(waiting, key=lambda each: _turn(each[0], order)):
        yield program(item, item_state)


def _sources(plan: Plan) -> dict[ItemId, list[ItemId]]:
    """By item that waits, the items whose texts it waits for."""
    return {change.id: [one.id for one in change.waits] for change in plan.changes if change.action is Action.WAIT}


def _turn(item: Item, order: Mapping[ItemId, int]) -> tuple[int, int]:
    """Its place among all items: those that pay for nothing, those that pay, those that wait, after their sources."""
    change = item.change
    return (2, order[item.id]) if change.action is Action.WAIT else (int(change.submits_worst > 0), 0)


def _is_proven(state: State, plan: Plan, dialect: str, *, has_model: bool) -> bool:
    """Whether a job has completed on this server, with a model if it has one, in this dialect before."""
    return (plan.server == "local" and not has_model) or any(
        job.server == plan.server and job.dialect == dialect and job.has_text and (job.model or not has_model)
        for job in state.jobs
    )


def _write_renamed_ids(ctx: Context, state: State, store: StateStore, renamed: Mapping[ItemId, ItemId]) -> None:
    """Write all ids that `moved` pairs gave, in one step, as half of them would mix items up."""
    if not renamed:
        return
    moved = [state.records[id_] for id_ in renamed]
    planned = {change.id for change in ctx.plan.changes}
    moved = [structs.replace(one, plan_id=ctx.plan.id) if one.id in planned else one for one in moved]
    forgotten = (Forget(id_) for id_ in renamed.values() if id_ not in state.records)
    store.note("moved", *moved, *forgotten)
    store.flush()


def _write_targets(ctx: Context, store: StateStore) -> None:
    """Write the target paths of running jobs, so that a file is known before a record has it."""
    under_way = [change.entry for change in ctx.plan.changes if change.has(Write)]
    ours = [entry for entry in under_way if entry is not None and entry.output]
    store.note("target", *(entry for entry in ours if store.entry(entry.request_id) not in (None, entry)))
    store.flush()
