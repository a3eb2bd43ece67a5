"""Opens the folders below a root one by one, so that no symbolic link is followed. Also explains system errors.

If the system can open files relative to an open folder, every later call uses that folder itself. So no one can put
another folder under its name. On other systems (Windows), each folder is checked before it is entered.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from contentops.documents.paths import shown
from contentops.errors import OutputError

_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_ENTER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
# A pipe or device instead of a file must not make us wait.
_READ: Final = os.O_RDONLY | _NOFOLLOW | _CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | getattr(os, "O_BINARY", 0)
_MOUNT_POINT: Final = 0xA0000003
_LISTINGS: Final = 64
_NOT_SYNCABLE: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EISDIR})

_FULL: Final = ("no space is left on the disk", "free some space, then run the command again")
_DENIED: Final = (
    "permission is denied",
    "check who owns the file and its folder, and whether another program has it open",
)
_LONG: Final = ("the name is too long for this file system", "shorten `output`")
_REASONS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: ("the disk quota is used up", _FULL[1]),
    errno.EFBIG: ("the file is larger than this system allows", ""),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: ("the file system is read-only", "make it writable, then run the command again"),
    errno.ENAMETOOLONG: _LONG,
    errno.EILSEQ: ("the name is not allowed on this file system", "change `output`"),
    errno.EINVAL: ("the name is not allowed on this file system", "change `output`"),
    errno.ENOENT: ("its folder no longer exists", "run the command again"),
    errno.EMFILE: ("too many files are open", "raise the limit on open files (`ulimit -n`)"),
}

HAS_HANDLES: Final = (
    hasattr(os, "O_DIRECTORY")
    and {os.open, os.stat, os.mkdir, os.rmdir, os.unlink, os.link, os.rename} <= os.supports_dir_fd
    and os.listdir in os.supports_fd
)
"""Whether this system can open files relative to an open folder."""


class Folder(Struct, frozen=True):
    """An open folder: its absolute path, and its handle if the system has handles. Methods raise OSError."""

    path: str
    fd: int | None

    def name(self, name: str) -> str:
        """Return the name by which system calls find a file. It is the whole path if the folder has no handle."""
        return name if self.fd is not None else os.path.join(self.path, name)  # noqa: PTH118 - a hot path

    def stat(self, name: str) -> os.stat_result | None:
        """Return the status of a file without following links, or None if it does not exist."""
        try:
            return os.stat(self.name(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open_file(self, name: str) -> int:
        """Open a file of the folder for reading."""
        return os.open(self.name(name), _READ, dir_fd=self.fd)

    def make_file(self, name: str, mode: int) -> int:
        """Create a new file in the folder and open it for writing. The name must be free."""
        return os.open(self.name(name), _MAKE, mode, dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        """Remove a file of the folder."""
        os.unlink(self.name(name), dir_fd=self.fd)

    def remove_old(self, name: str, before: float) -> bool:
        """Remove a regular file if it was last written before the time `before`. Return whether it was removed."""
        status = self.stat(name)
        if status is None or not stat.S_ISREG(status.st_mode) or status.st_mtime >= before:
            return False
        self.unlink(name)
        return True

    def rmdir(self, name: str) -> None:
        """Remove an empty folder inside this folder."""
        os.rmdir(self.name(name), dir_fd=self.fd)

    def names(self) -> list[str]:
        """Return the names of all files and folders in this folder."""
        return os.listdir(self.path if self.fd is None else self.fd)  # noqa: PTH208 - takes a handle

    def sync(self) -> None:
        """Write changed names of this folder to disk, so that they survive a power cut. Some systems cannot do this."""
        if self.fd is None:
            return
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno not in _NOT_SYNCABLE:
                raise


class DirEntry(Struct, frozen=True):
    """The name of a file in an open folder. Methods raise OSError."""

    folder: Folder
    name: str

    def stat(self) -> os.stat_result | None:
        """Return the status of the file, or None if it does not exist."""
        return self.folder.stat(self.name)

    def unlink(self) -> None:
        """Remove the file."""
        self.folder.unlink(self.name)

    def discard(self) -> None:
        """Remove the file, and ignore errors."""
        with contextlib.suppress(OSError):
            self.unlink()


def two_names(call: Callable[..., None], old: DirEntry, new: DirEntry) -> None:
    """Call a function that takes two file names, such as `os.rename`.

    The names are relative to their folders if the system can open files this way.
    """
    handles: dict[str, int | None] = {}
    if old.folder.fd is not None:
        handles = {"src_dir_fd": old.folder.fd, "dst_dir_fd": new.folder.fd}
    call(old.folder.name(old.name), new.folder.name(new.name), **handles)


class Tree:
    """The folders below one root. `handles` says whether they are opened relative to each other."""

    def __init__(self, root: str, *, handles: bool = HAS_HANDLES) -> None:
        self.root = os.path.realpath(root)
        self._handles = handles

    @contextlib.contextmanager
    def folder(self, parts: Sequence[str], *, create: bool = False) -> Iterator[Folder]:
        """Open the folder at a path. If `create` is true, missing folders are created.

        Raises FileNotFoundError if it does not exist, and OutputError if it is a link or a file.
        """
        folder = self._enter(parts, create=create) if self._handles else self._look(parts, create=create)
        try:
            yield folder
        finally:
            if folder.fd is not None:
                os.close(folder.fd)

    @contextlib.contextmanager
    def entries(self) -> Iterator[Callable[[Sequence[str]], DirEntry | None]]:
        """Yield a function that takes a file's path, opens its folder and returns the file's entry.

        The function returns None if the folder is missing. If the system has handles, a folder stays open while the
        following paths are in it. Raises the errors of `folder`.
        """
        with contextlib.ExitStack() as stack:
            last: tuple[Sequence[str], Folder] | None = None

            def entry_at(parts: Sequence[str]) -> DirEntry | None:
                nonlocal last
                if last is None or last[1].fd is None or last[0] != parts[:-1]:
                    last = None
                    stack.close()
                    try:
                        last = parts[:-1], stack.enter_context(self.folder(parts[:-1]))
                    except FileNotFoundError:
                        return None
                return DirEntry(last[1], parts[-1])

            yield entry_at

    def _enter(self, parts: Sequence[str], *, create: bool) -> Folder:
        fd = os.open(self.root, _ENTER)
        try:
            for depth, part in enumerate(parts):
                inner = self._step(Folder(self.root, fd), part, parts[: depth + 1], create=create)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return Folder(os.path.join(self.root, *parts), fd)  # noqa: PTH118 - a hot path

    def _step(self, folder: Folder, part: str, walked: Sequence[str], *, create: bool) -> int:
        try:
            return os.open(part, _ENTER | _NOFOLLOW, dir_fd=folder.fd)
        except FileNotFoundError:
            if not create:
                raise
        except OSError:
            _check_folder(folder.stat(part), walked)
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder.fd)
        folder.sync()
        return self._step(folder, part, walked, create=False)

    def _look(self, parts: Sequence[str], *, create: bool) -> Folder:
        folder = Folder(self.root, None)
        for depth, part in enumerate(parts):
            status = folder.stat(part)
            if status is None:
                if not create:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder.name(part))  # noqa: PTH102 - the twin of the call with a handle
                status = folder.stat(part)
            _check_folder(status, parts[: depth + 1])
            folder = Folder(folder.name(part), None)
        return folder


def _is_link(status: os.stat_result) -> bool:
    """Return whether a status is that of a symbolic link or a junction. Both lead to another location."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _MOUNT_POINT


