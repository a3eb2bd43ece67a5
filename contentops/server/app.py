"""The ASGI app of the bundled server, with all endpoints under `/v1` and `/api`.

Unfinished jobs are resumed at the start of the app, or at the first request if no ASGI lifespan runs.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import sqlite3
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

from msgspec import MsgspecError, Struct
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from contentops.server import catalog, contents, jobs, wire
from contentops.server.engines.protocol import Engine, TextRequest
from contentops.server.jobs import GenerationRequest
from contentops.server.store import Clock, Store
from contentops.server.wire import Json, Surface

Endpoint = Callable[[Request], Awaitable[Json]]

WINDOW = 60.0
"""The seconds for which a request counts towards the limit."""
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def create_app(
    store: Store,
    *,
    engine: Engine | None,
    key: str = "",
    requests_per_minute: int = 0,
    clock: Clock | None = None,
    stage_seconds: float = 0.0,
    on_request: bool = False,
) -> Starlette:
    """Return the bundled server's app for an open store. `await app.state.close()` also closes the store.

    With an empty `key`, requests need no key. With 0 `requests_per_minute`, there is no limit. `stage_seconds` is the
    duration of each stage of a job; with 0, a job is done almost at once. With `on_request`, an unfinished job is
    resumed only by a request for its status. Without an engine, no job is resumed.
    """
    clock = clock or Clock()
    by_slug = {name: {entry["slug"]: entry for entry in entries} for name, entries in catalog.load().items()}
    runner = jobs.JobRunner(store, engine, clock, by_slug, stage_seconds=stage_seconds, on_request=on_request)
    count = partial(RequestWindow(clock.now).take, requests_per_minute) if requests_per_minute else None
    api = _Api(store, runner, clock, by_slug, key.encode(), count)

    async def close() -> None:
        await runner.close()
        store.close()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        runner.wake()
        yield
        await close()

    app = Starlette(
        routes=api.routes(),
        exception_handlers={
            HTTPException: api.refused,
            MsgspecError: api.refused,
            sqlite3.Error: api.refused,
        },
        lifespan=lifespan,
    )
    # The vendor's SDK cannot read the redirect of a POST.
    app.router.redirect_slashes = False
    app.state.close = close
    app.state.store_id = store.id
    return app


def _surface(request: Request) -> Surface:
    return Surface.of(request.url.path)


class RequestWindow:
    """Counts the requests of the last minute."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._taken: deque[float] = deque()

    def take(self, most: int) -> None:
        """Count one request, unless the limit of requests is reached.

        Raises HTTPException (429) and counts nothing if the last minute already had `most` requests.
        """
        now, taken = self._now(), self._taken
        # A wall clock may be set back: requests in the future do not count.
        while taken and not 0 <= now - taken[0] < WINDOW:
            taken.popleft()
        if len(taken) >= most:
            wait = max(1, math.ceil(taken[0] + WINDOW - now))
            raise HTTPException(429, f"Rate limit exceeded: {most} per 1 minute", {"Retry-After": str(wait)})
        taken.append(now)


class _Kind(Struct, frozen=True):
    """A kind of catalog entry, such as templates: its path, its name in messages, and its JSON shapes."""

    name: str
    path: str
    word: str
    entry: Callable[[Json, Surface], Json]
    full: Callable[[Json, Surface], Json]
    paged: bool = True


_KINDS = (
    _Kind("templates", "/templates", "Template", wire.template_entry, wire.template),
    _Kind("styles", "/style-profiles", "Style profile", wire.style_entry, wire.style),
    _Kind("verticals", "/verticals", "Vertical", wire.vertical, wire.vertical, paged=False),
)


