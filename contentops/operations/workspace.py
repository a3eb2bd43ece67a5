"""What a command works on: project, store, cache, catalog and desired items, gathered once.

This is the one place where the stages meet the world (clock, environment, disk, network) and where the embedded server
is put in place of a remote one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, structs

from contentops.documents.conflicts import known_bodies
from contentops.documents.files import Outputs, System
from contentops.documents.glance import Glance
from contentops.documents.permission import denial
from contentops.errors import StateError
from contentops.manifests.load import load
from contentops.manifests.project import find_root, load_project, parse_variable
from contentops.planning.plan import make_plan
from contentops.planning.situation import (
    Choice,
    Situation,
    Stored,
    apply_moved,
    honours_ids,
    key_of,
    paths,
    specs_by_id,
)
from contentops.state.cache import Cache
from contentops.state.durable import Disk
from contentops.state.lock import request_id
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.catalog.offer import Offer
    from contentops.model import Catalog, Desired, ItemId, OpenEntry, Plan, Project, State

FOLDER = ".contentops"


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


class Workspace:
    """A project with its state open. Everything is read once, when it is first asked for."""

    def __init__(self, project: Project, store: StateStore, cache: Cache) -> None:
        self.project = project
        self.store = store
        self.cache = cache

    @functools.cached_property
    def desired(self) -> Desired:
        """Everything the manifests declare. Raises InputError with every finding of every file."""
        found = load(self.project, catalog_of(self.project), self.cache)
        # A merge in git may have brought back an item that the manifests have renamed since.
        self.store.heal(specs_by_id(found))
        return found

    @property
    def state(self) -> State:
        """Lock, journal and all that was noted since."""
        return self.store.state

    def situation(self, choice: Choice) -> Situation:
        """All four sides, gathered: what the planner compares."""
        return _situation(self, choice)

    def plan(self, choice: Choice) -> Plan:
        """What `apply` would do."""
        return make_plan(self.situation(choice))


@contextlib.contextmanager
def open_workspace(
    project: Project, world: World | None = None, *, write: bool = False, parse_cache: bool = True
) -> Iterator[Workspace]:
    """The workspace of a project. Without `write` nothing but the parse cache is ever changed.

    Raises StateError for state files that cannot be used.
    """
    with open_cache(project, write=parse_cache) as cache, open_store(project, world, write=write) as store:
        yield Workspace(project, store, cache)


def _situation(workspace: Workspace, choice: Choice) -> Situation:
    project, store, cache = workspace.project, workspace.store, workspace.cache
    desired = workspace.desired
    server = project.api.server

    def made_as(entry: OpenEntry, id_: ItemId) -> bool:
        return request_id(store.lineage, project.environment, id_, entry.digest, entry.attempt) == entry.request_id

    state, rekeyed = apply_moved(desired, store.state, made_as)
    if choice.changed_from:
        from contentops.ci.changed_since import narrowed

        choice = narrowed(project, desired, choice)

    def stored(digest: Any) -> Stored | None:
        from contentops.documents.clean import body_digest

        text = cache.get_text(server, digest)
        return Stored(item=text.item, body=body_digest(text.body)) if text else None

    glance = Glance(Outputs(project.root, whole=known_bodies(state)), cache.get("observed"), now=time.time_ns())
    observed = glance.observe_all(paths(desired, state))
    if (seen := glance.remember()) is not None:
        cache.put("observed", seen)
    return Situation(
        project=project,
        desired=desired,
        state=state,
        observed=observed,
        stored=stored,
        denied=denial(Path(project.root)),
        foreign=_foreign_paths(project),
        choice=choice,
        rekeyed=rekeyed,
        interrupted=not store.journal_was_empty,
        honours_ids=honours_ids(state, server),
    )


def _foreign_paths(project: Project) -> dict[str, str]:
    """Paths that the locks of other environments own, by path key, with the name of the lock."""
    found: dict[str, str] = {}
    own = f"contentops.{project.environment}.lock" if project.environment else "contentops.lock"
    for path in sorted(Path(project.root).glob("contentops*.lock")):
        if path.name == own:
            continue
        environment = path.name.removeprefix("contentops").removesuffix(".lock").removeprefix(".")
        with StateStore.open(project.root, environment=environment, project=project.name, write=False) as store:
            found.update({key_of(record.output): path.name for record in store.state.records.values()})
    return found


def open_project(directory: str, environment: str, variables: Sequence[str]) -> Project:
    """The project that `directory` lies in. `variables` are `NAME=VALUE` as on the command line.

    Raises InputError for a project file that cannot be used, UsageError for a bad variable.
    """
    return load_project(
        find_root(Path(directory)),
        environment=environment,
        variables=dict(parse_variable(text) for text in variables),
    )


def catalog_of(project: Project) -> Catalog | None:
    """The templates and styles the project's server offers; None where they are not known."""
    offer = offer_of(project)
    if offer is None:
        return None
    from contentops.catalog.offer import catalog

    found = catalog(offer)
    # The embedded server takes any vertical.
    return structs.replace(found, verticals=None) if project.api.base_url == "local" else found


def offer_of(project: Project) -> Offer | None:
    """What the project's server offers: built in for `local`, else from `catalog.lock.json`; None where not known.

    Raises InputError where that file cannot be used.
    """
    if project.api.base_url != "local":
        from contentops.catalog.lockfile import FILE, parse

        data = Disk().read(Path(project.root) / FILE)
        return None if data is None else parse(data).get(project.api.server)
    from contentops.catalog.offer import Offer
    from contentops.catalog.reading import choice, template
    from contentops.server import catalog

    known = catalog.load()
    return Offer(
        templates={entry["slug"]: template(entry["slug"], entry, None) for entry in known["templates"]},
        styles={entry["slug"]: choice(entry) for entry in known["styles"]},
        verticals={entry["slug"]: choice(entry) for entry in known["verticals"]},
    )


def validate(project: Project) -> Desired:
    """Everything the manifests declare. Raises InputError with every finding of every file."""
    with open_cache(project, write=False) as cache:
        return load(project, catalog_of(project), cache)


def read_state(project: Project) -> State:
    """Lock and journal as they stand; nothing is written."""
    with open_store(project, write=False) as store:
        return store.state


@contextlib.asynccontextmanager
async def connected(project: Project, key: str, world: World) -> Any:
    """A client of the project's server; of the embedded one, in process, for `base_url: local`."""
    from contentops.api.client import Client

    if project.api.base_url == "local":
        from contentops.server import EmbeddedServerError
        from contentops.server.serve import running

        try:
            async with running(Path(project.root) / FOLDER / "local.db") as app:
                client = Client(project.api, key="", app=app)
                try:
                    yield client
                finally:
                    await client.aclose()
        except EmbeddedServerError as error:
            raise StateError(f"the embedded server cannot be used: {error}", code="embedded-server") from error
        return
    client = Client(
        project.api,
        key=key,
        user=world.environ.get(project.api.user_env, "").strip(),
        transport=world.transport,
        wall=world.wall,
    )
    try:
        yield client
    finally:
        await client.aclose()


def open_store(project: Project, world: World | None = None, *, write: bool) -> StateStore:
    """The state of the project's environment. Raises StateError where it cannot be used."""
    outputs = Outputs(project.root)
    return StateStore.open(
        project.root,
        environment=project.environment,
        project=project.name,
        write=write,
        body_on_disk=lambda path: outputs.observe(path).body,
        disk=world.disk if world else None,
    )


def open_cache(project: Project, *, write: bool) -> Cache:
    """The project's cache; one that cannot be read counts as empty."""
    return Cache(Path(project.root) / FOLDER / "cache", write=write)
