"""Carries out an item whose text, title or front matter is made from the texts of others, once these are there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.execution.primitives import Item, ItemState, Stopped
from contentops.execution.program import carry_out, move_files
from contentops.model import Action, Outcome, Result
from contentops.model.references import Stage, stage_of
from contentops.planning.sources import stage_coming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from contentops.execution.program import ItemAtState
    from contentops.execution.run_context import Context
    from contentops.model import Change, ItemId, Plan, Spec
    from contentops.model.references import Reading

_METADATA = "metadata."


class Stages:
    """Which stages the items of a run have reached, each with whether it is as it was planned."""

    def __init__(self, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        self._ends: dict[tuple[ItemId, Stage], asyncio.Future[bool]] = {}
        for change in plan.changes:
            first = stage_coming(change)
            for stage in Stage:
                end = self._ends[change.id, stage] = loop.create_future()
                if first is None or stage < first:
                    end.set_result(True)

    def reach(self, item: ItemId, stage: Stage, *, done: bool) -> None:
        """Note that an item has reached a stage, and all before it."""
        for each in Stage:
            end = self._ends.get((item, each))
            if end is not None and each <= stage and not end.done():
                end.set_result(done)

    def of(self, readings: Iterable[tuple[ItemId, Stage]]) -> list[asyncio.Future[bool]]:
        """The ends of the stages that are read, of items of this run."""
        return [self._ends[each] for each in dict.fromkeys(readings) if each in self._ends]

    def coming(self, spec: Spec) -> dict[ItemId, Stage]:
        """By each item that `spec` reads, the first stage that it has not reached."""
        ids = {one.id for one in (*spec.references, *spec.mentions)}
        ahead = ((id_, stage) for id_ in ids for stage in reversed(Stage) if (id_, stage) in self._ends)
        return {id_: stage for id_, stage in ahead if not self._is_reached(id_, stage)}

    def _is_reached(self, item: ItemId, stage: Stage) -> bool:
        end = self._ends[item, stage]
        return end.done() and end.result()


async def follow(ctx: Context, item: Item, item_state: ItemState, stages: Stages, flush: Callable[[], None]) -> Outcome:
    """Carry out an item to its end, stage by stage; what waits goes on once the texts that it reads are there."""
    change, spec = item.change, item.change.spec
    if change.action is Action.WAIT and not change.steps:
        outcome = await _text(ctx, change, stages, flush) if change.waits else None
    else:
        outcome = await carry_out(ctx, item, item_state)
    is_fine = outcome is None or outcome.result is Result.DONE
    names: Iterable[str] = change.follows if is_fine else ()
    if is_fine and change.waits and spec is not None:
        names = [name for name in spec.readings if name.startswith(_METADATA)]
    for stage in (Stage.TEXT, Stage.HEAD, Stage.FRONT):
        asked = [name for name in names if stage_of(name) is stage]
        if asked and spec is not None:
            ends = stages.of(_read(spec, asked))
            outcome = await _front(ctx, change, outcome, stages, ends, flush)
            is_fine = is_fine and all(end.done() and end.result() for end in ends)
        stages.reach(item.id, stage, done=is_fine)
    assert outcome is not None
    return outcome


async def _text(ctx: Context, change: Change, stages: Stages, flush: Callable[[], None]) -> Outcome:
    """The outcome of an item that waits for texts: made from them, if all of them come in this run."""
    spec = change.spec
    assert spec is not None
    names = [name for name in spec.readings if not name.startswith(_METADATA)]
    try:
        if not change.later or not all(await ctx.run.others(stages.of(_read(spec, names)))):
            return _waiting(change)
    except Stopped:
        return structs.replace(_waiting(change), error="", hint="")
    now = ctx.again(change, stages.coming(spec))
    if now is None:
        return Outcome(id=change.id, action=Action.UPDATE, result=Result.DONE, output=change.target)
    if now.action is Action.WAIT:
        return _waiting(now)
    return await _carried_out(ctx, now, flush)


async def _front(
    ctx: Context,
    change: Change,
    before: Outcome | None,
    stages: Stages,
    ends: Sequence[asyncio.Future[bool]],
    flush: Callable[[], None],
) -> Outcome:
    """The outcome of an item after its front matter has followed the texts that it mentions."""
    done = before or Outcome(id=change.id, action=Action.UPDATE, result=Result.DONE, output=change.target)
    try:
        await ctx.run.others(ends)
    except Stopped:
        return done if before is not None else structs.replace(_waiting(change), error="", hint="")
    planned = structs.replace(change, later=(), waits=())
    assert change.spec is not None
    now = ctx.again(planned, stages.coming(change.spec))
    if now is None or now.action is Action.WAIT:
        return done
    after = await _carried_out(ctx, now, flush)
    if before is None or after.result is not Result.DONE:
        return after if before is None else structs.replace(before, error=after.error, hint=after.hint)
    return structs.replace(before, steps=(*before.steps, *after.steps), output=after.output)


async def _carried_out(ctx: Context, change: Change, flush: Callable[[], None]) -> Outcome:
    """Carry out a change that was planned during this run, and return its outcome."""
    outcomes: dict[ItemId, Outcome] = {}
    begun: list[ItemAtState] = [(_item(ctx, change), ItemState(record=change.record, path=change.source))]
    ((item, item_state),) = move_files(ctx, begun, outcomes, flush)
    return outcomes.get(change.id) or await carry_out(ctx, item, item_state)


def _item(ctx: Context, change: Change) -> Item:
    jobs = ctx.run.jobs_of(ctx.server, change.spec.digest) if change.spec is not None else ()
    return Item(change=change, jobs=tuple(jobs))


def _read(spec: Spec, names: Iterable[str]) -> Iterator[tuple[ItemId, Stage]]:
    """What values read: the items, and the stage that each must have reached."""
    without = {one.id for one in (*spec.references, *spec.mentions) if one.wait is not None}
    for name in names:
        for one in spec.readings[name]:
            if (stage := _stage(one, without)) is not None:
                yield one.id, stage


def _stage(one: Reading, without: set[ItemId]) -> Stage | None:
    """The stage after which a reading is final; of an item that has no text yet, also its address."""
    return one.stage or (Stage.TEXT if one.id in without else None)


def _waiting(change: Change) -> Outcome:
    """The outcome of an item that still waits."""
    why = "; ".join(reason.detail for reason in change.reasons if reason.kind == "waits")
    waits = Outcome(id=change.id, action=Action.WAIT, result=Result.PENDING, output=change.target)
    return structs.replace(waits, error=why, hint=change.hint)
