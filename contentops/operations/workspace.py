"""What a command works on: project, store, cache, catalog and desired items, gathered once.

This is the one place where the stages meet the world (clock, environment, disk, network) and where the embedded server
is put in place of a remote one.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, field, structs

from contentops.atomic_io import Disk
from contentops.collector import without_collection
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs, System
from contentops.documents.folders import denial, present
from contentops.documents.front_matter import split
from contentops.documents.paths import collision_key
from contentops.documents.stat_cache import StatCache
from contentops.errors import Diagnostic, InputError, LockHeld, Severity
from contentops.manifests.load import load
from contentops.manifests.project import load_project, parse_variable
from contentops.manifests.root import find_root
from contentops.model import CatalogSnapshot, State
from contentops.model.stored import keep_once
from contentops.operations.texts.finished_texts import finished_texts
from contentops.parallel import processors
from contentops.planning.existing_texts import SourceEnvironment
from contentops.planning.inputs import Choice, PlanInputs, honours_ids, paths, specs_by_id
from contentops.planning.owners import without_others
from contentops.planning.renames import apply_renames
from contentops.state import state_dir
from contentops.state.cache import Cache
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.api.trace import Exchange
    from contentops.digest import Digest
    from contentops.execution.limiter import AccountLimiter
    from contentops.ledger.project import ProjectLedger, ReadLedger
    from contentops.model import Catalog, Desired, ItemId, Observed, Project
    from contentops.operations.texts.past_texts import PastTexts


class World(Struct, frozen=True, kw_only=True):
    """The outside, as far as it is not the disk; tests pass their own."""

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
    """Asks a person for a yes; None: there is no one to ask."""
    stopped: Callable[[], bool] = lambda: False
    """Whether a person wants an end: asked again and again while a ledger is waited for."""
    wait: Callable[[LockHeld], bool] = lambda _: False
    """Whether to try again, a moment later, where another command applies; asked again and again."""
    until: float = math.inf
    """When a ledger that is away is no longer waited for, by `time.monotonic`."""
    patience: float | None = None
    """Seconds for which a ledger may be away before a run ends; None: as `LedgerSession` has it."""
    trace: Callable[[Exchange], None] | None = None
    """Is told of every request to the project's server, or None."""
    processes: int = field(default_factory=processors)
    """With so many processes a large project is read."""
    disk_time: Callable[[], int] = time.time_ns
    """The time in nanoseconds since 1970, as files are stamped with it."""


class OpenedLedger(NamedTuple):
    """What a command has of the ledger of a project, and why it has none though there is one."""

    ledger: ReadLedger | None = None
    why: tuple[Diagnostic, ...] = ()

    def told(self, project: Project) -> Project:
        """The project with that among its warnings."""
        return structs.replace(project, warnings=(*project.warnings, *self.why)) if self.why else project


class Workspace:
    """A project with its state open. Everything is read once, when it is first asked for."""

    def __init__(self, project: Project, store: StateStore, cache: Cache, shared: OpenedLedger, world: World) -> None:
        self.project = shared.told(project)
        self.store = store
        self.cache = cache
        self.ledger = shared.ledger
        """What other machines share with this one, where the project has a ledger."""
        self.unread = shared.why
        """Why there is none here though the project has one."""
        self.world = world

    @functools.cached_property
    def desired(self) -> Desired:
        """Everything the manifests declare. Raises InputError with every finding of every file."""
        found = load(self.project, catalog_of(self.project), self.cache, processes=self.world.processes)
        self.store.heal({spec.id: spec.digest for spec in found.specs}, self.project.api.server)
        self.store.leave_further(spec.digest for spec in found.specs)
        for spec in found.specs:
            if (record := self.state.records.get(spec.id)) is not None:
                keep_once(spec, id=record.id, digest=record.digest, output=record.output)
        return found

    @property
    def working_ledger(self) -> ProjectLedger | None:
        """The ledger, where this command works on it."""
        if self.ledger is None:
            return None
        from contentops.ledger.project import ProjectLedger

        return self.ledger if isinstance(self.ledger, ProjectLedger) else None

    @functools.cached_property
    def limiter(self) -> AccountLimiter:
        """Counts the requests of this command, or of all that work over the ledger."""
        from contentops.execution.limiter import Limiter

        api = self.project.api
        if self.ledger is None:
            return Limiter(api.requests_per_minute)
        return self.ledger.sign_in(api, self.world.environ.get(api.key_env, "").strip())

    @property
    def state(self) -> State:
        """Lock, journal and all that was noted since."""
        return self.store.state

    def plan_inputs(self, choice: Choice) -> PlanInputs:
        """All four sides, gathered: what the planner compares."""
        return _plan_inputs(self, choice)

    def past(self, state: State, heirs: Mapping[Digest, ItemId] | None = None) -> PastTexts:
        """Texts of earlier runs, also those that the cache lacks; `state`: what is known, under today's ids.

        `heirs`: by request, the item that the text of one which is gone may serve; None: none.
        """
        from contentops.operations.texts.past_texts import PastTexts

        return PastTexts(self.project, state, self.cache, specs_by_id(self.desired), heirs or {})


