"""Keeps values that were made from equal inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class KeptValues(Generic[T]):
    """Values by name, each with what it was made from: it is made again only where that differs."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[object, T]] = {}

    def get(self, name: str, made_from: object, make: Callable[[], T]) -> T:
        """Return the value of a name, made again if `made_from` (all that it depends on; None: unknown) differs."""
        kept = self._values.get(name)
        if kept is not None and made_from is not None and kept[0] == made_from:
            return kept[1]
        value = make()
        if made_from is not None:
            self._values[name] = (made_from, value)
        return value
