"""Items that no manifest declares any more: their jobs are collected, and with `--prune` they are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import is_same_json
from contentops.documents.clean import title_digest
from contentops.model import Action, Change, JobState, Note, Observed, Reason, Remove
from contentops.planning.model_price import collecting
from contentops.planning.plan_inputs import is_edited, pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentops.model import OpenEntry, Record
    from contentops.planning.plan_inputs import PlanInputs


def collected_of(entries: Iterable[OpenEntry]) -> list[OpenEntry]:
    """The jobs of a removed item whose texts may still arrive."""
    return [entry for entry in pending(entries) if entry.state is not JobState.PAID]


def decide_gone(
    inputs: PlanInputs, record: Record | None, entries: Sequence[OpenEntry], *, shared: bool
) -> tuple[Change | None, Note | None]:
    """The change and the note of an item that no manifest declares any more: collect its jobs, and remove it if asked.

    `shared`: a declared item has the path now, so only the record may be removed.
    """
    collected = collected_of(entries)
    id_ = record.id if record else entries[0].item
    unknown = any(entry.state is JobState.UNKNOWN for entry in collected)
    change = Change(
        id=id_,
        action=Action.RESOLVE if unknown else Action.DRAIN,
        file=inputs.observe(record.output) if record and not shared else Observed(path=""),
        reasons=(Reason(kind="gone", detail="not declared in any manifest"),),
        steps=collecting(inputs.project, collected),
        record=record,
        hint=f"if it cannot be found: `contentops state resolve {id_}`" if unknown else "",
    )
    if record is None:
        return change, None
    if record.protected or not inputs.choice.prune:
        return change if collected else None, _orphan_note(record, change.file)
    return _removed(inputs, change, record), None


def _orphan_note(record: Record, file: Observed) -> Note:
    if record.protected:
        return Note(kind="orphan", id=record.id, message=f"`{record.id}` is not in any manifest; protected, it stays")
    stays, removed = "its record stays", "its record"
    if file.exists:
        stays, removed = f"its file `{record.output}` stays", "its record and its file"
    return Note(
        kind="orphan",
        id=record.id,
        message=f"`{record.id}` is not in any manifest; {stays}",
        hint=f"`--prune` removes {removed}, `moved` renames it",
    )


def _is_front_edited(file: Observed, record: Record) -> bool:
    """Whether its title or front matter is not what was last written."""
    return title_digest(file.title) != title_digest(record.title) or not is_same_json(file.front, record.metadata)


def _removed(inputs: PlanInputs, change: Change, record: Record) -> Change:
    file = change.file
    if file.exists and (file.problem or is_edited(file, record, inputs.made) or _is_front_edited(file, record)):
        hint = f"`{record.output}` was edited by hand; remove the file yourself, or declare the item again"
        return structs.replace(change, action=Action.BLOCKED, blocked="edited", hint=hint)
    remove = Remove(target=file.path, expects=file.file)
    return structs.replace(change, action=Action.REMOVE, steps=(*change.steps, remove))
