"""Items with new ids, by `moved` pairs or by the request of a removed item; and the order of file moves."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.documents.paths import collision_key, folders
from contentops.errors import Diagnostic, Severity, nearest
from contentops.planning.plan_inputs import is_draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import Desired, ItemId, Json, Move, Record, State
    from contentops.planning.plan_inputs import PlanInputs


def apply_renames(desired: Desired, state: State) -> tuple[State, Mapping[ItemId, ItemId]]:
    """`state` with records renamed by all `moved` pairs at once.

    Also returns the new ids, each with the old one; an apply records them first.
    """
    moved = _pairs_to_apply(desired, state) if desired.moved else {}
    if not moved:
        return state, {}
    records = {id_: record for id_, record in state.records.items() if id_ not in moved}
    records |= {new: structs.replace(state.records[old], id=new) for old, new in moved.items()}
    return structs.replace(state, records=records), {new: old for old, new in moved.items()}


def _pairs_to_apply(desired: Desired, state: State) -> dict[ItemId, ItemId]:
    """The `moved` pairs that rename something, as new ids by old ones.

    An old id keeps the text for the request that it declares now. A new id that has a text keeps that, and the old id
    is shown as an orphan.
    """
    wanted = {spec.id: spec.digest for spec in desired.specs}
    records = state.records
    renames = {
        pair.old: pair.new
        for pair in desired.moved
        if pair.old in records and wanted.get(pair.old) != records[pair.old].digest
    }
    # A pair that is dropped may block another one.
    while blocked := [old for old, new in renames.items() if new in records and new not in renames]:
        for old in blocked:
            del renames[old]
    return renames


def pair_renames(inputs: PlanInputs) -> dict[ItemId, Record]:
    """New items, each with the record of a removed item of the same request; in id order on both sides."""
    records = inputs.state.records
    free: dict[str, list[Record]] = defaultdict(list)
    for id_ in sorted(records.keys() - inputs.specs.keys(), reverse=True):
        record = records[id_]
        if not is_draft(record, inputs.server):
            free[_pair_key(record.request.get("template"), record.digest, record.output)].append(record)
    pairs: dict[ItemId, Record] = {}
    for spec in inputs.desired.specs if free else ():
        key = _pair_key(spec.request.template, spec.digest, spec.output)
        if spec.id not in records and free.get(key):
            pairs[spec.id] = free[key].pop()
    return pairs


def _pair_key(template: Json, digest: Digest, output: str) -> str:
    """The key of a removed item: its request, or its file where it was adopted."""
    return digest if template else output


def missed(inputs: PlanInputs) -> Iterator[Diagnostic]:
    """Warnings for `moved` pairs with unknown ids that are close to the id of a removed item."""
    state = inputs.state
    known_ids = state.records.keys() | {entry.item for entry in state.entries.values()}
    pairs = [pair for pair in inputs.desired.moved if known_ids.isdisjoint((pair.old, pair.new))]
    if not pairs:
        return
    orphans = state.records.keys() - inputs.specs.keys() - {record.id for record in pair_renames(inputs).values()}
    for pair in pairs:
        if close := nearest(pair.old, orphans):
            yield Diagnostic(
                code="moved-from-nothing",
                message=f"`moved` renames `{pair.old}`, which is not a known item",
                severity=Severity.WARNING,
                location=pair.location,
                hint=f"did you mean `{close}`? as written, `{pair.new}` is generated as a new item",
            )


def order_moves(moves: Mapping[ItemId, Move]) -> tuple[ItemId, ...]:
    """The items in the order in which their files move. Raises ValueError where some of them form a ring."""
    from graphlib import TopologicalSorter

    return tuple(TopologicalSorter(_blockers(moves)).static_order())


def find_rings(moves: Mapping[ItemId, Move]) -> Iterator[list[ItemId]]:
    """Rings of items, where each file moves to the path of the next item's file.

    No item is in two rings, and the items outside of rings have an order.
    """
    blockers = _blockers(moves)
    done: set[ItemId] = set()
    position: dict[ItemId, int] = {}
    for start in moves:
        way = [] if start in done else [start]
        position[start] = 0
        while way:
            ahead = blockers[way[-1]].pop() if blockers[way[-1]] else None
            if ahead is None:
                done.add(way.pop())
            elif ahead not in position:
                position[ahead] = len(way)
                way.append(ahead)
            elif ahead not in done:
                ring = way[position[ahead] :]
                del way[position[ahead] :]
                done.update(ring)
                yield ring


def _blockers(moves: Mapping[ItemId, Move]) -> dict[ItemId, list[ItemId]]:
    """For each item, those whose files are in its way: at its new path, above it or below it; in order of ids."""
    at: defaultdict[str, list[ItemId]] = defaultdict(list)
    below: defaultdict[str, list[ItemId]] = defaultdict(list)
    for item, move in sorted(moves.items()):
        key = collision_key(move.source)
        at[key].append(item)
        for folder in folders(key):
            below[folder].append(item)
    blockers: dict[ItemId, list[ItemId]] = {}
    for item, move in sorted(moves.items()):
        key = collision_key(move.target)
        occupants = [other for path in (key, *folders(key)) for other in at.get(path, ())]
        blockers[item] = [other for other in (*occupants, *below.get(key, ())) if other != item]
    return blockers
