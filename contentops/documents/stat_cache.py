"""Looking at files again without reading them: what git's index does for `git status`.

A file whose stamp (device, inode, size, times) is the one remembered is the file remembered, if the stamp was already
old when it was taken: a write within the clock's grain of the look could leave the stamp as it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from contentops.atomic_io import TRUSTED_AFTER
from contentops.digest import Digest
from contentops.model import Observed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.documents.files import Outputs

VERSION: Final = 3


class _Row(Struct, array_like=True, frozen=True):
    """A file as it was seen, by its stamp."""

    stamp: list[int]
    file: str
    title: str
    body: str
    front: dict[str, Any]
    owner: str
    provenance: dict[str, Any]


class StatCache:
    """Observes files, by stamp where that is enough. `remembered` is what `remember` gave before, or None.

    `now` is nanoseconds since the epoch, on the clock that stamps files.
    """

    def __init__(self, outputs: Outputs, remembered: str | None, *, now: int) -> None:
        self._outputs, self._now = outputs, now
        self._known = _decoded(remembered)
        self._fresh: dict[str, _Row] = {}

    def observe_all(self, paths: Iterable[str]) -> dict[str, Observed]:
        """What is at each path now."""
        return {path: self._observe(path) for path in dict.fromkeys(paths)}

    def remember(self) -> str | None:
        """What to remember for the next time, or None if that is what was remembered."""
        if self._fresh == self._known:
            return None
        # Not msgspec's encoder: front matter may hold whole numbers wider than its 64 bits.
        return json.dumps([VERSION, msgspec.to_builtins(self._fresh)], ensure_ascii=False, separators=(",", ":"))

    def _observe(self, path: str) -> Observed:
        stamp = self._outputs.stamp(path)
        known = self._known.get(path)
        if stamp is not None and known is not None and known.stamp == list(stamp):
            self._fresh[path] = known
            return Observed(
                path=path,
                file=Digest(known.file),
                title=known.title,
                body=Digest(known.body),
                front=known.front,
                owner=known.owner,
                provenance=known.provenance,
            )
        found = self._outputs.observe(path)
        # Only what was read under the very stamp may be found by it again.
        trusted = (
            stamp is not None and max(stamp[-2:]) < self._now - TRUSTED_AFTER and self._outputs.stamp(path) == stamp
        )
        if stamp is not None and trusted and found.exists and not found.problem:
            self._fresh[path] = _Row(
                list(stamp),
                found.file,
                found.title,
                found.body,
                dict(found.front),
                found.owner,
                dict(found.provenance),
            )
        return found


def _decoded(text: str | None) -> dict[str, _Row]:
    try:
        version, rows = msgspec.json.decode(text or "[0, {}]", type=tuple[int, dict[str, _Row]])
    except (ValueError, RecursionError):
        return {}
    return rows if version == VERSION else {}
