"""When the text of another environment is promoted, and what blocks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.model import Acknowledge, Action, Reason
from contentops.planning.approval import is_promotable
from contentops.planning.checked import FAILED, failed_promotion, failed_promotion_hint
from contentops.planning.edits import BodyAnswer, block, edit, why_changed
from contentops.planning.front_matter import wanted_front
from contentops.planning.plan_inputs import is_edited
from contentops.planning.remote_edits import overwriting, protect_edits

if TYPE_CHECKING:
    from contentops.model import Change
    from contentops.planning.existing_texts import SourceText
    from contentops.planning.plan_inputs import ItemSides


PROMOTED = "promoted"
"""The reason that a text comes from another environment, and that `--replace` is blocked there."""
NOT_PROMOTED = "not-promoted"
"""The reason an item is blocked for which the other environment has no text."""

_EDITED = ("", "edited", "no-merge-base")
"""Blocks of an edited file that get the hint of a promotion; empty: a merge, which is for texts of jobs alone."""


def promoted(item: ItemSides) -> BodyAnswer | None:
    """The promotion of another environment's text; None: there is no new one."""
    theirs = item.source_text
    if theirs is None or item.is_protected or (item.is_same and not _is_new(item, theirs)):
        return None
    if not is_promotable(item, theirs):
        return BodyAnswer(waits=True)
    why = () if item.is_same else why_changed(item)
    detail = f"from `{theirs.file.path}` of `{theirs.name}`"
    if theirs.file.body != theirs.record.generated:
        detail += ", edited by hand there"
    if theirs.step.outline:
        detail += ", a draft outline"
    why = (*why, Reason(kind=PROMOTED, detail=detail))
    words = BodyAnswer(reasons=why)
    if _has_other_words(item, theirs):
        edits_answer = protect_edits(item, why)
        if edits_answer is not None:
            return _kept_out(_as_promotion(edits_answer, item, theirs, why), theirs)
        words = overwriting(item, why)
    step = structs.replace(theirs.step, carries=_carried(item, theirs))
    answer = structs.replace(words, action=Action.PROMOTE, steps=(step,))
    if failed := failed_promotion(item, answer, theirs.file):
        hint = failed_promotion_hint(theirs.file.path, item.inputs.project.environment)
        return block(FAILED, hint, reasons=(*answer.reasons, *failed))
    return answer


def _as_promotion(answer: BodyAnswer, item: ItemSides, theirs: SourceText, why: tuple[Reason, ...]) -> BodyAnswer:
    """The answer to edits, with a hint for a promotion."""
    ours, path = item.file.path, theirs.file.path
    if answer.blocked == "missing":
        hint = f"`{ours}` is gone, and its saved text differs from the one promoted from `{theirs.name}`; "
        return block(answer.blocked, hint + f"`--on-edit overwrite` uses `{path}` instead", reasons=why)
    if answer.steps or answer.blocked not in _EDITED:
        return answer
    hint = f"but `{path}` would replace it; use `--on-edit keep` or `overwrite`, or combine both texts in each of "
    if item.remote is not None and item.is_edited_on_server and not item.is_edited:
        edited = f"content `{item.remote.content_id}` was edited in WriterzRoom"
        return block("edited-on-server", f"{edited}, {hint}them; they cannot be merged", reasons=answer.reasons)
    edited = f"`{ours}` was edited in this environment"
    return block("edited", f"{edited}, {hint}them; they cannot be merged", reasons=(*why, *edit(item)))


def _carried(item: ItemSides, theirs: SourceText) -> tuple[str, ...]:
    """The front matter keys of the source file that no manifest states and that the item's file lacks."""
    wanted, _ = wanted_front(item.inputs, item.spec)
    keys = {*theirs.record.metadata, *wanted, *(item.file.front if item.file.exists else ())}
    return tuple(key for key in theirs.file.front if key not in keys)


def _kept_out(answer: BodyAnswer, theirs: SourceText) -> BodyAnswer:
    """The answer, with a step that records the text as declined, so that it is not asked about again."""
    steps = (
        structs.replace(step, declined=theirs.file.body) if isinstance(step, Acknowledge) else step
        for step in answer.steps
    )
    return structs.replace(answer, steps=tuple(steps))


def _is_new(item: ItemSides, theirs: SourceText) -> bool:
    """Return whether the source text is newer than the text that the item has for this request."""
    own, body = item.own, theirs.file.body
    assert own is not None
    if item.is_edited_on_server:
        return False  # a person decides about the edit first
    if body == own.declined and item.file.exists:
        return False
    if item.file.exists:
        return body != (own.promoted or own.generated)
    # An edit that only the server has is restored from there.
    return item.inputs.saved_body(own) in (NOTHING, own.generated, own.promoted, body)


def _has_other_words(item: ItemSides, theirs: SourceText) -> bool:
    """Whether the file or the server has edits that differ from the source text."""
    own, file = item.own, item.file
    if item.is_edited_on_server:
        return True
    if own is None:
        return file.exists and file.body != theirs.file.body
    ours = (own.promoted, theirs.file.body)
    if file.exists:
        return file.body not in ours and is_edited(file, own, item.inputs.made)
    return not item.is_same and item.inputs.saved_body(own) not in (NOTHING, own.generated, *ours)


def replacement_refused(item: ItemSides) -> BodyAnswer | None:
    """The answer that blocks `--replace` and sections of a text that waits, or that would be promoted again."""
    choice, theirs = item.inputs.choice, item.source_text
    if not (item.spec.id in choice.replace or item.spec.id in choice.sections):
        return None
    if item.waits and not item.is_protected:
        return block("waits", "it waits for the texts that it is made from: apply first, then make it again")
    if theirs is None:
        return None
    return block(PROMOTED, f"its text comes from `{theirs.name}`: use `--replace` there")


def generation_refused(item: ItemSides, why: tuple[Reason, ...]) -> BodyAnswer | None:
    """The answer that blocks a generation in an environment that promotes its texts; None: it is allowed."""
    source, spec = item.inputs.source, item.spec
    if source is None:
        return None
    command = f"`contentops apply --env {source.environment}`" if source.environment else "without `--env`"
    if (outline := source.outline(spec, item.inputs.observe)) is not None:
        draft = f"`{outline.file.path}` of `{outline.name}` is a draft outline of the bundled server"
        ways = "write the text and remove the line `> Draft outline ...`, or `--drafts` promotes the outline"
        return block(NOT_PROMOTED, f"{draft}: {ways}", reasons=why)
    lack = source.why_none(spec, item.inputs.observe)
    return block(NOT_PROMOTED, f"{lack}; apply there first ({command})", reasons=why)


def is_about_promotion(change: Change) -> bool:
    """Whether a change promotes a text, is blocked from it, or waits for one."""
    kinds = {reason.kind for reason in change.reasons}
    return change.promotion is not None or PROMOTED in kinds or change.blocked == NOT_PROMOTED
