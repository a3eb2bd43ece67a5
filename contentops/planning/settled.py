"""Items of which nothing is to be done or said: nearly all, nearly always, so they are told apart before any question.

A shortcut and nothing else: where an item is settled, the four questions find nothing either. Whatever is not plainly
so is for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.digest import is_same_json
from contentops.documents.clean import title_digest
from contentops.planning.front_matter import drifted, wanted_front

if TYPE_CHECKING:
    from contentops.model import Record
    from contentops.planning.plan_inputs import ItemSides, PlanInputs


def is_usual(inputs: PlanInputs) -> bool:
    """Whether a plan is of items as they are: with no other side to compare, and nothing asked for besides."""
    choice = inputs.choice
    besides = inputs.remote is not None or inputs.source is not None or inputs.foreign or inputs.rekeyed
    return not (besides or choice.replace or choice.sections)


def is_settled(item: ItemSides) -> bool:
    """Whether an item's record answers its spec, and its file is as its record says, in a plan that is usual."""
    inputs, spec, record, file = item.inputs, item.spec, item.record, item.file
    return (
        record is not None
        and record.digest == spec.digest
        and record.server == inputs.server
        and record.output == spec.output == file.path
        and file.exists
        and not file.problem
        and file.body == record.generated
        and file.title == record.title
        and file.owner in ("", spec.id)
        and not (item.entries or spec.protected or record.protected or record.addresses)
        and _is_saved(item, record)
        and _is_as_written(item, record)
    )


def _is_saved(item: ItemSides, record: Record) -> bool:
    if not item.inputs.saves(item.spec):
        return True
    saved = record.saved
    return saved is not None and saved.body == item.file.body and saved.title == title_digest(item.file.title)


def _is_as_written(item: ItemSides, record: Record) -> bool:
    wanted, title = wanted_front(item.inputs, item.spec)
    return (
        title is None
        and is_same_json(wanted, dict(record.metadata.items()))
        and not drifted(item.inputs.project, record, item.file, item.entries)
    )
