"""Reads a server's catalog for `catalog.lock.json`. Before a run pays, checks that the server saves texts.

Servers have pages of any size, and some do not state it. A list is complete once a page has nothing new, or once it has
as many entries as the server says. Later pages are requested in the size of the first one. The file changes only if
everything was fetched. Templates are described one by one, at ten requests a minute.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.calls import (
    Call,
    CatalogReply,
    Failure,
    FailureKind,
    GetTemplate,
    ListBrandVoices,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
    Reply,
)
from contentops.api.outcomes import is_about_one, is_absent
from contentops.api.reading import catalog_entry, inputs_of, slug_of, template
from contentops.atomic_io import PUBLIC, Disk
from contentops.errors import ApiError, InputError
from contentops.manifests.catalog_lock import FILE, CatalogChange, changes_between, encode, parse
from contentops.manifests.load import load
from contentops.model import (
    Catalog,
    CatalogEntry,
    Json,
    Plan,
    Project,
    Request,
    Save,
    State,
    Template,
)
from contentops.operations.connection import Caller, NoTurn, converse
from contentops.operations.opening import HERE, Runtime
from contentops.operations.workspace import Workspace, catalog_of

if TYPE_CHECKING:
    from contentops.api.session import ApiEndpoint, Client

# ---- Read a list of a server's catalog page by page.

MOST_PAGES = 50
"""Pages of one list that are asked for."""


class ReadList(Struct, frozen=True):
    """The entries of a catalog list, each with its slug as the key, and the number of entries without a usable slug.

    `total` is the server's count, or None if it is unknown.
    """

    entries: Mapping[str, Mapping[str, Json]]
    unusable: int
    total: int | None
    is_cut: bool = False
    """Whether some pages were not read."""


async def read_list(kind: Callable[..., Call], ask: Callable[[Call], Awaitable[Reply | Failure]]) -> ReadList | Failure:
    """Read at most `MOST_PAGES` pages of a catalog list. A failure is returned, not raised.

    `kind` makes the call for the first page; for a later one, it gets the number and size of the page.
    """
    entries: dict[str, Mapping[str, Json]] = {}
    answer = await ask(kind())
    if isinstance(answer, Failure):
        return answer
    assert isinstance(answer, CatalogReply)
    size, limit = len(answer.entries), answer.limit or len(answer.entries)
    # Some servers count the entries of a page alone.
    total = None if answer.total == size >= limit else answer.total
    unusable = 0
    for page in range(1, MOST_PAGES + 1):
        named = [(slug_of(entry), entry) for entry in answer.entries]
        before = len(entries)
        for slug, entry in named:
            if slug:
                entries.setdefault(slug, entry)
        # Some servers answer every page with the first, which may be all that they have.
        is_new = len(entries) > before
        unusable += sum(not slug for slug, _ in named) if is_new or page == 1 else 0
        is_complete = total is not None and len(entries) + unusable >= total
        if is_complete or not is_new or len(named) < answer.limit:
            return ReadList(entries, unusable, total)
        if page == MOST_PAGES:
            break
        answer = await ask(kind(page + 1, limit))
        # A server may refuse the query of a page that it does not know.
        if isinstance(answer, Failure) and not is_about_one(answer):
            return answer
        if not isinstance(answer, CatalogReply):
            answer = CatalogReply()
    return ReadList(entries, unusable, total, is_cut=True)


# ---- `catalog pull`: fetch the server's catalog into `catalog.lock.json`, and list what changed.

SILENT = 3
"""If this many first templates have no description, no more descriptions are fetched."""


def known_catalog(project: Project) -> Catalog:
    """Return the project's catalog from `catalog.lock.json`, without asking the server.

    Raises InputError if `catalog.lock.json` cannot be used, and ApiError if it has no catalog of this server.
    """
    snapshot = catalog_of(project)
    if snapshot is not None:
        return snapshot
    message = f"there is no catalog of `{project.api.server}`: {unknown_why(project)}"
    raise ApiError(message, code="no-catalog", hint="run `contentops catalog pull` and commit the file")


def unknown_why(project: Project) -> str:
    """Return why `catalog.lock.json` has no catalog of the project's server.

    Raises InputError if the file cannot be used.
    """
    data = Disk().read(Path(project.root) / FILE)
    if data is None:
        return f"there is no `{FILE}`"
    servers = ", ".join(f"`{server}`" for server in sorted(parse(data)))
    return f"`{FILE}` was made for {servers}" if servers else f"`{FILE}` names no server"


class Pulled(Struct, frozen=True, kw_only=True):
    """The result of `catalog pull`.

    `first`: this server was not in the file before. `notes` are sentences for the person.
    """

    server: str
    snapshot: Catalog
    first: bool = False
    written: bool = False
    changes: tuple[CatalogChange, ...] = ()
    notes: tuple[str, ...] = ()


def pull(project: Project, *, runtime: Runtime = HERE) -> Pulled:
    """Update `catalog.lock.json` from the project's server.

    Raises ApiError, or StateError if the file cannot be written.
    """
    path, server, notes = Path(project.root) / FILE, project.api.server, list[str]()
    if project.api.base_url == "local":
        note = "the catalog of the bundled server is built in"
        return Pulled(server=server, snapshot=known_catalog(project), notes=(note,))
    before = runtime.disk.read(path)
    snapshots: dict[str, Catalog] = {}
    try:
        snapshots = parse(before) if before is not None else {}
    except InputError as error:
        if any(finding.code == "newer-catalog" for finding in error.findings):
            raise
        notes.append(f"`{FILE}` was not usable ({error.findings[0].message}) and is replaced")
    snapshot = converse(project, runtime, _Fetch(notes).run)
    data = encode({**snapshots, server: snapshot}).encode()
    if data != before:
        runtime.disk.replace(path, data, PUBLIC)
    old = snapshots.get(server)
    changes = changes_between(old, snapshot, ())
    if changes:
        changes = changes_between(old, snapshot, _used(project, notes))
    return Pulled(
        server=server,
        snapshot=snapshot,
        first=old is None,
        written=data != before,
        changes=changes,
        notes=tuple(notes),
    )


def _used(project: Project, notes: list[str]) -> list[tuple[str, Request]]:
    try:
        return [(spec.id, spec.request) for spec in load(project, None).specs]
    except InputError:
        notes.append("the manifests have errors, so the affected items are unknown")
        return []


_PASSING = frozenset({FailureKind.UNAVAILABLE, FailureKind.NOT_SENT, FailureKind.THROTTLED, FailureKind.UNAUTHORIZED})


def _by_slug(reply: CatalogReply | None) -> dict[str, CatalogEntry] | None:
    return {slug: catalog_entry(entry) for entry in reply.entries if (slug := slug_of(entry))} if reply else None


class _Fetch(Struct, frozen=True):
    """Fetches a whole catalog from the server, list by list."""

    notes: list[str]

    async def run(self, caller: Caller) -> Catalog:
        """Fetch the whole catalog. Raises ApiError."""
        templates = await self._entries(caller, ListTemplates, "templates")
        styles = await self._entries(caller, ListStyles, "styles")
        verticals = await caller.optional(ListVerticals(), CatalogReply)
        voices = await self._voices(caller)
        described = await self._describe(caller, templates)
        if verticals is None:
            self.notes.append("the server does not list its verticals, so they are not checked")
        return Catalog(
            templates=described,
            styles={slug: catalog_entry(entry) for slug, entry in styles.items()},
            verticals=_by_slug(verticals),
            brand_voices=_by_slug(voices),
        )

    async def _voices(self, caller: Caller) -> CatalogReply | None:
        """Fetch the brand voices, or return None if the server does not list any.

        Raises ApiError for a failure that may be temporary.
        """
        answer = await caller.ask(ListBrandVoices())
        if isinstance(answer, Failure) and answer.kind in _PASSING:
            raise caller.error(answer)
        # No source documents this address, so any other answer is ignored.
        return answer if isinstance(answer, CatalogReply) else None

    async def _entries(
        self, caller: Caller, call: type[ListTemplates | ListStyles], kind: str
    ) -> Mapping[str, Mapping[str, Json]]:
        """Fetch the entries of a catalog list, each with its slug as the key.

        Raises ApiError if the list is empty, because every server has such entries.
        """
        answer = await read_list(call, caller.ask)
        if isinstance(answer, Failure):
            raise caller.error(answer)
        entries, lines, total = answer.entries, len(answer.entries) + answer.unusable, answer.total
        caller.notify(f"{len(entries)} {kind}")
        if not entries:
            message = f"the server lists no {kind}, so its catalog is not written"
            raise ApiError(message, hint="check `api.base_url`, `api.dialect` and the account")
        if answer.unusable:
            self.notes.append(f"{answer.unusable} of the {kind} have no usable slug and are skipped")
        if total is not None and lines < total:
            self.notes.append(f"the server shows {lines} of its {total} {kind}; the others are not in `{FILE}`")
        elif answer.is_cut:
            self.notes.append(f"only the first {lines} {kind} are read; the others are not in `{FILE}`")
        return entries

    async def _describe(self, caller: Caller, templates: Mapping[str, Mapping[str, Json]]) -> dict[str, Template]:
        """Return every template with its inputs. If the list lacks them, they are fetched one by one."""
        described: dict[str, Template] = {}
        silent: list[str] = []
        for slug in sorted(templates):
            entry = templates[slug]
            detail: Mapping[str, Json] | None = None
            if inputs_of(entry) is None and (len(silent) < len(described) or len(silent) < SILENT):
                caller.notify(f"template {len(described) + 1} of {len(templates)}: `{slug}`")
                detail = await self._detail(caller, slug)
            described[slug] = template(slug, entry, detail)
            if not described[slug].inputs_known:
                silent.append(slug)
        if silent:
            some = ", ".join(f"`{slug}`" for slug in silent[:5]) + (", ..." if len(silent) > 5 else "")
            self.notes.append(f"the server does not describe the inputs of {some}, so they are not checked")
        return described

    async def _detail(self, caller: Caller, slug: str) -> Mapping[str, Json] | None:
        """Fetch the description of a template, or None if the server has none."""
        answer = await caller.ask(GetTemplate(slug))
        if isinstance(answer, CatalogReply):
            entry = answer.entries[0]
            named = {entry.get(key) for key in ("id", "slug")} - {None}
            # Some servers answer every address with the same page.
            return entry if not named or slug in named else None
        assert isinstance(answer, Failure)
        if is_absent(answer):
            return None
        error = caller.error(answer)
        raise ApiError(f"{error.message} (`{FILE}` is as it was)", hint=error.hint)


# ---- Check by free requests, before anything is paid for, that the dialect is right and the server saves texts.

_REFUSED = frozenset({FailureKind.REJECTED, FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN})


async def look_at_server(
    workspace: Workspace, plan: Plan, state: State, client: Client, has_user: bool, stopped: Callable[[], bool]
) -> None:
    """Find out the server's dialect if it is unknown, and check the user id.

    If the server does not reply, the submit request fails later and says why. Raises ApiError if the server speaks
    another dialect, or needs a user id to save texts and none is set.
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


async def check_user(project: Project, endpoint: ApiEndpoint, caller: Caller, then: str = "") -> None:
    """Raise ApiError if the server needs a user id to save texts and none is set.

    `then` is the end of the hint.
    """
    # Only servers whose lists come in an envelope are known to need one.
    answer = await caller.ask_once(ListContent()) if endpoint.enveloped else None
    if isinstance(answer, Failure) and answer.kind in _REFUSED:
        name = project.api.user_env
        message = f"`{name}` is not set, and the server needs it to save texts: {answer.full_message}"
        raise ApiError(message, code="no-user", hint=f"export {name}=..., with the account's user id{then}")
