"""`catalog pull`: the server's catalog, fetched within its limits and kept in `catalog.lock.json`.

The file changes only where everything was fetched. Templates are described one by one, and at ten requests a minute
that takes a while, so what a pull that was interrupted has fetched is kept in the cache for the next one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.calls import GetTemplate, ListStyles, ListTemplates, ListVerticals
from contentops.api.dialects import PAGE
from contentops.api.replies import CatalogReply, Failure
from contentops.catalog.differences import Difference, differences
from contentops.catalog.lockfile import FILE, compose, parse
from contentops.catalog.offer import Offer, OfferedTemplate
from contentops.catalog.reading import choice, inputs_of, slug_of, template
from contentops.digest import digest_json
from contentops.errors import ApiError, InputError
from contentops.manifests.load import load
from contentops.operations.content import Caller, is_absent, quiet, refused, talk
from contentops.operations.workspace import World, offer_of, open_cache
from contentops.state import folder as place
from contentops.state.durable import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.model import Json, Project, Request
    from contentops.state.cache import Cache

KEPT_FOR = 3600.0
"""Seconds for which what an unfinished pull has fetched is used by the next one."""
SILENT = 3
"""Templates without a description, before any with one, after which no more descriptions are asked for."""


def offered(project: Project) -> Offer:
    """What the project's server is known to offer, without asking it.

    Raises InputError where `catalog.lock.json` cannot be used, ApiError where it does not know this server.
    """
    offer = offer_of(project)
    if offer is not None:
        return offer
    message = f"the catalog of `{project.api.server}` is not known: {unknown_why(project)}"
    raise ApiError(message, code="no-catalog", hint="run `contentops catalog pull` and commit the file")


def unknown_why(project: Project) -> str:
    """Why `catalog.lock.json` does not know the project's server. Raises InputError where it cannot be used."""
    data = Disk().read(Path(project.root) / FILE)
    if data is None:
        return f"there is no `{FILE}`"
    servers = ", ".join(f"`{server}`" for server in sorted(parse(data)))
    return f"`{FILE}` was made for {servers}" if servers else f"`{FILE}` holds no server"


class Pulled(Struct, frozen=True, kw_only=True):
    """What a pull came to. `first`: this server was not in the file before. `notes` are for the person to read."""

    server: str
    offer: Offer
    first: bool = False
    written: bool = False
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


def pull(project: Project, *, tell: Callable[[str], None] = quiet, world: World | None = None) -> Pulled:
    """Bring `catalog.lock.json` up to date with the project's server.

    The file changes only where everything was fetched; what an interrupted pull has fetched, the next one need not.
    Raises ApiError, or StateError where the file cannot be written.
    """
    outside = world or World()
    path, server, notes = Path(project.root) / FILE, project.api.server, list[str]()
    if project.api.base_url == "local":
        offer = offer_of(project)
        assert offer is not None
        return Pulled(server=server, offer=offer, notes=("the catalog of the embedded server is built in",))
    before = outside.disk.read(path)
    known: dict[str, Offer] = {}
    try:
        known = parse(before) if before is not None else {}
    except InputError as error:
        if any(finding.code == "newer-catalog" for finding in error.findings):
            raise
        notes.append(f"`{FILE}` could not be used ({error.findings[0].message}) and is written anew")
    with open_cache(project, write=True) as cache:
        kept = Kept(cache, server, outside.wall)
        offer, more = talk(project, outside, tell, lambda caller: _fetch(caller, kept, project))
        notes += more
        old = known.get(server)
        data = compose({**known, server: offer}).encode()
        if data != before:
            outside.disk.replace(path, data, place.make(Path(project.root)) / f"{FILE}.tmp", 0o666)
        kept.forget()
        found = differences(old, offer, ())
        if found:
            found = differences(old, offer, _used(project, cache, notes))
    return Pulled(
        server=server,
        offer=offer,
        first=old is None,
        written=data != before,
        differences=found,
        notes=tuple(notes),
    )


def _used(project: Project, cache: Cache, notes: list[str]) -> list[tuple[str, Request]]:
    try:
        return [(spec.id, spec.request) for spec in load(project, None, cache).specs]
    except InputError:
        notes.append("the manifests have errors, so it is not known which items use what changed")
        return []


