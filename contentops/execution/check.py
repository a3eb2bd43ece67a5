"""Checks a paid text before it is written, and generates it again where that is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.documents.checks import blocks, check_text, checked_text
from contentops.errors import StateError, plural
from contentops.execution.merge import merged
from contentops.execution.poll import poll
from contentops.execution.primitives import CheckedBody, Ended, Job
from contentops.execution.records import arrived
from contentops.execution.submit import submit
from contentops.execution.write import coming_title, composed
from contentops.model import NO_CHECKS, Level, Result, Submit, Write
from contentops.planning.checked import failed_hint, failed_promotion_hint, to_check
from contentops.planning.plan_inputs import is_same
from contentops.state.codec import Drop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.documents.checks import CheckedText
    from contentops.execution.limiter import JobSlot
    from contentops.execution.primitives import Item, ItemState
    from contentops.execution.run_context import Context
    from contentops.model import Finding, Listed, RetryText


async def checked(ctx: Context, item: Item, item_state: ItemState, step: Write) -> ItemState:
    """The state with the findings in the text that `step` is about to write; each text is checked once.

    Raises Ended where a person's words are to stay in it and cannot.
    """
    text, checks = item_state.text, item.spec.checks
    if text is None or checks == NO_CHECKS or not step.is_new:
        return item_state
    if not text.request_id and item.change.promotion is None:
        return item_state  # a person wrote it
    seen = ctx.outputs.observe(step.target)
    item_state = merged(ctx, item, item_state, step, seen)
    body = item_state.body
    if item_state.checked is not None and item_state.checked.body is body:
        return item_state
    findings = check_text(checks, _about(ctx, item, item_state, step, body), ctx.exists)
    said: tuple[Finding, ...] = ()
    if checks.commands is not None and not blocks(findings):
        said = await _commands(ctx, checks.commands, step, composed(ctx, item, item_state, step, seen))
    if text.entry is not None and blocks(said):
        # A plan runs no command: it shows what was found here.
        ctx.run.record("checked", structs.replace(text.entry, error=_words(said, named=True)))
    return structs.replace(item_state, checked=CheckedBody(body, (*findings, *said)))


async def _commands(ctx: Context, commands: Listed, step: Write, file: str) -> tuple[Finding, ...]:
    """What commands find in the text of a file, by the lines of its body. Raises Ended where they cannot be run."""
    head = checked_text(file, step.target).first_line - 1
    try:
        said = await ctx.run_commands(commands, step.target, file)
    except (OSError, StateError) as error:
        hint = "run `contentops apply` again; the text is kept"
        raise Ended(Result.FAILED, f"the commands of its checks cannot be run: {error}", hint) from error
    return tuple(structs.replace(each, line=max(each.line - head, 0)) for each in said)


def _about(ctx: Context, item: Item, item_state: ItemState, step: Write, body: str) -> CheckedText:
    seen = ctx.outputs.observe(step.target)
    text = item_state.text
    front = {**({entry.key: entry.value for entry in text.entries} if text is not None else {}), **step.front}
    return to_check(coming_title(ctx, item, item_state, step, seen), body, seen, front, step.target, item.change.open)


def block_if_failed(ctx: Context, item: Item, item_state: ItemState) -> None:
    """Raise Ended if findings keep the text from being written; it stays paid."""
    findings = item_state.findings
    if not blocks(findings):
        return
    text = item_state.text
    entry = text.entry if text is not None else None
    hint = failed_hint(item.spec, entry, is_same=is_same(item.change.record, item.spec.digest, ctx.server))
    if (promotion := item.change.promotion) is not None:
        hint = failed_promotion_hint(promotion.path, ctx.plan.environment)
    raise Ended(Result.BLOCKED, f"its text failed its checks: {_words(findings, named=True)}", hint, findings=findings)


async def retry(ctx: Context, item: Item, slot: JobSlot, step: RetryText, item_state: ItemState) -> ItemState:
    """Generate again as long as the text fails its checks. Raises Ended where that brings no text.

    The text before stays paid; its entry is closed once the next job is recorded.
    """
    write = next(each for each in item.change.steps if isinstance(each, Write))
    for number in range(1, step.times + 1):
        item_state = await checked(ctx, item, item_state, write)
        entry = item_state.text.entry if item_state.text is not None else None
        if entry is None or not blocks(item_state.findings) or _is_a_persons_fault(ctx, item, item_state, write):
            break
        why = _words(item_state.findings, named=True)
        ctx.event("note", item.id, message=f"`{item.id}`: {why}; generated again, {number} of {step.times}")
        again = Submit(
            request=step.request,
            digest=step.digest,
            attempt=entry.attempt + 1,
            credits=step.credits,
            at_most=step.at_most,
            section=step.section,
            retry=entry.retry + 1,
        )
        submitted = await submit(ctx, item, slot, item_state, again)
        ctx.run.record("retry", Drop(entry.request_id))
        item_state = item_state.after(submitted)
        if isinstance(submitted, Job):
            item_state = arrived(ctx, item, item_state.after(await poll(ctx, item, slot, submitted)))
    return item_state


def _is_a_persons_fault(ctx: Context, item: Item, item_state: ItemState, write: Write) -> bool:
    """Whether only a person's words fail, so that no other text would help; findings of commands count as theirs."""
    if item_state.merged is None or item_state.text is None or item.change.section:
        return False
    body, checks = item_state.text.body, item.spec.checks
    return not blocks(check_text(checks, _about(ctx, item, item_state, write, body), ctx.exists))


def _words(findings: Iterable[Finding], *, named: bool = False) -> str:
    """The first blocking finding, with the name of its check or not, and how many more there are."""
    blocking = [each for each in findings if each.level is Level.BLOCK]
    name = f"{blocking[0].check}: " if named else ""
    more = f"; and {plural(len(blocking) - 1, 'more finding')}" if len(blocking) > 1 else ""
    return f"{name}{blocking[0].words}{more}"
