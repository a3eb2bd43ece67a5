"""Edits of a person that a new text would replace: what `on_edit` says, and when an item is blocked."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NO_TEXT, NOTHING
from contentops.documents.merge import touched
from contentops.documents.paths import collision_key
from contentops.model import Acknowledge, Action, MergeEdit, MergeRule, Mode, OnEdit, Reason, Replace
from contentops.planning.differences import explain
from contentops.planning.plan_inputs import is_draft, is_ours
from contentops.sections import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.documents.merge import Renewed
    from contentops.model import ItemId, OpenEntry, Step
    from contentops.planning.plan_inputs import ItemSides
    from contentops.sections import Key

_SHOWN = 5
"""How many sections one message names."""


class BodyAnswer(Struct, frozen=True, kw_only=True):
    """The answer to the first question."""

    action: Action = Action.NONE
    steps: tuple[Step, ...] = ()
    """Those that fetch a text, which is then written; or only a record step."""
    reasons: tuple[Reason, ...] = ()
    entry: OpenEntry | None = None
    """The open entry that answers the spec."""
    blocked: str = ""
    hint: str = ""
    waits: bool = False
    """The text of another environment is not approved yet, so that nothing is done about the body."""
    mode: Mode = Replace()
    """How the text comes into the file."""

    @property
    def is_final(self) -> bool:
        """Whether it is blocked or has steps, so that no other text is fetched."""
        return bool(self.blocked or self.steps)

    @property
    def writes(self) -> bool:
        """Whether the file gets another text."""
        return any(not isinstance(step, Acknowledge) for step in self.steps)


def edit_choice(item: ItemSides, why: tuple[Reason, ...], entry: OpenEntry | None = None) -> BodyAnswer | None:
    """The answer of `on_edit` to an edited file; None: go on and overwrite."""
    record, path = item.own, item.file.path
    if record is not None and item.file.exists and not item.is_edited:
        return None
    if record is None and is_ours(item.inputs, item.spec, item.file):
        reason = Reason(kind="own-output", detail=f"`{path}` was already written for this request")
        # Its job, if it is still open, is collected: the entry is not this change's own.
        return BodyAnswer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=(*why, reason))
    choice = on_edit(item)
    reasons = (*why, *edit(item))
    if choice is OnEdit.OVERWRITE:
        return None
    if choice is OnEdit.KEEP and item.file.exists and record is not None:
        return BodyAnswer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=reasons)
    if record is None:
        return block("foreign-file", occupied_hint(item, path), reasons=reasons, entry=entry)
    if not item.file.exists:
        hint = f"`{path}` is gone and its text was not saved; `--on-edit overwrite` generates the new one"
        return block("missing", hint, reasons=reasons, entry=entry)
    if choice is OnEdit.MERGE:
        return merging(item, (*why, *edit(item)), entry)
    hint = f"`{path}` was edited by hand; `--on-edit keep`, `merge` or `overwrite`, or `on_edit` in the manifest"
    if entry is not None and item.is_same:
        option = "--on-edit overwrite" if entry.section else f"--replace {item.spec.id}"
        hint = f"`{path}` was edited by hand; `{option}` replaces it by the text being generated, `--on-edit keep`"
        hint += " keeps the file"
    return block("edited", hint, reasons=reasons, entry=entry)


def is_emptied(item: ItemSides) -> bool:
    """Whether the file lost its text, as an editor or a full disk may leave it."""
    own = item.own
    if own is None or not item.file.exists or item.file.body != NO_TEXT:
        return False
    return bool({own.generated, own.saved.body if own.saved is not None else NOTHING} - {NOTHING, NO_TEXT})


def emptied(item: ItemSides, then: str, reasons: tuple[Reason, ...], entry: OpenEntry | None = None) -> BodyAnswer:
    """The answer that blocks an item whose file lost its text; `then`: what to do."""
    return block("emptied", f"`{item.file.path}` is empty now: {then}", reasons=reasons, entry=entry)


def merging(item: ItemSides, reasons: tuple[Reason, ...], entry: OpenEntry | None) -> BodyAnswer:
    """The new text merged with the edits; blocked where the generated text before them is missing."""
    record = item.own
    assert record is not None
    if is_emptied(item):
        then = "`--on-edit overwrite` writes the new text; a merge would leave the file empty"
        return emptied(item, then, reasons, entry)
    base = item.inputs.text(record.generated) if record.generated else None
    if base is None:
        text_name = f"what was generated for `{item.file.path}`"
        return no_base(item, text_name, reasons, entry, existed=bool(record.generated))
    edited = item.inputs.read(item.file.path)
    keys = touched(base, edited)
    names = [heading_of(key) for key in keys]
    detail = f"stays as it was edited: {listed(names)}"
    if not {section.key for section in cut(edited) if section.text.strip()} - {*keys}:
        detail = f"every section {detail}; the new text adds only sections with other headings, if it has any"
    reason = Reason(kind="kept-sections", after=names, detail=detail)
    mode = MergeEdit(base=record.generated, strict=is_strict(item))
    return BodyAnswer(reasons=(*reasons, reason), mode=mode)


def no_base(
    item: ItemSides, text_name: str, reasons: tuple[Reason, ...], entry: OpenEntry | None, *, existed: bool
) -> BodyAnswer:
    """The answer that blocks an item whose text before the edits is missing; `existed`: there was one."""
    lost = item.inputs.why_no_text() if existed else "it was adopted, so there is no generated text"
    hint = f"{text_name} is missing, so the edits cannot be determined"
    hint += f"; {lost}" if lost else ""
    hint += "; otherwise use `--on-edit keep` or `overwrite`"
    return block("no-merge-base", hint, reasons=reasons, entry=entry)


def why_not_merged(id_: ItemId, merged: Renewed | None, *, strict: bool) -> tuple[str, str] | None:
    """Why a merge is not written, as a kind and a hint; None: it is."""
    if merged is None:
        return "unmergeable", (
            "its sections cannot be merged, because a code block or comment in one of them is not closed; "
            "close it, or use `--on-edit keep` or `overwrite`"
        )
    if not strict or not merged.overruled:
        return None
    names = listed([heading_of(each.key) for each in merged.overruled])
    shown = f"`contentops diff {id_} --section HEADING` shows both"
    return "kept-sections", (
        f"`merge: strict`, and the new text changes sections that you edited: {names}; {shown}; "
        "`--on-edit merge` keeps your sections; `keep` or `overwrite` chooses one text"
    )


def is_strict(item: ItemSides) -> bool:
    """Whether the manifest blocks merges that drop new words; `--on-edit merge` on the command line does not."""
    return item.spec.merge is MergeRule.STRICT and item.inputs.choice.on_edit is None


def heading_of(key: Key) -> str:
    """A section in words: its heading marks, heading and number."""
    times = f" ({key.number})" if key.number > 1 else ""
    return f"{'#' * key.level} {key.heading}{times}".strip() if key.level else "the text before the first heading"


def listed(names: Sequence[str]) -> str:
    """The first names as a list in words, with a count of the rest."""
    shown = [f"`{name}`" if name.startswith("#") else name for name in names[:_SHOWN]]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)


def on_edit(item: ItemSides) -> OnEdit:
    """The choice on the command line, otherwise in the manifest.

    Of an item with a section to generate again, the command line is about that section alone.
    """
    choice = item.inputs.choice
    return (choice.on_edit if item.spec.id not in choice.sections else None) or item.spec.on_edit


def occupied_hint(item: ItemSides, path: str) -> str:
    """What to do about a file at `path` that is not the item's."""
    owner = item.inputs.owners.get(collision_key(path))
    if owner in item.inputs.specs:
        return f"`{path}` belongs to `{owner}`, which moves to another path; apply that first"
    rest = ", `--on-edit overwrite` replaces it, or move it away" if item.spec.request.template else ", or move it away"
    if owner is not None:
        moved = f"`moved: [{{from: {owner}, to: {item.spec.id}}}]` transfers the file and its record"
        return f"`{path}` belongs to `{owner}`, which no manifest declares; {moved}{rest}; `--prune` leaves it there"
    adopt = f"`contentops adopt {shlex.quote(path)}` adopts it unchanged"
    return f"`{path}` exists but is unmanaged; {adopt}{rest}"


def edit(item: ItemSides, detail: str = "was edited by hand") -> tuple[Reason, ...]:
    """The reason that a person edited the file, if one did."""
    return (Reason(kind="edited", detail=f"`{item.file.path}` {detail}"),) if item.is_edited else ()


def replaced_edit(item: ItemSides) -> tuple[Reason, ...]:
    """The reason that the new text replaces a person's edit, if there is one."""
    return edit(item, "was edited by hand, and that text is replaced")


def why_changed(item: ItemSides) -> tuple[Reason, ...]:
    """Why another text is wanted: the item is new, a draft of the bundled server, or its request changed."""
    record = item.own
    if record is None:
        return (Reason(kind="new"),)
    is_made_here = is_draft(record, item.inputs.server)
    draft = (Reason(kind="made-by-local", detail="made by the bundled server"),) if is_made_here else ()
    return draft + explain(item.spec, record)


def block(kind: str, hint: str, *, reasons: tuple[Reason, ...] = (), entry: OpenEntry | None = None) -> BodyAnswer:
    """The answer that blocks an item; `kind` is kebab-case and part of the plan's format."""
    return BodyAnswer(action=Action.BLOCKED, blocked=kind, hint=hint, reasons=reasons, entry=entry)
