"""JSON objects that are kept as they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw


class StoredMap(Mapping[str, Any]):
    """A JSON object that stays text and is decoded whenever someone asks: of most items no one ever does.

    The text shares the memory of all that was read with it. It must be an object, and valid.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    def _decoded(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self._raw)
        return found

    def __getitem__(self, name: str) -> Any:
        return self._decoded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def items(self) -> Any:
        """The entries, decoded once."""
        return self._decoded().items()

    def values(self) -> Any:
        """The values, decoded once."""
        return self._decoded().values()

    def __repr__(self) -> str:
        return repr(self._decoded())