def check_regular(path: str, status: os.stat_result) -> None:
    """Raise OutputError if the status shows that a path is not a regular file."""
    if _is_link(status):
        message = f"{shown(path)} is a symbolic link; no output is read or written through one"
        raise OutputError(message, code="symlink", hint="replace it by a file, or change `output`")
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise OutputError(f"{shown(path)} is {kind}", code="not-a-file", hint="move it away, or change `output`")


def _check_folder(status: os.stat_result | None, walked: Sequence[str]) -> None:
    path = shown("/".join(walked))
    if status is not None and _is_link(status):
        message = f"the folder {path} is a symbolic link; no output or manifest is written through one"
        raise OutputError(message, code="symlink", hint="replace it by a folder, or name the folder it points to")
    if status is not None and not stat.S_ISDIR(status.st_mode):
        message = f"{path} is a file, so it cannot contain another file"
        raise OutputError(message, code="not-a-folder", hint="move that file away, or change `output`")


class Spelling:
    """Checks that a path spells each name exactly as the disk does. `names` is a function that lists a folder."""

    def __init__(self, names: Callable[[Folder], list[str]]) -> None:
        self._names = names
        self._listings: dict[tuple[int, int], tuple[int, frozenset[str]]] = {}

    def check(self, folder: Folder, name: str, path: str, status: os.stat_result) -> None:
        """Raise OutputError if the file's name is spelled differently on disk, for example in upper case.

        Two Unicode forms of one spelling count as the same.
        """
        # Only where the file has another spelling too, the file system folds names and the folder is listed.
        if not any((other := _if_any(folder, form)) and os.path.samestat(other, status) for form in _others(name)):
            return
        names = self._listing(folder)
        wanted = unicodedata.normalize("NFC", name)
        if wanted in names:
            return
        spelled = next((entry for entry in sorted(names) if entry.casefold() == wanted.casefold()), "of another name")
        message = f"{shown(path)} is the file {shown(spelled)} here: this file system treats both names as one"
        raise OutputError(message, code="same-name", hint="spell `output` as the file is spelled, or rename the file")

    def _listing(self, folder: Folder) -> frozenset[str]:
        """Return the names in a folder, in the Unicode form NFC. They are cached until the folder changes."""
        status = os.stat(folder.path if folder.fd is None else folder.fd)  # noqa: PTH116 - takes a handle
        key = (status.st_dev, status.st_ino)
        cached = self._listings.get(key)
        if cached and cached[0] == status.st_mtime_ns:
            return cached[1]
        names = frozenset(unicodedata.normalize("NFC", name) for name in self._names(folder))
        if len(self._listings) >= _LISTINGS:
            self._listings.clear()
        self._listings[key] = (status.st_mtime_ns, names)
        return names


