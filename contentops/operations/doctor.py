"""`doctor`: whether everything needed is in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contentops.errors import ApiError, ContentopsError
from contentops.operations.workspace import World, connected, offer_of, open_cache, read_state, validate
from contentops.reporting.summary import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Desired, Project


class Check(Struct, frozen=True, kw_only=True):
    """One finding of `doctor`. `ok` is None where it is only worth knowing."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""


def doctor(project: Project, world: World | None = None) -> tuple[Check, ...]:
    """Whether everything is in place: manifests, state, cache, key and server."""
    world = world or World()
    return tuple(_checks(project, world))


def _checks(project: Project, world: World) -> Iterator[Check]:
    yield Check(name="project", ok=True, message=f"`{project.name}` at `{project.root}`")
    try:
        desired = validate(project)
        yield Check(
            name="manifests",
            ok=True,
            message=f"{plural(len(desired.specs), 'item')} in {plural(len(desired.manifests), 'manifest')}",
        )
        yield _outputs_check(project, desired)
    except ContentopsError as error:
        yield Check(name="manifests", ok=False, message=error.message, hint="`contentops validate` lists every problem")
    try:
        state = read_state(project)
        yield Check(
            name="state", ok=True, message=f"{plural(len(state.records), 'record')}, {len(state.entries):,} open"
        )
    except ContentopsError as error:
        yield Check(name="state", ok=False, message=error.message, hint=error.hint)
    with open_cache(project, write=False) as cache:
        cache.get("doctor")
        yield Check(name="cache", ok=not cache.problem, message=cache.problem or "readable")
    if project.api.base_url == "local":
        yield Check(name="server", ok=True, message="the embedded server; needs no key and no network")
        return
    yield _catalog_check(project)
    from contentops.api.address import needs_key

    key = world.environ.get(project.api.key_env, "").strip()
    if not key and needs_key(project.api):
        hint = f"set `{project.api.key_env}`; plan works without it"
        yield Check(name="key", ok=False, message=f"`{project.api.key_env}` is not set", hint=hint)
        return
    unset = f"`{project.api.key_env}` is not set; a server on this machine may do without"
    yield Check(name="key", ok=True if key else None, message=f"`{project.api.key_env}` is set" if key else unset)
    yield _server_check(project, key, world)


def _outputs_check(project: Project, desired: Desired) -> Check:
    from contentops.documents.permission import denial

    denied = denial(Path(project.root))
    problem = next(filter(None, (denied(spec.output) for spec in desired.specs)), "")
    hint = "change its permissions: an item whose file cannot be written is not paid for" if problem else ""
    return Check(name="outputs", ok=not problem, message=problem or "can be written", hint=hint)


def _catalog_check(project: Project) -> Check:
    from contentops.operations.catalog import unknown_why

    try:
        offer = offer_of(project)
        if offer is None:
            hint = "run `contentops catalog pull` and commit the file; until then slugs and inputs are not checked"
            return Check(name="catalog", ok=None, message=unknown_why(project), hint=hint)
    except ContentopsError as error:
        found = error.diagnostics()[0]
        message = f"`catalog.lock.json` cannot be used: {found.message}"
        return Check(name="catalog", ok=False, message=message, hint=found.hint)
    return Check(name="catalog", ok=True, message=f"{plural(len(offer.templates), 'template')} of this server known")


def _server_check(project: Project, key: str, world: World) -> Check:
    import asyncio

    from contentops.api.calls import ListTemplates
    from contentops.api.replies import Failure
    from contentops.operations.content import refused

    async def ask() -> tuple[Any, Any]:
        async with connected(project, key, world) as client:
            found = await client.find()
            return found, found if isinstance(found, Failure) else await client.send(ListTemplates())

    where = f"`{project.api.base_url}` ({project.api.dialect})"
    try:
        found, answer = (world.run or asyncio.run)(ask())
    except ApiError as error:
        return Check(name="server", ok=False, message=error.message, hint=error.hint)
    if isinstance(answer, Failure):
        problem = refused(answer, project)
        return Check(name="server", ok=False, message=f"{where}: {problem.message}", hint=problem.hint)
    message = f"{where} answers with {plural(len(answer.entries), 'template')}"
    if project.api.dialect == "auto":
        shape = "inside `{success, data}`" if found.enveloped else "bare"
        message += f"; found at `{found.base}`, lists {shape}, and a submit carries its inputs under every known name"
    return Check(name="server", ok=True, message=message)