@contextlib.contextmanager
def open_workspace(
    project: Project, world: World | None = None, *, write: bool = False, parse_cache: bool = True
) -> Iterator[Workspace]:
    """The workspace of a project. Without `write` nothing but the parse cache is ever changed.

    Raises StateError for state files that cannot be used; with `write`, Refused where `check_lineage` does.
    """
    world = world or World()
    with open_cache(project, write=parse_cache) as cache, open_store(project, world, write=write) as store:
        if write and store.is_first:
            from contentops.operations.lineage import check_lineage

            check_lineage(project)
        with shared(project, store, cache, world, write=write) as found:
            yield Workspace(project, store, cache, found, world)


@contextlib.contextmanager
def shared(project: Project, store: StateStore, cache: Cache, world: World, *, write: bool) -> Iterator[OpenedLedger]:
    """The project's ledger, if it has one, with what it holds taken into state and cache.

    Where it cannot be reached, whoever only reads goes on without it. Raises StateError, and with `write` Refused for
    an address that is on no list outside the repository.
    """
    if not has_ledger(project, world.environ):
        yield OpenedLedger()
        return
    from contentops.operations.ledger import ledger_access

    opened = ledger_access.working if write else ledger_access.reading
    with opened(project, store, cache, world) as found:
        yield found


def has_ledger(project: Project, environ: Mapping[str, str]) -> bool:
    """Whether the project shares what is paid for. No other machine reaches an embedded server.

    An empty variable names a ledger that is missing, such as a secret of CI: to go on without it would pay again.
    """
    return project.api.base_url != "local" and ("CONTENTOPS_LEDGER" in environ or bool(project.ledger))


@without_collection()
def _plan_inputs(workspace: Workspace, choice: Choice) -> PlanInputs:
    project, store, cache = workspace.project, workspace.store, workspace.cache
    desired = workspace.desired
    server = project.api.server

    state, rekeyed = apply_renames(desired, store.state, server)
    if choice.changed_from:
        from contentops.ci.results import narrowed

        choice = narrowed(project, desired, choice)

    @functools.cache
    def past() -> PastTexts:
        return workspace.past(state)

    outputs = itertools.chain(
        (spec.output for spec in desired.specs), (record.output for record in state.records.values())
    )
    others = dict(other_states(project))
    state = without_others(state, others, server, store.lock_path.name)
    name = project.promote_from
    theirs = others.get(locked_environments(project).get(name or "", ""), State(lineage=""))
    # What `moved` renames may not be applied there yet.
    known = apply_renames(desired, theirs, server)[0]
    source = None if name is None else SourceEnvironment(environment=name, state=known)
    observed = _observed(workspace, state, source)
    return PlanInputs(
        project=project,
        desired=desired,
        state=state,
        observed=observed,
        stored=finished_texts(workspace, state, observed),
        text=lambda digest: found if (found := cache.body(digest)) is not None else past().text(digest),
        read=lambda path: split(Outputs(project.root).read(path)).body,
        why_no_text=lambda: past().why_missing(),
        exists=present(Path(project.root), outputs),
        denied=denial(Path(project.root)),
        foreign={collision_key(each.output): lock for lock, other in others.items() for each in other.records.values()},
        source=source,
        choice=choice,
        rekeyed=rekeyed,
        interrupted=not store.journal_was_empty,
        honours_ids=honours_ids(state, server),
        held=workspace.ledger.held if workspace.ledger is not None else {},
        left=store.left,
    )


def _observed(workspace: Workspace, state: State, source: SourceEnvironment | None) -> Mapping[str, Observed]:
    desired, cache = workspace.desired, workspace.cache
    looked_at, whole = [*paths(desired, state)], known_bodies(state)
    if source is not None:
        looked_at += source.paths(desired)
        whole |= known_bodies(source.state)
    outputs, world = Outputs(workspace.project.root, whole=whole), workspace.world
    known = StatCache(outputs, cache.get, cache.put, now=world.disk_time(), processes=world.processes)
    return known.observe_all(looked_at)