def _if_any(folder: Folder, name: str) -> os.stat_result | None:
    """Return the status of a file.

    It is None if the file does not exist or its name is too long for the file system.
    """
    try:
        return folder.stat(name)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None


def _others(name: str) -> list[str]:
    forms = {name.swapcase()}
    if not name.isascii():
        forms |= {unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}
    return sorted(forms - {name})


def denial(root: Path) -> Callable[[str], str]:
    """Return a function that says why an output file at a path cannot be written. Its result is empty if it can be.

    It is called before anything is paid for; the write itself notices later changes.
    """

    @functools.cache
    def takes_files(folder: Path) -> bool:
        return os.access(folder, os.W_OK | os.X_OK)

    def denied(path: str) -> str:
        target = root / path
        # Each name separately: most folders are still to be made.
        if any(_is_too_long(root / name) for name in path.split("/")):
            return f"{shown(path)} cannot be written: {_LONG[0]}"
        if _is_marked(target):
            return f"{shown(path)} is marked read-only"
        folder = next(parent for parent in target.parents if parent.is_dir() or parent == root)
        return "" if takes_files(folder) else f"no file can be written in {shown(folder.relative_to(root).as_posix())}"

    return denied


def _is_marked(target: Path) -> bool:
    try:
        return not target.lstat().st_mode & stat.S_IWUSR
    except OSError:
        return False


def _is_too_long(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def present(root: Path, outputs: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a path is one of `outputs` or exists on disk.

    `outputs` is read at the first call.
    """
    declared = functools.cache(lambda: frozenset(outputs))

    def exists(path: str) -> bool:
        try:
            return path in declared() or (root / path).exists()
        except (OSError, ValueError):
            return False

    return exists


def temporary_name() -> str:
    """Return a new temporary name for a file that is being written."""
    return f".contentops-{os.urandom(8).hex()}.tmp"


@contextlib.contextmanager
def explained(path: str, verb: str) -> Iterator[None]:
    """Turn an OSError in the `with` block into an OutputError. Its message says what failed for `path`, and why."""
    try:
        yield
    except OSError as error:
        why, hint = reason(error)
        message = f"{shown(path)} cannot be {verb}: {why}"
        raise OutputError(message, hint=hint) from error


def reason(error: OSError) -> tuple[str, str]:
    """Return the system's reason for an error, and a hint, which may be empty."""
    message = os.strerror(error.errno) if error.errno else "unknown error"
    return _REASONS.get(error.errno or 0, (message[:1].lower() + message[1:], ""))