class _Api(Struct, frozen=True):
    """The endpoints of the server. Each endpoint gets an allowed request, and returns JSON or raises HTTPException.

    An `X-User-ID` header, which the SDK sends, changes nothing.
    """

    store: Store
    runner: jobs.JobRunner
    clock: Clock
    catalog: Mapping[str, Mapping[str, Json]]
    key: bytes
    """The key that every request needs; empty if requests need no key."""
    count: Callable[[], None] | None
    """Counts a request; None if there is no limit."""

    def routes(self) -> list[Route]:
        """Return the routes of all endpoints under both prefixes, `/v1` and `/api`."""
        table: dict[str, dict[str, Endpoint]] = {
            "/generate": {"POST": self.submit},
            "/generate/status/{id}": {"GET": self.job_status},
            "/content": {"GET": self.list_content},
            "/content/save": {"POST": self.save_content},
            "/content/regenerate-section": {"POST": self.regenerate_section},
            "/content/{id}": {"GET": self.get_content, "PUT": self.put_content, "DELETE": self.delete_content},
            "/dashboard/stats": {"GET": self.dashboard_stats},
            "/credits/usage": {"GET": self.credits_usage},
        }
        for kind in _KINDS:
            table[kind.path] = {"GET": partial(self.list_entries, kind)}
            table[f"{kind.path}/{{id}}"] = {"GET": partial(self.get_entry, kind)}
        health = [Route(path, self.health, methods=["GET"]) for path in ("/health", "/v1/health", "/api/health")]
        return health + [
            Route(prefix.value + path, self._endpoint(methods), methods=list(methods))
            for prefix in Surface
            for path, methods in table.items()
        ]

    def _endpoint(self, methods: dict[str, Endpoint]) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def respond(request: Request) -> JSONResponse:
            endpoint = methods["GET" if request.method == "HEAD" else request.method]
            self.runner.wake()
            self._admit(request)
            accepts = endpoint in {self.submit, self.regenerate_section}
            return JSONResponse(await endpoint(request), 202 if accepts else 200)

        return respond

    def _admit(self, request: Request) -> None:
        """Check the key of a request, and count the request.

        Raises HTTPException: 401 for a wrong key, 429 if the limit of requests is reached.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        has_key = scheme.lower() == "bearer" and secrets.compare_digest(token.strip().encode(), self.key)
        if self.key and not has_key:
            raise HTTPException(401, "Invalid or missing API key", {"WWW-Authenticate": "Bearer"})
        if self.count is not None:
            self.count()

    async def refused(self, request: Request, error: Exception) -> JSONResponse:
        """Return the HTTP response for an error.

        An error of the store gives 500 if the file is damaged, and otherwise 503, because it may go away.
        """
        path = self.store.path
        if path is not None and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            hint = "stop the server and move the file away, and a new one is made"
            error = HTTPException(500, f"The store `{path.name}` is damaged ({error}): {hint}")
        elif isinstance(error, MsgspecError):
            error = HTTPException(500, f"The store has data that this server did not write: {error}")
        elif not isinstance(error, HTTPException):
            error = HTTPException(503, f"The store cannot be used right now: {error}", {"Retry-After": "1"})
        return wire.refusal(error, _surface(request))

    # --- generations ---------------------------------------------------------------------------------------

    async def submit(self, request: Request) -> Json:
        """Accept a job. A request with a known request id gets the same reply as the first request with this id."""
        fields = await wire.read_body(request)
        return self._submit(request, *wire.read_generation(fields, _surface(request), self.catalog))

    async def regenerate_section(self, request: Request) -> Json:
        """Accept a job that generates a new text for one section of a stored text.

        The service documents neither request nor reply, so the bundled server uses its own (see `wire.read_section`).
        The text of the completed job is the whole body with the new section.
        """
        wanted, request_id = wire.read_section(await wire.read_body(request))
        content = self._content(wanted.content_id)
        if contents.find_section(content.body, wanted.section) is None:
            raise HTTPException(404, f"Section '{wanted.section}' not found")
        # The engine gets the request that the content was written for, where its job is known.
        metadata = content.metadata
        source = jobs.find(self.store, str(metadata.get("request_id") or ""))
        if source is not None:
            fields = {name: getattr(source.request, name) for name in TextRequest.__struct_fields__}
            wanted = replace(wanted, **{**fields, "mode": wanted.mode})
        template, style = str(metadata.get("template") or ""), str(metadata.get("style_profile") or "")
        return self._submit(request, replace(wanted, template=template, style=style), request_id)

    def _submit(self, request: Request, wanted: GenerationRequest, request_id: str | None) -> Json:
        surface = _surface(request)
        fresh = f"req_{uuid.uuid4().hex}" if surface is Surface.V1 else str(uuid.uuid4())
        new = jobs.StoredJob(id=request_id or fresh, request=wanted, created_at=self.clock.now())
        try:
            job, is_new = jobs.submit(self.store, new)
        except jobs.JobConflictError as conflict:
            raise HTTPException(409, str(conflict)) from conflict
        if is_new:
            self.runner.start(job.number)
        return wire.accepted(job, surface)

    async def job_status(self, request: Request) -> Json:
        """Return the status of a job, and resume the job if its runner has died.

        If the model paused the job, the first request after that gets status 402.
        """
        job = jobs.find(self.store, request.path_params["id"])
        if job is None:
            raise HTTPException(404, "Generation request not found.")
        if job.open:
            if why := self.runner.why_paused(job.number):
                raise HTTPException(402, why)
            self.runner.start(job.number)
        return wire.status(job, _surface(request))

    # --- contents ------------------------------------------------------------------------------------------

    def _content(self, content_id: str) -> contents.ContentRow:
        content = contents.find(self.store, content_id)
        if content is None:
            raise HTTPException(404, "Content not found")
        return content

    async def list_content(self, request: Request) -> Json:
        """Return one page of the list of stored content, the newest first, without the texts."""
        page = wire.read_page(request, limit=1000)
        rows = contents.entries(self.store, skip=page.skip, limit=page.limit)
        return wire.content_list(rows, contents.counts(self.store), page)

    async def get_content(self, request: Request) -> Json:
        """Return stored content with its text."""
        return wire.content(self._content(request.path_params["id"]))

    async def save_content(self, request: Request) -> Json:
        """Store new content, or update stored content. An unknown content id gives status 404."""
        saved = self._save(wire.read_change(await wire.read_body(request)))
        return {"success": True, "contentId": saved.id, **wire.stamp(saved)}

    async def put_content(self, request: Request) -> Json:
        """Change fields of stored content. The type cannot be changed."""
        content = self._content(request.path_params["id"])
        saved = self._save(wire.read_change(await wire.read_body(request), content.id))
        entry = {"id": saved.id, "title": saved.title, "status": saved.status, **wire.stamp(saved)}
        return {"success": True, "content": entry}

    def _save(self, change: contents.ContentChange) -> contents.ContentRow:
        """Save a change of stored content in one transaction, and return the content."""
        with self.store.write():
            if change.id:
                self._content(change.id)
            return self._content(contents.save(self.store, change, at=self.clock.now()))

    async def delete_content(self, request: Request) -> Json:
        """Delete stored content by its id."""
        with self.store.write():
            contents.remove(self.store, self._content(request.path_params["id"]).id)
        return {"success": True, "message": "Content deleted"}

    # --- catalog -------------------------------------------------------------------------------------------

    async def list_entries(self, kind: _Kind, request: Request) -> Json:
        """Return all catalog entries of one kind, such as templates. Under `/api`, some lists have several pages."""
        surface = _surface(request)
        entries = [kind.entry(entry, surface) for entry in self.catalog[kind.name].values()]
        if surface is Surface.V1 or not kind.paged:
            return {kind.path[1:].replace("-", "_"): entries}
        return wire.paged(entries, wire.read_page(request))

    async def get_entry(self, kind: _Kind, request: Request) -> Json:
        """Return one entry of the catalog, such as a template, with all its details."""
        slug, surface = request.path_params["id"], _surface(request)
        entry = self.catalog[kind.name].get(slug)
        if entry is None:
            # The service's own server answers 500 here; its documentation says 404.
            status = 500 if surface is Surface.API and kind.paged else 404
            raise HTTPException(status, f"{kind.word} '{slug}' not found.")
        return kind.full(entry, surface)

    # --- numbers -------------------------------------------------------------------------------------------

    async def dashboard_stats(self, _: Request) -> Json:
        """Return how many stored texts and generations there are, and how many credits the generations cost."""
        stats = contents.counts(self.store)
        named = {"total_content": stats["total"], "drafts": stats["drafts"], "published": stats["published"]}
        return {**named, "generations": jobs.counts(self.store), "credits": jobs.usage(self.store)}

    async def credits_usage(self, _: Request) -> Json:
        """Return the credits that were used, in total and by mode."""
        return jobs.usage(self.store)

    async def health(self, _: Request) -> JSONResponse:
        """Report whether the store can be read. This request needs no key."""
        try:
            self.store.row("SELECT 1 FROM jobs LIMIT 1")
            state = "healthy"
        except sqlite3.Error:
            state = "unhealthy"
        report = {"status": state, "timestamp": self.clock.now(), "services": {"database": {"status": state}}}
        return JSONResponse(report, status_code=200 if state == "healthy" else 503)
