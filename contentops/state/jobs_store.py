"""The jobs of one environment on disk: the committed file, and every line that an apply of this checkout wrote or read.

The second file lies in the git folder, where `git clean -xfd` does not reach, so that another branch, a revert or a
reset forgets no payment. It gets each line before the request leaves; the committed file gets them with the lock.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from contentops.atomic_io import PRIVATE, PUBLIC
from contentops.errors import Location, StateError
from contentops.state import jobs as files
from contentops.state import state_dir
from contentops.state.codec import line_of
from contentops.state.known_jobs import KnownJobs
from contentops.state.lock import add_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from contentops.atomic_io import Disk
    from contentops.model import OpenEntry

SLACK = 1_000
"""Lines that the file of this checkout may have beyond one for each order, before it is written again."""


class JobsStore:
    """The jobs of one environment."""

    def __init__(self, root: Path, environment: str, lineage: str, disk: Disk) -> None:
        """Read the files. Raises StateError where one cannot be used, or is of another project."""
        self._root, self._lineage, self._disk = root, lineage, disk
        self.path = root / state_dir.named("contentops", environment, "jobs")
        """The committed file."""
        self.kept = kept_file(root, environment, lineage, disk)
        """The file of this checkout."""
        self._data = disk.read(self.path)
        """The committed file as it was last read or written."""
        known = {**self._committed(self._data)}
        image = disk.read(self.kept) or b""
        kept = self._lines(image, str(self.kept), torn=True, known=known)
        self._size = image.rfind(b"\n") + 1
        self._written = {*kept}
        """The lines in the file of this checkout."""
        self._is_complete = False
        """Whether that file has everything that was read."""
        known |= kept
        # Before `git init`, the file of this checkout was here.
        outside = root / state_dir.FOLDER / self.kept.name
        if outside != self.kept and (data := disk.read(outside)) is not None:
            known |= self._lines(data, str(outside), torn=True, known=known)
        self.known = KnownJobs(known)
        """The jobs in memory."""

    def _lines(
        self, data: bytes, path: str, *, torn: bool = False, known: Mapping[str, OpenEntry] = MappingProxyType({})
    ) -> Mapping[str, OpenEntry]:
        found = files.read(data, path, torn=torn, known=known)
        if found.lineage not in ("", self._lineage):
            message = f"`{path}` belongs to another project (lineage `{found.lineage}`)"
            hint = "keep the file of this project; never change the `project` name of a project"
            raise StateError(message, code="mixed-lineages", hint=hint, location=Location(path))
        return found.lines

    def _committed(self, data: bytes | None) -> Mapping[str, OpenEntry]:
        return {} if data is None else self._lines(data, self.path.name)

    def see(self, lines: Iterable[OpenEntry]) -> None:
        """Add jobs of another file; those that no file here has become durable with the next flush."""
        self.known.see({line_of(line): line for line in lines})
        self._is_complete = False

    def flush(self, *, settled: bool = True) -> None:
        """Make what is not durable yet durable in the git folder; without `settled`, not that a text is in a file.

        Raises StateError; the next flush tries again.
        """
        waiting = [*self.known.waiting, *(self.known.settled if settled else ())]
        if not settled and not waiting:
            return
        lines = waiting if self._is_complete else [*self._missing(), *waiting]
        if lines:
            if self._disk.size(self.kept) < self._size:
                # Someone deleted it meanwhile: it gets everything that is known.
                self._rewrite()
            else:
                self._append(lines)
            self.known.waiting.clear()
            if settled:
                self.known.settled.clear()
        self._is_complete = True

    def checkpoint(self) -> bool:
        """Add to the committed file what is known and missing there; returns whether it was written.

        A pull may have changed the file meanwhile: its lines stay. Raises StateError.
        """
        data = self._disk.read(self.path)
        if data != self._data:
            self.known.see(self._committed(data))
            self._data, self._is_complete = data, False
        self.flush()
        lines = self.known.texts()
        if not lines:
            return False
        if len(self._written) > len(lines) + SLACK or self._disk.size(self.kept) < self._size:
            self._rewrite()
        target = files.join(self._lineage, lines)
        if target == data:
            return False
        add_rule(self._root, self._disk, files.PATTERN, files.RULE)
        self._disk.replace(self.path, target, PUBLIC)
        self._data = target
        return True

    def rehearse(self, room: int) -> None:
        """Test that both files can be written, and that the disk has `room` bytes. Raises StateError."""
        state_dir.make_kept(self._root, self.kept.parent)
        self._disk.try_room(self.kept, room)
        if self._size <= self._disk.size(self.kept):
            self._disk.append(self.kept, b"", self._size)
        if self._data is not None and self._disk.read(self.path) == self._data:
            self._disk.replace(self.path, self._data, PUBLIC)

    def _missing(self) -> list[str]:
        """Return the lines that count and that only the committed file has; a later branch may lack them."""
        found = {*self._written, *self.known.waiting, *self.known.settled}
        return [text for text in self.known.texts() if text not in found]

    def _append(self, lines: list[str]) -> None:
        if not self._size:
            state_dir.make_kept(self._root, self.kept.parent)
        header = [] if self._size else [line_of(files.JobsHeader(lineage=self._lineage))]
        data = "".join(f"{line}\n" for line in (*header, *lines)).encode()
        self._disk.append(self.kept, data, self._size)
        self._size += len(data)
        self._written.update(lines)

    def _rewrite(self) -> None:
        """Write this checkout's file with one line for each order."""
        lines = self.known.texts()
        data = files.join(self._lineage, lines)
        state_dir.make_kept(self._root, self.kept.parent)
        self._disk.replace(self.kept, data, PRIVATE)
        self._size, self._written = len(data), {*lines}


def kept_file(root: Path, environment: str, lineage: str, disk: Disk) -> Path:
    """Return the file of this checkout, which all work trees of its repository share. Raises StateError."""
    return state_dir.kept_folder(root, lineage, disk) / state_dir.named("jobs", environment, "jsonl")


def lineage_in(root: Path, environment: str, disk: Disk) -> str:
    """Return the lineage of the jobs of an environment in the project's folder; empty without. Raises StateError."""
    path = root / state_dir.named("contentops", environment, "jobs")
    if (data := disk.read(path)) is not None:
        return files.read(data, path.name).lineage
    outside = root / state_dir.FOLDER / state_dir.named("jobs", environment, "jsonl")
    return files.read(disk.read(outside) or b"", str(outside), torn=True).lineage
