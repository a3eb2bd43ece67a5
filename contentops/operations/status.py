"""`status`: how every item stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contentops.model import Action, ItemId, Move
from contentops.operations.workspace import open_workspace
from contentops.planning.inputs import Choice
from contentops.planning.plan import make_plan
from contentops.planning.select import Candidate, check_selectors, is_selected

if TYPE_CHECKING:
    from contentops.model import Change, Project, Record


class ItemStatus(Struct, frozen=True, kw_only=True):
    """How one item stands, in one word and a note."""

    id: ItemId
    state: str
    output: str
    credits: int = 0
    generated_at: str = ""
    note: str = ""


def status(project: Project, choice: Choice) -> tuple[ItemStatus, ...]:
    """How every selected item stands. Raises UsageError for selectors that cannot mean anything."""
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project, parse_cache=False) as workspace:
        found = workspace.plan_inputs(Choice())
    changes = {change.id: change for change in make_plan(found).changes}
    specs = found.specs
    states = []
    for id_ in sorted({*specs, *found.state.records, *changes}):
        change, record, spec = changes.get(id_), found.state.records.get(id_), specs.get(id_)
        output = record.output if record else spec.output if spec else change.target if change else ""
        item = Candidate(id=id_, spec=spec, change=change, entries=found.entries.get(id_, ()), path=output)
        if not is_selected(choice, item):
            continue
        observed = found.observe(record.output) if record else None
        word = _word(change, record, item.states, edited=_edited(record, observed))
        states.append(
            ItemStatus(
                id=id_,
                state=word,
                output=output,
                credits=record.credits if record else 0,
                generated_at=record.generated_at if record else "",
                note=(change.hint if change else ""),
            )
        )
    return tuple(states)


def _edited(record: Record | None, observed: Any) -> bool:
    return bool(record and observed and observed.exists and observed.body != record.generated)


def _word(change: Change | None, record: Record | None, states: frozenset[str], *, edited: bool) -> str:
    for word in ("orphan", "blocked", "unknown", "open", "new", "missing", "changed"):
        if word in states:
            return word
    if edited:
        return "edited"
    if change is not None and change.action not in (Action.NONE, Action.DRAIN):
        return "moved" if change.has(Move) else "unsaved" if change.names == ("save",) else "changed"
    return "as generated" if record is None or record.generated else "adopted"
