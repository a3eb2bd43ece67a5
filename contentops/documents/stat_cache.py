"""Looking at files again without reading them: what git's index does for `git status`.

A file whose stamp (device, inode, size, times) is the one remembered is the file remembered, if the stamp was already
old when it was taken: a write within the clock's grain of the look could leave the stamp as it is.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from contentops.atomic_io import TRUSTED_AFTER
from contentops.digest import Digest, digest_bytes, digest_text
from contentops.model import Observed, StoredMap
from contentops.model.stored import StoredOnce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentops.documents.files import Outputs

VERSION: Final = "4"
NAME: Final = "observed"
"""The name of the text that names all others: each is known by its digest."""
TOGETHER: Final = 1000
"""So many rows are one text."""


class _Row(Struct, array_like=True, frozen=True, gc=False):
    """A file as it was seen, by its stamp; its front matter stays text."""

    stamp: list[int]
    file: str
    title: str
    body: str
    front: Raw
    owner: str
    provenance: Raw

    def observed(self, path: str, fronts: StoredOnce) -> Observed:
        """The file at a path that has this stamp."""
        return Observed(
            path=path,
            file=Digest(self.file),
            title=self.title,
            body=Digest(self.body),
            front=fronts[bytes(self.front)],
            owner=self.owner,
            provenance=StoredMap(bytes(self.provenance)),
        )


_decode_row = msgspec.json.Decoder(_Row).decode
# Not msgspec's encoder: front matter may hold whole numbers wider than its 64 bits.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StatCache:
    """Observes files, by stamp where that is enough; `get` gives the texts that `remember` put before, by their names.

    `now` is nanoseconds since the epoch, on the clock that stamps files. There may be as many files as items: so rows
    stay text but for the moment in which a file is looked at, and are kept some at a time.
    """

    def __init__(self, outputs: Outputs, get: Callable[[str], str | None], *, now: int) -> None:
        self._outputs, self._get, self._now = outputs, get, now
        self._before = _names(get(NAME))
        self._kept: list[str] = []
        """The names of the texts that stay: all of their rows are true still, and many."""
        self._whole: set[str] = set()
        """The names of all that are not damaged."""
        self._fresh: dict[str, Raw] = {}
        """The true rows that no such text has."""
        self._fronts = StoredOnce()

    def observe_all(self, paths: Iterable[str]) -> dict[str, Observed]:
        """What is at each path now."""
        found: dict[str, Observed | None] = dict.fromkeys(paths)
        for name in self._before:
            rows = _rows(name, self._get(f"{NAME} {name}"))
            seen = {path: file for path, row in rows.items() if path in found and (file := self._known(path, row))}
            found |= seen
            self._whole.update([name] if rows else [])
            if len(seen) == len(rows) > TOGETHER // 2:
                self._kept.append(name)
            else:
                self._fresh |= {path: rows[path] for path in seen}
        return {path: file or self._observe(path) for path, file in found.items()}

    def remember(self, put: Callable[[str, str], None]) -> None:
        """Put what is to be remembered for the next time, unless that is what was remembered."""
        names, paths = self._kept, list(self._fresh)
        for start in range(0, len(paths), TOGETHER):
            rows = (f"{_encode(path)}:{bytes(self._fresh[path]).decode()}" for path in paths[start : start + TOGETHER])
            text = f"{{{','.join(rows)}}}"
            names.append(digest_text(text))
            if names[-1] not in self._whole:
                put(f"{NAME} {names[-1]}", text)
        if names != self._before:
            put(NAME, " ".join((VERSION, *names)))

    def _known(self, path: str, raw: Raw) -> Observed | None:
        """The file at a path, if it is the one of this row still."""
        row, stamp = _decode_row(raw), self._outputs.stamp(path)
        return row.observed(path, self._fronts) if stamp is not None and row.stamp == list(stamp) else None

    def _observe(self, path: str) -> Observed:
        stamp = self._outputs.stamp(path)
        found = self._outputs.observe(path)
        # Only what was read under the very stamp may be found by it again.
        trusted = (
            stamp is not None and max(stamp[-2:]) < self._now - TRUSTED_AFTER and self._outputs.stamp(path) == stamp
        )
        if trusted and found.exists and not found.problem and path not in self._outputs.excused:
            front, own = dict(found.front), dict(found.provenance)
            with contextlib.suppress(UnicodeEncodeError):  # an escape can bring in what no file can hold
                seen = _encode([stamp, found.file, found.title, found.body, front, found.owner, own])
                self._fresh[path] = Raw(seen.encode())
                return _decode_row(self._fresh[path]).observed(path, self._fronts)
        return found


def _names(text: str | None) -> list[str]:
    """The names of the texts that hold the rows."""
    version, *names = (text or "").split(" ")
    return names if version == VERSION else []


def _rows(name: str, text: str | None) -> dict[str, Raw]:
    """The rows of one text by path; none where it is not just what was put, as each is decoded where it is used."""
    data = (text or "").encode()
    return msgspec.json.decode(data, type=dict[str, Raw]) if digest_bytes(data) == name else {}
