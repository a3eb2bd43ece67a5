"""The file that an apply would write for an item, as far as its text is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, structs

from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_title
from contentops.documents.files import Outputs
from contentops.documents.front_edits import carry, replace_body, update, written_entries
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY, compose, provenance, split
from contentops.documents.merge import take_new
from contentops.documents.new_section import Unusable, take_section
from contentops.errors import OutputError, UsageError
from contentops.model import Fetch, ItemId, MergeEdit, Promote, Pull, Update, Write
from contentops.operations.plan import no_item
from contentops.operations.workspace import open_workspace
from contentops.planning.front_matter import provenance_of
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import Choice
from contentops.planning.section import known_texts
from contentops.planning.titles import Brought, written_title

if TYPE_CHECKING:
    from contentops.model import Change, Json, Project
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs


class PlannedText(NamedTuple):
    """A text that a change writes, and the job and the model that made it; empty fields are not known."""

    title: str
    body: str
    job_id: str = ""
    generated_at: str = ""
    model: str = ""


def planned_text(workspace: Workspace, inputs: PlanInputs, change: Change, before: str | None) -> PlannedText | None:
    """Return the text that the change writes over the body `before`, if this machine has it."""
    text = _text(workspace, inputs, change)
    return None if text is None else text._replace(body=_merged(inputs, change, before, text.body))


def _merged(inputs: PlanInputs, change: Change, before: str | None, text: str) -> str:
    """Return the text as it is written: with a new section, or with the sections that a person edited."""
    if change.section and before is not None:
        own_texts = known_texts(change.record, body_digest(text), inputs.text)
        taken = take_section(before, text, change.section, own_texts)
        return before if isinstance(taken, Unusable) else taken[0]
    mode = next((step.mode for step in change.steps if isinstance(step, Write)), None)
    if not isinstance(mode, MergeEdit) or before is None:
        return text
    merged = take_new(inputs.text(mode.base) or "", before, text)
    return text if merged is None else merged.body


def _text(workspace: Workspace, inputs: PlanInputs, change: Change) -> PlannedText | None:
    entry, digest, text = change.entry, NOTHING, PlannedText("", "")
    if entry is not None:
        digest, text = entry.body, PlannedText(entry.title, "", entry.job_id, entry.generated_at, entry.model)
    for step in change.steps:
        if isinstance(step, Promote):
            document = split(Outputs(inputs.project.root).read(step.path))
            return PlannedText(document.title, document.body, "", step.generated_at, step.model)
        if isinstance(step, Fetch) and step.entry is None and change.record is not None and step.recorded:
            digest, text = next(iter(change.record.restorable), NOTHING), PlannedText(change.record.title, "")
        elif isinstance(step, Fetch) and step.entry is None:
            stored = workspace.cache.get_text(inputs.server, step.digest)
            if stored is None:
                return None
            return PlannedText(stored.title, stored.body, stored.job_id, stored.generated_at, stored.model)
    body = inputs.text(digest) if digest else None
    return None if body is None else text._replace(body=body)


# --- the whole file ----------------------------------------------------------------------------------------

NOT_WRITTEN = "(The text is not written yet: `contentops apply` generates it.)"
"""Stands for a body that is not here."""


class PlannedFile(Struct, frozen=True, kw_only=True):
    """A file as an apply would write it."""

    path: str
    text: str
    has_body: bool = True
    """Whether the text is known; otherwise `NOT_WRITTEN` stands for it."""
    note: str = ""
    """Why it is the file of today, if it is; empty: it is not."""


def planned_file(project: Project, item: str) -> PlannedFile:
    """Return the file of an item as the next apply would leave it, with its front matter.

    Raises UsageError for an unknown id and an item without a file, InputError for manifests with errors, OutputError
    for a file that cannot be read.
    """
    with open_workspace(project, keep_stamps=False) as workspace:
        inputs = workspace.plan_inputs(Choice())
        change = next((one for one in make_plan(inputs).changes if one.id == item), None)
        spec, record = inputs.specs.get(ItemId(item)), inputs.state.records.get(ItemId(item))
        if change is None and spec is None and record is None:
            raise no_item(item, [*inputs.specs, *inputs.state.records])
        outputs = Outputs(project.root)
        step = next((one for one in change.steps if isinstance(one, Write | Update)), None) if change else None
        path = change.file.path if change is not None else record.output if record is not None else ""
        seen = inputs.observe(path) if path else None
        if seen is not None and seen.problem:
            raise OutputError(seen.problem, code="unreadable-file")
        before = outputs.read(path) if seen is not None and seen.exists else None
        if change is not None and isinstance(step, Write):
            return _written(workspace, inputs, change, step, before)
        if before is None:
            hint = change.hint if change is not None else "`contentops plan` shows what is planned"
            raise UsageError(f"the next apply does not write a file for `{item}`", code="not-generated", hint=hint)
        if change is not None and isinstance(step, Update):
            changes: dict[str, Json] = dict(step.front)
            if step.title is not None:
                changes[TITLE_KEY] = step.title
            return PlannedFile(path=step.target, text=update(before, changes))
        note = "nothing is planned for it" if change is None else change.hint
        return PlannedFile(path=path, text=before, note=note or "its file does not change")


def _written(workspace: Workspace, inputs: PlanInputs, change: Change, step: Write, before: str | None) -> PlannedFile:
    """Return the file that a write makes. `before`: its file of today."""
    known = planned_text(workspace, inputs, change, None if before is None else split(before).body)
    body = NOT_WRITTEN if known is None else known.body
    title = _title(inputs, change, step, known)
    block = _block(inputs.project, change, step, known)
    if before is None:
        text = compose(title, step.front, block, body)
    else:
        changes: dict[str, Json] = {**step.front, **({TITLE_KEY: title} if title else {})}
        if block is not None and not isinstance(step.mode, Pull):
            changes[PROVENANCE_KEY] = block
        text = replace_body(update(before, changes), body)
    if (promotion := change.promotion) is not None:
        source = Outputs(inputs.project.root).read(promotion.path)
        text = carry(text, written_entries(source, promotion.carries))
    return PlannedFile(path=step.target, text=text, has_body=known is not None)


def _title(inputs: PlanInputs, change: Change, step: Write, known: PlannedText | None) -> str:
    if known is None:
        return clean_title(step.title) if step.title is not None else change.file.title
    is_known = not step.is_new or change.promotion is not None
    brought = Brought(known.title, known.body, bool(change.section), is_known=is_known)
    preset = inputs.project.preset
    return written_title(step.title, change.file, change.record, brought, item=change.id, preset=preset)


def _block(project: Project, change: Change, step: Write, known: PlannedText | None) -> dict[str, Json] | None:
    """Return the `contentops` block of the file, without the job and the time of a text that no job has made yet."""
    if not project.provenance or change.spec is None:
        return None
    if not step.is_new and change.record is not None:
        return provenance_of(structs.replace(change.record, id=change.id))
    return provenance(
        item=change.id,
        digest=change.spec.digest,
        job=known.job_id if known is not None else "",
        generated_at=known.generated_at if known is not None else "",
        promoted_from=change.promoted_from,
        model=known.model if known is not None else "",
    )
