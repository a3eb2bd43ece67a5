"""Draft outlines of the bundled server: which texts are some, and what keeps them from where finished texts go.

An outline stays one while its label is in the text. A person who has written the text takes that line out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import Note
from contentops.planning.existing_texts import is_outline

if TYPE_CHECKING:
    from contentops.planning.edits import BodyAnswer
    from contentops.planning.plan_inputs import ItemSides

DRAFT_OUTLINE = "draft-outline"
"""The reason an item is held back whose outline would be saved to another server, and the note of one not promoted."""


def not_saved_elsewhere(item: ItemSides, body: BodyAnswer) -> str:
    """What to do where an outline of one server would be saved to another; empty: none would."""
    own, inputs = item.own, item.inputs
    if own is None or body.writes or inputs.choice.drafts or own.server == inputs.server:
        return ""
    if not is_outline(own, item.file):
        return ""
    path, write = item.file.path, "`--on-edit overwrite` pays for a text, " * bool(own.generated)
    return (
        f"`{path}` is a draft outline of the bundled server, which is saved to no other server: write the text and "
        f"remove the line `> Draft outline ...`, {write}or `--drafts` saves the outline"
    )


def outline_notes(item: ItemSides) -> tuple[Note, ...]:
    """The note of an outline that is new in the environment texts are taken from, and is not taken."""
    source, own, spec = item.inputs.source, item.own, item.spec
    if source is None or own is None or not own.is_promoted or item.inputs.choice.drafts:
        return ()
    outline = source.outline(spec, item.inputs.observe)
    if outline is None or outline.file.body in (own.promoted, own.declined):
        return ()
    message = f"`{spec.id}`: `{outline.file.path}` is a draft outline, so it is not promoted"
    return (Note(kind=DRAFT_OUTLINE, id=spec.id, message=message, hint="`--drafts` takes it as it is"),)
