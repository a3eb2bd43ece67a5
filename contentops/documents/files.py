"""Reads, writes, moves and removes the output files of a project.

It replaces whole files in one step, and only if they are as the plan saw them.

A kill at any point leaves the whole old file or the whole new one. At worst a `.contentops-*.tmp` file is left, which
`sweep` removes. If there was no file, the new one gets its name by a link, which fails if a person created one in
between. Without hard links (FAT, some network shares), a file created within the last microseconds is not noticed.

A file with the remembered stamp (device, inode, size, times) is unchanged, if the stamp was already old when it was
read. A newer stamp could stay the same although the file was written again, because the clock is not exact enough.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import operator
import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from contentops.atomic_io import PRIVATE, PUBLIC, TRUSTED_AFTER, fill, sync
from contentops.digest import NOTHING, Digest, digest_bytes, digest_text, short
from contentops.documents.clean import conflict_line, hides_characters, is_cut, is_lfs_pointer
from contentops.documents.folders import (
    HAS_HANDLES,
    DirEntry,
    Folder,
    Spelling,
    Tree,
    check_regular,
    explained,
    temporary_name,
    two_names,
)
from contentops.documents.front_matter import split
from contentops.documents.paths import TEMPORARY, shown, split_path
from contentops.errors import FileChanged, OutputError
from contentops.model import Observed
from contentops.sections import nests_too_deep

# ---- Draft outlines of the bundled server: the marks of one in a reply of the server and in the text.

ENGINE: Final = "outline"
"""The server's name for the engine that writes draft outlines, under `engine` in the metadata of a job or content."""
_LABEL: Final = re.compile(r"^[ \t]*> ?Draft outline, made offline\b", re.MULTILINE)


def has_label(body: str) -> bool:
    """Return whether a text has the label line that marks a draft outline."""
    return "Draft outline" in body and _LABEL.search(body) is not None


# ---- Reads an output from its bytes, or says why they cannot be used.

