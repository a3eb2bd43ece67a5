"""The sentence as code: load, compare, execute, report. Wires the stages together and decides nothing.

Every command calls one function here. This is the one place where the stages meet the world (clock, environment,
disk, network) and where the embedded server is put in place of a remote one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contentops.digest import NOTHING
from contentops.errors import ApiError, OutputError, Refused, StateError, UsageError, nearest
from contentops.executor.stop import Stop
from contentops.manifest.load import load
from contentops.model import Action, ItemId, JobState, Step
from contentops.output.files import Outputs, System
from contentops.planner.plan import make_plan
from contentops.planner.situation import (
    Choice,
    Situation,
    Stored,
    apply_moved,
    honours_ids,
    key_of,
    paths,
    specs_by_id,
)
from contentops.project import find_root, load_project, parse_variable
from contentops.state.cache import Cache
from contentops.state.durable import Disk
from contentops.state.lines import Drop, Forget
from contentops.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.model import Catalogue, Change, Desired, Event, Json, OpenEntry, Plan, Project, Record, Run, State

NETWORK = frozenset({Step.DRAIN, Step.LOOKUP, Step.SUBMIT, Step.POLL, Step.FETCH, Step.SAVE})
"""Steps that may need the server."""
FOLDER = ".contentops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Which guards a person overrides: up to how many credits, sweeping changes, emptied manifests."""

    credits: int | None = None
    changes: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStatus:
    """How one item stands, in one word and a note."""

    id: ItemId
    state: str
    output: str
    credits: int = 0
    generated_at: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding of `doctor`. `ok` is None where it is only worth knowing."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""


# --- reading -----------------------------------------------------------------------------------------------


def open_project(directory: str, environment: str, variables: Sequence[str]) -> Project:
    """The project that `directory` lies in. `variables` are `NAME=VALUE` as on the command line.

    Raises InputError for a project file that can not be used, UsageError for a bad variable.
    """
    return load_project(
        find_root(Path(directory).absolute()),
        environment=environment,
        variables=dict(parse_variable(text) for text in variables),
    )


def catalogue_of(project: Project) -> Catalogue | None:
    """The templates and styles the project's server offers; None where they are not known."""
    if project.api.base_url != "local":
        return None
    from contentops.local import catalogue
    from contentops.model import Catalogue, Template, TemplateInput

    known = catalogue.load()
    return Catalogue(
        templates={
            entry["slug"]: Template(
                slug=entry["slug"],
                name=entry["name"],
                category=entry["category"],
                inputs=tuple(
                    TemplateInput(
                        name=spec["name"],
                        required=bool(spec.get("required")),
                        kind=spec.get("type", "any"),
                        options=tuple(spec.get("options") or ()),
                        aliases=tuple(spec.get("aliases") or ()),
                    )
                    for spec in entry["inputs"]
                ),
            )
            for entry in known["templates"]
        },
        styles=frozenset(entry["slug"] for entry in known["styles"]),
    )


def validate(project: Project) -> Desired:
    """Everything the manifests declare. Raises InputError with every finding of every file."""
    with _cache(project, write=False) as cache:
        return load(project, catalogue_of(project), cache)


def read_state(project: Project) -> State:
    """Lock and journal as they stand; nothing is written."""
    with _store(project, write=False) as store:
        return store.state


def plan(project: Project, choice: Choice) -> Plan:
    """What `apply` would do. Needs no network and no key; writes nothing but a parse cache."""
    with _cache(project, write=True) as cache, _store(project, write=False) as store:
        desired = load(project, catalogue_of(project), cache)
        store.heal(specs_by_id(desired))
        return make_plan(situation(project, desired, store.state, cache, choice))


