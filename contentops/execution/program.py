"""Carries out one item: its steps in order, and its outcome, however it ends."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, assert_never

from msgspec import structs

from contentops.errors import OutputError
from contentops.execution.check import block_if_failed, checked, retry
from contentops.execution.poll import collect, fetch, poll
from contentops.execution.primitives import Ended, Item, ItemState, Job, Stopped, Text
from contentops.execution.records import arrived, new_entry
from contentops.execution.save import publish, save
from contentops.execution.submit import collect_lost, look_up, submit
from contentops.execution.write import acknowledge, move, promote, remove, update_front, write
from contentops.model import (
    Acknowledge,
    Action,
    Collect,
    Fetch,
    JobState,
    LookUp,
    Move,
    Outcome,
    Poll,
    Promote,
    Publish,
    Remove,
    Result,
    RetryText,
    Save,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.planning.renames import order_moves
from contentops.tokens import sum_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from contentops.digest import Digest
    from contentops.execution.limiter import JobSlot
    from contentops.execution.run_context import Context
    from contentops.model import ItemId, Json, OpenEntry, State, Step

ItemAtState = tuple[Item, ItemState]


def begin(ctx: Context, state: State) -> list[ItemAtState]:
    """Every change of the plan as an item with its state before the first step."""
    jobs: dict[Digest, tuple[OpenEntry, ...]] = {}
    for entry in state.entries.values():
        if entry.server == ctx.server:
            jobs[entry.digest] = (*jobs.get(entry.digest, ()), entry)
    return [
        (
            Item(change=change, jobs=jobs.get(change.spec.digest, ()) if change.spec is not None else ()),
            ItemState(record=change.record, path=change.source),
        )
        for change in ctx.plan.changes
    ]


def move_files(
    ctx: Context, begun: Iterable[ItemAtState], outcomes: dict[ItemId, Outcome], flush: Callable[[], None]
) -> list[ItemAtState]:
    """Carry out every move of the plan in an order that frees each target; `flush` makes each durable."""
    items = {item.id: (item, item_state) for item, item_state in begun}
    steps = {item.id: step for item, _ in items.values() for step in item.change.steps if isinstance(step, Move)}
    for id_ in order_moves(steps) if steps else ():
        (item, item_state), step = items[id_], steps[id_]
        try:
            for source, target in itertools.pairwise(path for path in (step.source, step.via, step.target) if path):
                item_state = move(ctx, item, item_state, structs.replace(step, source=source, target=target))
                flush()
        except Ended as end:
            outcomes[id_] = outcome_of(ctx, item, item_state, end)
        except OutputError as error:
            outcomes[id_] = outcome_of(ctx, item, item_state, Ended(Result.BLOCKED, error.message, error.hint))
        else:
            ctx.event("step-done", id_, name_of(step), path=step.target)
        items[id_] = item, item_state
    return list(items.values())


async def carry_out(ctx: Context, item: Item, item_state: ItemState) -> Outcome:
    """Carry out all steps of one item and return its outcome, however it ends."""
    change = item.change
    done: list[str] = []
    failures: list[tuple[OpenEntry, Ended]] = []
    if ctx.run.halted:
        return _ended(ctx, item, item_state, _stopped(ctx, item), done)
    try:
        ctx.event("item-started", item.id, action=change.action)
        with ctx.run.slot() as slot:
            for name, steps in itertools.groupby(change.steps, key=name_of):
                if name not in _QUIET:
                    ctx.event("step-started", item.id, name)
                for step in steps:
                    if isinstance(step, Collect):
                        item_state = await _collected(ctx, item, item_state, step, failures)
                    else:
                        item_state = await _step(ctx, item, slot, step, item_state)
                done.append(name)
                if name not in _REPORT_THEMSELVES:
                    ctx.event("step-done", item.id, name)
        end = _end(ctx, item, failures)
    except Ended as ended:
        end = ended
    except Stopped:
        end = _stopped(ctx, item)
    except OutputError as error:
        end = Ended(Result.FAILED, error.message, error.hint)
    return _ended(ctx, item, item_state, end, done)


def _ended(ctx: Context, item: Item, item_state: ItemState, end: Ended, done: Sequence[str]) -> Outcome:
    if end.result is Result.LATE and ctx.spent[item.id]:
        ctx.stop_after_first(f"the canary job on this server is not done: {end.error}", end.hint)
    outcome = outcome_of(ctx, item, item_state, end, done)
    ctx.event(
        "item-done",
        item.id,
        result=outcome.result,
        action=item.change.action,
        output=outcome.output,
        error=outcome.error,
        credits=outcome.credits,
    )
    return outcome


_REPORT_THEMSELVES = frozenset({"move", "submit", "save", "retry"})
"""Steps that report their end themselves, with details."""
_QUIET = frozenset({"move", "retry"})
"""Steps whose start is not reported: a move was made before, and a retry is seldom needed."""


async def _step(ctx: Context, item: Item, slot: JobSlot, step: Step, item_state: ItemState) -> ItemState:
    """Carry out one step; returns the state of the item after it."""
    match step:
        case LookUp() | Submit() | Poll() | Fetch() | Promote():
            return arrived(ctx, item, item_state.after(await _bring(ctx, item, slot, step, item_state)))
        case RetryText():
            return await retry(ctx, item, slot, step, item_state)
        case Write():
            item_state = await checked(ctx, item, item_state, step)
            block_if_failed(ctx, item, item_state)
            return write(ctx, item, item_state, step)
        case Update():
            return update_front(ctx, item, item_state, step)
        case Acknowledge():
            return acknowledge(ctx, item, item_state, step)
        case Save():
            return await save(ctx, item, item_state, step)
        case Publish():
            return await publish(ctx, item, item_state, step)
        case Remove():
            remove(ctx, item, step)
        case Move() | Collect():
            pass  # carried out elsewhere
        case _:
            assert_never(step)
    return item_state


async def _bring(
    ctx: Context, item: Item, slot: JobSlot, step: LookUp | Submit | Poll | Fetch | Promote, item_state: ItemState
) -> Job | Text:
    """Carry out a step towards a text; returns the job or the text it brought; a text that is there already stays."""
    if item_state.text is not None:
        return item_state.text
    match step:
        case LookUp():
            if item.change.submit is None:
                return await collect_lost(ctx, item, slot, step.entry)
            return await look_up(ctx, item, slot, item_state, step.entry)
        case Submit():
            return item_state.job or await submit(ctx, item, slot, item_state, step)
        case Poll():
            job = item_state.job if step.entry is None else Job(entry=step.entry)
            assert job is not None
            return await poll(ctx, item, slot, job)
        case Fetch():
            return await fetch(ctx, item, slot, step, item_state.record)
        case Promote():
            return promote(ctx, step)
        case _:
            assert_never(step)


async def _collected(
    ctx: Context, item: Item, item_state: ItemState, step: Collect, failures: list[tuple[OpenEntry, Ended]]
) -> ItemState:
    """Collect the text of a job no one waits for; `failures` gets the entry, and why, where it brought none."""
    entry = step.entry
    try:
        with ctx.run.slot() as slot:
            return await collect(ctx, item, slot, item_state, step)
    except Ended as end:
        if end.result is Result.PENDING or ctx.run.stopped:
            raise
        if end.charged or ctx.run.entry(entry.request_id) is not None:
            failures.append((entry, end))
    return item_state


def _end(ctx: Context, item: Item, failures: list[tuple[OpenEntry, Ended]]) -> Ended:
    """The end of an item whose steps are all carried out."""
    change = item.change
    if change.holder:
        return Ended(Result.PENDING, "", f"{change.holder} is working on it; the next apply finishes it")
    if change.blocked:
        return Ended(Result.BLOCKED, change.hint or change.blocked)
    for entry, end in failures:
        if all(isinstance(step, Collect) for step in change.steps):
            return end
        current = ctx.run.entry(entry.request_id)
        if current is not None and current.state in (JobState.RUNNING, JobState.PAID):
            # The next plan lists it again.
            return Ended(end.result, f"the job of an earlier request: {end.error}", end.hint)
    return Ended(Result.DONE)


def _stopped(ctx: Context, item: Item) -> Ended:
    """The end of an item that waited when the run stopped."""
    planned, step = item.change.entry, item.change.submit
    candidates = [*_retries(ctx, item)]
    candidates += [new_entry(ctx, item, step)] if step is not None else []
    candidates += [planned] if planned is not None else []
    recorded = (ctx.run.entry(entry.request_id) for entry in candidates)
    entry = next((entry for entry in recorded if entry is not None), None)
    if entry is None:
        return Ended(Result.PENDING)
    lost = entry.state is JobState.SUBMITTING and entry != planned
    if entry.state is JobState.UNKNOWN or lost:
        hint = f"`contentops state resolve {item.id}`, or run `contentops apply` again"
        return Ended(Result.UNKNOWN, entry.error, hint)
    if entry.state is JobState.RUNNING:
        return Ended(Result.PENDING, "", "its job is still running; the next apply polls it")
    return Ended(Result.PENDING)


def _retries(ctx: Context, item: Item) -> Iterator[OpenEntry]:
    """The entries that retries after failed checks may have made, the last one first."""
    for step in item.change.steps:
        if isinstance(step, RetryText):
            first = item.change.attempt
            for attempt in range(first + step.times, first, -1):
                again = Submit(request=step.request, digest=step.digest, attempt=attempt, credits=step.credits)
                yield new_entry(ctx, item, again)


def _left_out(item: Item, item_state: ItemState) -> dict[str, Json]:
    """The front matter of a text that this run wrote, without the keys of the manifest."""
    if item_state.text is None or not item_state.fresh:
        return {}
    return {key: value for key, value in item_state.text.front.items() if key not in item.spec.metadata}


def outcome_of(ctx: Context, item: Item, item_state: ItemState, end: Ended, done: Sequence[str] = ()) -> Outcome:
    """The outcome of one item."""
    change = item.change
    return Outcome(
        id=item.id,
        action=change.action if change.action is not Action.NONE else Action.UPDATE,
        result=end.result,
        steps=tuple(done),
        credits=ctx.spent[item.id],
        credits_at_most=ctx.spent[item.id] > 0 and change.credits_at_most,
        credits_unknown=ctx.unsettled[item.id],
        tokens=sum_tokens(ctx.used.get(item.id, ())),
        output=item_state.path or change.target,
        copy=item_state.copy,
        kept=item_state.merged.kept if item_state.merged is not None else (),
        left_out=_left_out(item, item_state),
        findings=end.findings or item_state.findings,
        error=end.error,
        hint=end.hint,
    )