class Kept:
    """The descriptions an unfinished pull has fetched, in the cache; losing them costs requests and nothing else."""

    def __init__(self, cache: Cache, server: str, wall: Callable[[], float]) -> None:
        self._cache = cache
        self._server = server
        self._wall = wall
        self._names: set[str] = set()

    def get(self, slug: str, entry: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """The description of a template whose line in the list is still the same; None if there is none, or an old."""
        self._names.add(_part(slug))
        text = self._cache.server_text(self._server, _part(slug))
        try:
            found = json.loads(text or "{}")
            age = self._wall() - float(found["at"])
            detail = found["detail"]
        except (ValueError, KeyError, TypeError):
            return None
        fresh = 0 <= age <= KEPT_FOR and found.get("line") == digest_json(dict(entry))
        return detail if fresh and isinstance(detail, dict) else None

    def put(self, slug: str, entry: Mapping[str, Json], detail: Mapping[str, Json]) -> None:
        """Keep a description."""
        found = {"at": self._wall(), "line": digest_json(dict(entry)), "detail": dict(detail)}
        self._cache.put_server_text(self._server, _part(slug), json.dumps(found))

    def forget(self) -> None:
        """Let go of them all: the next pull asks afresh."""
        for name in sorted(self._names):
            if self._cache.server_text(self._server, name):
                self._cache.put_server_text(self._server, name, "")


def _part(slug: str) -> str:
    # No content id holds a slash, so this is nobody else's key.
    return f"catalog/{slug}"


async def _fetch(caller: Caller, kept: Kept, project: Project) -> tuple[Offer, list[str]]:
    notes: list[str] = []
    templates = await _entries(caller, ListTemplates, "templates", notes)
    styles = await _entries(caller, ListStyles, "styles", notes)
    verticals = await caller.optional(ListVerticals())
    found = await _describe(caller, kept, templates, project, notes)
    offer = Offer(
        templates=found,
        styles={slug: choice(entry) for slug, entry in styles.items()},
        verticals=(
            {slug: choice(entry) for entry in verticals.entries if (slug := slug_of(entry))}
            if isinstance(verticals, CatalogReply)
            else None
        ),
    )
    if offer.verticals is None:
        notes.append("the server does not tell its verticals, so they are not checked")
    return offer, notes


async def _entries(
    caller: Caller, call: type[ListTemplates | ListStyles], what: str, notes: list[str]
) -> dict[str, Mapping[str, Json]]:
    """The lines of a list over all its pages, by slug. Raises ApiError for an empty one, which no server has."""
    found: dict[str, Mapping[str, Json]] = {}
    unusable = 0
    page = 1
    while True:
        answer = await caller.need(call(page))
        assert isinstance(answer, CatalogReply)
        before = len(found)
        for entry in answer.entries:
            slug = slug_of(entry)
            unusable += not slug
            if slug:
                found.setdefault(slug, entry)
        caller.tell(f"{len(found)} {what}")
        # Some servers do not know the query of a page and answer every page with the first.
        new = len(found) > before
        more = len(answer.entries) >= PAGE or (answer.total is not None and len(found) + unusable < answer.total)
        if not (new and more):
            break
        page += 1
    if not found:
        message = f"the server lists no {what}, so its catalog is not taken over"
        raise ApiError(message, hint="check `api.base_url`, `api.dialect` and the account")
    if unusable:
        notes.append(f"{unusable} of the {what} have no usable slug and are left out")
    return found


async def _describe(
    caller: Caller, kept: Kept, templates: Mapping[str, Mapping[str, Json]], project: Project, notes: list[str]
) -> dict[str, OfferedTemplate]:
    """Every template with its inputs, fetched one by one where the list does not hold them."""
    found: dict[str, OfferedTemplate] = {}
    silent: list[str] = []
    told = 0
    for slug in sorted(templates):
        entry = templates[slug]
        detail: Mapping[str, Json] | None = None
        if inputs_of(entry) is None and (told or len(silent) < SILENT):
            detail = kept.get(slug, entry)
            if detail is None:
                caller.tell(f"template {len(found) + 1} of {len(templates)}: `{slug}`")
                detail = await _detail(caller, slug, project, done=len(found))
                if detail is not None:
                    kept.put(slug, entry, detail)
        found[slug] = template(slug, entry, detail)
        told += found[slug].inputs is not None
        if found[slug].inputs is None:
            silent.append(slug)
    if silent:
        some = ", ".join(f"`{slug}`" for slug in silent[:5]) + (", ..." if len(silent) > 5 else "")
        notes.append(f"the server does not tell the inputs of {some}, so they are not checked")
    return found


async def _detail(caller: Caller, slug: str, project: Project, *, done: int) -> Mapping[str, Json] | None:
    """The description of one template; None where the server has none of it."""
    answer = await caller.ask(GetTemplate(slug))
    if isinstance(answer, CatalogReply):
        said = answer.entries[0]
        named = {said.get(key) for key in ("id", "slug")} - {None}
        # A server that answers every address with something else describes nothing.
        return said if not named or slug in named else None
    assert isinstance(answer, Failure)
    if is_absent(answer):
        return None
    error = refused(answer, project)
    kept = f"; the first {done} are kept for the next pull" if done else ""
    raise ApiError(f"{error.message} (`{FILE}` is as it was{kept})", hint=error.hint)
