"""Looking at files again without reading them: what git's index does for `git status`.

A file whose stamp (device, inode, size, times) is the one remembered is the file remembered, if the stamp was already
old when it was taken: a write within the clock's grain of the look could leave the stamp as it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from contentops.digest import Digest
from contentops.model import Observed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.documents.files import Outputs

SETTLED: Final = 3_000_000_000
"""Nanoseconds a file must have been left alone before its stamp is trusted."""
VERSION: Final = 2


class Glance:
    """Observes files, by stamp where that is enough. `remembered` is what `remember` gave before, or None.

    `now` is nanoseconds since the epoch, on the clock that stamps files.
    """

    def __init__(self, outputs: Outputs, remembered: str | None, *, now: int) -> None:
        self._outputs, self._now = outputs, now
        self._known = _decoded(remembered)
        self._fresh: dict[str, list[Any]] = {}
        self._changed = False

    def observe_all(self, paths: Iterable[str]) -> dict[str, Observed]:
        """What is at each path now."""
        return {path: self._observe(path) for path in dict.fromkeys(paths)}

    def remember(self) -> str | None:
        """What to remember for the next time, or None if that is what was remembered."""
        if not self._changed and self._fresh.keys() == self._known.keys():
            return None
        return json.dumps([VERSION, self._fresh], ensure_ascii=False, separators=(",", ":"))

    def _observe(self, path: str) -> Observed:
        stamp = self._outputs.stamp(path)
        known = self._known.get(path)
        if stamp is not None and known is not None and known[0] == list(stamp):
            self._fresh[path] = known
            _, file, title, body, front, owner, provenance = known
            return Observed(
                path=path,
                file=Digest(file),
                title=title,
                body=Digest(body),
                front=front,
                owner=owner,
                provenance=provenance,
            )
        found = self._outputs.observe(path)
        # Only what was read under the very stamp may be found by it again.
        settled = stamp is not None and max(stamp[-2:]) < self._now - SETTLED and self._outputs.stamp(path) == stamp
        if settled and found.exists and not found.problem:
            self._fresh[path] = [
                list(stamp or ()),
                found.file,
                found.title,
                found.body,
                dict(found.front),
                found.owner,
                dict(found.provenance),
            ]
            self._changed = True
        return found


def _decoded(text: str | None) -> dict[str, list[Any]]:
    try:
        found = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, list) or len(found) != 2 or found[0] != VERSION or not isinstance(found[1], dict):
        return {}
    return {path: row for path, row in found[1].items() if _is_sound(row)}


def _is_sound(row: object) -> bool:
    if not isinstance(row, list) or len(row) != 7:
        return False
    stamp, file, title, body, front, owner, provenance = row
    return (
        isinstance(stamp, list)
        and all(isinstance(word, str) for word in (file, title, body, owner))
        and isinstance(front, dict)
        and isinstance(provenance, dict)
    )
