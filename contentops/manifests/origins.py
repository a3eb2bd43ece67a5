"""Where the values of items were written: what many items share once, and each `Origin` when someone asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import Location
from contentops.model import Origin
from contentops.yaml.positions import NOWHERE, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence


class OriginKind(Struct, frozen=True, array_like=True, eq=False):
    """An origin without its line: equal ones of one manifest are one object."""

    layer: str
    file: str
    """Empty for what stands in no file."""
    variables: tuple[str, ...] = ()


class OriginShape(Struct, frozen=True, array_like=True, eq=False):
    """The origins of an item without their lines, which most items of a manifest have alike."""

    names: tuple[str, ...]
    kinds: tuple[OriginKind, ...]


class OriginShapes:
    """The kinds and shapes of one manifest, each once."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, tuple[str, ...]], OriginKind] = {}
        self._shapes: dict[tuple[tuple[str, ...], tuple[OriginKind, ...]], OriginShape] = {}

    def kind(self, layer: str, file: str, variables: tuple[str, ...] = ()) -> OriginKind:
        """The one with these values."""
        key = layer, file, variables
        return self._kinds.get(key) or self._kinds.setdefault(key, OriginKind(*key))

    def place(self, layer: str, location: Location | None, variables: tuple[str, ...] = ()) -> tuple[int, OriginKind]:
        """The packed position of an origin, and the rest of it."""
        if location is None:
            return NOWHERE, self.kind(layer, "", variables)
        return pack(location), self.kind(layer, location.file, variables)

    def origins(self, places: Mapping[str, int], kinds: Mapping[str, OriginKind]) -> Origins:
        """The origins of one item: where each name stands, and what else they say, in the same order."""
        key = tuple(places), tuple(kinds.values())
        shape = self._shapes.get(key) or self._shapes.setdefault(key, OriginShape(*key))
        return Origins(shape, tuple(places.values()))

    def collected(self, origins: Mapping[str, Origin]) -> Origins:
        """Any origins in this form."""
        if isinstance(origins, Origins):
            return origins
        found = {name: self.place(one.layer, one.location, one.variables) for name, one in origins.items()}
        places = {name: place for name, (place, _) in found.items()}
        kinds = {name: kind for name, (_, kind) in found.items()}
        return self.origins(places, kinds)


class Origins(Mapping[str, Origin]):
    """Origins by name."""

    __slots__ = ("places", "shape")

    def __init__(self, shape: OriginShape, places: Sequence[int]) -> None:
        self.shape = shape
        self.places = places
        """The packed position of each, in the order of the names."""

    def __getitem__(self, name: str) -> Origin:
        if name not in self.shape.names:
            raise KeyError(name)
        number = self.shape.names.index(name)
        kind, place = self.shape.kinds[number], self.places[number]
        location = None if place == NOWHERE else Location(kind.file, *unpack(place))
        return Origin(layer=kind.layer, location=location, variables=kind.variables)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shape.names)

    def __len__(self) -> int:
        return len(self.shape.names)

    def __repr__(self) -> str:
        return repr(dict(self))
