"""Values stacked in layers: project defaults, a manifest's, an environment's, an item's own.

The higher layer wins. Maps merge key by key, lists replace as a whole, and a null takes away what lower layers say,
so that an item can drop a default.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import Location
from contentops.yaml.positions import Map, YamlDocument, locate, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.model import Json
    from contentops.yaml.positions import Pointer

RESERVED: Final = frozenset({"item", "each", "project", "environment", "loop", "range", "self"})
"""Names that variables cannot have."""

MERGED: Final = frozenset({"inputs", "metadata", "checks"})
"""The item keys whose maps merge."""


class Written(Struct, frozen=True):
    """A value as it stands in one file, and the layer that says it. `document` is None for values in no file."""

    value: Json
    layer: str
    document: YamlDocument | None = None
    pointer: Pointer = ()
    packed: int = -1
    """Its position as maps keep it, or -1 where only the pointer leads there."""

    @property
    def location(self) -> Location | None:
        """Where it was written."""
        if self.document is None:
            return None
        if self.packed >= 0:
            return Location(self.document.source.path, *unpack(self.packed))
        return locate(self.document, self.pointer)

    def below(self, key: str | int) -> Written:
        """What stands inside it, under a key or an index."""
        return Written(self.value[key], self.layer, self.document, (*self.pointer, key))

    def entries(self) -> Iterator[tuple[str, Written]]:
        """What stands inside a map, key by key."""
        places = self.value.places[1::2] if isinstance(self.value, Map) else ()
        packed = places if len(places) == len(self.value) else itertools.repeat(-1)
        for (key, value), place in zip(self.value.items(), packed, strict=False):
            yield key, Written(value, self.layer, self.document, (*self.pointer, key), place)


class Branch(Struct, frozen=True):
    """A map put together from several layers; `top` is the highest of them."""

    top: Written
    entries: dict[str, Tree]


Tree = Written | Branch


def tree(written: Written) -> Tree:
    """A written value with its maps opened up, so that they can merge."""
    if not isinstance(written.value, dict):
        return written
    return Branch(written, {key: tree(below) for key, below in written.entries()})


def fields(written: Written, *, leave_out: frozenset[str] = frozenset()) -> dict[str, Tree]:
    """The keys of a map of item fields; only those in MERGED are opened up. Empty if it is no map."""
    if not isinstance(written.value, dict):
        return {}
    return {key: tree(below) if key in MERGED else below for key, below in written.entries() if key not in leave_out}


def overlay(upper: Mapping[str, Tree], lower: Mapping[str, Tree]) -> dict[str, Tree]:
    """Two layers as one. A null above removes the key, also where nothing is below."""
    merged = dict(lower)
    for key, above in upper.items():
        below = merged.get(key)
        if isinstance(above, Branch):
            under = below.entries if isinstance(below, Branch) else {}
            merged[key] = Branch(above.top, overlay(above.entries, under))
        elif above.value is None:
            merged.pop(key, None)
        else:
            merged[key] = above
    return merged


def leaves(node: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Written]]:
    """Every value of a tree with its path; an empty map counts as a value."""
    if isinstance(node, Written):
        yield path, node
    elif not node.entries:
        yield path, node.top
    else:
        for key, below in node.entries.items():
            yield from leaves(below, (*path, key))


def top(node: Tree) -> Written:
    """The written value a tree stands for: itself, or the highest of its maps."""
    return node.top if isinstance(node, Branch) else node
