"""Looking without touching: how items stand, what is sent and why, what a person changed, whether all is in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contentops.documents.files import Outputs
from contentops.errors import ApiError, ContentopsError, OutputError, StateError, UsageError, nearest
from contentops.model import Action, ItemId, Move
from contentops.operations.pipeline import (
    World,
    connected,
    offer_of,
    open_cache,
    open_store,
    read_state,
    situation,
    validate,
)
from contentops.planning.plan import make_plan
from contentops.planning.situation import Choice, open_entries, price_of, specs_by_id, tombstones
from contentops.reporting.summary import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Change, Desired, Json, Project, Record, State


class ItemStatus(Struct, frozen=True, kw_only=True):
    """How one item stands, in one word and a note."""

    id: ItemId
    state: str
    output: str
    credits: int = 0
    generated_at: str = ""
    note: str = ""


class Check(Struct, frozen=True, kw_only=True):
    """One finding of `doctor`. `ok` is None where it is only worth knowing."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""


# --- looking -----------------------------------------------------------------------------------------------


def status(project: Project, choice: Choice) -> tuple[ItemStatus, ...]:
    """How every selected item stands. Raises UsageError for selectors that cannot mean anything."""
    from contentops.planning.select import Candidate, candidate, check_selectors, is_selected, states_of

    check_selectors((*choice.select, *choice.exclude))
    with open_cache(project, write=False) as cache, open_store(project, write=False) as store:
        desired = validate(project)
        store.heal(specs_by_id(desired))
        found = situation(project, desired, store, cache, Choice())
    changes = {change.id: change for change in make_plan(found).changes}
    specs = specs_by_id(desired)
    entries = open_entries(found.state, found.server)
    states = []
    for id_ in sorted({*specs, *found.state.records, *changes}):
        change, record, spec = changes.get(id_), found.state.records.get(id_), specs.get(id_)
        output = record.output if record else spec.output if spec else change.target if change else ""
        orphan = Candidate(id=id_, path=output, states=frozenset({"orphan"}))
        failed = spec is not None and bool(tombstones(entries.get(id_, []), spec.digest))
        if not is_selected(choice, candidate(change, spec, failed=failed) if change or spec else orphan):
            continue
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
        return "moved" if change.has(Move) else "unsaved" if change.names == ("save",) else "changed"
    return "as generated" if record is None or record.generated else "adopted"


def show(project: Project, item: str) -> dict[str, Json]:
    """One item: the exact request, its digest and output, where each value came from, and its record."""
    desired = validate(project)
    specs, state = specs_by_id(desired), read_state(project)
    spec, record = specs.get(ItemId(item)), state.records.get(ItemId(item))
    if spec is None and record is None:
        raise no_item(item, [*specs, *state.records])
    found: dict[str, Json] = {"id": item}
    if spec is not None:
        found |= {
            "request": spec.request.as_json(),
            "digest": spec.digest,
            "credits": price_of(spec, project.api.server),
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
        from contentops.reporting.plan_json import plain

        found["record"] = plain(record)
    return found


def diff(project: Project, item: str) -> tuple[str, str, str]:
    """The text last generated for an item, the text in its file, and what stands in the way of the first."""
    from contentops.documents.clean import body_digest
    from contentops.documents.front_matter import split

    state = read_state(project)
    record = state.records.get(ItemId(item))
    if record is None:
        raise _without_text(project, item, state)
    try:
        file = split(Outputs(project.root).read(record.output)).body
    except OutputError as error:
        raise OutputError(
            f"`{item}` has no readable file: {error.message}", hint="`contentops plan` restores it"
        ) from error
    with open_cache(project, write=False) as cache:
        text = cache.get_text(record.server, record.digest)
        if text is None or body_digest(text.body) != record.generated:
            # `keep` has given the record another digest; the text is still among those of its item.
            texts = (cache.get_text(record.server, digest) for digest in cache.texts_for(record.server))
            text = next((one for one in texts if one and body_digest(one.body) == record.generated), None)
    if text is not None:
        return text.body, file, ""
    if body_digest(file) == record.generated:
        return file, file, ""
    raise StateError(
        f"the text generated for `{item}` is not in the cache, so there is nothing to compare `{record.output}` with",
        code="no-generated-text",
        hint="git has what was committed; the file was edited by hand since it was generated",
    )


def section(project: Project, item: str, heading: str) -> str:
    """The heading of an item's text that `heading` names, as it is written there.

    Raises UsageError, naming the nearest, where there is no such heading or item.
    """
    from contentops.documents.front_matter import split
    from contentops.documents.sections import headings

    state = read_state(project)
    record = state.records.get(ItemId(item))
    if record is None:
        raise _without_text(project, item, state)
    known = headings(split(Outputs(project.root).read(record.output)).body)
    wanted = heading.strip().lstrip("#").strip()
    found = next((one for one in known if one.casefold() == wanted.casefold()), None)
    if found is None:
        close = nearest(wanted, known)
        hint = (
            f"did you mean `{close}`?"
            if close
            else "its headings: " + (", ".join(f"`{one}`" for one in known) or "none")
        )
        raise UsageError(f"`{record.output}` has no section `{heading}`", code="unknown-section", hint=hint)
    return found


def _without_text(project: Project, item: str, state: State) -> UsageError:
    """The error for an id that has no record: it is declared and nothing was generated yet, or it names nothing."""
    specs = specs_by_id(validate(project))
    if ItemId(item) not in specs:
        return no_item(item, [*specs, *state.records])
    message = f"nothing was generated for `{item}` yet"
    return UsageError(message, code="not-generated", hint="`contentops apply` generates it")


def no_item(item: str, known: Any) -> UsageError:
    """The error for an id that names nothing, with the nearest one that does."""
    close = nearest(item, known)
    hint = f"did you mean `{close}`?" if close else "`contentops status` lists the items"
    return UsageError(f"there is no item `{item}`", code="unknown-item", hint=hint)


# --- doctor ------------------------------------------------------------------------------------------------


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
