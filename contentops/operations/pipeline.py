"""The sentence as code: load, compare, execute, report. Wires the stages together and decides nothing.

Every command calls one function here. This is the one place where the stages meet the world (clock, environment,
disk, network) and where the embedded server is put in place of a remote one.
"""

from __future__ import annotations

import contextlib
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
from contentops.errors import Refused, StateError
from contentops.execution.stop import Stop
from contentops.manifests.load import load
from contentops.manifests.project import find_root, load_project, parse_variable
from contentops.model import Definitions, Step
from contentops.planning.guards import approved
from contentops.planning.plan import make_plan
from contentops.planning.planfile import Compared, compare_file
from contentops.planning.situation import (
    Choice,
    Situation,
    Stored,
    apply_moved,
    honours_ids,
    key_of,
    paths,
    specs_by_id,
    swapped,
)
from contentops.reporting.plan_json import plain, record_digest
from contentops.state.cache import Cache
from contentops.state.durable import Disk
from contentops.state.lock import request_id
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.api.calls import Call
    from contentops.api.replies import Failure
    from contentops.catalog.offer import Offer
    from contentops.model import Catalog, Desired, Event, ItemId, Json, OpenEntry, Plan, Project, Refusal, Run, State

__all__ = ["Approval", "Choice", "Stop", "World"]

NETWORK = frozenset({Step.DRAIN, Step.LOOKUP, Step.SUBMIT, Step.POLL, Step.FETCH, Step.SAVE})
"""Steps that may need the server."""
FOLDER = ".contentops"


class Approval(Struct, frozen=True, kw_only=True):
    """Which guards a person overrides: up to how many credits, sweeping changes, emptied manifests.

    `credits` is a limit in itself too: a plan that costs more is refused, with a budget or without.
    """

    credits: int | None = None
    changes: bool = False
    empty: bool = False


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


# --- reading -----------------------------------------------------------------------------------------------


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
    return _catalog(project, offer_of(project))


def _catalog(project: Project, offer: Offer | None) -> Catalog | None:
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


def plan(project: Project, choice: Choice) -> Plan:
    """What `apply` would do. Needs no network and no key; writes nothing but a parse cache."""
    with open_cache(project, write=True) as cache, open_store(project, write=False) as store:
        offer = offer_of(project)
        desired = load(project, _catalog(project, offer), cache)
        store.heal(specs_by_id(desired))
        return make_plan(situation(project, desired, store, cache, choice, offer))


def check(project: Project, choice: Choice, reviewed: Mapping[str, Json]) -> Compared:
    """Whether a reviewed plan document would still be applied as it is. Raises Refused, saying why not."""
    with open_cache(project, write=True) as cache, open_store(project, write=False) as store:
        offer = offer_of(project)
        desired = load(project, _catalog(project, offer), cache)
        store.heal(specs_by_id(desired))
        found = situation(project, desired, store, cache, _of_file(choice, desired), offer)
        return compare_file(found, make_plan(found), reviewed, record_digest)


def situation(
    project: Project, desired: Desired, store: StateStore, cache: Cache, choice: Choice, offer: Offer | None = None
) -> Situation:
    """All four sides, gathered: what the planner compares. `offer` is what the server is known to offer."""
    server = project.api.server

    def made_as(entry: OpenEntry, id_: ItemId) -> bool:
        return request_id(store.lineage, project.environment, id_, entry.digest, entry.attempt) == entry.request_id

    state, rekeyed = apply_moved(desired, store.state, made_as)
    if choice.changed_from:
        from contentops.ci.changed_since import narrowed

        # Reading only: what the manifests came to at another commit must not push out what they come to today.
        with open_cache(project, write=False) as parsed:
            choice = narrowed(project, desired, choice, catalog_of=catalog_of, cache=parsed)

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
        definitions=_definitions(offer),
        interrupted=not store.journal_was_empty,
        honours_ids=honours_ids(state, server),
    )


def _of_file(choice: Choice, desired: Desired) -> Choice:
    """The choice of a plan file without items that are gone since: the comparison names them."""
    specs = specs_by_id(desired)
    return structs.replace(choice, replace=tuple(id_ for id_ in choice.replace if id_ in specs))


def _definitions(offer: Offer | None) -> Definitions:
    if offer is None:
        return Definitions()
    from contentops.catalog.definitions import definitions

    return definitions(offer)


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


# --- applying ----------------------------------------------------------------------------------------------


def apply(
    project: Project,
    choice: Choice,
    approval: Approval,
    *,
    confirm: Callable[[Plan], bool],
    emit: Callable[[Event], None],
    stop: Stop,
    show: Callable[[Plan], None] | None = None,
    reviewed: Mapping[str, Json] | None = None,
    inputs: Mapping[str, Json] | None = None,
    deadline: float | None = None,
    world: World | None = None,
) -> tuple[Plan, Run | None]:
    """Plan, show, ask, and carry out exactly that; no run where there is nothing to do or the answer is no.

    With a `reviewed` plan document, only what it names is carried out, and nothing that it does not say. `inputs` is
    what the command line chose, kept in the run's report for a later `retry`.

    Raises InputError before anything is touched, LockHeld where another apply runs, Refused where a guard stands in
    the way, ApiError where the key is missing, StateError where nothing can be recorded.
    """
    world = world or World()
    with (
        exclusively(project, world),
        open_cache(project, write=True) as cache,
        open_store(project, world, write=True) as store,
    ):
        offer = offer_of(project)
        desired = load(project, _catalog(project, offer), cache)
        store.heal(specs_by_id(desired))
        choice = choice if reviewed is None else _of_file(choice, desired)
        _sweep(project, desired, store.state, world)
        found = situation(project, desired, store, cache, choice, offer)
        planned = make_plan(found)
        if reviewed is not None:
            planned = compare_file(found, planned, reviewed, record_digest).plan
        if planned.empty:
            store.checkpoint()
            return planned, None
        planned = structs.replace(planned, refusals=_standing(planned, approval))
        if show is not None:
            show(planned)
        _refuse(planned)
        key = _key(project, planned, world)
        if any(change.steps for change in planned.changes) and not confirm(planned):
            return planned, None
        run = _carry_out(project, planned, found, store, cache, key, emit, stop, deadline, world)
        _write_report(project, planned, run, inputs or {})
    return planned, run


