"""Open a project, its state and its cache; and the runtime: clock, environment, disk and network."""

from __future__ import annotations

import functools
import math
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, field

from contentops.atomic_io import Disk
from contentops.documents.files import Outputs, System
from contentops.manifests.project import load_project, parse_variable
from contentops.manifests.root import find_root
from contentops.state import state_dir
from contentops.state.cache import Cache
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contentops.api.trace import Exchange
    from contentops.errors import Diagnostic
    from contentops.ledger.project import ReadLedger
    from contentops.model import Project, State


class Runtime(Struct, frozen=True, kw_only=True):
    """Clock, environment, network and terminal of a command; tests pass their own."""

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
    """Until when a command waits for a ledger that is away, by `time.monotonic`."""
    patience: float | None = None
    """Seconds for which a ledger may be away before a run ends; None: as `LedgerSession` has it."""
    notify: Callable[[str], None] = lambda _: None
    """Gets a line wherever a person may wonder what takes so long."""
    trusts_stamps: bool = True
    """Whether an output with the time stamp of an earlier look is not read again."""
    trace: Callable[[Exchange], None] | None = None
    """Gets every request to the project's server, or None."""
    disk_time: Callable[[], int] = time.time_ns
    """The time in nanoseconds since 1970, as files are stamped with it."""


HERE = Runtime()
"""This machine, with no person at it."""


class OpenedLedger(NamedTuple):
    """The ledger of a project, or None with the warnings why the project's ledger cannot be read."""

    ledger: ReadLedger | None = None
    warnings: tuple[Diagnostic, ...] = ()


def open_project(directory: str, environment: str, variables: Sequence[str]) -> Project:
    """Open the project that `directory` is in. `variables` are `NAME=VALUE` as on the command line.

    Raises InputError for an invalid project file, UsageError for a bad variable.
    """
    return load_project(
        Path(find_root(directory)),
        environment=environment,
        variables=dict(parse_variable(text) for text in variables),
    )


def has_ledger(project: Project, environ: Mapping[str, str]) -> bool:
    """Tell whether the project has a shared ledger; one with the bundled server has none.

    An empty variable counts as a ledger: a secret of CI may be missing, and to go on without it would pay again.
    """
    return project.api.base_url != "local" and ("CONTENTOPS_LEDGER" in environ or bool(project.ledger))


def read_state(project: Project) -> State:
    """Read lock and journal without writing anything."""
    with open_store(project, write=False) as store:
        return store.state


def open_store(project: Project, runtime: Runtime = HERE, *, write: bool) -> StateStore:
    """Open the state of the project's environment. Raises StateError where it cannot be used."""
    outputs = Outputs(project.root)
    return StateStore(
        project.root,
        environment=project.environment,
        lineage=functools.partial(_first_lineage, project),
        write=write,
        body_on_disk=lambda path: outputs.observe(path).body,
        disk=runtime.disk,
    )


def kept_copies(project: Project, lineage: str, runtime: Runtime) -> Callable[[], Path]:
    """Return what makes the folder for copies of replaced texts, which no branch, clean or reset takes away."""
    root = Path(project.root)

    def made() -> Path:
        folder = state_dir.kept_folder(root, lineage, runtime.disk)
        state_dir.make_kept(root, folder)
        return folder

    return made


def _first_lineage(project: Project) -> str:
    from contentops.operations.lineage import first_lineage

    return first_lineage(project)


def open_cache(project: Project, *, write: bool) -> Cache:
    """Open the project's cache; one that cannot be read counts as empty."""
    return Cache(Path(project.root) / state_dir.FOLDER / "cache", write=write)
