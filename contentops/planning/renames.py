"""Items that change their ids: by `moved` pairs, and where a new item asks for the very text of a gone one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.planning.inputs import pending

if TYPE_CHECKING:
    from contentops.model import Desired, ItemId, OpenEntry, Record, RequestId, State
    from contentops.planning.inputs import PlanInputs


def apply_moved(desired: Desired, state: State) -> tuple[State, frozenset[ItemId]]:
    """`state` with records and open entries under the ids that `moved` pairs give them, all pairs at once.

    Also returns the new ids, which an apply writes down before anything else.

    Pairs may stay in a manifest. One is applied where something is left under its old id, but for what answers the
    request which that id declares now; and no item with a text of its own is overwritten: then the old id shows as an
    orphan.
    """
    pairs = {pair.old: pair.new for pair in desired.moved}
    if not pairs:
        return state, frozenset()
    wanted = {spec.id: spec.digest for spec in desired.specs}
    waiting = {entry.item for entry in pending(state.entries.values()) if entry.item not in state.records}
    answered = {record.id for record in state.records.values() if wanted.get(record.id) == record.digest}
    for entry in state.entries.values():
        if entry.item not in state.records and wanted.get(entry.item) == entry.digest:
            answered.add(entry.item)
    held = state.records.keys() | {entry.item for entry in state.entries.values()}
    todo = {old: new for old, new in pairs.items() if old in held and old not in answered}
    owned = state.records.keys() | (answered & waiting)
    while kept := [old for old, new in todo.items() if new in owned and new not in todo]:
        for old in kept:
            del todo[old]
    if not todo:
        return state, frozenset()
    records: dict[ItemId, Record] = {id_: record for id_, record in state.records.items() if id_ not in todo}
    for old, new in todo.items():
        if (record := state.records.get(old)) is not None:
            records[new] = structs.replace(record, id=new, moved_from=old)
    entries: dict[RequestId, OpenEntry] = {
        key: structs.replace(entry, item=todo.get(entry.item, entry.item)) for key, entry in state.entries.items()
    }
    return structs.replace(state, records=records, entries=entries), frozenset(todo.values())


def pair_renames(inputs: PlanInputs) -> dict[ItemId, Record]:
    """New items, each with the gone item whose record answers the same request; in id order on both sides."""
    records = inputs.state.records
    free: dict[str, list[Record]] = defaultdict(list)
    for id_ in sorted(records.keys() - inputs.specs.keys(), reverse=True):
        record = records[id_]
        if not inputs.is_draft(record):
            free[record.digest].append(record)
    pairs: dict[ItemId, Record] = {}
    for spec in inputs.desired.specs:
        busy = any(entry.digest == spec.digest for entry in pending(inputs.entries.get(spec.id, ())))
        if spec.id not in records and not busy and free.get(spec.digest):
            pairs[spec.id] = free[spec.digest].pop()
    return pairs
