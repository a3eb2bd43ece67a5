"""What `checks` find in a text before it is written: the same for a plan and for an apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.documents.front_matter import PROVENANCE_KEY
from contentops.model import BASE, NO_CHECKS, Fetch, JobState, Level, MergeEdit, Promote, Reason, RetryText
from contentops.planning.edits import BodyAnswer
from contentops.planning.finished import finished_job
from contentops.planning.front_matter import which_front_matter
from contentops.planning.model_price import tokens_at_most
from contentops.planning.plan_inputs import price_of
from contentops.planning.remote_edits import renewed
from contentops.planning.section import taken_section
from contentops.planning.titles import Brought, written_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.documents.checks import CheckedText
    from contentops.model import Finding, Json, Observed, OpenEntry, Spec
    from contentops.planning.plan_inputs import ItemSides

FAILED = "checks-failed"
"""The reason an item is blocked whose text fails its checks."""


def to_check(
    title: str, body: str, seen: Observed, front: Mapping[str, Json], output: str, open_: frozenset[str] = frozenset()
) -> CheckedText:
    """The text to check, as it will be in its file; `front`: the keys to write, None for those to remove.

    `open_`: the keys that follow later.
    """
    from contentops.documents.checks import CheckedText

    merged = {key: value for key, value in {**seen.front, **front}.items() if value is not None}
    merged.pop(PROVENANCE_KEY, None)
    return CheckedText(title=title, body=body, front=merged, output=output, open=open_)


# --- at plan time ----------------------------------------------------------------------------------------------


def retry_of(item: ItemSides, done: int, section: str = "") -> tuple[RetryText, ...]:
    """The step that may pay again for a text that fails its checks; `done`: retries so far."""
    spec, checks = item.spec, item.spec.checks
    times = checks.retries - done if checks.retries and checks.can_block else 0
    if times <= 0:
        return ()
    price = price_of(spec, item.inputs.server, section)
    return (
        RetryText(
            request=spec.request,
            digest=spec.digest,
            credits=price.credits,
            at_most=price.at_most,
            times=times,
            section=section,
            tokens=tokens_at_most(spec, item.inputs.project, section),
        ),
    )


_AS_IT_IS = BodyAnswer()


def failed_checks(item: ItemSides, entry: OpenEntry | None = None, words: BodyAnswer = _AS_IT_IS) -> tuple[Reason, ...]:
    """The failed checks of a paid text of the item's request; empty: none, or the text is not on this machine.

    It is the text of `entry`, otherwise the one that answers the request. `words`: how it comes into the file, so that
    a merge is checked with the edits that stay. Texts are not compared and commands not run here; an apply does that.
    """
    if item.spec.checks == NO_CHECKS:
        return ()
    entry = entry if entry is not None and entry.body else finished_job(item) or entry
    body = item.inputs.text(entry.body) if entry is not None and entry.body else None
    if entry is None or body is None:
        return ()
    if entry.section:
        new_text = taken_section(item, entry)
        body = new_text[0] if isinstance(new_text, tuple) else body
    elif isinstance(words.mode, MergeEdit):
        merged = renewed(item, words.mode, body)
        body = merged.body if merged is not None else body
    answer = BodyAnswer(steps=(Fetch(digest=item.spec.digest),))
    return reasons_of(_findings(item, answer, Brought(entry.title, body, bool(entry.section))))


def failed_promotion(item: ItemSides, answer: BodyAnswer, file: Observed) -> tuple[Reason, ...]:
    """The failed checks of the text in another environment's `file`, which `answer` promotes."""
    if item.spec.checks == NO_CHECKS:
        return ()
    carried = {key: file.front[key] for step in answer.steps if isinstance(step, Promote) for key in step.carries}
    text = Brought(file.title, item.inputs.read(file.path), of_section=False, is_known=True, front=carried)
    return reasons_of(_findings(item, answer, text))


def _findings(item: ItemSides, answer: BodyAnswer, text: Brought) -> tuple[Finding, ...]:
    from contentops.documents.checks import check_text

    spec, preset = item.spec, item.inputs.project.preset
    front = which_front_matter(item, answer)
    title = written_title(front.title, item.file, item.own, text, item=spec.id, preset=preset)
    about = to_check(title, text.body, item.file, {**text.front, **front.front}, spec.output, item.open)
    return check_text(spec.checks, about, item.inputs.exists)


def reasons_of(findings: Iterable[Finding]) -> tuple[Reason, ...]:
    """Each blocking finding, as a reason."""
    return tuple(
        Reason(kind=FAILED, field=each.check, detail=each.words) for each in findings if each.level is Level.BLOCK
    )


def failed_hint(spec: Spec, entry: OpenEntry | None, *, is_same: bool) -> str:
    """What to do about a text that fails its checks; `is_same`: the file holds another text of the same request."""
    id_ = spec.id
    hint = f"the text is kept and not paid for again: loosen `checks`, or pay for another text with `--replace {id_}`"
    if entry is not None and is_same:
        give_up = f"`contentops state resolve {id_} --forget --request {entry.short}`"
        hint += f", or {give_up} gives up this text and leaves the file unchanged"
    return hint


def failed_promotion_hint(path: str, environment: str) -> str:
    """What to do about a text at `path` that fails the checks of `environment`."""
    return f"it is not promoted: correct `{path}`, or loosen the `checks` of `{environment or BASE}`"


def fails_checks(item: ItemSides) -> bool:
    """Whether a paid text of the declared request fails its checks, with no retry left."""
    under_way = item.under_way
    entry = under_way[-1] if under_way else None
    if entry is not None and entry.state is not JobState.PAID:
        return False
    if entry is not None and retry_of(item, entry.retry):
        return False
    return bool(failed_checks(item, entry)) or (entry is not None and bool(entry.error))