CORRECT: Final = "correct the file, or move it away"
Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of the last change of content and of status in nanoseconds."""
stamp_of: Final[Callable[[os.stat_result], Stamp]] = operator.attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"
)


def observed(path: str, data: bytes, digest: Digest, whole: Container[Digest]) -> tuple[Observed, bool]:
    """Return the parsed content of a file, and whether the result depends only on the file's bytes.

    Bodies in `whole` count as no unresolved merge, whatever lines they have.
    """

    def unusable(why: str, line: int = 1) -> Observed:
        return Observed(path=path, file=digest, problem=f"{shown(path)}{why}", problem_line=line)

    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return unusable(f" is not UTF-8 at byte {error.start}; save it as UTF-8"), True
    if is_lfs_pointer(text):
        return unusable(" is a Git LFS pointer; fetch its text with `git lfs pull` first"), True
    document = split(text)
    body = NOTHING if document.problem else digest_text(document.body)
    line = conflict_line(text)
    if line and body not in whole:
        return unusable(f" contains git conflict markers from line {line}; resolve the merge first", line), True
    if document.problem:
        return unusable(f": {document.problem}; {CORRECT}", document.problem_line), not line
    if nests_too_deep(document.body):
        return unusable(" nests lists or quotations deeper than a reader can follow; flatten them"), not line
    file = Observed(
        path=path,
        file=digest,
        title=document.title,
        body=body,
        front=document.front,
        owner=document.owner,
        provenance=document.provenance,
        labelled=has_label(document.body),
        hidden=is_cut(document.title) or hides_characters(text),
    )
    return file, not line


# ---- The only code that writes outputs: whole files, replaced at once, and only if they are what the plan saw.

REPLACED: Final = "replaced"
"""The name of the folder for copies of replaced texts."""
MAX_FILE: Final = 16 << 20
"""The largest output that is read or written, in bytes."""

_AGAIN: Final = "run `contentops plan` again to see what changed"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class System(Struct, frozen=True, kw_only=True):
    """The system calls that a kill or a full disk can interrupt. Tests replace them."""

    write: Callable[..., int] = os.write
    sync: Callable[[int], None] = sync
    link: Callable[..., None] = os.link
    replace: Callable[..., None] = os.replace
    rename: Callable[..., None] = os.rename
    names: Callable[[Folder], list[str]] = Folder.names


class _File(Struct, frozen=True):
    """A file with the content that was read from it."""

    data: bytes
    digest: Digest
    stat: os.stat_result


class Outputs:
    """Reads and changes the output files of one project.

    Paths are relative to the project root, with forward slashes. `expect` is the digest of the file that the plan saw,
    or empty for no file. It is checked directly before the one call that changes the files. A step that was done before
    does nothing. Every method except `observe` and `stamps` raises FileChanged if the file is not the expected one, and
    OutputError if the path is not allowed or the system refuses.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        whole: Iterable[Digest] = (),
        copies: Callable[[], Path] | None = None,
        handles: bool = HAS_HANDLES,
        system: System | None = None,
    ) -> None:
        """Prepare to read and change the files below a root.

        `whole` has the known bodies, which never count as conflicts (see `known_bodies`).

        `copies` makes and returns the folder for copies of replaced texts; only `set_aside` needs it.
        """
        self._given = whole
        self._copies = copies
        self._tree = Tree(str(root), handles=handles)
        self._system = system or System()
        self._spelling = Spelling(self._system.names)

    @functools.cached_property
    def _whole(self) -> set[Digest]:
        """Return the digests of the bodies that the state records.

        They are computed when the first file is read.
        """
        return set(self._given)

    def observe(self, path: str) -> Observed:
        """Return what the file at `path` contains now. It never raises, and a file that cannot be used has a `problem`.

        `problem` says why the file cannot be used, with its path and what to do.
        """
        [(observation, _)] = self.observe_all([path])
        return observation

    def observe_all(self, paths: Iterable[str]) -> Iterator[tuple[Observed, Stamp | None]]:
        """Yield for each path the result of `observe`, and a stamp that later shows whether the file changed.

        The stamp is None if no file was read, or if the result depends on `whole`.
        """
        with self._tree.entries() as entry_at:
            for path in paths:
                try:
                    file = self._read(path, entry_at)
                except OutputError as error:
                    prefix = "" if error.message.startswith(shown(path)) else f"{shown(path)}: "
                    yield Observed(path=path, problem=f"{prefix}{error.message}; {error.hint or CORRECT}"), None
                    continue
                if file is None:
                    yield Observed(path=path), None
                else:
                    observation, alone = observed(path, file.data, file.digest, self._whole)
                    yield observation, stamp_of(file.stat) if alone else None

    def _read(self, path: str, entry_at: Callable[[Sequence[str]], DirEntry | None]) -> _File | None:
        parts = split_path(path)
        with explained(path, "read"):
            entry = entry_at(parts)
            return self._load(entry, path) if entry else None

    def stamps(self, paths: Iterable[str]) -> Iterator[Stamp | None]:
        """Yield the current stamp of each file: its device, inode, size and times.

        It is None if the file does not exist.

        If the stamp is the same, so is the file, unless it changed within the precision of the clock. So trust only a
        stamp that was seconds old when it was read.
        """
        for path in paths:
            try:
                status = os.lstat(f"{self._tree.root}/{path}")
            except (OSError, ValueError):
                yield None
            else:
                yield stamp_of(status)

    def is_linked(self, folder: str) -> bool:
        """Return whether the path to a folder goes through a symbolic link. Files in such a folder are never read."""
        path = os.path.normpath(f"{self._tree.root}/{folder}")
        return os.path.realpath(path) != path

    def read(self, path: str) -> str:
        """Return the text of a file exactly as on disk, with its line endings and byte order mark."""
        try:
            return self.data(path).decode()
        except UnicodeDecodeError as error:
            message = f"{shown(path)} is not UTF-8 at byte {error.start}"
            raise OutputError(message, hint="save the file as UTF-8") from None

    def data(self, path: str) -> bytes:
        """Return the bytes of a file."""
        with self._tree.entries() as entry_at:
            file = self._read(path, entry_at)
        if file is None:
            raise FileChanged(f"{shown(path)} does not exist", hint=_AGAIN)
        return file.data

    def write(self, path: str, text: str, *, expect: Digest) -> Digest:
        """Write a text to `path`, and create missing folders. Return its digest when the file is safely on disk.

        An existing file keeps its mode. A file that its owner may not write is refused.
        """
        parts = split_path(path)
        data = _encoded(path, text)
        digest = digest_bytes(data)
        if conflict_line(text):
            self._whole.add(digest_text(split(text).body))
        with explained(path, "written"), contextlib.ExitStack() as stack:
            entry, existing = self._found(stack, path, parts)
            if existing is not None and existing.digest == digest:
                return digest
            _check(path, existing, expect)
            # Where a file is expected and its folder does not exist, the line above has raised.
            entry = entry or self._made(stack, parts)
            temporary = self._half_written(stack, entry, data, _mode(path, existing), existing)
            if expect:
                _check(path, self._load(entry, path), expect)
                two_names(self._system.replace, temporary, entry)
            else:
                self._appear(path, temporary, entry, digest)
            entry.folder.sync()
        return digest

    def set_aside(self, path: str, text: str) -> str:
        """Keep a copy of the text at `path` before it is replaced. Return the path of the copy, relative to the root.

        Raises the errors of `copies`.
        """
        digest = digest_bytes(text.encode())
        parts = (REPLACED, short(digest), *split_path(path))
        assert self._copies is not None
        folder = self._copies()
        kept = Outputs(folder, system=self._system)
        # Its time says since when there is a copy.
        if kept.observe("/".join(parts)).file != digest:
            kept.keep_at(text, *parts)
        root = os.path.realpath(self._tree.root)
        return Path(os.path.relpath(folder.resolve(), root), *parts).as_posix()

    def keep_at(self, text: str, *parts: str) -> None:
        """Write a text to a file that only its owner can read. An earlier text is replaced."""
        with explained("/".join(parts), "written"), contextlib.ExitStack() as stack:
            entry = self._made(stack, parts)
            two_names(self._system.replace, self._half_written(stack, entry, text.encode(), PRIVATE), entry)
            entry.folder.sync()

    def move(self, source: str, target: str, *, expect: Digest) -> None:
        """Move a file to a free path, and remove folders that become empty. `expect` is the file's digest.

        A change of upper or lower case takes two moves, through a temporary name.
        """
        ours, theirs = split_path(source), split_path(target)
        with explained(source, "moved"), contextlib.ExitStack() as stack:
            old, file = self._found(stack, source, ours)
            if old is None or file is None:
                _, existing = self._found(stack, target, theirs)
                if existing is None or existing.digest != expect:
                    raise _changed(source, None)
                return
            _check(source, file, expect)
            if ours == theirs:
                return
            new = self._made(stack, theirs)
            existing = self._load(new, target)
            if existing is not None and not os.path.samestat(existing.stat, file.stat):
                raise _taken(source, target)
            self._carry((source, target), old, new, file, linked=existing is not None)
            new.folder.sync()
            old.folder.sync()
            self._tidy(ours[:-1])

    def remove(self, path: str, *, expect: Digest) -> None:
        """Remove a file, and the folders that become empty. `expect` is the file's digest.

        A file that its owner may not write is refused.
        """
        parts = split_path(path)
        with explained(path, "removed"), contextlib.ExitStack() as stack:
            entry, file = self._found(stack, path, parts)
            if entry is None or file is None:
                return
            _check(path, file, expect)
            _mode(path, file)
            entry.unlink()
            entry.folder.sync()
            self._tidy(parts[:-1])

    def sweep(self, folders: Iterable[str], *, before: float) -> int:
        """Remove half-written files that a kill left in some folders, and return their number. `""` is the root.

        Only files last written before `before` are removed (seconds since the epoch, such as the start of this run).
        """
        swept = 0
        for at in folders:
            with contextlib.suppress(OSError, OutputError), self._tree.folder(split_path(at) if at else ()) as folder:
                for name in folder.names():
                    swept += bool(TEMPORARY.fullmatch(name)) and folder.remove_old(name, before)
        return swept

    def _found(
        self, stack: contextlib.ExitStack, path: str, parts: Sequence[str]
    ) -> tuple[DirEntry | None, _File | None]:
        """Return the directory entry of a path, and the file with its content. Each is None if it does not exist."""
        entry = stack.enter_context(self._tree.entries())(parts)
        return entry, self._load(entry, path) if entry else None

    def _made(self, stack: contextlib.ExitStack, parts: Sequence[str]) -> DirEntry:
        return DirEntry(stack.enter_context(self._tree.folder(parts[:-1], create=True)), parts[-1])

    def _load(self, entry: DirEntry, path: str) -> _File | None:
        status = entry.stat()
        if status is None:
            return None
        check_regular(path, status)
        self._spelling.check(entry.folder, entry.name, path, status)
        # Without a buffer, as the whole file is read.
        with os.fdopen(entry.folder.open_file(entry.name), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            check_regular(path, status)
            if status.st_size > MAX_FILE:
                message = f"{shown(path)} is larger than {MAX_FILE >> 20} MiB"
                raise OutputError(message, code="too-large", hint="move the file away, or change `output`")
            data = file.read()
        return _File(data, digest_bytes(data), status)

    def _half_written(
        self, stack: contextlib.ExitStack, entry: DirEntry, data: bytes, mode: int, existing: _File | None = None
    ) -> DirEntry:
        """Create a temporary file with `data` in the folder of the output file. It is removed when `stack` closes."""
        temporary = DirEntry(entry.folder, temporary_name())
        handle = entry.folder.make_file(temporary.name, mode)
        stack.callback(temporary.discard)
        try:
            if existing is not None and hasattr(os, "fchmod"):
                os.fchmod(handle, stat.S_IMODE(existing.stat.st_mode) & 0o777)
            fill(handle, data, write=self._system.write, sync=self._system.sync)
        finally:
            os.close(handle)
        return temporary

    def _appear(self, path: str, temporary: DirEntry, entry: DirEntry, digest: Digest) -> None:
        """Give the finished temporary file its real name, unless another file has that name now."""
        try:
            self._new_name(temporary, entry)
        except FileExistsError:
            existing = self._load(entry, path)
            if existing is None or existing.digest != digest:
                raise _changed(path, existing) from None

    def _carry(self, paths: tuple[str, str], old: DirEntry, new: DirEntry, file: _File, *, linked: bool) -> None:
        """Rename a file from `old` to `new`.

        `linked` means that a move that was killed has created the new name already.
        """
        source, target = paths
        if not linked:
            try:
                if not self._new_name(old, new):
                    return
            except FileExistsError:
                raise _taken(source, target) from None
        now = old.stat()
        if now is not None and not os.path.samestat(now, file.stat):
            # Someone saved another file under the old name since the look: that one stays.
            new.unlink()
            raise _changed(source, file)
        with contextlib.suppress(FileNotFoundError):
            old.unlink()

    def _new_name(self, old: DirEntry, new: DirEntry) -> bool:
        """Give a file a new name that is free. Return whether the old name still exists.

        Raises FileExistsError if the new name is taken.
        """
        try:
            two_names(self._system.link, old, new)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return True
        if new.stat() is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        # On Windows this refuses a taken name.
        two_names(self._system.rename, old, new)
        return False

    def _tidy(self, parts: Sequence[str]) -> None:
        """Remove a folder and the folders above it, as long as they are empty. The root stays."""
        with contextlib.suppress(OSError, OutputError):
            for depth in range(len(parts), 0, -1):
                with self._tree.folder(parts[: depth - 1]) as folder:
                    folder.rmdir(parts[depth - 1])


def _encoded(path: str, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        message = f"{shown(path)} cannot be written: the text is not valid Unicode at character {error.start}"
        raise OutputError(message) from None
    if len(data) > MAX_FILE:
        message = f"{shown(path)} cannot be written: the text is larger than {MAX_FILE >> 20} MiB"
        raise OutputError(message, code="too-large")
    return data


def _check(path: str, existing: _File | None, expect: Digest) -> None:
    if (NOTHING if existing is None else existing.digest) != expect:
        raise _changed(path, existing)


def _changed(path: str, existing: _File | None) -> FileChanged:
    problem = "no longer exists" if existing is None else "changed since it was planned"
    return FileChanged(f"{shown(path)} {problem}; it was left as it is", hint=_AGAIN)


def _taken(source: str, target: str) -> FileChanged:
    return FileChanged(f"{shown(source)} was not moved: {shown(target)} already exists", hint=_AGAIN)


def _mode(path: str, existing: _File | None) -> int:
    if existing is None:
        return PUBLIC
    if not existing.stat.st_mode & stat.S_IWUSR:
        hint = "make the file writable, or set `protected: true` on the item"
        raise OutputError(f"{shown(path)} is marked read-only", code="read-only", hint=hint)
    return stat.S_IMODE(existing.stat.st_mode) & 0o777


# ---- Remembers files, so that unchanged ones are not read again, as git's index does for `git status`.

VERSION: Final = "9"
NAME: Final = "observed"
"""The name under which the text with a row for each file is stored."""


class _Row(Struct, array_like=True, frozen=True, gc=False):
    """A file with the stamp (size, times) that it had when it was read."""

    stamp: tuple[int, ...]
    file: Observed


def observe_by_stamp(
    outputs: Outputs,
    paths: Iterable[str],
    get: Callable[[str], str | None],
    put: Callable[[Mapping[str, str]], object],
    *,
    now: int,
) -> dict[str, Observed]:
    """Return what the files at some paths contain now.

    Only files with a new stamp are read; the others come from the last call.

    `get` returns the text that was `put`, by its name. `now` is in nanoseconds since the epoch, on the clock that
    stamps files.
    """
    files: dict[str, Observed | None] = dict.fromkeys(paths)
    before = _rows(get(NAME))
    known = [path for path in before if path in files]
    folders = {path.rpartition("/")[0] for path in known}
    linked = {folder for folder in folders if outputs.is_linked(folder)}
    rows = {
        path: before[path]
        for path, stamp in zip(known, outputs.stamps(known), strict=True)
        if before[path].stamp == stamp and path.rpartition("/")[0] not in linked
    }
    files.update((path, row.file) for path, row in rows.items())
    for file, stamp in outputs.observe_all([path for path, file in files.items() if file is None]):
        files[file.path] = file
        # The stamp was taken before the file was read: a write after that leaves a later one.
        if stamp is not None and not file.problem and max(stamp[-2:]) < now - TRUSTED_AFTER:
            rows |= _encodable(_Row(stamp, file))
    if rows != before:
        text = msgspec.json.encode(list(rows.values())).decode()
        put({NAME: f"{VERSION} {digest_text(text)} {text}"})
    return {path: file for path, file in files.items() if file is not None}


def _encodable(row: _Row) -> dict[str, _Row]:
    """Return a dictionary that has one row, under the path of its file.

    It is empty if the row has text that UTF-8 cannot encode.
    """
    try:
        msgspec.json.encode(row)
    except UnicodeEncodeError:
        return {}
    return {row.file.path: row}


def _rows(text: str | None) -> dict[str, _Row]:
    """Read the rows that an earlier call stored as text, and return them by file path.

    There are none if the text is damaged or from another version.
    """
    version, digest, rows = [*(text or "").split(" ", 2), "", ""][:3]
    if version != VERSION or digest_text(rows) != digest:
        return {}
    return {row.file.path: row for row in msgspec.json.decode(rows, type=list[_Row])}
