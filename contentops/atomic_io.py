"""Writes files atomically: after a kill or a power cut, a file has either its old or its new content.

`fill` writes bytes to disk through an open file, `replace` replaces a whole file in one step, and `Disk` reads and
writes state files with errors that people can act on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from contentops.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_CHUNK = 1 << 20

TRUSTED_AFTER = 3_000_000_000
"""Nanoseconds since the last change of a file from which its stamp (size, times, inode) shows every later change."""
PRIVATE = 0o600
"""The mode of owner-only files."""
PUBLIC = 0o666
"""The mode of any other file, before the umask."""


def sync(handle: int) -> None:
    """Write the data of an open file to disk. If the system can, also flush the cache of the drive."""
    try:
        import fcntl
    except ImportError:
        os.fsync(handle)
        return
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(handle, full)
            return
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Make renamed and new files in `folder` durable, if the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fill(handle: int, data: bytes, *, write: Callable[..., int] = os.write, sync: Callable[[int], None] = sync) -> None:
    """Write all of `data` to an open file and sync it. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[write(handle, view[:_CHUNK]) :]
    sync(handle)


def replace(path: Path, data: bytes, *, temporary: Path | None = None, mode: int = PUBLIC) -> None:
    """Replace the file at `path` by a file with `data` in one step.

    The data is first written to a temporary file next to `path`. Pass `temporary` if other processes may write `path`
    at the same time. An existing file keeps its mode, and a new file gets `mode`. Raises OSError; the temporary file is
    then removed.
    """
    temporary = temporary or _temporary(path)
    try:
        _write(temporary, data, mode)
        with contextlib.suppress(FileNotFoundError):
            existing = path.stat(follow_symlinks=False)
            if stat.S_ISREG(existing.st_mode):
                temporary.chmod(stat.S_IMODE(existing.st_mode))
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


class NotAFile(OSError):
    """The error for a path that is not a regular file: for example, a folder, a pipe or a device."""


@contextlib.contextmanager
def opened(path: Path | str, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Symbolic links are followed only if `follow` is set.

    Raises NotAFile at once if it is not a regular file, and OSError if it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | _BINARY | _NONBLOCK | (0 if follow else _NOFOLLOW))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotAFile(errno.EINVAL, "it is not a file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def read_file(path: Path | str, limit: int = -1, *, follow: bool = True) -> bytes:
    """Return the first `limit` bytes of a regular file, or all bytes if `limit` is -1.

    Raises the exceptions of `opened`.
    """
    with opened(path, follow=follow) as file:
        return file.read(limit)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')}.tmp")


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write and sync a new file at `path`. A file that already exists there is removed first."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, mode)
    try:
        fill(handle, data)
    finally:
        os.close(handle)


class Disk:
    """Reads state files, and writes them durably. Tests use a subclass that fails.

    A state file must be a regular file. Methods raise StateError with the name of the file and the system's reason.
    """

    def read(self, path: Path) -> bytes | None:
        """Return all bytes of the file, or None if the file does not exist."""
        try:
            return read_file(path, follow=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused("read", path, error) from error

    def size(self, path: Path) -> int:
        """Return the length of the file in bytes, or 0 if it does not exist."""
        try:
            return path.stat(follow_symlinks=False).st_size
        except OSError:
            return 0

    def append(self, path: Path, data: bytes, at: int) -> None:
        """Write `data` into a file at the offset `at`, and cut off all bytes after the data.

        A new file is readable only by its owner. Old bytes after `at` are a half-written line. After a failure the file
        ends at `at`, if possible.
        """
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW | _BINARY | _NONBLOCK, PRIVATE)
        except OSError as error:
            raise refused("write", path, error) from error
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise refused("write", path, NotAFile())
            try:
                os.ftruncate(handle, at)
                os.lseek(handle, at, os.SEEK_SET)
                fill(handle, data)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, at)
                raise refused("write", path, error) from error
        finally:
            os.close(handle)
        if at == 0:
            sync_folder(path.parent)

    def replace(self, path: Path, data: bytes, mode: int) -> None:
        """Replace the file at `path` by a file with `data` in one step."""
        try:
            replace(path, data, mode=mode)
        except OSError as error:
            raise refused("write", path, error) from error

    def try_room(self, path: Path, size: int) -> None:
        """Check that the file at `path` can be replaced.

        The check writes a file of `size` bytes next to it, and removes that file.
        """
        temporary = _temporary(path)
        try:
            _write(temporary, bytes(size), PRIVATE)
        except OSError as error:
            raise refused("write", path, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def refused(verb: str, path: Path, error: OSError) -> StateError:
    """Turn an OSError into a StateError with a hint. `verb` is what failed, such as `read` or `write`."""
    if isinstance(error, NotAFile):
        message = f"`{path.name}` is not a file"
        return StateError(message, code="not-a-file", hint=f"move {path} away and run again")
    if error.errno == errno.ELOOP:
        return StateError(
            f"`{path.name}` is a symbolic link, which is not allowed for a state file",
            code="not-a-file",
            hint=f"replace {path} by the file it points to",
        )
    hints = {
        errno.ENOSPC: f"make room on the disk of {path.parent} and run again; nothing recorded is lost",
        errno.EDQUOT: f"make room in your quota for {path.parent} and run again; nothing recorded is lost",
        errno.EFBIG: f"let files like {path} grow (`ulimit -f`) and run again; nothing recorded is lost",
        errno.EROFS: f"{path.parent} is on a read-only file system: run where it is writable",
        errno.EBUSY: f"{path} cannot be replaced because it is mounted as a single file: mount its folder instead",
        errno.EACCES: f"check who owns {path} and its folder",
        errno.EPERM: f"check who owns {path} and its folder",
        errno.EISDIR: f"move the folder {path} away and run again",
    }
    words = (error.strerror or str(error)).lower()
    return StateError(f"cannot {verb} `{path.name}`: {words}", hint=hints.get(error.errno or 0, ""))
