"""The folders in which a project keeps its local files, and the lock that allows one apply at a time.

One folder is `.contentops`, next to `contentops.yaml` and ignored by git. The other is in the git folder, where no
branch, `git clean` or reset deletes its files.

Git's index is read directly if possible, because a child process takes longer than a plan without changes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.atomic_io import PRIVATE, Disk, read_file, refused, replace
from contentops.digest import canonical, digest_text
from contentops.errors import LockHeld, StateError
from contentops.json_reader import load_json

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import BaseFileLock


# ---- Find the folder that all work trees of a git repository share, and the path of a project in its work tree.


class Repository(Struct, frozen=True):
    """The git folder that all work trees of a repository share, and the project's folder in its work tree.

    `project` is empty for a project at the top of the work tree.
    """

    folder: Path
    project: str


def repository_of(root: Path, disk: Disk) -> Repository | None:
    """Return the git repository that contains the folder `root`, or None.

    Raises StateError if a file of git cannot be read.
    """
    top = root.resolve()
    for folder in (top, *top.parents):
        git = folder / ".git"
        below = top.relative_to(folder).as_posix()
        project = "" if below == "." else below
        if git.is_dir() and _text(git / "HEAD", disk):
            return Repository(git, project)
        if git.is_file():
            own = (folder / _text(git, disk).partition("gitdir:")[2].strip()).resolve()
            # A submodule has no `commondir`: its own directory is the only one.
            common = (own / _text(own / "commondir", disk).strip()).resolve()
            # A file in an archive may name any folder: one that is not git's gets nothing written into it.
            if _text(common / "HEAD", disk):
                return Repository(common, project)
    return None


def _text(path: Path, disk: Disk) -> str:
    return (disk.read(path) or b"").replace(b"\0", b"").decode("utf-8", "surrogateescape")


# ---- Whether git tracks the folder `.contentops`: then a branch brought its files, and none of them is used.

_ROOM: Final = 4096
"""Bytes of a `.git` that is a file."""
_COMPRESSED: Final = 4
"""The version in which a path is stored as a change of the one before it."""
_FOLDED: Final = sys.platform in ("darwin", "win32")
"""Whether file names usually ignore case on this system."""


def is_tracked(root: str, folder: str) -> bool:
    """Return whether git tracks `folder` in `root`, or any file inside `folder`.

    Outside of a repository it is False.
    """
    top, below = os.path.realpath(root), ""
    while True:
        try:
            if index := _index(top):
                info = os.lstat(index)
                return _has(top, index, f"{below}{folder}", info.st_mtime_ns, info.st_size, info.st_ino)
        except OSError:  # nothing was added yet, or git will say that it cannot be read
            return False
        outer, name = os.path.split(top)
        if outer == top:
            return False
        top, below = outer, f"{name}/{below}"


def _index(folder: str) -> str:
    """Return the path of git's index if `folder` is the top of a work tree; otherwise an empty text. Raises OSError."""
    git = f"{folder}/.git"
    try:
        is_file = stat.S_ISREG(os.lstat(git).st_mode)
    except OSError:
        return ""
    if not is_file:
        return f"{git}/index"
    text = read_file(git, _ROOM).replace(b"\0", b"")
    target = text.decode("utf-8", "surrogateescape").partition("gitdir:")[2].strip()
    is_absolute = target.startswith("/") or target[1:2] == ":"
    return f"{target}/index" if is_absolute else f"{folder}/{target}/index"


@functools.lru_cache(maxsize=8)
def _has(top: str, index: str, path: str, *_: int) -> bool:
    """Return whether git's index has an entry at `path` or inside it.

    The numbers identify the version of the index for the cache. Git itself is asked only if the bytes of the index do
    not answer this, because a child process takes long.
    """
    fold = bytes.lower if _FOLDED else bytes
    data = fold(read_file(index))
    names_it = fold(path.encode("utf-8", "surrogateescape")) in data
    # A split index keeps most of its entries in another file.
    if not names_it and int.from_bytes(data[4:8]) < _COMPRESSED and b"link\0\0\0" not in data:
        return False
    import subprocess  # start-up: most indexes answer themselves

    command = ["git", "-C", top, "-c", "core.fsmonitor=false", "ls-files", "-z", "--"]
    command.append(f":(literal{',icase' if _FOLDED else ''}){path}")
    environ = {name: value for name in ("PATH", "HOME", "SYSTEMROOT") if (value := os.environ.get(name))}
    try:
        return bool(subprocess.run(command, env=environ, capture_output=True, check=True).stdout)  # noqa: S603 - no shell
    except (OSError, subprocess.CalledProcessError):
        return names_it


# ---- The folders of a project: `.contentops` next to `contentops.yaml` (ignored by git), and one in the git folder.

FOLDER = ".contentops"
CHECKED = "check-"
"""The start of the names of folders in `.contentops` that have texts while programs check them."""
_PRIVATE = 0o700
_OTHERS = 0o077
_ENVIRONMENT = r"[^\W_][\w.-]{0,99}"


