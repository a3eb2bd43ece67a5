"""A person's words in the way of a text: what `on_edit` says, and what holds an item back."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.model import Acknowledge, Action, OnEdit, Reason
from contentops.planning.inputs import explain, is_ours, key_of

if TYPE_CHECKING:
    from contentops.model import OpenEntry, Step
    from contentops.planning.inputs import ItemSides


class BodyAnswer(Struct, frozen=True, kw_only=True):
    """The answer to the first question."""

    action: Action = Action.NONE
    steps: tuple[Step, ...] = ()
    """Those that bring a text, which is then written; or only a record."""
    reasons: tuple[Reason, ...] = ()
    entry: OpenEntry | None = None
    """The open entry that answers the spec."""
    blocked: str = ""
    hint: str = ""

    @property
    def writes(self) -> bool:
        """Whether the file gets another text."""
        return any(not isinstance(step, Acknowledge) for step in self.steps)


def edit_choice(item: ItemSides, why: tuple[Reason, ...], entry: OpenEntry | None = None) -> BodyAnswer | None:
    """What `on_edit` says where a person's words stand in the way; None: go on and overwrite."""
    record, path = item.own, item.file.path
    if record is not None and item.file.exists and not item.is_edited:
        return None
    if record is None and is_ours(item.inputs, item.spec, item.file):
        reason = Reason(kind="own-output", detail=f"`{path}` was written for this very request")
        # Its job, if it is still open, is drained: the entry is not this change's own.
        return BodyAnswer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=(*why, reason))
    choice = on_edit(item)
    reasons = (*why, *edit(item))
    if choice is OnEdit.OVERWRITE:
        return None
    if choice is OnEdit.KEEP and item.file.exists and record is not None:
        return BodyAnswer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=reasons)
    if record is None:
        return block("foreign-file", foreign_hint(item, path), reasons=reasons, entry=entry)
    if not item.file.exists:
        hint = f"`{path}` is gone and its text was not saved; `--on-edit overwrite` generates the new one"
        return block("missing", hint, reasons=reasons, entry=entry)
    hint = f"`{path}` was edited by hand; `--on-edit keep` or `overwrite`, or `on_edit` in the manifest"
    if entry is not None and item.is_same:
        take = "--on-edit overwrite" if entry.section else f"--replace {item.spec.id}"
        hint = f"`{path}` was edited by hand; `{take}` puts the text under way in its place, `--on-edit keep`"
        hint += " keeps the file"
    return block("edited", hint, reasons=reasons, entry=entry)


def on_edit(item: ItemSides) -> OnEdit:
    """What a person chose: on the command line, else in the manifest."""
    return item.inputs.choice.on_edit or item.spec.on_edit


def foreign_hint(item: ItemSides, path: str) -> str:
    """What to do about a file at `path` that the item does not own."""
    owner = item.inputs.owners.get(key_of(path))
    if owner is not None:
        return f"`{path}` belongs to `{owner}`; `--prune` removes it where no manifest declares that item any more"
    adopt = f"`contentops adopt {shlex.quote(path)}` takes it as it is"
    rest = ", `--on-edit overwrite` replaces it, or move it away" if item.spec.request.template else ", or move it away"
    return f"`{path}` exists and no record owns it; {adopt}{rest}"


def edit(item: ItemSides, detail: str = "was edited by hand") -> tuple[Reason, ...]:
    """The reason that tells of a person's words in the file, if there are some."""
    return (Reason(kind="edited", detail=f"`{item.file.path}` {detail}"),) if item.is_edited else ()


def replaced_edit(item: ItemSides) -> tuple[Reason, ...]:
    """The reason that tells of a person's words which the new text takes the place of."""
    return edit(item, "was edited by hand, and that text is replaced")


def why_changed(item: ItemSides) -> tuple[Reason, ...]:
    """Why another text is wanted: the item is new, a draft of the embedded server, or fields of its request differ."""
    record = item.own
    if record is None:
        return (Reason(kind="new"),)
    draft = (
        (Reason(kind="made-by-local", detail="made by the embedded server"),) if item.inputs.is_draft(record) else ()
    )
    return draft + explain(item.spec, record)


def block(kind: str, hint: str, *, reasons: tuple[Reason, ...] = (), entry: OpenEntry | None = None) -> BodyAnswer:
    """The answer that holds an item back; `kind` is kebab-case and part of the plan's format."""
    return BodyAnswer(action=Action.BLOCKED, blocked=kind, hint=hint, reasons=reasons, entry=entry)
