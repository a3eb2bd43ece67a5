"""The order of moves: each target is free when its turn comes. A ring, in which no file can go first, is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.planning.inputs import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import ItemId, Move


def order_moves(moves: Mapping[ItemId, Move]) -> tuple[ItemId, ...]:
    """The items in the order in which their files move. Raises ValueError where some of them form a ring."""
    from graphlib import TopologicalSorter

    return tuple(TopologicalSorter(_first(moves)).static_order())


def find_ring(moves: Mapping[ItemId, Move]) -> tuple[ItemId, ...]:
    """Items whose files take each other's places, each moving to that of the next and the last to the first's."""
    from graphlib import CycleError, TopologicalSorter

    try:
        TopologicalSorter(_first(moves)).prepare()
    except CycleError as error:
        ring: list[ItemId] = error.args[1]
        return tuple(reversed(ring[1:]))
    return ()


def _first(moves: Mapping[ItemId, Move]) -> dict[ItemId, list[ItemId]]:
    """For each item those whose files stand where its own is to be, above it or below it."""
    standing: dict[str, list[ItemId]] = {}
    below: dict[str, list[ItemId]] = {}
    for item, move in sorted(moves.items()):
        key = key_of(move.source)
        standing.setdefault(key, []).append(item)
        for folder in _folders(key):
            below.setdefault(folder, []).append(item)
    found: dict[ItemId, list[ItemId]] = {}
    for item, move in sorted(moves.items()):
        key = key_of(move.target)
        there = [other for place in (key, *_folders(key)) for other in standing.get(place, ())]
        found[item] = [other for other in (*there, *below.get(key, ())) if other != item]
    return found


def _folders(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
