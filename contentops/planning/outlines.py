"""Draft outlines of the bundled server are neither saved to another server nor promoted.

A text is an outline while its label is in it. A person who has written the text removes that line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import plural
from contentops.model import Note
from contentops.planning.existing_texts import is_outline

if TYPE_CHECKING:
    from contentops.planning.edits import BodyAnswer
    from contentops.planning.plan_inputs import ItemSides, PlanInputs

_NAMED = 3
"""How many items a hint names."""
DRAFT_OUTLINE = "draft-outline"
"""The reason an item is blocked whose outline would be saved to another server, and the note of one not promoted."""


def not_saved_elsewhere(item: ItemSides, body: BodyAnswer) -> str:
    """The hint where a draft outline would be saved to another server; empty: none would."""
    own, inputs = item.own, item.inputs
    if own is None or body.writes or inputs.choice.drafts or own.server == inputs.server:
        return ""
    if not is_outline(own, item.file):
        return ""
    path, write = item.file.path, "`--on-edit overwrite` pays for a text, " * bool(own.generated)
    return (
        f"`{path}` is a draft outline of the bundled server, which is not saved to other servers: "
        f"write the text and remove the line `> Draft outline ...`, {write}or save the outline with `--drafts`"
    )


def draft_notes(inputs: PlanInputs) -> tuple[Note, ...]:
    """The note that a model is set but outlines stay: another engine or model alone generates nothing."""
    if not inputs.project.api.has_model:
        return ()
    drafts = [
        record.id
        for record in inputs.state.records.values()
        if record.outline and record.server == "local" and is_outline(record, inputs.observe(record.output))
    ]
    if not drafts:
        return ()
    number = plural(len(drafts), "text")
    message = f"{number} of the bundled server {'is a draft outline' if len(drafts) == 1 else 'are draft outlines'}"
    ids = " ".join(f"--replace {id_}" for id_ in drafts[:_NAMED]) + " ..." * (len(drafts) > _NAMED)
    hint = f"they stay until the model is asked for others: `contentops apply {ids}`"
    return (Note(kind="draft-outlines", message=message, hint=hint),)


def outline_notes(item: ItemSides) -> tuple[Note, ...]:
    """The note of a new outline in the source environment, which is not promoted."""
    source, own, spec = item.inputs.source, item.own, item.spec
    if source is None or own is None or not own.is_promoted or item.inputs.choice.drafts:
        return ()
    outline = source.outline(spec, item.inputs.observe)
    if outline is None or outline.file.body in (own.promoted, own.declined):
        return ()
    message = f"`{spec.id}`: `{outline.file.path}` is a draft outline and is not promoted"
    return (Note(kind=DRAFT_OUTLINE, id=spec.id, message=message, hint="`--drafts` promotes it anyway"),)
