"""The text that an apply would write for an item, as far as it is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from contentops.digest import NOTHING
from contentops.documents.clean import body_digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.documents.merge import take_new
from contentops.documents.new_section import Unusable, take_section
from contentops.model import Fetch, MergeEdit, Promote, Write
from contentops.planning.section import known_texts

if TYPE_CHECKING:
    from contentops.model import Change
    from contentops.planning.plan_inputs import PlanInputs


class PlannedText(NamedTuple):
    """A text that a change writes."""

    title: str
    body: str


def planned_text(inputs: PlanInputs, change: Change, before: str | None) -> PlannedText | None:
    """Return the text that the change writes over the body `before`, if this machine has it."""
    text = _text(inputs, change)
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


def _text(inputs: PlanInputs, change: Change) -> PlannedText | None:
    entry, digest, text = change.entry, NOTHING, PlannedText("", "")
    if entry is not None:
        digest, text = entry.body, PlannedText(entry.title, "")
    for step in change.steps:
        if isinstance(step, Promote):
            document = split(Outputs(inputs.project.root).read(step.path))
            return PlannedText(document.title, document.body)
        if isinstance(step, Fetch) and step.entry is not None:
            digest, text = step.entry.body, PlannedText(step.entry.title, "")
        elif isinstance(step, Fetch) and change.record is not None and step.recorded:
            digest, text = next(iter(change.record.restorable), NOTHING), PlannedText(change.record.title, "")
    body = inputs.text(digest) if digest else None
    return None if body is None else text._replace(body=body)
