"""Carries out the steps of one item in order, and returns its outcome, even if a step fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import assert_never

from msgspec import structs, to_builtins

from contentops.digest import NOTHING, digest_json
from contentops.documents.checks import CheckedText, blocks, check_text, checked_text
from contentops.errors import OutputError, StateError, plural
from contentops.execution.job import collect, collect_lost, fetch_paid, fetch_recorded, look_up, poll, submit
from contentops.execution.primitives import Ended, Item, ItemState, SentJob, Stopped, Text
from contentops.execution.records import note_new_section
from contentops.execution.run_context import Context
from contentops.execution.save import publish, save
from contentops.execution.write import (
    acknowledge,
    coming_title,
    composed,
    merged,
    move,
    promote,
    remove,
    update_front,
    with_day,
    write,
)
from contentops.model import (
    Acknowledge,
    Action,
    Change,
    Collect,
    Fetch,
    Finding,
    ItemId,
    Job,
    JobState,
    Json,
    Level,
    Listed,
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
    Step,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.planning.promote import failed_hint, failed_promotion_hint, to_check
from contentops.planning.sides import has_text_for, order_moves
from contentops.state.codec import Drop
from contentops.tokens import exact, sum_tokens

# ---- Checks a paid text before it is written, and generates it again where that is allowed.


async def checked(ctx: Context, item: Item, item_state: ItemState, step: Write) -> ItemState:
    """Check the text that `step` is about to write, and return the item's state with the findings.

    Each text is checked once. Raises Ended if a person's words must stay in it, and cannot.
    """
    text, checks = item_state.text, item.spec.checks
    if text is None or not step.is_new:
        return item_state
    if text.job is None and item.change.promotion is None:
        return item_state  # a person wrote it
    seen = ctx.outputs.observe(step.target)
    item_state = merged(ctx, item, item_state, step, seen)
    body = item_state.body
    if item_state.findings is not None:
        return item_state
    findings = check_text(checks, _about(ctx, item, item_state, step, body), ctx.exists)
    said: tuple[Finding, ...] = ()
    if checks.commands is not None and not blocks(findings):
        said = await _commands(ctx, checks.commands, step, composed(ctx, item, item_state, step, seen))
    if text.job is not None and blocks((*findings, *said)):
        # A plan runs no command, and another machine may not have the text: both show what was found here.
        failed = digest_json(to_builtins(checks)) if body is text.body and not text.job.section else NOTHING
        error = _words(said, named=True) if blocks(said) else text.job.error
        ctx.run.record("checked", structs.replace(text.job, error=error, checks=failed))
    return structs.replace(item_state, findings=(*findings, *said))


async def _commands(ctx: Context, commands: Listed, step: Write, file: str) -> tuple[Finding, ...]:
    """Run the commands of a check on the text of a file, and return their findings.

    Lines are counted from the start of its body. Raises Ended if the commands cannot be run.
    """
    head = checked_text(file, step.target).first_line - 1
    try:
        said = await asyncio.to_thread(ctx.commands, commands, step.target, file)
    except (OSError, StateError) as error:
        hint = "run `contentops apply` again; the text is kept"
        raise Ended(Result.FAILED, f"the commands of its checks cannot be run: {error}", hint) from error
    return tuple(structs.replace(each, line=max(each.line - head, 0)) for each in said)


def _about(ctx: Context, item: Item, item_state: ItemState, step: Write, body: str) -> CheckedText:
    seen = ctx.outputs.observe(step.target)
    text = item_state.text
    front = {**({entry.key: entry.value for entry in text.entries} if text is not None else {}), **step.front}
    return to_check(
        coming_title(ctx, item, item_state, step, seen), body, seen, front, step.target, item.change.open_metadata
    )


def block_if_failed(ctx: Context, item: Item, item_state: ItemState) -> None:
    """Raise Ended if the text failed checks that forbid writing it; the paid text is kept."""
    findings = item_state.findings or ()
    if not blocks(findings):
        return
    text = item_state.text
    job = text.job if text is not None else None
    hint = failed_hint(item.spec, job, keeps_text=has_text_for(item.change.record, item.spec.digest, ctx.server))
    if (promotion := item.change.promotion) is not None:
        hint = failed_promotion_hint(promotion.path, ctx.plan.environment)
    raise Ended(Result.BLOCKED, f"its text failed its checks: {_words(findings, named=True)}", hint, findings=findings)


async def retry(ctx: Context, item: Item, step: RetryText, item_state: ItemState) -> ItemState:
    """Generate a new text, at most `step.times` times, while the text fails its checks.

    Raises Ended if that gives no text. The earlier text stays paid; its job is closed once the next job is recorded.
    """
    write = next(each for each in item.change.steps if isinstance(each, Write))
    for number in range(1, step.times + 1):
        item_state = await checked(ctx, item, item_state, write)
        job, findings = item_state.text.job if item_state.text is not None else None, item_state.findings or ()
        if job is None or not blocks(findings) or _is_a_persons_fault(ctx, item, item_state, write):
            break
        why = _words(findings, named=True)
        ctx.event("note", item.id, message=f"`{item.id}`: {why}; generated again, {number} of {step.times}")
        again = structs.replace(step.again, attempt=job.attempt + 1, retry=job.retry + 1)
        submitted = await submit(ctx, item, item_state, again)
        ctx.run.record("retry", Drop(job.request_id))
        item_state = item_state.after(submitted)
        if isinstance(submitted, SentJob):
            item_state = note_new_section(ctx, item, item_state.after(await poll(ctx, item, submitted)))
    return item_state


def _is_a_persons_fault(ctx: Context, item: Item, item_state: ItemState, write: Write) -> bool:
    """Return whether a new text would fail the checks too, because a person's words cause the findings.

    Findings of commands count as caused by a person's words.
    """
    if item_state.merged is None or item_state.text is None or item.change.section:
        return False
    body, checks = item_state.text.body, item.spec.checks
    return not blocks(check_text(checks, _about(ctx, item, item_state, write, body), ctx.exists))


def _words(findings: Iterable[Finding], *, named: bool = False) -> str:
    """Return a sentence with the first blocking finding, and with the number of other blocking findings.

    With `named`, the name of its check comes first.
    """
    blocking = [each for each in findings if each.level is Level.BLOCK]
    name = f"{blocking[0].check}: " if named else ""
    more = f"; and {plural(len(blocking) - 1, 'more finding')}" if len(blocking) > 1 else ""
    return f"{name}{blocking[0].words}{more}"


# ---- Carries out one item: its steps in order, and its outcome, however it ends.

ItemAtState = tuple[Item, ItemState]


def begin(ctx: Context, change: Change) -> ItemAtState:
    """Return the item that a change is about, with its state before the first step."""
    ids = {job.request_id: None for job in ctx.state.jobs_of(ctx.server, change.digest)}
    opened = (job for id_ in ids if (job := ctx.state.open_jobs.get(id_)) is not None and job.server == ctx.server)
    item = Item(change=change, slot=ctx.run.slot(), jobs=tuple(opened))
    return item, ItemState(record=change.record, path=change.source)


def move_files(ctx: Context, begun: Iterable[ItemAtState], outcomes: dict[ItemId, Outcome]) -> list[ItemAtState]:
    """Move the files of all items; a file is moved only after its new path has become free.

    Each move is durable before the next one.
    """
    items = {item.id: (item, item_state) for item, item_state in begun}
    steps = {item.id: step for item, _ in items.values() for step in item.change.steps if isinstance(step, Move)}
    for id_ in order_moves(steps) if steps else ():
        (item, item_state), step = items[id_], steps[id_]
        try:
            for source, target in itertools.pairwise(path for path in (step.source, step.via, step.target) if path):
                item_state = move(ctx, item, item_state, structs.replace(step, source=source, target=target))
                ctx.store.flush()
        except Ended as end:
            outcomes[id_] = outcome_of(ctx, item, item_state, end)
        except OutputError as error:
            outcomes[id_] = outcome_of(ctx, item, item_state, Ended(Result.BLOCKED, error.message, error.hint))
        else:
            ctx.event("step-done", id_, name_of(step), path=step.target)
        items[id_] = item, item_state
    return list(items.values())


async def carry_out(ctx: Context, item: Item, item_state: ItemState) -> Outcome:
    """Carry out all steps of one item and return its outcome, even after an error."""
    change = item.change
    done: list[str] = []
    failures: list[tuple[Job, Ended]] = []
    if ctx.run.halted:
        return _report_end(ctx, item, item_state, _stopped(ctx, item), done)
    try:
        ctx.event("item-started", item.id, action=change.action)
        with item.slot:
            for name, steps in itertools.groupby(change.steps, key=name_of):
                if name not in _QUIET:
                    ctx.event("step-started", item.id, name)
                for step in steps:
                    if isinstance(step, Collect):
                        item_state = await _collected(ctx, item, item_state, step, failures)
                    else:
                        item_state = await _step(ctx, item, step, item_state)
                done.append(name)
                if name not in _REPORT_THEMSELVES:
                    ctx.event("step-done", item.id, name)
        end = _end_of_steps(ctx, item, failures)
    except Ended as ended:
        end = ended
    except Stopped:
        end = _stopped(ctx, item)
    except OutputError as error:
        end = Ended(Result.FAILED, error.message, error.hint)
    return _report_end(ctx, item, item_state, end, done)


def _report_end(ctx: Context, item: Item, item_state: ItemState, end: Ended, done: Sequence[str]) -> Outcome:
    if end.result is Result.LATE and ctx.spent[item.id]:
        ctx.stop_after_first(f"the first job on this server is not done: {end.error}", end.hint)
    outcome = outcome_of(ctx, item, item_state, end, done)
    ctx.event(
        "item-done",
        item.id,
        result=outcome.result,
        action=item.change.action,
        output=outcome.output,
        error=outcome.error,
        credits=outcome.credits,
        money={name: exact(amount) for name, amount in outcome.tokens.money.items()},
    )
    return outcome


_REPORT_THEMSELVES = frozenset({"move", "submit", "save", "retry"})
"""Steps that report their end themselves, with details."""
_QUIET = frozenset({"move", "retry"})
"""Steps whose start is not reported: a move was made before, and a retry is seldom needed."""


async def _step(ctx: Context, item: Item, step: Step, item_state: ItemState) -> ItemState:
    """Carry out one step, and return the new state of the item."""
    match step:
        case LookUp() | Submit() | Poll() | Fetch() | Promote():
            return note_new_section(ctx, item, item_state.after(await _bring(ctx, item, step, item_state)))
        case RetryText():
            return await retry(ctx, item, step, item_state)
        case Write():
            step = with_day(ctx, item, item_state, step)
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
    ctx: Context, item: Item, step: LookUp | Submit | Poll | Fetch | Promote, item_state: ItemState
) -> SentJob | Text:
    """Carry out a step that gets a text, and return the job or the text.

    If the item has a text already, that text stays.
    """
    if item_state.text is not None:
        return item_state.text
    match step:
        case LookUp():
            if item.change.submit is None:
                return await collect_lost(ctx, item, step.job)
            return await look_up(ctx, item, item_state, step.job)
        case Submit():
            return item_state.job or await submit(ctx, item, item_state, step)
        case Poll():
            sent_job = item_state.job if step.job is None else SentJob(job=step.job)
            assert sent_job is not None
            return await poll(ctx, item, sent_job)
        case Fetch():
            if step.job is not None:
                return await fetch_paid(ctx, item, step.job)
            return await fetch_recorded(ctx, item, item_state.recorded)
        case Promote():
            return promote(ctx, step)
        case _:
            assert_never(step)


async def _collected(
    ctx: Context, item: Item, item_state: ItemState, step: Collect, failures: list[tuple[Job, Ended]]
) -> ItemState:
    """Store the text of a job that no item waits for.

    If the job brought no text, it is added to `failures` with the reason.
    """
    job = step.job
    try:
        with ctx.run.slot() as slot:
            return await collect(ctx, structs.replace(item, slot=slot), item_state, step)
    except Ended as end:
        if end.result is Result.PENDING or ctx.run.stopped:
            raise
        if end.charged or ctx.store.open_job(job.request_id) is not None:
            failures.append((job, end))
    return item_state


def _end_of_steps(ctx: Context, item: Item, failures: list[tuple[Job, Ended]]) -> Ended:
    """Return how the work on an item ends after all its steps were carried out."""
    change = item.change
    if change.claimed_by:
        return Ended(Result.PENDING, "", f"{change.claimed_by} is working on it; the next apply finishes it")
    if change.blocked:
        return Ended(Result.BLOCKED, change.hint or change.blocked)
    for job, end in failures:
        if all(isinstance(step, Collect) for step in change.steps):
            return end
        current = ctx.store.open_job(job.request_id)
        if current is not None and current.state in (JobState.RUNNING, JobState.PAID):
            # The next plan lists it again.
            return Ended(end.result, f"the job of an earlier request: {end.error}", end.hint)
    return Ended(Result.DONE)


def _stopped(ctx: Context, item: Item) -> Ended:
    """Return how the work on a waiting item ends when the run stops."""
    planned = item.change.job
    request = ctx.latest.get(item.id, planned.request_id if planned is not None else None)
    job = ctx.store.open_job(request) if request is not None else None
    if job is None:
        return Ended(Result.PENDING)
    lost = job.state is JobState.SUBMITTING and job != planned
    if job.state is JobState.UNKNOWN or lost:
        hint = f"`contentops state resolve {item.id}`, or run `contentops apply` again"
        return Ended(Result.UNKNOWN, job.why_unknown, hint)
    if job.state is JobState.RUNNING:
        return Ended(Result.PENDING, "", "its job is still running; the next apply polls it")
    return Ended(Result.PENDING)


def _left_out(item: Item, item_state: ItemState) -> dict[str, Json]:
    """Return the front matter that the server sent with a text, without the keys that the manifest sets."""
    if item_state.text is None or not item_state.fresh:
        return {}
    return {key: value for key, value in item_state.text.front.items() if key not in item.spec.metadata}


def outcome_of(ctx: Context, item: Item, item_state: ItemState, end: Ended, done: Sequence[str] = ()) -> Outcome:
    """Return the outcome of one item, for the report of the run."""
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
        findings=end.findings or item_state.findings or (),
        error=end.error,
        hint=end.hint,
    )
