"""Remembers files, so that unchanged ones are not read again, as git's index does for `git status`.

A file with the remembered stamp (device, inode, size, times) is unchanged, if the stamp was already old when it was
taken: a write within the clock's grain of the look could leave the stamp as it is.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from contentops.atomic_io import TRUSTED_AFTER
from contentops.digest import Digest, digest_bytes, digest_text
from contentops.model import Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.documents.files import Outputs
    from contentops.documents.observed import Stamp

VERSION: Final = "8"
NAME: Final = "observed"
"""The name of the text that names all others: each is known by its digest."""
TOGETHER: Final = 1000
"""So many rows are one text."""


class _Row(Struct, array_like=True, frozen=True, gc=False):
    """A file as it was seen, and its stamp."""

    stamp: tuple[int, ...]
    file: str
    title: str
    body: str
    front: dict[str, Any]
    owner: str
    provenance: dict[str, Any]
    problem: str
    labelled: bool
    hidden: bool

    def observed(self, path: str) -> Observed:
        """The file at a path that has this stamp."""
        return Observed(
            path=path,
            file=Digest(self.file),
            title=self.title,
            body=Digest(self.body),
            front=self.front,
            owner=self.owner,
            provenance=self.provenance,
            problem=self.problem,
            labelled=self.labelled,
            hidden=self.hidden,
        )


class StatCache:
    """Observes files, by stamp where that is enough; `get` gives the texts that were `put`, by name.

    `now` is nanoseconds since the epoch, on the clock that stamps files. Rows are stored in texts of `TOGETHER`.
    """

    def __init__(
        self,
        outputs: Outputs,
        get: Callable[[str], str | None],
        put: Callable[[Mapping[str, str]], object],
        *,
        now: int,
    ) -> None:
        self._outputs, self._get, self._put, self._now = outputs, get, put, now
        self._is_linked = functools.cache(outputs.is_linked)
        self._before = _names(get(NAME))
        self._undamaged: set[str] = set()
        """Those of them whose texts are undamaged."""
        self._names: list[str] = []
        """The texts whose rows are all true."""
        self._fresh: dict[str, _Row] = {}
        """The true rows that no such text has yet."""
        self._new: dict[str, str] = {}

    def observe_all(self, paths: Iterable[str]) -> dict[str, Observed]:
        """The file at each path now; remembered for the next time."""
        files: dict[str, Observed | None] = dict.fromkeys(paths)
        for name in self._before:
            rows = _rows(name, self._get(f"{NAME} {name}"))
            self._undamaged.update([name] if rows else [])
            seen = self._same([path for path in rows if path in files], rows)
            files.update((path, rows[path].observed(path)) for path in seen)
            if len(seen) == len(rows) > TOGETHER // 2:
                self._names.append(name)
            else:
                self._keep({path: rows[path] for path in seen})
        for file, stamp in self._outputs.observe_all([path for path, file in files.items() if file is None]):
            files[file.path] = file
            # The stamp was taken before the file was read: a write after that leaves a later one.
            if stamp is not None and not file.problem and max(stamp[-2:]) < self._now - TRUSTED_AFTER:
                self._keep(_rows_of(file, stamp))
        self._put_rows()
        if self._names != self._before:
            self._new[NAME] = " ".join((VERSION, *self._names))
        if self._new:
            self._put(self._new)
        return {path: file for path, file in files.items() if file is not None}

    def _same(self, paths: Sequence[str], rows: Mapping[str, _Row]) -> list[str]:
        """The paths where the file is the one of its row still."""
        linked = {folder for folder in {path.rpartition("/")[0] for path in paths} if self._is_linked(folder)}
        stamps = zip(paths, self._outputs.stamps(paths), strict=True)
        same = [path for path, stamp in stamps if rows[path].stamp == stamp]
        return [path for path in same if path.rpartition("/")[0] not in linked] if linked else same

    def _keep(self, rows: Mapping[str, _Row]) -> None:
        self._fresh |= rows
        if len(self._fresh) >= TOGETHER:
            self._put_rows()

    def _put_rows(self) -> None:
        if not self._fresh:
            return
        text = msgspec.json.encode(self._fresh).decode()
        self._fresh.clear()
        self._names.append(digest_text(text))
        if self._names[-1] not in self._undamaged:
            self._new[f"{NAME} {self._names[-1]}"] = text


def _rows_of(file: Observed, stamp: Stamp) -> dict[str, _Row]:
    """The row of a file by its path; none for one with half a character, which cannot be encoded."""
    row = _Row(
        stamp=stamp,
        file=file.file,
        title=file.title,
        body=file.body,
        front=dict(file.front),
        owner=file.owner,
        provenance=dict(file.provenance),
        problem=file.problem,
        labelled=file.labelled,
        hidden=file.hidden,
    )
    try:
        msgspec.json.encode(row)
    except UnicodeEncodeError:
        return {}
    return {file.path: row}


def _names(text: str | None) -> list[str]:
    """The names of the texts with the rows."""
    version, *names = (text or "").split(" ")
    return names if version == VERSION else []


def _rows(name: str, text: str | None) -> dict[str, _Row]:
    """The rows of one text by path; none where the text is damaged."""
    data = (text or "").encode()
    return msgspec.json.decode(data, type=dict[str, _Row]) if digest_bytes(data) == name else {}
