"""What free requests say before a run pays, or has workers pay: whether the server lists what is asked for, and saves.

Slugs are checked here only where no catalog of the server is committed. Each list is read once in a run at most,
and not at all for slugs that a record or a list of the last day knows. Where a server has no such list, or does not
show all of it, nothing is refused.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, ValidationError, convert, to_builtins

from contentops.api.calls import (
    CatalogReply,
    Failure,
    FailureKind,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
)
from contentops.api.catalog import slug_of
from contentops.api.outcomes import is_absent
from contentops.errors import ApiError, Diagnostic, InputError, did_you_mean
from contentops.model import Save
from contentops.operations.catalog.catalog_pages import ReadList, read_list, read_page
from contentops.operations.catalog.project_catalog import snapshot_of
from contentops.operations.connection import ask_in_turn, find_in_turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from contentops.api.calls import Call, Reply
    from contentops.api.session import ApiEndpoint, Client
    from contentops.model import Json, Plan, Project, Spec, State
    from contentops.operations.workspace import Workspace
    from contentops.state.cache import Cache

    Ask = Callable[[Call], Awaitable[Reply | Failure | None]]
    """Asks the server once; None where there is no time to."""

FRESH = 86_400.0
"""Seconds for which a list that was seen is not asked for again."""
MOST_PAGES = 5
"""Pages of one list that are asked for."""
_REFUSED = frozenset({FailureKind.REJECTED, FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN})


async def look_at_server(
    workspace: Workspace, plan: Plan, state: State, client: Client, has_user: bool, stopped: Callable[[], bool]
) -> None:
    """Find the dialect that the server speaks, where it is not known, and what would make paying useless.

    By free requests. Where nothing is found now, whoever submits finds out why. Raises ApiError where the server does
    not speak the stated dialect or saves no text without a user id, InputError for slugs that it does not list.
    """
    if not (plan.submits_worst or client.dialect == "auto"):
        return
    project, limiter = workspace.project, workspace.limiter
    endpoint = await find_in_turn(client, limiter, stopped)
    if endpoint is None or isinstance(endpoint, Failure) or not plan.submits_worst:
        return
    if failure := client.contradiction(endpoint):
        hint = "`contentops doctor` shows what is found; nothing was submitted"
        raise ApiError(failure.message, code="wrong-dialect", hint=hint)
    if project.api.base_url == "local":
        return
    ask = partial(ask_in_turn, client, limiter, stopped)
    if not has_user:
        await check_user(project, plan, state, endpoint, ask)
    await check_slugs(workspace, plan, state, ask, templates=client.templates)


# --- saving ------------------------------------------------------------------------------------------------


async def check_user(project: Project, plan: Plan, state: State, endpoint: ApiEndpoint, ask: Ask) -> None:
    """Raises ApiError where texts would be paid for and could not be saved, as no user id is sent."""
    saves = any(change.submits_worst and change.has(Save) for change in plan.changes)
    if saves and not any(record.saved and record.server == plan.server for record in state.records.values()):
        failure = await refused_without_user(endpoint, ask)
        if failure is not None:
            message, hint = no_user(project, failure)
            raise ApiError(message, code="no-user", hint=f"{hint}; nothing was submitted")


async def refused_without_user(endpoint: ApiEndpoint, ask: Ask) -> Failure | None:
    """What a server says that keeps stored texts from a request without a user id; None where it does not."""
    # Only servers whose lists come in an envelope are known to do so.
    answer = await ask(ListContent()) if endpoint.enveloped else None
    return answer if isinstance(answer, Failure) and answer.kind in _REFUSED else None


def no_user(project: Project, failure: Failure) -> tuple[str, str]:
    """What that means for a person, and what to do."""
    message = f"`{project.api.user_env}` is not set, and the server saves no text without it: {failure.full_message}"
    return message, f"export {project.api.user_env}=..., with the account's user id"


# --- slugs -------------------------------------------------------------------------------------------------


Kind = Literal["template", "style", "vertical"]
_PAGED: Mapping[Kind, type[ListTemplates | ListStyles]] = MappingProxyType(
    {"template": ListTemplates, "style": ListStyles}
)
_KINDS: tuple[Kind, ...] = ("template", "style", "vertical")


class _Seen(Struct, frozen=True, kw_only=True):
    """What a list showed. `shows`: all of it, some of it, or none of it that a slug could be checked against."""

    at: float
    shows: Literal["all", "some", "none"]
    slugs: frozenset[str] = frozenset()


async def check_slugs(
    workspace: Workspace, plan: Plan, state: State, ask: Ask, *, templates: CatalogReply | None
) -> None:
    """Raises InputError where items that would be paid for name what the server does not list.

    `templates`: the first page of that list, where it was just asked for.
    """
    wanted = _wanted(plan, state)
    if not wanted or snapshot_of(workspace.project) is not None:
        return
    cache, now = workspace.cache, workspace.runtime.wall()
    before = _remembered(cache, plan.server)
    known = dict(before)
    findings: list[Diagnostic] = []
    for kind, slugs in wanted.items():
        seen = known.get(kind)
        if seen is None or not (0 <= now - seen.at < FRESH) or not (seen.shows == "none" or slugs.keys() <= seen.slugs):
            seen = await _list(kind, slugs, ask, now, templates if kind == "template" else None)
            if seen is None:
                break  # a server that answers one list with an error is not asked for the next one
            known[kind] = seen
        if seen.shows == "all":
            findings += _unknown(kind, slugs, seen.slugs, plan.server)
    if known != before:
        cache.put_server_facts(_key(plan.server), to_builtins(known, order="deterministic"))
    if findings:
        raise InputError(findings)


def _wanted(plan: Plan, state: State) -> dict[Kind, dict[str, list[Spec]]]:
    """The items that would be paid for, by the slugs they name; without those that made a text of the server."""
    records = [record for record in state.records.values() if record.server == plan.server and record.request_id]
    wanted: defaultdict[Kind, dict[str, list[Spec]]] = defaultdict(dict)
    for kind in _KINDS:
        proven = {record.request.get(kind) for record in records}
        for change in plan.changes:
            step, spec = change.submit, change.spec
            slug = getattr(step.request, kind) if step is not None and not step.section else None
            if slug and spec is not None and slug not in proven:
                wanted[kind].setdefault(slug, []).append(spec)
    return dict(wanted)


async def _list(kind: Kind, wanted: Collection[str], ask: Ask, now: float, first: CatalogReply | None) -> _Seen | None:
    """The slugs of a list, page by page until all that are `wanted` are there; None where it cannot be had now."""
    if kind == "vertical":
        answer = await ask(ListVerticals())
        page = read_page(answer) if isinstance(answer, CatalogReply) else answer
    else:

        def enough(known: Mapping[str, Mapping[str, Json]]) -> bool:
            return set().union(*map(_slugs_of, known.values())).issuperset(wanted)

        page = await read_list(_PAGED[kind], ask, pages=MOST_PAGES, first=first, enough=enough)
    if not isinstance(page, ReadList):
        return _Seen(at=now, shows="none") if isinstance(page, Failure) and is_absent(page) else None
    if page.unusable or not page.entries:
        return _Seen(at=now, shows="none")
    slugs = frozenset().union(*map(_slugs_of, page.entries.values()))
    return _Seen(at=now, shows="all" if page.is_whole else "some", slugs=slugs)


def _slugs_of(entry: Mapping[str, Json]) -> set[str]:
    """Every name a server may take for an entry: it looks some up by `id`, and people read the `slug`."""
    return {name for name in (slug_of(entry), entry.get("slug"), entry.get("id")) if isinstance(name, str) and name}


def _unknown(kind: Kind, wanted: Mapping[str, list[Spec]], known: Collection[str], server: str) -> Iterator[Diagnostic]:
    for slug, specs in sorted(wanted.items()):
        if slug in known:
            continue
        spec = specs[0]
        more = f" and {len(specs) - 1:,} more" if specs[1:] else ""
        core = f"names the {kind} `{slug[:80]}`, which `{server}` does not list"
        message = f"item `{spec.id}`{more} {core}; nothing was submitted"
        hint = did_you_mean(slug, known, "`contentops catalog pull` fetches what it offers")
        origin = spec.origins.get(kind)
        location = origin.location if origin is not None else spec.location
        yield Diagnostic(code=f"unknown-{kind}", message=message, hint=hint, location=location)


def _key(server: str) -> str:
    # No server is called so: what is known of its habits stands beside this.
    return f"lists {server}"


def _remembered(cache: Cache, server: str) -> dict[Kind, _Seen]:
    try:
        return convert(dict(cache.server_facts(_key(server))), dict[Kind, _Seen])
    except ValidationError:
        return {}
