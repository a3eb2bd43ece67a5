"""Items that change their ids, by `moved` pairs or by asking for what a gone one asked; and the order of moves."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.documents.paths import collision_key, folders
from contentops.errors import Diagnostic, Severity, nearest
from contentops.planning.plan_inputs import is_protected, is_same, pending, specs_by_id

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from contentops.digest import Digest
    from contentops.model import Desired, ItemId, Json, Move, OpenEntry, Record, RequestId, State
    from contentops.planning.plan_inputs import PlanInputs


def apply_renames(desired: Desired, state: State, server: str) -> tuple[State, Mapping[ItemId, ItemId]]:
    """`state` under the ids of today: what `moved` pairs rename, and what is open of gone items and asked for again.

    Also returns the new ids, each with the old one; an apply writes them down before anything else.
    """
    state, moved = _apply_moved(desired, state)
    state, taken = _hand_over(desired, state, server)
    return state, {**moved, **taken}


def _apply_moved(desired: Desired, state: State) -> tuple[State, dict[ItemId, ItemId]]:
    """`state` with records and open entries under the ids that `moved` pairs give them, all pairs at once.

    Pairs may stay in a manifest. One is applied where something is left under its old id, but for what answers the
    request which that id declares now; and no item with a text of its own is overwritten: then the old id shows as an
    orphan.
    """
    pairs = {pair.old: pair.new for pair in desired.moved}
    if not pairs:
        return state, {}
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
        return state, {}
    records: dict[ItemId, Record] = {id_: record for id_, record in state.records.items() if id_ not in todo}
    for old, new in todo.items():
        if (record := state.records.get(old)) is not None:
            records[new] = record.renamed(new)
    entries: dict[RequestId, OpenEntry] = {
        key: structs.replace(entry, item=todo.get(entry.item, entry.item)) for key, entry in state.entries.items()
    }
    return structs.replace(state, records=records, entries=entries), {new: old for old, new in todo.items()}


def _hand_over(desired: Desired, state: State, server: str) -> tuple[State, dict[ItemId, ItemId]]:
    """`state` with the open entries of gone items under ids that ask for the same and have no text of it.

    Whatever became of such a submit, it answers the new id as it would have the old one: paying beside it would be
    paying twice. Owners and ids pair in order, and all that one owner has open for a request goes to one id.
    """
    waiting = [entry for entry in pending(state.entries.values()) if entry.server == server]
    specs = specs_by_id(desired) if waiting else {}
    left: dict[Digest, dict[ItemId, list[OpenEntry]]] = {}
    entries: dict[RequestId, OpenEntry] = {}
    heirs = heirs_of(state, specs) if waiting else {}
    for entry in sorted(waiting, key=lambda each: each.item):
        heir = heirs.get(entry.item)
        if heir is not None and entry.attempt > 1 and specs[heir].digest == entry.digest:
            # A further take that someone asked for under a former id: its text goes where the item went.
            entries[entry.request_id] = structs.replace(entry, item=heir)
            continue
        # What is to take the place of a text goes where that text goes.
        replaces = entry.section or is_same(state.records.get(entry.item), entry.digest, server)
        if entry.item not in specs and not replaces:
            left.setdefault(entry.digest, {}).setdefault(entry.item, []).append(entry)
    if not (left or entries):
        return state, {}
    busy = {(entry.item, entry.digest) for entry in waiting}
    taken: dict[ItemId, ItemId] = {}
    for spec in desired.specs:
        record, owners = state.records.get(spec.id), left.get(spec.digest)
        if not owners or (spec.id, spec.digest) in busy or is_same(record, spec.digest, server):
            continue
        if record is None or not is_protected(spec, record):
            taken[spec.id] = old = next(iter(owners))
            entries |= {entry.request_id: structs.replace(entry, item=spec.id) for entry in owners.pop(old)}
    return structs.replace(state, entries={**state.entries, **entries}), taken


def heirs_of(state: State, specs: Container[ItemId]) -> dict[ItemId, ItemId]:
    """Former ids of declared items that no item has today, each with the item that had it."""
    return {
        old: record.id
        for record in state.records.values()
        if record.id in specs
        for old in record.former_ids
        if old not in specs and old not in state.records
    }


def pair_renames(inputs: PlanInputs) -> dict[ItemId, Record]:
    """New items, each with the gone item whose record answers the same request; in id order on both sides."""
    records = inputs.state.records
    free: dict[str, list[Record]] = defaultdict(list)
    for id_ in sorted(records.keys() - inputs.specs.keys(), reverse=True):
        record = records[id_]
        if not inputs.is_draft(record):
            free[_pair_key(record.request.get("template"), record.digest, record.output)].append(record)
    pairs: dict[ItemId, Record] = {}
    for spec in inputs.desired.specs:
        busy = any(entry.digest == spec.digest for entry in pending(inputs.entries.get(spec.id, ())))
        key = _pair_key(spec.request.template, spec.digest, spec.output)
        if spec.id not in records and not busy and free.get(key):
            pairs[spec.id] = free[key].pop()
    return pairs


def _pair_key(template: Json, digest: Digest, output: str) -> str:
    """By what a gone item is known again: its request, or its file where it never had one."""
    return digest if template else output


def missed(inputs: PlanInputs) -> Iterator[Diagnostic]:
    """Warnings for `moved` pairs that name nothing that is known, near to a gone item that they may be meant for."""
    state = inputs.state
    known = state.records.keys() | {entry.item for entry in state.entries.values()}
    pairs = [pair for pair in inputs.desired.moved if known.isdisjoint((pair.old, pair.new))]
    if not pairs:
        return
    orphans = state.records.keys() - inputs.specs.keys() - {record.id for record in pair_renames(inputs).values()}
    for pair in pairs:
        if close := nearest(pair.old, orphans):
            yield Diagnostic(
                code="moved-from-nothing",
                message=f"`moved` leads from `{pair.old}`, and nothing is known of an item of this id",
                severity=Severity.WARNING,
                location=pair.location,
                hint=f"did you mean `{close}`? as it stands, `{pair.new}` is generated as a new item",
            )


def order_moves(moves: Mapping[ItemId, Move]) -> tuple[ItemId, ...]:
    """The items in the order in which their files move. Raises ValueError where some of them form a ring."""
    from graphlib import TopologicalSorter

    return tuple(TopologicalSorter(_first(moves)).static_order())


def find_rings(moves: Mapping[ItemId, Move]) -> Iterator[list[ItemId]]:
    """Items whose files take each other's places, each moving to that of the next and the last to the first's.

    No item is in two of them, and all that are in none have an order.
    """
    first = _first(moves)
    done: set[ItemId] = set()
    place: dict[ItemId, int] = {}
    for start in moves:
        way = [] if start in done else [start]
        place[start] = 0
        while way:
            ahead = first[way[-1]].pop() if first[way[-1]] else None
            if ahead is None:
                done.add(way.pop())
            elif ahead not in place:
                place[ahead] = len(way)
                way.append(ahead)
            elif ahead not in done:
                ring = way[place[ahead] :]
                del way[place[ahead] :]
                done.update(ring)
                yield ring


def _first(moves: Mapping[ItemId, Move]) -> dict[ItemId, list[ItemId]]:
    """For each item those whose files stand where its own is to be, above it or below it."""
    standing: dict[str, list[ItemId]] = {}
    below: dict[str, list[ItemId]] = {}
    for item, move in sorted(moves.items()):
        key = collision_key(move.source)
        standing.setdefault(key, []).append(item)
        for folder in folders(key):
            below.setdefault(folder, []).append(item)
    found: dict[ItemId, list[ItemId]] = {}
    for item, move in sorted(moves.items()):
        key = collision_key(move.target)
        there = [other for place in (key, *folders(key)) for other in standing.get(place, ())]
        found[item] = [other for other in (*there, *below.get(key, ())) if other != item]
    return found
