"""Looking at files again without reading them: what git's index does for `git status`.

A file whose stamp (device, inode, size, times) is the one remembered is the file remembered, if the stamp was already
old when it was taken: a write within the clock's grain of the look could leave the stamp as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from contentops.atomic_io import TRUSTED_AFTER
from contentops.digest import Digest
from contentops.model import Observed, StoredMap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.documents.files import Outputs

VERSION: Final = 4


class _Row(Struct, array_like=True, frozen=True):
    """A file as it was seen, by its stamp; its front matter stays text."""

    stamp: list[int]
    file: str
    title: str
    body: str
    front: Raw
    owner: str
    provenance: Raw

    def observed(self, path: str) -> Observed:
        """The file at a path that has this stamp."""
        return Observed(
            path=path,
            file=Digest(self.file),
            title=self.title,
            body=Digest(self.body),
            front=StoredMap(self.front),
            owner=self.owner,
            provenance=StoredMap(self.provenance),
        )


_decode_row = msgspec.json.Decoder(_Row).decode
# Not msgspec's encoder: front matter may hold whole numbers wider than its 64 bits.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StatCache:
    """Observes files, by stamp where that is enough. `remembered` is what `remember` gave before, or None.

    `now` is nanoseconds since the epoch, on the clock that stamps files. Rows stay text but for the moment in which a
    file is looked at: there may be as many of them as items.
    """

    def __init__(self, outputs: Outputs, remembered: str | None, *, now: int) -> None:
        self._outputs, self._now = outputs, now
        self._known = _decoded(remembered)
        self._fresh: dict[str, Raw] = {}

    def observe_all(self, paths: Iterable[str]) -> dict[str, Observed]:
        """What is at each path now."""
        return {path: self._observe(path) for path in dict.fromkeys(paths)}

    def remember(self) -> str | None:
        """What to remember for the next time, or None if that is what was remembered."""
        if self._fresh == self._known:
            return None
        rows = [
            f"{',' if number else '{'}{_encode(path)}:{bytes(row).decode()}"
            for number, (path, row) in enumerate(self._fresh.items())
        ]
        rows.append("}" if rows else "{}")
        return "".join((_head(row.encode() for row in rows), *rows))

    def _observe(self, path: str) -> Observed:
        stamp = self._outputs.stamp(path)
        known = self._known.get(path)
        if stamp is not None and known is not None:
            row = _decode_row(known)
            if row.stamp == list(stamp):
                self._fresh[path] = known
                return row.observed(path)
        found = self._outputs.observe(path)
        # Only what was read under the very stamp may be found by it again.
        trusted = (
            stamp is not None and max(stamp[-2:]) < self._now - TRUSTED_AFTER and self._outputs.stamp(path) == stamp
        )
        if trusted and found.exists and not found.problem:
            front, own = dict(found.front), dict(found.provenance)
            with contextlib.suppress(UnicodeEncodeError):  # an escape can bring in what no file can hold
                seen = _encode([stamp, found.file, found.title, found.body, front, found.owner, own])
                self._fresh[path] = Raw(seen.encode())
                return _decode_row(self._fresh[path]).observed(path)
        return found


def _head(rows: Iterable[bytes | memoryview]) -> str:
    """What stands before rows, by which they are known to be what was written."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row)
    return f"{VERSION} {digest.hexdigest()}\n"


def _decoded(text: str | None) -> dict[str, Raw]:
    """The rows by path; none where the text is not just what `remember` gave, as each is decoded where it is used."""
    data = memoryview((text or "").encode())
    start = len(_head(()))
    rows = data[start:]
    return msgspec.json.decode(rows, type=dict[str, Raw]) if data[:start] == _head([rows]).encode() else {}
