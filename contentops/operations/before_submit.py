"""Check by free requests, before anything is paid for, that the server lists the slugs and saves texts.

Slugs are checked here only where no catalog of the server is committed, and no record of the server has them. Where a
server has no such list, or shows a part of it, nothing is refused.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal

from contentops.api.calls import (
    Call,
    Failure,
    FailureKind,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
)
from contentops.api.reading import slug_of
from contentops.api.session import ApiEndpoint, Client
from contentops.errors import ApiError, Diagnostic, InputError, did_you_mean
from contentops.model import Json, Plan, Project, Save, Spec, State
from contentops.operations.catalog import ReadList, read_list
from contentops.operations.contents import Caller, NoTurn
from contentops.operations.workspace import Workspace, snapshot_of

MOST_PAGES = 5
"""Pages that are read of one list."""
_REFUSED = frozenset({FailureKind.REJECTED, FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN})


async def look_at_server(
    workspace: Workspace, plan: Plan, state: State, client: Client, has_user: bool, stopped: Callable[[], bool]
) -> None:
    """Find the server's dialect if it is unknown, and check the user id and the slugs.

    Where the server does not answer, the submit fails later and says why. Raises ApiError where the server speaks
    another dialect or saves no text without a user id, InputError for slugs that it does not list.
    """
    if not (plan.submits_worst or client.dialect == "auto"):
        return
    project = workspace.project
    caller = Caller(client, project, workspace.runtime, workspace.limiter, stopped)
    with contextlib.suppress(NoTurn):
        endpoint = await caller.find()
        if isinstance(endpoint, Failure) or not plan.submits_worst:
            return
        if failure := client.contradiction(endpoint):
            hint = "`contentops doctor` shows what is found; nothing was submitted"
            raise ApiError(failure.message, code="wrong-dialect", hint=hint)
        if project.api.base_url == "local":
            return
        saves = any(change.submits_worst and change.has(Save) for change in plan.changes)
        saved = any(record.saved and record.server == plan.server for record in state.records.values())
        if saves and not (saved or has_user):
            await check_user(project, endpoint, caller, "; nothing was submitted")
        await check_slugs(project, plan, state, caller)


async def check_user(project: Project, endpoint: ApiEndpoint, caller: Caller, then: str = "") -> None:
    """Raise ApiError for a server that saves no text without a user id. `then`: the end of the hint."""
    # Only servers whose lists come in an envelope are known to need one.
    answer = await caller.ask_once(ListContent()) if endpoint.enveloped else None
    if isinstance(answer, Failure) and answer.kind in _REFUSED:
        name = project.api.user_env
        message = f"`{name}` is not set, and the server needs it to save texts: {answer.full_message}"
        raise ApiError(message, code="no-user", hint=f"export {name}=..., with the account's user id{then}")


# --- slugs -------------------------------------------------------------------------------------------------


Kind = Literal["template", "style", "vertical"]
_LISTS: Mapping[Kind, type[Call]] = {"template": ListTemplates, "style": ListStyles, "vertical": ListVerticals}


async def check_slugs(project: Project, plan: Plan, state: State, caller: Caller) -> None:
    """Raise InputError for items that would be paid for and have slugs that the server does not list."""
    if snapshot_of(project) is not None:
        return
    findings: list[Diagnostic] = []
    for kind, wanted in _wanted(plan, state).items():
        page = await read_list(_LISTS[kind], caller.ask_once, pages=1 if kind == "vertical" else MOST_PAGES)
        if isinstance(page, Failure) and page.kind is FailureKind.UNAUTHORIZED:
            return  # the submit is refused like every other call, and says why
        if isinstance(page, ReadList) and page.is_whole and page.entries and not page.unusable:
            listed = frozenset().union(*map(_slugs_of, page.entries.values()))
            findings += _unknown(kind, wanted, listed, plan.server)
    if findings:
        raise InputError(findings)


def _wanted(plan: Plan, state: State) -> dict[Kind, dict[str, list[Spec]]]:
    """Return the items that would be paid for, by kind and slug, without slugs that a record of the server has."""
    records = [record for record in state.records.values() if record.server == plan.server and record.request_id]
    wanted: defaultdict[Kind, dict[str, list[Spec]]] = defaultdict(dict)
    for kind in _LISTS:
        proven = {record.request.get(kind) for record in records}
        for change in plan.changes:
            step, spec = change.submit, change.spec
            slug = getattr(step.request, kind) if step is not None and not step.section else None
            if slug and spec is not None and slug not in proven:
                wanted[kind].setdefault(slug, []).append(spec)
    return dict(wanted)


def _slugs_of(entry: Mapping[str, Json]) -> set[str]:
    """Return every name a server may accept for an entry: servers look up the `id`, people read the `slug`."""
    return {name for name in (slug_of(entry), entry.get("slug"), entry.get("id")) if isinstance(name, str) and name}


def _unknown(
    kind: Kind, wanted: Mapping[str, list[Spec]], listed: Collection[str], server: str
) -> Iterator[Diagnostic]:
    for slug, specs in sorted(wanted.items()):
        if slug in listed:
            continue
        spec = specs[0]
        more = f" and {len(specs) - 1:,} more" if specs[1:] else ""
        core = f"names the {kind} `{slug[:80]}`, which is not in the list of `{server}`"
        message = f"item `{spec.id}`{more} {core}; nothing was submitted"
        hint = did_you_mean(slug, listed, "`contentops catalog pull` updates the catalog")
        origin = spec.origins.get(kind)
        location = origin.location if origin is not None else spec.location
        yield Diagnostic(code=f"unknown-{kind}", message=message, hint=hint, location=location)
