"""The origins of the values of items in little memory: shared parts once, and each `Origin` created when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import Location
from contentops.model import Origin
from contentops.yaml.positions import NOWHERE, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence


class OriginKind(Struct, frozen=True, eq=False):
    """An origin without its position; equal ones of one manifest are one object."""

    layer: str
    file: str
    """Empty for a value in no file."""
    variables: tuple[str, ...] = ()


class OriginShape(Struct, frozen=True, eq=False):
    """The origins of an item without their positions; most items of a manifest share one."""

    names: tuple[str, ...]
    kinds: tuple[OriginKind, ...]


class OriginShapes:
    """The kinds and shapes of one manifest, each stored once."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, tuple[str, ...]], OriginKind] = {}
        self._shapes: dict[tuple[tuple[str, ...], tuple[OriginKind, ...]], OriginShape] = {}

    def kind(self, layer: str, file: str, variables: tuple[str, ...] = ()) -> OriginKind:
        """The kind with these values."""
        key = layer, file, variables
        return self._kinds.get(key) or self._kinds.setdefault(key, OriginKind(*key))

    def packed(self, layer: str, location: Location | None, variables: tuple[str, ...] = ()) -> tuple[int, OriginKind]:
        """The packed position and the kind of an origin."""
        if location is None:
            return NOWHERE, self.kind(layer, "", variables)
        return pack(location), self.kind(layer, location.file, variables)

    def origins(self, positions: Mapping[str, int], kinds: Mapping[str, OriginKind]) -> Origins:
        """The origins of one item from the packed positions and the kinds by name, in the same order."""
        key = tuple(positions), tuple(kinds.values())
        shape = self._shapes.get(key) or self._shapes.setdefault(key, OriginShape(*key))
        return Origins(shape, tuple(positions.values()))


class Origins(Mapping[str, Origin]):
    """Origins by name."""

    __slots__ = ("positions", "shape")

    def __init__(self, shape: OriginShape, positions: Sequence[int]) -> None:
        self.shape = shape
        self.positions = positions
        """The packed position of each, in the order of the names."""

    def __getitem__(self, name: str) -> Origin:
        if name not in self.shape.names:
            raise KeyError(name)
        number = self.shape.names.index(name)
        kind, position = self.shape.kinds[number], self.positions[number]
        location = None if position == NOWHERE else Location(kind.file, *unpack(position))
        return Origin(layer=kind.layer, location=location, variables=kind.variables)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shape.names)

    def __len__(self) -> int:
        return len(self.shape.names)

    def __repr__(self) -> str:
        return repr(dict(self))