def other_states(project: Project) -> Iterator[tuple[str, State]]:
    """What the locks of the project's other environments hold, each with the name of the lock."""
    for environment, lock in locked_environments(project).items():
        if environment != project.environment:
            with StateStore(project.root, environment=environment, lineage=str, write=False) as store:
                yield lock, store.state


def locked_environments(project: Project) -> dict[str, str]:
    """The environments that something was applied to, each with the name of its lock.

    Only declared ones: any other `contentops*.lock` is a copy, as git's merge tools leave them beside the lock.
    """
    names = ("", *(project.settings.get("environments") or {}))
    locks = sorted((state_dir.named("contentops", name, "lock"), name) for name in names)
    return {name: lock for lock, name in locks if Path(project.root, lock).exists()}


def open_project(directory: str, environment: str, variables: Sequence[str]) -> Project:
    """The project that `directory` lies in. `variables` are `NAME=VALUE` as on the command line.

    Raises InputError for a project file that cannot be used, UsageError for a bad variable.
    """
    return load_project(
        Path(find_root(directory)),
        environment=environment,
        variables=dict(parse_variable(text) for text in variables),
    )


def catalog_of(project: Project) -> Catalog | None:
    """The templates and styles the project's server offers; None where they are not known."""
    snapshot = snapshot_of(project)
    return None if snapshot is None else snapshot.checked(takes_any_vertical=project.api.base_url == "local")


def snapshot_of(project: Project) -> CatalogSnapshot | None:
    """The catalog of the project's server: built in for `local`, else from `catalog.lock.json`; None where not known.

    Raises InputError where that file cannot be used.
    """
    if project.api.base_url != "local":
        from contentops.manifests.catalog_lock import FILE, parse

        data = Disk().read(Path(project.root) / FILE)
        return None if data is None else parse(data).get(project.api.server)
    from contentops.api.catalog import catalog_entry, template
    from contentops.server import catalog

    known = catalog.load()
    return CatalogSnapshot(
        templates={entry["slug"]: template(entry["slug"], entry, None) for entry in known["templates"]},
        styles={entry["slug"]: catalog_entry(entry) for entry in known["styles"]},
        verticals={entry["slug"]: catalog_entry(entry) for entry in known["verticals"]},
    )


def validate(project: Project, world: World | None = None) -> Desired:
    """Everything the manifests declare. Raises InputError with every finding of every file."""
    with open_cache(project, write=False) as cache:
        return load(project, catalog_of(project), cache, processes=(world or World()).processes)


def declared(project: Project) -> tuple[Desired | None, tuple[Diagnostic, ...]]:
    """What the manifests declare; None with a warning where they have errors: for what can be said without them."""
    try:
        return validate(project), ()
    except InputError as error:
        return None, (unread(error),)


def unread(error: InputError) -> Diagnostic:
    """The warning of a command that goes on without manifests that have errors."""
    message = f"the manifests cannot be used, so this is what the lock and the files say: {error.message}"
    hint = "`contentops validate` lists them"
    return Diagnostic(code="manifests-unread", message=message, severity=Severity.WARNING, hint=hint)


def read_state(project: Project) -> State:
    """Lock and journal as they stand; nothing is written."""
    with open_store(project, write=False) as store:
        return store.state


def shared_state(project: Project, world: World | None = None) -> tuple[State, tuple[Diagnostic, ...]]:
    """The same with what is open elsewhere; and a warning where the ledger cannot be reached."""
    with open_workspace(project, world, parse_cache=False) as workspace:
        return workspace.state, workspace.unread


def open_store(project: Project, world: World | None = None, *, write: bool) -> StateStore:
    """The state of the project's environment. Raises StateError where it cannot be used."""
    outputs = Outputs(project.root)
    return StateStore(
        project.root,
        environment=project.environment,
        lineage=lambda: _first_lineage(project),
        write=write,
        body_on_disk=lambda path: outputs.observe(path).body,
        disk=world.disk if world else None,
    )


def _first_lineage(project: Project) -> str:
    from contentops.operations.lineage import first_lineage

    return first_lineage(project)


def open_cache(project: Project, *, write: bool) -> Cache:
    """The project's cache; one that cannot be read counts as empty."""
    return Cache(Path(project.root) / state_dir.FOLDER / "cache", write=write)
