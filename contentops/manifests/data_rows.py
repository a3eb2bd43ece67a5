"""The rows of data files, and what templates see of them as `each`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.errors import Location
    from contentops.model import Json

MAX_FINDINGS: Final = 100
"""After so many problems reading stops."""


class DataRow(Struct, frozen=True):
    """One row: a map or a scalar, and the location of its start."""

    value: Any
    location: Location


class Each(Struct, frozen=True, gc=False):
    """One combination of `for_each` and `matrix`: the values of `each`, and their locations."""

    values: Mapping[str, Json]
    label: str
    """Names it in messages: `data/cities.csv:2`, the values of a matrix, or both."""
    location: Location | None = None
    locations: Mapping[str, Location | None] = field(default_factory=dict)
    """By key, where they differ from `location`."""

    def location_of(self, key: str) -> Location | None:
        """The location of the value of `each.<key>`."""
        return self.locations.get(key, self.location)
