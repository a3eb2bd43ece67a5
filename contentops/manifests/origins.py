"""The origins of the values of an item, which are computed when one is read: most plans read none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from contentops.manifests.item_fields import find, merged, paths
from contentops.model import Origin

if TYPE_CHECKING:
    from contentops.manifests.data_rows import Each
    from contentops.manifests.expand import Layers
    from contentops.manifests.templates import Scope, Uses
    from contentops.manifests.values import Written


class Origins(Mapping[str, Origin]):
    """The origins by name that `compute` returns for its `parts`."""

    __slots__ = ("_compute", "_origins", "_parts")

    def __init__(self, compute: Callable[..., dict[str, Origin]], *parts: object) -> None:
        self._compute, self._parts = compute, parts
        self._origins: dict[str, Origin] | None = None

    def _computed(self) -> dict[str, Origin]:
        if self._origins is None:
            self._origins = self._compute(*self._parts)
        return self._origins

    def __getitem__(self, name: str) -> Origin:
        return self._computed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._computed())

    def __len__(self) -> int:
        return len(self._computed())

    def __repr__(self) -> str:
        return repr(self._computed())


def of_fields(written: Written, below: Layers, uses: Uses) -> dict[str, Origin]:
    """The origins of the fields of an item, by name with dots."""
    layers = written, *below.fields
    found = ((".".join(path), find(layers, path)[0]) for path in paths(merged(written, below.defaults)))
    return {
        name: Origin(layer=each.layer, location=each.location, variables=uses.variables.get(name, ()))
        for name, each in found
    }


def of_variables(uses: Uses, scope: Scope, each: Each | None) -> dict[str, Origin]:
    """The origins of the variables that an item uses."""
    return {
        name: Origin(layer="data", location=each.location_of(name.partition(".")[2]))
        if each is not None and name.partition(".")[0] == "each"
        else scope.origin(name)
        for name in uses.known(each)
    }
