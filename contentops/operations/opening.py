"""Opens a project, its state and its cache for a command.

`Runtime` is the environment of the process.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, field

from contentops.atomic_io import Disk
from contentops.ci.git import first_commit, is_shallow
from contentops.digest import Digest
from contentops.documents.files import Outputs, System
from contentops.errors import Diagnostic, Refused, StateError
from contentops.manifests.project import load_project, parse_variable
from contentops.manifests.root import find_root
from contentops.model import Job, Project, State
from contentops.model.jobs import assigned
from contentops.state import jobs, state_dir
from contentops.state.cache import Cache
from contentops.state.jobs import kept_file
from contentops.state.lock import lineage_in, lineage_of
from contentops.state.state_dir import repository_of
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from contentops.api.session import Exchange
    from contentops.ledger.project import ProjectLedger, ReadLedger


# ---- Open a project, its state and its cache; and the runtime: clock, environment, disk and network.


class Runtime(Struct, frozen=True, kw_only=True):
    """The clock, environment variables, network and terminal that a command uses; tests pass their own."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    wall: Callable[[], float] = time.time
    random: random.Random = field(default_factory=random.Random)
    transport: Any = None
    """An HTTP transport to use instead of the network, or None."""
    disk: Disk = field(default_factory=Disk)
    """What writes state files."""
    system: System = field(default_factory=System)
    """What writes outputs."""
    run: Callable[[Any], Any] | None = None
    """Runs a coroutine to its end; None: `asyncio.run`."""
    ask: Callable[[str], bool] | None = None
    """Asks a person for confirmation; None: there is no one to ask."""
    stopped: Callable[[], bool] = lambda: False
    """Whether a person wants to stop; called again and again while a command waits for a ledger."""
    until: float = math.inf
    """Until when a command waits for a ledger that cannot be reached, by `time.monotonic`."""
    patience: float | None = None
    """Seconds to wait for a lost ledger before a run ends; None means the value of `LedgerSession`."""
    notify: Callable[[str], None] = lambda _: None
    """Called with a message if a person may wonder what takes so long."""
    trusts_stamps: bool = True
    """Whether an output is not read again if its time stamp has not changed."""
    trace: Callable[[Exchange], None] | None = None
    """Gets every request to the project's server, or None."""
    disk_time: Callable[[], int] = time.time_ns
    """The time in nanoseconds since 1970, as files are stamped with it."""


HERE = Runtime()
"""The runtime of this machine, with no person to ask."""


class OpenedLedger(NamedTuple):
    """The opened ledger of a project, or None with warnings if it cannot be read."""

    ledger: ReadLedger | None = None
    warnings: tuple[Diagnostic, ...] = ()
    working: ProjectLedger | None = None
    """The same ledger, if the command changes it."""


def open_project(directory: str, environment: str, variables: Sequence[str]) -> Project:
    """Open the project that `directory` is in.

    `variables` are `NAME=VALUE` as on the command line. Raises InputError if the project file is invalid, UsageError
    for a bad variable.
    """
    return load_project(
        Path(find_root(directory)),
        environment=environment,
        variables=dict(parse_variable(text) for text in variables),
    )


def has_ledger(project: Project, environ: Mapping[str, str]) -> bool:
    """Return whether the project has a shared ledger. A project with the bundled server has none.

    An empty variable counts as a ledger: a secret of CI may be missing, and to continue without the ledger would pay
    again.
    """
    return project.api.base_url != "local" and ("CONTENTOPS_LEDGER" in environ or bool(project.ledger))


def read_state(project: Project) -> State:
    """Read the recorded state (lock, jobs and journal) without writing anything."""
    with open_store(project, write=False) as store:
        return store.state


def open_store(project: Project, runtime: Runtime = HERE, *, write: bool) -> StateStore:
    """Open the state of the project's environment. Raises StateError if it cannot be used."""
    outputs = Outputs(project.root)
    return StateStore(
        project.root,
        environment=project.environment,
        lineage=functools.partial(first_lineage, project),
        write=write,
        body_on_disk=lambda path: outputs.observe(path).body,
        disk=runtime.disk,
    )


def open_outputs(project: Project, lineage: str, runtime: Runtime, whole: Iterable[Digest] = ()) -> Outputs:
    """Return an object that writes output files and keeps copies of replaced texts.

    A change of branch, `git clean` or `git reset` does not delete the copies.
    """
    root = Path(project.root)

    def copies() -> Path:
        folder = state_dir.kept_folder(root, lineage, runtime.disk)
        state_dir.make_kept(root, folder)
        return folder

    return Outputs(project.root, whole=whole, copies=copies, system=runtime.system)


def open_cache(project: Project, *, write: bool) -> Cache:
    """Open the project's cache; an unreadable cache counts as empty."""
    return Cache(Path(project.root) / state_dir.FOLDER / "cache", write=write)


# ---- Find the files of a project's environments.

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