def inspect(root: Path) -> Path | None:
    """Return the path of the folder `.contentops`, or None if it does not exist yet.

    Raises StateError if it is a link, is not a folder, is tracked by git, or belongs to another user. Another user
    could forge the state.
    """
    return None if _info(root) is None else root / FOLDER


def _info(root: Path | str) -> os.stat_result | None:
    folder = f"{root}/{FOLDER}"
    try:
        info = os.lstat(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot look into `{FOLDER}`: {(error.strerror or str(error)).lower()}"
        raise StateError(message, code="unsafe-folder", hint=f"check {folder}") from error
    if not stat.S_ISDIR(info.st_mode):
        problem = "is a symbolic link" if stat.S_ISLNK(info.st_mode) else "is not a folder"
        raise _unsafe(problem, f"move {folder} away")
    if is_tracked(str(root), FOLDER):
        raise _unsafe(
            "is tracked by git, so a branch may have changed it; it is not used",
            f"`git rm -r {FOLDER}`, commit that, and run the command again to create the folder again",
        )
    if hasattr(os, "geteuid") and info.st_uid not in (os.geteuid(), 0):
        raise _unsafe(
            f"belongs to another user (uid {info.st_uid})",
            f"run as its owner, or take it over with `chown -R $(id -u) {folder}`",
        )
    return info


def is_plain(root: str) -> bool:
    """Return whether the folder `.contentops` exists and is safe to use (see `inspect`)."""
    try:
        return _info(root) is not None
    except StateError:
        return False


def make(root: Path) -> Path:
    """Return the folder `.contentops`. If necessary, create it, owner-only and ignored by git.

    Raises StateError as `inspect` does, or if it cannot be created.
    """
    info, folder = _info(root), root / FOLDER
    try:
        if info is None:
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
            info = folder.stat()
        if stat.S_IMODE(info.st_mode) & _OTHERS:
            folder.chmod(_PRIVATE)
        ignore = folder / ".gitignore"
        if ignore.is_symlink() or not ignore.exists():  # git does not follow a link
            replace(ignore, b"*\n")
    except OSError as error:
        raise refused("make" if info is None else "write in", folder, error) from error
    return folder


def sweep(root: Path, *, before: float) -> None:
    """Delete temporary folders of check programs that a killed run left.

    `before` is in seconds since 1970; newer folders stay.
    """
    import shutil

    for folder in (root / FOLDER).glob(f"{CHECKED}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_mtime < before:
                shutil.rmtree(folder)


def named(stem: str, environment: str, suffix: str) -> str:
    """Return a file name: `stem.suffix` for the default environment, or `stem.environment.suffix` for others.

    Raises StateError for an environment that cannot be part of a file name.
    """
    if not environment:
        return f"{stem}.{suffix}"
    if not re.fullmatch(_ENVIRONMENT, environment):
        message = f"`{environment!a}` is not a valid name for an environment"
        raise StateError(message, hint="use letters, digits, `-`, `_` and `.`, starting with a letter or digit")
    return f"{stem}.{environment}.{suffix}"


def jobs_name(environment: str) -> str:
    """Return the name of an environment's file of jobs."""
    return named("contentops", environment, "jobs")


def lock_name(environment: str) -> str:
    """Return the name of an environment's lock file."""
    return named("contentops", environment, "lock")


def _unsafe(problem: str, hint: str, name: str = FOLDER) -> StateError:
    return StateError(f"`{name}` {problem}", code="unsafe-folder", hint=hint)


def inspect_folder(folder: Path) -> None:
    """Raise StateError if a folder in `.contentops` is unsafe: a link, or not a folder.

    Also raises the errors of `inspect`.
    """
    if folder.parent.name == FOLDER:
        inspect(folder.parent.parent)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        problem = "is a symbolic link" if folder.is_symlink() else "is not a folder"
        raise _unsafe(problem, f"move {folder} away", folder.name)


def make_folder(folder: Path) -> None:
    """Create a folder in `.contentops` that only its owner can read. Raises StateError as `inspect_folder` does."""
    if folder.parent.name == FOLDER:
        make(folder.parent.parent)
    inspect_folder(folder)
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if folder.stat().st_mode & _OTHERS:
        folder.chmod(_PRIVATE)


IN_GIT = "contentops"
"""The name of our folder in the git folder that all work trees of a repository share."""


def kept_folder(root: Path, lineage: str, disk: Disk) -> Path:
    """Return the path of the folder that survives a change of branch, `git clean` and `git reset`.

    The folder possibly does not exist yet.

    Outside of git it is `.contentops`. Raises StateError if a file of git cannot be read.
    """
    repository = repository_of(root, disk)
    return root / FOLDER if repository is None else repository.folder / IN_GIT / lineage


def make_kept(root: Path, folder: Path) -> None:
    """Create the folder that `kept_folder` names. Raises StateError if it is a link or cannot be created."""
    if folder == root / FOLDER:
        make(root)
    else:
        for each in (folder.parent, folder):
            _make_in_git(each)


def _make_in_git(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise refused("make", folder, error) from error


def user_at_host() -> str:
    """Return the user and host of this process as `user@host`, for messages."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "someone"
    return f"{user}@{socket.gethostname()}"


# --- one apply at a time ------------------------------------------------------------------------------------


_SHOWN = 200


@contextlib.contextmanager
def apply_lock(root: Path, *, environment: str, who: str, now: str, where: str = "") -> Iterator[None]:
    """Prevent every other apply of the project while the `with` block runs, in all environments and work trees.

    All environments share the list of jobs, so each apply has to see the orders of the others. `who` is user@host,
    `now` an ISO time, `where` the address of the CI run, if any. Raises LockHeld with the holder if another process (or
    another part of this one) has the lock. Raises StateError if the file system cannot lock. The note about the holder
    is information only: an old one is overwritten.
    """
    folder, path = make(root), _lock_path(root)
    if path.parent != folder:
        _make_in_git(path.parent)
    # `who_runs` may have the lock for a moment.
    lock = acquire(path, timeout=_MOMENT)
    if lock is None:
        raise LockHeld(_running(root), hint="wait for it to end and try again; if it hangs, end that process")
    about = {"who": who, "pid": os.getpid(), "since": now, "where": where, "environment": environment}
    note = canonical({key: value for key, value in (about | {"folder": str(root)}).items() if value}).encode()
    # One that all work trees find, and one in this folder, for `is_applied`.
    notes = {path.with_suffix(".json"), folder / "apply.json"}
    try:
        for each in notes:
            with contextlib.suppress(StateError):
                Disk().replace(each, note, PRIVATE)
        yield
    finally:
        for each in notes:
            with contextlib.suppress(OSError):
                each.unlink()
        lock.release()


def _lock_path(root: Path) -> Path:
    """Return the path of a project's lock file. All work trees of its repository share it."""
    repository = repository_of(root, Disk())
    if repository is None:
        return root / FOLDER / "apply.lock"
    name = f"apply-{digest_text(repository.project)[-12:]}.lock" if repository.project else "apply.lock"
    return repository.folder / IN_GIT / name


def _running(root: Path) -> str:
    """Return a message that another command is running, and who runs it.

    The note in the lock's folder may say who runs the command, where, and since when.
    """
    about = _read_note(root)
    words = (("who", " by {}"), ("pid", ", process {}"), ("where", ", at {}"), ("since", ", since {}"))
    holder = "".join(text.format(about[key]) for key, text in words if about.get(key))
    which = f" for environment `{about['environment']}`" if about.get("environment") else ""
    place = "here" if about.get("folder", str(root)) == str(root) else f"in {about['folder']}"
    return f"another `contentops` command{which} is running {place}{holder}"


def is_applied(root: str) -> bool:
    """Return whether an apply runs in this folder or was killed in it. In both cases its note exists."""
    return os.path.lexists(f"{root}/{FOLDER}/apply.json")


def who_runs(root: Path, environment: str) -> str:
    """Return a message about the command that works on this environment now. It is empty if there is none.

    A killed command leaves its note, but no lock. Raises StateError as `inspect` does.
    """
    about = _read_note(root) if inspect(root) is not None else {}
    if (about.get("environment", ""), about.get("folder")) != (environment, str(root)):
        return ""
    try:
        lock = acquire(_lock_path(root))
    except StateError:
        return ""  # nothing can be locked here, so nothing is
    if lock is None:
        return _running(root)
    lock.release()
    return ""


_MOMENT = 0.1
"""Seconds."""


def acquire(path: Path, timeout: float = 0.0) -> BaseFileLock | None:
    """Acquire the lock file at `path` and return the lock.

    If another process has it for `timeout` seconds, return None.
    """
    import filelock

    try:
        # A lock that is only a file would outlive its process.
        lock: BaseFileLock = filelock.FileLock(path, timeout=timeout, mode=PRIVATE, fallback_to_soft=False)
        lock.acquire()
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        words = (getattr(error, "strerror", None) or str(error)).lower()
        message = f"cannot lock `{path.parent.name}/{path.name}`: {words}"
        raise StateError(message, hint="the project must be on a writable file system with locks") from error
    return lock


def _read_note(root: Path) -> dict[str, str]:
    """Return what the command that has the lock has noted about itself. Its values are safe to show.

    It is empty if it cannot be read.
    """
    try:
        note = load_json(Disk().read(_lock_path(root).with_suffix(".json")) or b"{}")
    except (StateError, ValueError):
        return {}
    stated = note.items() if isinstance(note, dict) else ()
    shown = {key: filter(str.isprintable, str(value)) for key, value in stated if isinstance(value, str | int)}
    return {key: "".join(letters)[:_SHOWN] for key, letters in shown.items()}
