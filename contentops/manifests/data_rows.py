"""The rows of data files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from contentops.errors import Location

MAX_FINDINGS: Final = 100
"""After so many problems reading stops."""


class DataRow(Struct, frozen=True):
    """One row: a map or a scalar, and the location of its start."""

    value: Any
    location: Location
