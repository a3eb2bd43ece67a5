"""A paid text is held against its checks before it is written, and paid for again where that is allowed."""

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
    from contentops.execution.limiter import JobPlace
    from contentops.execution.primitives import Item, Standing
    from contentops.execution.run_context import Context
    from contentops.model import Finding, RetryText


async def checked(ctx: Context, item: Item, standing: Standing, step: Write) -> Standing:
    """The standing with what the checks find in the text that `step` is about to write; each text is checked once.

    Raises Ended where a person's words are to stay in it and cannot.
    """
    text, checks = standing.text, item.spec.checks
    if text is None or checks == NO_CHECKS or not step.is_new:
        return standing
    if not text.request_id and item.change.promotion is None:
        return standing  # what no job made was a person's to look at
    seen = ctx.outputs.observe(step.target)
    standing = merged(ctx, item, standing, step, seen)
    body = standing.body
    if standing.checked is not None and standing.checked.body is body:
        return standing
    findings = check_text(checks, _about(ctx, item, standing, step, body), ctx.exists)
    if checks.commands is not None and not blocks(findings):
        file = composed(ctx, item, standing, step, seen)
        head = checked_text(file, step.target).first_line - 1
        try:
            said = await ctx.run_commands(checks.commands, step.target, file)
        except (OSError, StateError) as error:
            hint = "run `contentops apply` again; the text is kept"
            raise Ended(Result.FAILED, f"the commands of its checks cannot be run: {error}", hint) from error
        said = tuple(structs.replace(each, line=max(each.line - head, 0)) for each in said)
        findings += said
        if text.entry is not None and blocks(said):
            # A plan runs no command: it tells what this one said.
            ctx.run.record("checked", structs.replace(text.entry, error=_words(said)))
    return structs.replace(standing, checked=CheckedBody(body, findings))


def _about(ctx: Context, item: Item, standing: Standing, step: Write, body: str) -> CheckedText:
    seen = ctx.outputs.observe(step.target)
    text = standing.text
    front = {**({entry.key: entry.value for entry in text.entries} if text is not None else {}), **step.front}
    return to_check(coming_title(ctx, item, standing, step, seen), body, seen, front, step.target)


def hold_back(ctx: Context, item: Item, standing: Standing) -> None:
    """Raises Ended where what was found in the text keeps it from being written: it stays as it was paid for."""
    findings = standing.findings
    if not blocks(findings):
        return
    text = standing.text
    entry = text.entry if text is not None else None
    hint = failed_hint(item.spec, entry, is_same=is_same(item.change.record, item.spec.digest, ctx.server))
    if (promotion := item.change.promotion) is not None:
        hint = failed_promotion_hint(promotion.path, ctx.plan.environment)
    raise Ended(Result.BLOCKED, f"its text fails its checks: {_words(findings, named=True)}", hint, findings=findings)


async def retry(ctx: Context, item: Item, place: JobPlace, step: RetryText, standing: Standing) -> Standing:
    """Generate again as long as the text fails its checks. Raises Ended where that brings no text.

    The text before stays among the paid ones; its entry is closed once the next job is on record.
    """
    write = next(each for each in item.change.steps if isinstance(each, Write))
    for number in range(1, step.times + 1):
        standing = await checked(ctx, item, standing, write)
        entry = standing.text.entry if standing.text is not None else None
        if entry is None or not blocks(standing.findings) or _is_a_persons_fault(ctx, item, standing, write):
            break
        why = _words(standing.findings, named=True)
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
        found = await submit(ctx, item, place, standing, again)
        ctx.run.record("retry", Drop(entry.request_id))
        standing = standing.after(found)
        if isinstance(found, Job):
            standing = arrived(ctx, item, standing.after(await poll(ctx, item, place, found)))
    return standing


def _is_a_persons_fault(ctx: Context, item: Item, standing: Standing, write: Write) -> bool:
    """Whether only what a person wrote fails, so that no other text would help; what commands say is laid to that."""
    if standing.merged is None or standing.text is None or item.change.section:
        return False
    about = _about(ctx, item, standing, write, standing.text.body)
    return not blocks(check_text(item.spec.checks, about, ctx.exists))


def _words(findings: Iterable[Finding], *, named: bool = False) -> str:
    """The first finding that holds a text back, with the name of its check or not, and how many more there are."""
    found = [each for each in findings if each.level is Level.BLOCK]
    name = f"{found[0].check}: " if named else ""
    more = f"; and {plural(len(found) - 1, 'more finding')}" if len(found) > 1 else ""
    return f"{name}{found[0].words}{more}"
