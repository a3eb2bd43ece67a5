"""Remember how many words each text has, so that a file is read again only when its text changes.

The counts are one row of the cache, by the digests of bodies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from contentops.digest import PREFIX
from contentops.documents.checks import count_words
from contentops.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Observed
    from contentops.state.cache import Cache

_ROW: Final = "word-counts-1"
_LENGTH: Final = 20
"""Hexadecimal digits kept of each digest: 300 kB for 10,000 texts."""


class WordCounts:
    """The words of texts; `read` returns the body of the file at a path."""

    def __init__(self, cache: Cache, read: Callable[[str], str]) -> None:
        self._cache = cache
        self._read = read
        self._before = _counts(cache.get(_ROW))
        self._now: dict[str, int] = {}

    def of(self, file: Observed) -> int:
        """Return the number of words in the body of a file; 0 for one that is not there or cannot be used."""
        if file.problem or not file.body:
            return 0
        name = file.body.removeprefix(PREFIX)[:_LENGTH]
        count = self._now.get(name, self._before.get(name))
        if count is None:
            try:
                count = count_words(self._read(file.path))
            except OutputError:
                return 0
        self._now[name] = count
        return count

    def keep(self) -> None:
        """Write the counts of these texts to the cache."""
        if self._now != self._before:
            self._cache.put(_ROW, msgspec.json.encode(self._now).decode())


def _counts(text: str | None) -> dict[str, int]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, int])
    except msgspec.MsgspecError:
        return {}