def committed_environments(project: Project) -> list[str]:
    """Return the environments that have a lock or jobs in the project's folder.

    Any other `contentops*.lock` is a copy, which git's merge tools may leave beside the lock.
    """
    root = Path(project.root)
    # What an environment ordered was paid for, also when it is declared no more.
    jobs = (path.name.removeprefix("contentops.")[: -len(".jobs")] for path in root.glob("contentops.*.jobs"))
    names = {"", *(project.settings.get("environments") or {}), *filter(_NAME.fullmatch, jobs)}
    files = {name: [root / state_dir.lock_name(name), root / state_dir.jobs_name(name)] for name in names}
    return [name for name in sorted(names) if any(file.exists() for file in files[name])]


# ---- Name a project before it has a lock: the same in every clone, and different in other repositories.


def first_lineage(project: Project) -> str:
    """Return the project's lineage (its identifier) for a project that has no lock yet.

    It is the one in other files of the project, otherwise one made of its name, first commit and folder.

    An apply before the first commit may have left only what it ordered.
    """
    if known := _others(project):
        return known
    early, made = (lineage_of(project.name, commit, _folder(project)) for commit in ("", first_commit(project.root)))
    is_early = _is_kept(project, early) and not _is_kept(project, made)
    return early if is_early else made


def check_lineage(project: Project) -> None:
    """Raise Refused if this clone cannot find out the project's identifier.

    Otherwise this clone would use another identifier than other clones, and would pay again for the same texts.
    """
    if project.api.base_url == "local" or _others(project) or not is_shallow(project.root):
        return
    hint = "run `git fetch --unshallow`; in CI, use `fetch-depth: 0` of actions/checkout"
    hint += "; or apply in a full clone, and commit the lock"
    message = "this clone is shallow, but the first commit is needed to identify a project without a lock,"
    raise Refused(f"{message} so nothing was submitted", code="no-first-commit", hint=hint)


def is_of_another(project: Project, lineage: str) -> bool:
    """Return whether a lock belongs to a project with another name or another first commit.

    It is False in a shallow clone. A project that was renamed, or whose history was rewritten, looks the same as one
    whose lock was copied.
    """
    if is_shallow(project.root):
        return False
    commits, folders = ("", first_commit(project.root)), {"", _folder(project)}
    return lineage not in {lineage_of(project.name, commit, folder) for commit in commits for folder in folders}


def _others(project: Project) -> str:
    """Return the project's identifier (its lineage) from the locks and jobs of all environments.

    The project's own environment comes first. The result is empty if there is none.
    """
    root = Path(project.root)
    for environment in sorted(committed_environments(project), key=lambda name: name != project.environment):
        if lineage := lineage_in(root / state_dir.lock_name(environment)):
            return lineage
        with contextlib.suppress(StateError):  # whoever works on that environment gets the error
            if lineage := jobs.lineage_in(root, environment, Disk()):
                return lineage
    return ""


def _is_kept(project: Project, lineage: str) -> bool:
    """Return whether this checkout has already submitted something under this project identifier."""
    root = Path(project.root)
    folder = state_dir.kept_folder(root, lineage, Disk())
    return folder.name == lineage and folder.is_dir()


def _folder(project: Project) -> str:
    repository = repository_of(Path(project.root), Disk())
    return "" if repository is None else repository.project


# ---- Find the environments of a project in which something was ordered or made, and read their states.


def other_states(project: Project) -> dict[str, State]:
    """Return the states of the project's other environments, by name of the environment."""
    lineage = functools.partial(first_lineage, project)
    declared = {"", *(project.settings.get("environments") or {})}
    states: dict[str, State] = {}
    for environment in known_environments(project):
        if environment != project.environment:
            with StateStore(project.root, environment=environment, lineage=lineage, write=False) as store:
                # The file of an environment that no one declares may be a copy from another project.
                if environment in declared or store.lineage == lineage():
                    states[environment] = store.state
    return states


def known_environments(project: Project) -> list[str]:
    """Return the environments that have a lock or jobs.

    An apply that was killed early, or `git clean`, may have left only the jobs in this checkout's git directory.
    """
    root, disk, found = Path(project.root), Disk(), {*committed_environments(project)}
    # Projects in one repository share the folder above: only the lineage says whose file it is.
    folder = kept_file(root, "", "x", disk).parent
    folders = [folder] if folder.name != "x" else [*folder.parent.glob("*/")]
    copies = (path.name for each in folders for path in each.glob("jobs*.jsonl"))
    names = {name.removeprefix("jobs").removesuffix(".jsonl")[1:] for name in copies}
    if others := {name for name in names if not name or _NAME.fullmatch(name)} - found:
        lineage = first_lineage(project)
        found |= {name for name in others if kept_file(root, name, lineage, disk).exists()}
    return sorted(found)


# ---- What was ordered in a project: the jobs of all its environments, each in the one that ordered it first.


def jobs_by_environment(project: Project, state: State) -> dict[str, list[Job]]:
    """Return the jobs of each environment, sorted from old to new.

    `state` is that of the project's own environment. If several environments know a job, because it answers a request
    of each, it belongs to the first one by name. Raises StateError.
    """
    states = {**other_states(project), project.environment: state}
    return assigned({name: one.jobs for name, one in states.items()})