def situation(project: Project, desired: Desired, state: State, cache: Cache, choice: Choice) -> Situation:
    """All four sides, gathered: what the planner compares."""
    outputs = Outputs(project.root)
    server = project.api.server
    state, rekeyed = apply_moved(desired, state)

    def stored(digest: Any) -> Stored | None:
        from contentops.document.clean import body_digest

        text = cache.get_text(server, digest)
        return Stored(item=text.item, body=body_digest(text.body)) if text else None

    return Situation(
        project=project,
        desired=desired,
        state=state,
        observed={path: outputs.observe(path) for path in dict.fromkeys(paths(desired, state))},
        stored=stored,
        foreign=_foreign_paths(project),
        choice=choice,
        rekeyed=rekeyed,
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


# --- applying ----------------------------------------------------------------------------------------------


def apply(
    project: Project,
    choice: Choice,
    approval: Approval,
    *,
    confirm: Callable[[Plan], bool],
    emit: Callable[[Event], None],
    stop: Stop,
    deadline: float | None = None,
    world: World | None = None,
) -> tuple[Plan, Run | None]:
    """Plan, ask, and carry out exactly that; no run where there is nothing to do or the answer is no.

    Raises InputError before anything is touched, LockHeld where another apply runs, Refused where a guard stands in
    the way, ApiError where the key is missing, StateError where nothing can be recorded.
    """
    world = world or World()
    with _exclusive(project, world), _cache(project, write=True) as cache, _store(project, world, write=True) as store:
        desired = load(project, catalogue_of(project), cache)
        store.heal(specs_by_id(desired))
        found = situation(project, desired, store.state, cache, choice)
        planned = make_plan(found)
        if planned.empty:
            store.checkpoint()
            return planned, None
        _refuse(planned, approval)
        if any(change.steps for change in planned.changes) and not confirm(planned):
            return planned, None
        key = _key(project, planned, world)
        run = _carry_out(project, planned, found.state, store, cache, key, emit, stop, deadline, world)
        _write_report(project, planned, run)
    return planned, run


def _refuse(plan: Plan, approval: Approval) -> None:
    standing = [
        refusal
        for refusal in plan.refusals
        if not (
            (refusal.guard.startswith("budget") and approval.credits is not None and plan.credits <= approval.credits)
            or (refusal.guard == "changed-ratio" and approval.changes)
            or (refusal.guard == "empty" and approval.empty)
        )
    ]
    if not standing:
        return
    message = "apply refuses this plan: " + "; ".join(refusal.message for refusal in standing)
    flags = [refusal.flag for refusal in standing if refusal.flag]
    raise Refused(message, code=standing[0].guard, hint="if that is meant: " + " ".join(f"`{flag}`" for flag in flags))


def _key(project: Project, plan: Plan, world: World) -> str:
    if project.api.base_url == "local":
        return ""
    key = world.environ.get(project.api.key_env, "").strip()
    if not key and any(NETWORK & set(change.steps) for change in plan.changes):
        raise ApiError(
            f"no API key: the environment variable `{project.api.key_env}` is not set",
            code="missing-key",
            hint=f"set `{project.api.key_env}`, or use `api: {{base_url: local}}` to try it without an account",
        )
    return key


def _carry_out(
    project: Project,
    plan: Plan,
    state: State,
    store: StateStore,
    cache: Cache,
    key: str,
    emit: Callable[[Event], None],
    stop: Stop,
    deadline: float | None,
    world: World,
) -> Run:
    import asyncio

    from contentops.executor.run import Edges, execute

    async def run() -> Run:
        async with connected(project, key, world) as client:
            edges = Edges(
                store=store,
                cache=cache,
                outputs=Outputs(project.root, system=world.system),
                send=client.send,
                emit=emit,
                wall=world.wall,
                random=world.random,
            )
            return await execute(project, plan, state, edges, stop=stop, deadline=deadline)

    return (world.run or asyncio.run)(run())


@contextlib.asynccontextmanager
async def connected(project: Project, key: str, world: World) -> Any:
    """A client of the project's server; of the embedded one, in process, for `base_url: local`."""
    from contentops.api.client import Client

    if project.api.base_url == "local":
        from contentops.local import embedded

        async with embedded.running(Path(project.root) / FOLDER / "local.db") as app:
            client = Client(project.api, key="local", app=app)
            try:
                yield client
            finally:
                await client.aclose()
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


def _write_report(project: Project, plan: Plan, run: Run) -> None:
    """The run as JSON in `.contentops/runs/`, for people and machines that come later."""
    from contentops.report.run_json import run_json
    from contentops.report.safe import json_text

    folder = Path(project.root) / FOLDER / "runs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{run.started_at.replace(':', '').replace('-', '')}-{run.id[:8]}.json"
    (folder / name).write_text(json_text(run_json(run, plan)) + "\n", encoding="utf-8")


# --- looking -----------------------------------------------------------------------------------------------


def status(project: Project, choice: Choice) -> tuple[ItemStatus, ...]:
    """How every selected item stands."""
    from contentops.planner.select import candidate, is_selected, states_of

    with _cache(project, write=False) as cache, _store(project, write=False) as store:
        desired = load(project, catalogue_of(project), cache)
        store.heal(specs_by_id(desired))
        found = situation(project, desired, store.state, cache, Choice())
    changes = {change.id: change for change in make_plan(found).changes}
    specs = specs_by_id(desired)
    states = []
    for id_ in sorted({*specs, *found.state.records, *changes}):
        change, record, spec = changes.get(id_), found.state.records.get(id_), specs.get(id_)
        view = candidate(change, spec, failed=False) if change or spec else None
        if view is not None and not is_selected(choice, view):
            continue
        output = record.output if record else spec.output if spec else change.target if change else ""
        observed = found.observe(record.output) if record else None
        word = _word(change, record, states_of(change, spec), edited=_edited(record, observed))
        states.append(
            ItemStatus(
                id=id_,
                state=word,
                output=output,
                credits=record.credits if record else 0,
                generated_at=record.generated_at if record else "",
                note=(change.hint if change else ""),
            )
        )
    return tuple(states)


def _edited(record: Record | None, observed: Any) -> bool:
    return bool(record and observed and observed.exists and observed.body != record.generated)


def _word(change: Change | None, record: Record | None, states: frozenset[str], *, edited: bool) -> str:
    for word in ("orphan", "blocked", "unknown", "open", "new", "missing", "changed"):
        if word in states:
            return word
    if edited:
        return "edited"
    if change is not None and change.action not in (Action.NONE, Action.DRAIN):
        return "moved" if Step.MOVE in change.steps else "unsaved" if change.steps == (Step.SAVE,) else "changed"
    return "as generated" if record is None or record.generated else "adopted"


def show(project: Project, item: str) -> dict[str, Json]:
    """One item: the exact request, its digest and output, where each value came from, and its record."""
    desired = validate(project)
    specs, state = specs_by_id(desired), read_state(project)
    spec, record = specs.get(ItemId(item)), state.records.get(ItemId(item))
    if spec is None and record is None:
        raise _no_item(item, [*specs, *state.records])
    found: dict[str, Json] = {"id": item}
    if spec is not None:
        found |= {
            "request": spec.request.as_json(),
            "digest": spec.digest,
            "credits": spec.request.credits,
            "output": spec.output,
            "metadata": dict(spec.metadata),
            "tags": list(spec.tags),
            "origins": {
                name: {
                    "layer": origin.layer,
                    "place": str(origin.location) if origin.location else "",
                    "variables": list(origin.variables),
                }
                for name, origin in sorted(spec.origins.items())
            },
            "variables": {
                name: str(origin.location) if origin.location else origin.layer
                for name, origin in sorted(spec.variables.items())
            },
        }
    if record is not None:
        from contentops.report.plan_json import plain

        found["record"] = plain(record)
    return found


def diff(project: Project, item: str) -> tuple[str, str, str]:
    """The text last generated for an item, the text in its file, and what stands in the way of the first."""
    from contentops.document.clean import body_digest
    from contentops.document.front_matter import split

    state = read_state(project)
    record = state.records.get(ItemId(item))
    if record is None:
        raise _no_item(item, state.records)
    try:
        file = split(Outputs(project.root).read(record.output)).body
    except OutputError as error:
        raise OutputError(
            f"`{item}` has no readable file: {error.message}", hint="`contentops plan` restores it"
        ) from error
    with _cache(project, write=False) as cache:
        text = cache.get_text(record.server, record.digest)
    if text is not None and body_digest(text.body) == record.generated:
        return text.body, file, ""
    if body_digest(file) == record.generated:
        return file, file, ""
    raise StateError(
        f"the text generated for `{item}` is not in the cache, so there is nothing to compare `{record.output}` with",
        code="no-generated-text",
        hint="git has what was committed; the file was edited by hand since it was generated",
    )


def _no_item(item: str, known: Any) -> UsageError:
    close = nearest(item, known)
    hint = f"did you mean `{close}`?" if close else "`contentops status` lists the items"
    return UsageError(f"there is no item `{item}`", code="unknown-item", hint=hint)


# --- mending state -----------------------------------------------------------------------------------------


def move_record(project: Project, old: str, new: str) -> None:
    """Give the record and open jobs of `old` the id `new`."""
    with _editing(project) as store:
        state = store.state
        record = state.records.get(ItemId(old))
        entries = [entry for entry in state.entries.values() if entry.item == old]
        if record is None and not entries:
            raise _no_item(old, state.records)
        if ItemId(new) in state.records:
            raise UsageError(
                f"`{new}` has a record already", code="taken-id", hint=f"`contentops state rm {new}` forgets it"
            )
        facts: list[Any] = [dataclasses.replace(entry, item=ItemId(new)) for entry in entries]
        if record is not None:
            facts += [dataclasses.replace(record, id=ItemId(new), moved_from=""), Forget(ItemId(old))]
        store.note("state mv", *facts)


def forget_record(project: Project, item: str) -> None:
    """Forget the record of an item; its file and its content on the server stay."""
    with _editing(project) as store:
        if store.record(ItemId(item)) is None:
            raise _no_item(item, store.state.records)
        store.note("state rm", Forget(ItemId(item)))


def move_server(project: Project, old: str, new: str) -> None:
    """Say that the server `old` is now reached as `new`: its jobs and contents are the same."""
    with _editing(project) as store:
        state = store.state
        records = [dataclasses.replace(one, server=new) for one in state.records.values() if one.server == old]
        entries = [dataclasses.replace(one, server=new) for one in state.entries.values() if one.server == old]
        if not records and not entries:
            known = {one.server for one in state.records.values()}
            close = nearest(old, known)
            hint = f"did you mean `{close}`?" if close else "known: " + (", ".join(sorted(known)) or "none")
            raise UsageError(f"no record was made by `{old}`", code="unknown-server", hint=hint)
        store.note("state mv --server", *records, *entries)


def resolve(project: Project, item: str, *, job: str = "", content: str = "", forget: bool = False) -> str:
    """Take a person's word for what became of a submit whose answer was lost; returns what was done."""
    with _editing(project) as store:
        open_ = [entry for entry in store.state.entries.values() if entry.item == item]
        lost = [entry for entry in open_ if entry.state in (JobState.UNKNOWN, JobState.SUBMITTING)]
        if forget:
            lost = lost or [entry for entry in open_ if entry.state is not JobState.PAID]
        if not lost:
            known = [entry.item for entry in store.state.entries.values() if entry.state is JobState.UNKNOWN]
            hint = "unknown at the moment: " + (", ".join(f"`{one}`" for one in sorted(set(known))) or "none")
            raise UsageError(f"`{item}` has no submit whose outcome is unknown", code="nothing-to-resolve", hint=hint)
        if forget:
            store.note("state resolve", *(Drop(entry.request_id) for entry in lost))
            return f"forgot {len(lost)} open submit{'' if len(lost) == 1 else 's'} of `{item}`; the next apply may submit it again"
        latest = max(lost, key=lambda entry: entry.attempt)
        store.note("state resolve", _resolved(latest, job=job, content=content))
        what = f"job `{job}`" if job else f"content `{content}`"
        return f"the submit of `{item}` became {what}; the next apply finishes it"


def _resolved(entry: OpenEntry, *, job: str, content: str) -> OpenEntry:
    if job:
        return dataclasses.replace(entry, state=JobState.RUNNING, job_id=job, error="")
    return dataclasses.replace(entry, state=JobState.PAID, content_id=content, body=NOTHING, error="")


# --- doctor ------------------------------------------------------------------------------------------------


def doctor(project: Project, world: World | None = None) -> tuple[Check, ...]:
    """Whether everything is in place: manifests, state, cache, key and server."""
    world = world or World()
    return tuple(_checks(project, world))


def _checks(project: Project, world: World) -> Iterator[Check]:
    yield Check(name="project", ok=True, message=f"`{project.name}` at `{project.root}`")
    from contentops.errors import ContentopsError

    try:
        desired = validate(project)
        yield Check(
            name="manifests", ok=True, message=f"{len(desired.specs)} items in {len(desired.manifests)} manifests"
        )
    except ContentopsError as error:
        yield Check(name="manifests", ok=False, message=error.message, hint="`contentops validate` lists every problem")
    try:
        state = read_state(project)
        yield Check(name="state", ok=True, message=f"{len(state.records)} records, {len(state.entries)} open")
    except ContentopsError as error:
        yield Check(name="state", ok=False, message=error.message, hint=error.hint)
    with _cache(project, write=False) as cache:
        cache.get("doctor")
        yield Check(name="cache", ok=not cache.problem, message=cache.problem or "readable")
    if project.api.base_url == "local":
        yield Check(name="server", ok=True, message="the embedded server; needs no key and no network")
        return
    key = world.environ.get(project.api.key_env, "").strip()
    if not key:
        hint = f"set `{project.api.key_env}`; plan works without it"
        yield Check(name="key", ok=False, message=f"`{project.api.key_env}` is not set", hint=hint)
        return
    yield Check(name="key", ok=True, message=f"`{project.api.key_env}` is set")
    yield _server_check(project, key, world)


def _server_check(project: Project, key: str, world: World) -> Check:
    import asyncio

    from contentops.api.calls import ListTemplates
    from contentops.api.replies import Failure

    async def ask() -> Any:
        async with connected(project, key, world) as client:
            return await client.send(ListTemplates())

    answer = asyncio.run(ask())
    where = f"`{project.api.base_url}` ({project.api.dialect})"
    if isinstance(answer, Failure):
        return Check(
            name="server", ok=False, message=f"{where}: {answer.message}", hint="check `api.base_url` and the key"
        )
    return Check(name="server", ok=True, message=f"{where} answers with {len(answer.entries)} templates")


# --- opening -----------------------------------------------------------------------------------------------


def _store(project: Project, world: World | None = None, *, write: bool) -> StateStore:
    outputs = Outputs(project.root)
    return StateStore.open(
        project.root,
        environment=project.environment,
        project=project.name,
        write=write,
        body_on_disk=lambda path: outputs.observe(path).body,
        disk=world.disk if world else None,
    )


def _cache(project: Project, *, write: bool) -> Cache:
    return Cache(Path(project.root) / FOLDER / "cache", write=write)


@contextlib.contextmanager
def _exclusive(project: Project, world: World) -> Iterator[None]:
    """The right to change this environment's state, for as long as the block runs."""
    import getpass
    import socket

    from contentops.executor.context import iso
    from contentops.state.exclusive import ApplyLock

    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    who = f"{user}@{socket.gethostname()}, process {os.getpid()}"
    where = ""
    if world.environ.get("GITHUB_RUN_ID"):
        where = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(
            {name: world.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")}
        )
    with ApplyLock(Path(project.root), environment=project.environment, who=who, now=iso(world.wall()), where=where):
        yield


@contextlib.contextmanager
def _editing(project: Project) -> Iterator[StateStore]:
    """The store, exclusively, checkpointed at the end."""
    with _exclusive(project, World()), _store(project, write=True) as store:
        yield store
        store.checkpoint()