def _sweep(project: Project, desired: Desired, state: State, world: World) -> None:
    """Removes the half-written files that a killed run left beside the outputs."""
    folders = {path.rpartition("/")[0] for path in paths(desired, state)}
    Outputs(project.root, system=world.system).sweep(sorted(folders), before=world.wall())


def _standing(plan: Plan, approval: Approval) -> tuple[Refusal, ...]:
    """The guards that no flag has overridden, and the flag that is one itself."""
    over = approved(plan, approval.credits)
    return tuple(
        refusal
        for refusal in (*plan.refusals, *([over] if over else []))
        if not (
            (refusal.guard.startswith("budget") and approval.credits is not None and plan.credits <= approval.credits)
            or (refusal.guard == "changed-ratio" and approval.changes)
            or (refusal.guard == "empty" and approval.empty)
        )
    )


def _refuse(plan: Plan) -> None:
    if not plan.refusals:
        return
    message = "apply refuses this plan: " + "; ".join(refusal.message for refusal in plan.refusals)
    flags = dict.fromkeys(refusal.flag for refusal in plan.refusals if refusal.flag)
    hint = "if that is meant: " + ", ".join(f"`{flag}`" for flag in flags)
    raise Refused(message, code=plan.refusals[0].guard, hint=hint)


def _key(project: Project, plan: Plan, world: World) -> str:
    if project.api.base_url == "local":
        return ""
    key = world.environ.get(project.api.key_env, "").strip()
    if not key and any(NETWORK & set(change.steps) for change in plan.changes):
        from contentops.api.address import needs_key, no_key

        if needs_key(project.api):
            raise no_key(project.api)
    return key


def _carry_out(
    project: Project,
    plan: Plan,
    found: Situation,
    store: StateStore,
    cache: Cache,
    key: str,
    emit: Callable[[Event], None],
    stop: Stop,
    deadline: float | None,
    world: World,
) -> Run:
    import asyncio

    from contentops.execution.run import Edges, execute

    needed = any(NETWORK & set(change.steps) for change in plan.changes)

    async def run() -> Run:
        async with connected(project, key, world) if needed else contextlib.nullcontext() as client:
            edges = Edges(
                store=store,
                cache=cache,
                outputs=Outputs(project.root, whole=known_bodies(found.state), system=world.system),
                send=client.send if client is not None else _nowhere,
                emit=emit,
                wall=world.wall,
                random=world.random,
            )
            swaps = swapped(found.desired)
            return await execute(project, plan, found.state, edges, stop=stop, deadline=deadline, swaps=swaps)

    return (world.run or asyncio.run)(run())


async def _nowhere(call: Call) -> Failure:
    """The server of a plan whose steps need none."""
    raise AssertionError(f"{call.name} was not in the plan")


@contextlib.asynccontextmanager
async def connected(project: Project, key: str, world: World) -> Any:
    """A client of the project's server; of the embedded one, in process, for `base_url: local`."""
    from contentops.api.client import Client

    if project.api.base_url == "local":
        from contentops.server import LocalError, embedded

        try:
            async with embedded.running(Path(project.root) / FOLDER / "local.db") as app:
                client = Client(project.api, key="", app=app)
                try:
                    yield client
                finally:
                    await client.aclose()
        except LocalError as error:
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


def _write_report(project: Project, plan: Plan, run: Run, inputs: Mapping[str, Json]) -> None:
    """The run as JSON in `.contentops/runs/`, for people and machines that come later."""
    from contentops.reporting.run_json import run_json
    from contentops.sanitize import json_text

    folder = Path(project.root) / FOLDER / "runs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{run.started_at.replace(':', '').replace('-', '')}-{run.id[:8]}.json"
    attempts = {change.id: change.attempt for change in plan.changes if change.submits or change.entry is not None}
    document = {**run_json(run, plan), "inputs": plain(inputs), "attempts": attempts}
    (folder / name).write_text(json_text(document) + "\n", encoding="utf-8")


# --- opening -----------------------------------------------------------------------------------------------


def open_store(project: Project, world: World | None = None, *, write: bool) -> StateStore:
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
    return Cache(Path(project.root) / FOLDER / "cache", write=write)


@contextlib.contextmanager
def exclusively(project: Project, world: World) -> Iterator[None]:
    """The right to change this environment's state, for as long as the block runs."""
    import getpass
    import socket

    from contentops.ci.github.event import run_page
    from contentops.execution.context import iso
    from contentops.state.exclusive import ApplyLock

    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    who = f"{user}@{socket.gethostname()}"
    where = run_page(world.environ)
    with ApplyLock(Path(project.root), environment=project.environment, who=who, now=iso(world.wall()), where=where):
        yield
