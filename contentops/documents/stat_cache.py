"""Remembers files, so that unchanged ones are not read again, as git's index does for `git status`.

A file with the remembered stamp (device, inode, size, times) is unchanged, if the stamp was already old when it was
taken: a write within the clock's grain of the look could leave the stamp as it is.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from contentops.atomic_io import TRUSTED_AFTER
from contentops.digest import Digest, digest_bytes, digest_text
from contentops.model import Observed, StoredMap
from contentops.model.stored import StoredOnce
from contentops.parallel import distribute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.documents.files import Outputs
    from contentops.documents.observed import Stamp

VERSION: Final = "7"
NAME: Final = "observed"
"""The name of the text that names all others: each is known by its digest."""
TOGETHER: Final = 1000
"""So many rows are one text."""
_PART: Final = 100
"""So many files are looked at before another process is asked."""
_WORTH_SHARING: Final = 1000
"""Fewer files are looked at before other processes would have come."""


class _Row(Struct, array_like=True, frozen=True, gc=False):
    """A file as it was seen, and its stamp (empty: not reliable); its front matter stays text."""

    stamp: tuple[int, ...]
    file: str
    title: str
    body: str
    front: Raw
    owner: str
    provenance: Raw
    problem: str
    labelled: bool = False
    hidden: bool = False
    whole: bool = True
    """Whether this is all that was seen."""

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
            problem=self.problem,
            labelled=self.labelled,
            hidden=self.hidden,
        )


_UNFIT: Final = b'[[],"","","",{},"",{},"",false,false,false]'
"""The row of a file with half a character, which cannot be encoded: the file is read again."""


class StatCache:
    """Observes files, by stamp where that is enough; `get` gives the texts that were `put`, by their names.

    `now` is nanoseconds since the epoch, on the clock that stamps files. Rows are stored in texts of `TOGETHER`. At
    most `processes` look.
    """

    def __init__(
        self,
        outputs: Outputs,
        get: Callable[[str], str | None],
        put: Callable[[str, str], None],
        *,
        now: int,
        processes: int = 1,
    ) -> None:
        self._outputs, self._get, self._put, self._now, self._processes = outputs, get, put, now, processes
        self._is_linked = functools.cache(outputs.is_linked)
        self._before = _names(get(NAME))
        self._undamaged: set[str] = set()
        """Those of them whose texts are undamaged."""
        self._names: list[str] = []
        """The texts whose rows are all true."""
        self._fresh: dict[str, _Row] = {}
        """The true rows that no such text has yet."""
        self._fronts = StoredOnce()

    def observe_all(self, paths: Iterable[str]) -> dict[str, Observed]:
        """The file at each path now; remembered for the next time."""
        files: dict[str, Observed | None] = dict.fromkeys(paths)
        for name in self._before:
            rows = _rows(name, self._get(f"{NAME} {name}"))
            self._undamaged.update([name] if rows else [])
            seen = self._same([path for path in rows if path in files], rows)
            files.update((path, rows[path].observed(path, self._fronts)) for path in seen)
            if len(seen) == len(rows) > TOGETHER // 2:
                self._names.append(name)
            else:
                self._keep({path: rows[path] for path in seen})

        def add_rows(part: Sequence[str], text: str) -> None:
            for path, row in zip(part, msgspec.json.decode(text, type=list[_Row]), strict=True):
                self._keep({path: row} if row.stamp else {})
                files[path] = row.observed(path, self._fronts) if row.whole else self._outputs.observe(path)

        unknown = [path for path, file in files.items() if file is None]
        parts = [unknown[start : start + _PART] for start in range(0, len(unknown), _PART)]
        processes = self._processes if len(unknown) >= _WORTH_SHARING else 1
        distribute(parts, self._look, add_rows, processes=processes, weight=len)
        self._put_rows()
        if self._names != self._before:
            self._put(NAME, " ".join((VERSION, *self._names)))
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
            self._put(f"{NAME} {self._names[-1]}", text)

    def _look(self, paths: Sequence[str]) -> str:
        """Rows of what is at the paths now."""
        return f"[{b','.join(self._row(*seen) for seen in self._outputs.observe_all(paths)).decode()}]"

    def _row(self, file: Observed, stamp: Stamp | None) -> bytes:
        # The stamp was taken before the file was read: a write after that leaves a later one.
        trusted = stamp is not None and not file.problem and max(stamp[-2:]) < self._now - TRUSTED_AFTER
        front, own = dict(file.front), dict(file.provenance)
        row = [file.file, file.title, file.body, front, file.owner, own, file.problem, file.labelled, file.hidden]
        try:
            return msgspec.json.encode([stamp if trusted else (), *row])
        except UnicodeEncodeError:
            return _UNFIT


def _names(text: str | None) -> list[str]:
    """The names of the texts with the rows."""
    version, *names = (text or "").split(" ")
    return names if version == VERSION else []


def _rows(name: str, text: str | None) -> dict[str, _Row]:
    """The rows of one text by path; none where the text is damaged."""
    data = (text or "").encode()
    return msgspec.json.decode(data, type=dict[str, _Row]) if digest_bytes(data) == name else {}
