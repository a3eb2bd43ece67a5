"""Remembers a plan without changes, and uses it again as long as no file has changed.

Most plans find that nothing changed. To find that out again, looking at each file is enough, as in `git status`. To
read manifests, lock and outputs and to compare every item takes ten times as long. If anything differs or is in doubt,
the planner plans again.

A plan is made from every file that was read or searched, and every folder that leads to it, each with its stamp: kind,
device, inode, size, and the times of its last change. A plan is kept only if each stamp is older than the start of the
command by `TRUSTED_AFTER`. So no file was changed while the plan was made, and none can change later without a new
stamp. A lost or damaged copy costs time, but never changes the result.
"""

from __future__ import annotations

import binascii
import contextlib
import operator
import os
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from contentops import __version__
from contentops.atomic_io import PRIVATE, TRUSTED_AFTER, read_file, replace
from contentops.errors import ContentopsError, Diagnostic
from contentops.manifests.root import find_root
from contentops.model import PROJECT_FILE, ApprovalState, Budget, Note, Plan, Project, Refusal
from contentops.state import state_dir

if TYPE_CHECKING:
    from contentops.operations.workspace import Workspace
    from contentops.planning.sides import PlanInputs

FORMAT: Final = 3
"""The version of the copy's format; another version of contentops does not use the copy either."""
_stamp: Final = operator.attrgetter("st_mode", "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
_NUMBERS: Final = 6
_ABSENT: Final = (0,) * _NUMBERS
_PART: Final = 250
"""How many paths are compared before the next ones are read."""
_CHECKSUM: Final = 8
"""Digits of the checksum at the start: a CRC that detects damage and needs no further module."""


class Asked(Struct, frozen=True, kw_only=True):
    """The options and variables of the command that made a plan for all items."""

    environment: str = ""
    variables: tuple[str, ...] = ()
    names_ledger: bool = False
    """Whether `CONTENTOPS_LEDGER` is set; its value may have a password, which is kept nowhere."""


class _Said(Struct, frozen=True, kw_only=True):
    """A remembered plan; its fields have the same names as those of `Plan`."""

    project: str
    environment: str
    server: str
    budget: Budget | None
    lineage: str
    notes: tuple[Note, ...]
    refusals: tuple[Refusal, ...]
    unchanged: int
    findings: tuple[Diagnostic, ...]
    id: str
    beside_default: bool = False
    approvals: dict[ApprovalState, int] = {}


class _Image(Struct, frozen=True, kw_only=True):
    """The first line of the file with the remembered plan."""

    format: int = FORMAT
    version: str = __version__
    root: str
    asked: Asked
    said: _Said
    names: int
    """The length of the names that follow, in bytes; the stamps come after them."""


class LastPlan:
    """The last plan without changes, for one project and one set of options.

    `root` is the project's folder, or empty if there is none. `started` is when the command started, in nanoseconds
    since 1970: before it read anything.
    """

    def __init__(self, root: str, asked: Asked, *, started: int) -> None:
        self.root = root
        self.asked = asked
        self.started = started

    def recall(self) -> Plan | None:
        """Return the remembered plan if a new plan would be the same, otherwise None."""
        try:
            if not self.root or state_dir.is_applied(self.root):
                return None
            return self._read()
        except (OSError, ValueError, ContentopsError):
            return None

    def remember(self, plan: Plan, workspace: Workspace, watched: AskedInputs) -> None:
        """Store a plan without changes, if it was made only from files with reliable time stamps.

        It is not stored if a killed run left files behind that an apply would delete.
        """
        from pathlib import Path  # start-up: what is recalled loads none

        from contentops.documents.paths import TEMPORARY  # start-up: the same

        try:
            # Before there is a lock, the plan has a lineage that commits change too.
            if not self.root or plan.changes or workspace.store.is_first or not _is_of_files(workspace, watched):
                return
            state_dir.make_folder(Path(self._path()).parent)  # now, as that changes the stamp of the root
            names = sorted({*with_folders(looked_at(workspace, watched.inputs)), *kept_jobs(workspace)})
            stamps = stamps_of(self.root, names)
            folders = (name for at, name in enumerate(names) if stat.S_ISDIR(stamps[at * _NUMBERS]))
            if not are_trusted(stamps, before=self.started - TRUSTED_AFTER) or any(
                # Left half-written by a run that was killed.
                TEMPORARY.fullmatch(name)
                for folder in folders
                for name in os.listdir(f"{self.root}/{folder}")
            ):
                return
            self._write(plan, "\0".join(names).encode(), stamps)
        except (OSError, ValueError, ContentopsError):
            return  # the next plan is made again

    def forget(self) -> None:
        """Delete the remembered plan."""
        with contextlib.suppress(OSError):
            os.unlink(self._path())

    def _path(self) -> str:
        name = state_dir.named("unchanged", self.asked.environment, "image")
        return os.path.join(self.root, state_dir.FOLDER, "cache", name)

    def _read(self) -> Plan | None:
        if not state_dir.is_plain(self.root):
            return None
        data = read_file(self._path(), follow=False)
        checksum, body = data[:_CHECKSUM], memoryview(data)[_CHECKSUM:]
        if _checksum(body) != checksum:
            return None
        end = data.index(b"\n", _CHECKSUM) - _CHECKSUM
        image = msgspec.json.decode(body[:end], type=_Image)
        if (image.format, image.version, image.root, image.asked) != (FORMAT, __version__, self.root, self.asked):
            return None
        names = str(body[end + 1 : end + 1 + image.names], "utf-8").split("\0")
        is_same = _have_stamps(self.root, names, body[end + 1 + image.names :])
        return Plan(**structs.asdict(image.said)) if is_same else None

    def _write(self, plan: Plan, names: bytes, stamps: array[int]) -> None:
        said = _Said(**{name: getattr(plan, name) for name in _Said.__struct_fields__})
        image = _Image(root=self.root, asked=self.asked, said=said, names=len(names))
        data = b"".join((msgspec.json.encode(image), b"\n", names, stamps.tobytes()))
        from pathlib import Path  # start-up: what is recalled loads none

        replace(Path(self._path()), _checksum(data) + data, mode=PRIVATE)


def last_plan(directory: str, asked: Asked, *, started: int) -> LastPlan:
    """Return the last plan of the project that contains `directory`."""
    try:
        root = find_root(directory)
    except ContentopsError:
        root = ""
    return LastPlan(root, asked, started=started)


def forget_plan(project: Project) -> None:
    """Delete the remembered plan, because something other than files has changed. It never raises an error."""
    LastPlan(project.root, Asked(environment=project.environment), started=0).forget()


class AskedInputs:
    """The inputs of a plan, which also record whether the planner used other data than files.

    Other data are stored texts or git, for example.
    """

    def __init__(self, inputs: PlanInputs) -> None:
        self.asked_more = False
        asking = [name for name in inputs.__struct_fields__ if callable(getattr(inputs, name))]
        self.inputs = structs.replace(inputs, **{name: self._watch(getattr(inputs, name)) for name in asking})

    def _watch(self, ask: Callable[..., object]) -> Callable[..., object]:
        def asked(*arguments: object) -> object:
            self.asked_more = True
            return ask(*arguments)

        return asked


def _is_of_files(workspace: Workspace, watched: AskedInputs) -> bool:
    """Return whether a plan of all items depends only on files, and no job is open."""
    from contentops.planning.sides import Choice

    inputs, store = watched.inputs, workspace.store
    return (
        not watched.asked_more
        and inputs.choice == Choice()
        and inputs.remote is None
        and inputs.source is None
        and workspace.ledger is None
        and not workspace.unread
        and bool(inputs.desired.manifests)
        and not inputs.state.open_jobs
        and not store.was_interrupted
        and not store.looked_at_files
        and store.jobs.is_committed
        and not any(file.problem for file in inputs.observed.values())
        and not any(store.journal_path.parent.glob(f"{state_dir.CHECKED}*"))
    )


def looked_at(workspace: Workspace, inputs: PlanInputs) -> Iterator[str]:
    """Yield the path of every file that a plan was made from, relative to the project's root."""
    from contentops.manifests.catalog_lock import FILE
    from contentops.state.approvals import FILE as APPROVALS

    project = workspace.project
    yield from (PROJECT_FILE, FILE, APPROVALS, *filter(None, [project.macros]))
    yield from inputs.desired.looked_at
    yield from inputs.observed
    yield from state_files(project)


def state_files(project: Project) -> Iterator[str]:
    """Yield the paths, relative to the root, of the state files of all the project's environments."""
    from contentops.operations.opening import known_environments

    for environment in {project.environment, *known_environments(project)}:
        yield state_dir.lock_name(environment)
        yield state_dir.jobs_name(environment)
        yield f"{state_dir.FOLDER}/{state_dir.named('journal', environment, 'jsonl')}"


def kept_jobs(workspace: Workspace) -> Iterator[str]:
    """Yield the paths, relative to the root, of the job files in the git folder.

    The folder itself changes too often to be watched.
    """
    from pathlib import Path

    from contentops.operations.opening import known_environments

    project, store = workspace.project, workspace.store
    folder = state_dir.kept_folder(Path(project.root), store.lineage, workspace.runtime.disk)
    for environment in {project.environment, *known_environments(project)}:
        yield os.path.relpath(folder / state_dir.named("jobs", environment, "jsonl"), os.path.realpath(project.root))


def with_folders(paths: Iterable[str]) -> list[str]:
    """Return the paths and the folders that contain them, except `.contentops`, which always changes.

    The root is "".
    """
    names = {"", *paths}
    for path in tuple(names):
        folder = path.rpartition("/")[0]
        while folder not in names and folder != state_dir.FOLDER:
            names.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(names)


def stamps_of(root: str, names: Iterable[str]) -> array[int]:
    """Return the time stamps of the paths below `root`. Links are not followed.

    A stamp is more than a time: see the description of this module. Raises OSError, and ValueError for a time before
    1970.
    """
    stamps = array("Q")
    # Half of the time goes into resolving the paths; relative ones take less.
    look, add, below = os.lstat, stamps.extend, "" if os.getcwd() == root else f"{root}/"
    for name in names:
        try:
            add(_stamp(look(below + name or os.curdir)))
        except (FileNotFoundError, NotADirectoryError):
            add(_ABSENT)
        except OverflowError:
            raise ValueError(name) from None
    return stamps


def _have_stamps(root: str, names: Sequence[str], stamps: memoryview) -> bool:
    """Return whether the files still have the recorded time stamps `stamps`.

    It looks at a part of the paths at a time: most changes are in a manifest, which is among the first.
    """
    size = _NUMBERS * array("Q").itemsize
    parts = ((start, names[start : start + _PART]) for start in range(0, len(names), _PART))
    return len(stamps) == len(names) * size and all(
        stamps_of(root, part).tobytes() == stamps[start * size : (start + len(part)) * size] for start, part in parts
    )


def _checksum(data: bytes | memoryview) -> bytes:
    return b"%0*x" % (_CHECKSUM, binascii.crc32(data))


def unchanged(names: Sequence[str], stamps: array[int], now: array[int], *, before: int) -> set[str]:
    """Return the files whose time stamps are the same in `stamps` and `now`, and older than `before`.

    The result is empty if one of the paths is a link now.
    """
    if any(map(stat.S_ISLNK, now[::_NUMBERS])):
        return set()
    ends = range(0, len(stamps), _NUMBERS)
    return {
        name
        for name, at in zip(names, ends, strict=True)
        if stamps[at : at + _NUMBERS] == now[at : at + _NUMBERS] and max(stamps[at + 4], stamps[at + 5]) < before
    }


def are_trusted(stamps: array[int], *, before: int) -> bool:
    """Return whether the time stamps will show every later change.

    They do not if one is that of a link, or is too new.
    """
    modes, times = stamps[::_NUMBERS], (stamps[4::_NUMBERS], stamps[5::_NUMBERS])
    return all(max(each, default=0) < before for each in times) and not any(map(stat.S_ISLNK, modes))
