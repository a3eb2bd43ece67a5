"""Which items are made from the texts of which: sources, dependants, and the order from sources to dependants."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from contentops.model import ItemId

    Sources = Mapping[ItemId, Collection[ItemId]]
    """By item, the items whose texts its own is made from."""


def dependants_of(sources: Sources) -> dict[ItemId, list[ItemId]]:
    """By item, the items that are made from its text, in the order of `sources`."""
    made: dict[ItemId, list[ItemId]] = defaultdict(list)
    for id_, its_sources in sources.items():
        for source in its_sources:
            made[source].append(id_)
    return dict(made)


def reached(start: Iterable[ItemId], steps: Sources) -> set[ItemId]:
    """Every item that a number of steps reaches from `start`, with those of `start`."""
    seen = set(start)
    todo = list(seen)
    while todo:
        further = [id_ for id_ in steps.get(todo.pop(), ()) if id_ not in seen]
        seen.update(further)
        todo += further
    return seen


def in_order(sources: Sources) -> list[ItemId]:
    """The items, each after its sources, else by id; recorded items in a ring come last."""
    made = dependants_of(sources)
    open_sources = {id_: len({one for one in its if one in sources} - {id_}) for id_, its in sources.items()}
    ordered: list[ItemId] = []
    wave = sorted(id_ for id_, number in open_sources.items() if not number)
    while wave:
        ordered += wave
        following: set[ItemId] = set()
        for id_ in wave:
            for one in set(made.get(id_, ())) - {id_}:
                open_sources[one] -= 1
                following |= set() if open_sources[one] else {one}
        wave = sorted(following)
    return [*ordered, *sorted(sources.keys() - set(ordered))]
