"""The embedded server's ASGI app: every endpoint under `/v1` and `/api`.

It needs no lifespan: unfinished jobs are resumed at start-up where there is one, else at the first request. An
`X-User-ID` header narrows contents and jobs to those of that user and of nobody; without it everything is seen.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contentops.server import asking, catalog, contents, jobs, ledger, replies, sections
from contentops.server.clock import Clock, iso
from contentops.server.gate import Call, Gate, refuse_mode
from contentops.server.limits import Limits, refuse_active
from contentops.server.reading import idempotency_key, is_identifier, read_object
from contentops.server.refusal import Problem, Refusal, Surface, surface
from contentops.server.runner import Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from contentops.server.engines import Engine
    from contentops.server.keys import KeyRing
    from contentops.server.store import Store
    from contentops.server.submission import Submission

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PAGE = 100
"""Entries on a page of `/api` lists unless the request says otherwise."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything the endpoints work with."""

    store: Store
    runner: Runner
    gate: Gate
    clock: Clock
    templates: dict[str, dict[str, Any]]
    styles: dict[str, dict[str, Any]]
    verticals: dict[str, dict[str, Any]]


if TYPE_CHECKING:
    Endpoint = Callable[[Service, Call], Awaitable[Response]]


def create_app(
    store: Store,
    *,
    engine: Engine,
    keys: KeyRing | None = None,
    clock: Clock | None = None,
    stage_seconds: float = 0.0,
    limits: Limits | None = None,
) -> Starlette:
    """The embedded server over an open store, which it closes with `await app.state.close()`.

    `keys` None asks nobody for a key. `stage_seconds` is how long each stage of a job takes; with 0 a job is done
    a few turns of the event loop after its submit.
    """
    clock = clock or Clock()
    known = {name: {entry["slug"]: entry for entry in entries} for name, entries in catalog.load().items()}
    runner = Runner(
        store,
        engine,
        clock,
        templates=known["templates"],
        styles=known["styles"],
        stage_seconds=stage_seconds,
    )
    gate = Gate(keys, limits or Limits(), clock.now)
    service = Service(store, runner, gate, clock, known["templates"], known["styles"], known["verticals"])

    async def close() -> None:
        await runner.close()
        store.close()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        runner.wake()
        yield
        await close()

    app = Starlette(routes=_routes(service), exception_handlers={HTTPException: _http_error}, lifespan=lifespan)
    # A redirect would turn a POST into something the vendor's SDK cannot read.
    app.router.redirect_slashes = False
    app.state.close = close
    return app


def _routes(service: Service) -> list[Route]:
    table: list[tuple[str, dict[str, Endpoint]]] = [
        ("/generate", {"POST": submit}),
        ("/generate/status/{id}", {"GET": job_status}),
        ("/content", {"GET": list_content, "POST": create_content}),
        ("/content/save", {"POST": save_content}),
        ("/content/regenerate-section", {"POST": regenerate_section}),
        ("/content/{id}", {"GET": get_content, "PUT": put_content, "DELETE": delete_content}),
        ("/templates", {"GET": list_templates}),
        ("/templates/{id}", {"GET": get_template}),
        ("/style-profiles", {"GET": list_styles}),
        ("/style-profiles/{id}", {"GET": get_style}),
        ("/verticals", {"GET": list_verticals}),
        ("/verticals/{id}", {"GET": get_vertical}),
        ("/dashboard/stats", {"GET": dashboard_stats}),
        ("/credits/usage", {"GET": credits_usage}),
        ("/credits/history", {"GET": credits_history}),
    ]
    found = [
        Route(f"{prefix.value}{path}", _endpoint(service, by_method), methods=list(by_method))
        for prefix in Surface
        for path, by_method in table
    ]
    health_routes = ("/health", "/v1/health", "/api/health")
    return [*found, *(Route(path, _open(service), methods=["GET"]) for path in health_routes)]


def _endpoint(service: Service, by_method: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        where = surface(request.url.path)
        method = "GET" if request.method == "HEAD" else request.method
        try:
            service.runner.wake()
            called = by_method[method]
            return await called(service, service.gate.admit(request, where, poll=called is job_status))
        except Refusal as refusal:
            return refusal.response(where)
        except sqlite3.Error as error:
            return _unusable(service.store, error).response(where)

    return respond


def _unusable(store: Store, error: sqlite3.Error) -> Refusal:
    """What may pass (locked, no room) is worth another try; a damaged file has to be moved away."""
    if store.path is not None and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
        hint = "stop the server and move the file away, and a new one is made"
        return Refusal(500, f"The store `{store.path.name}` is damaged ({error}): {hint}")
    return Refusal(503, f"The store cannot be used right now: {error}")


def _open(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def respond(_: Request) -> Response:
        return await health(service)

    return respond


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # registered for nothing else
    refusal = Refusal(error.status_code, error.detail)
    refusal.headers.update(error.headers or {})
    return refusal.response(surface(request.url.path))


# --- generations -------------------------------------------------------------------------------------------


async def submit(service: Service, call: Call) -> Response:
    """POST generate: take a job and answer 202; a repeated request id or idempotency key gets the first answer."""
    body = await read_object(call.request)
    submission, request_id = asking.generation(body, call.where, service.templates, service.styles)
    return _take(service, call, submission, request_id)


async def regenerate_section(service: Service, call: Call) -> Response:
    """POST content/regenerate-section: a job that writes one section of a stored content anew.

    The service documents neither request nor reply; this mapping is the embedded server's own (see `asking.section`).
    The completed job's text is the whole body with that section replaced.
    """
    submission, request_id = asking.section(await read_object(call.request), call.where)
    content = _content(service, call, submission.content_id)
    if sections.find(content.body, submission.section) is None:
        raise Refusal(404, f"Section '{submission.section}' not found")
    return _take(service, call, _in_context(service, call, submission, content), request_id)


def _in_context(service: Service, call: Call, submission: Submission, content: contents.Content) -> Submission:
    """A section to write anew with what its content was written from, as far as that is known."""
    made = content.metadata
    source = jobs.find(service.store, str(made.get("request_id") or ""))
    if source is not None and _visible(source.owner, call):
        was = source.submission
        submission = replace(submission, inputs=was.inputs, vertical=was.vertical, brand_voice=was.brand_voice)
    template, style = str(made.get("template") or ""), str(made.get("style_profile") or "")
    return replace(submission, template=template, style=style)


def _take(service: Service, call: Call, submission: Submission, request_id: str | None) -> Response:
    key = idempotency_key(call.request, call.where)
    fresh = f"req_{uuid.uuid4().hex}" if call.where is Surface.V1 else str(uuid.uuid4())
    refuse_mode(call, submission.mode)

    def admit() -> None:
        refuse_active(jobs.active(service.store, call.key_id), service.gate.limits.max_active)
        if call.key is not None:
            _refuse_price(ledger.account(service.store, call.key).balance, submission.credits)

    try:
        job, new = jobs.submit(
            service.store,
            submission,
            job_id=request_id or fresh,
            key=key,
            owner=call.owner,
            key_id=call.key_id,
            at=service.clock.now(),
            admit=admit,
        )
    except jobs.Conflict as conflict:
        raise Refusal(409, str(conflict)) from conflict
    if new:
        service.runner.start(job.id)
    return JSONResponse(replies.accepted(job, call.where), status_code=202)


def _refuse_price(balance: int | None, price: int) -> None:
    if balance is not None and balance < price:
        raise Refusal(402, f"Insufficient credits: {price} required, {balance} available")


async def job_status(service: Service, call: Call) -> Response:
    """GET generate/status/{id}; a job whose runner has died since is started again."""
    job = jobs.find(service.store, call.id) if is_identifier(call.id) else None
    if job is None or not _visible(job.owner, call):
        raise Refusal(404, "Generation request not found.")
    if job.open:
        service.runner.start(job.id)
    return JSONResponse(replies.status(job, call.where))


# --- contents ----------------------------------------------------------------------------------------------


def _visible(owner: str, call: Call) -> bool:
    return not owner or not call.owner or owner == call.owner


def _content(service: Service, call: Call, content_id: str) -> contents.Content:
    found = contents.find(service.store, content_id) if is_identifier(content_id) else None
    if found is None:
        raise Refusal(404, "Content not found")
    if not _visible(found.owner, call):
        raise Refusal(403, "Access denied")
    return found


async def list_content(service: Service, call: Call) -> Response:
    """GET content: all of it, newest first, without texts."""
    rows = contents.entries(service.store, call.owner)
    return JSONResponse(replies.content_list(rows, contents.counts(service.store, call.owner)))


async def get_content(service: Service, call: Call) -> Response:
    """GET content/{id}."""
    return JSONResponse(replies.content(_content(service, call, call.id)))


async def save_content(service: Service, call: Call) -> Response:
    """POST content/save: create, or update where the body names an id; 404 for an id that does not exist."""
    text = asking.saving(await read_object(call.request), call.where)
    return JSONResponse({"success": True, "contentId": _saved(service, call, text)})


async def create_content(service: Service, call: Call) -> Response:
    """POST content: always creates."""
    text = replace(asking.saving(await read_object(call.request), call.where), id="")
    return JSONResponse({"success": True, "contentId": _saved(service, call, text), "message": "Content created"})


async def put_content(service: Service, call: Call) -> Response:
    """PUT content/{id}: change any field but the type."""
    _content(service, call, call.id)
    _saved(service, call, asking.update(await read_object(call.request), call.where, call.id))
    found = _content(service, call, call.id)
    entry = {"id": found.id, "title": found.title, "status": found.status, "updatedAt": iso(found.updated_at)}
    return JSONResponse({"success": True, "content": entry})


def _saved(service: Service, call: Call, text: contents.Text) -> str:
    with service.store.write():
        if text.id:
            _content(service, call, text.id)
        return contents.save(service.store, text, owner=call.owner, at=service.clock.now())


async def delete_content(service: Service, call: Call) -> Response:
    """DELETE content/{id}; its last text stays among the store's versions."""
    _content(service, call, call.id)
    with contextlib.suppress(contents.UnknownContentError):
        contents.remove(service.store, call.id, service.clock.now())
    return JSONResponse({"success": True, "message": "Content deleted"})


# --- catalog ---------------------------------------------------------------------------------------------


async def list_templates(service: Service, call: Call) -> Response:
    """GET templates."""
    entries = [replies.template_entry(found, call.where) for found in service.templates.values()]
    return JSONResponse({"templates": entries} if call.where is Surface.V1 else _paged(call, entries))


async def get_template(service: Service, call: Call) -> Response:
    """GET templates/{slug}, with its inputs."""
    return JSONResponse(replies.template(_entry(call, "Template", service.templates), call.where))


async def list_styles(service: Service, call: Call) -> Response:
    """GET style-profiles."""
    entries = [replies.style_entry(found, call.where) for found in service.styles.values()]
    return JSONResponse({"style_profiles": entries} if call.where is Surface.V1 else _paged(call, entries))


async def get_style(service: Service, call: Call) -> Response:
    """GET style-profiles/{slug}."""
    return JSONResponse(replies.style(_entry(call, "Style profile", service.styles), call.where))


async def list_verticals(service: Service, _call: Call) -> Response:
    """GET verticals: the same shape on both surfaces."""
    return JSONResponse({"verticals": [replies.vertical(found) for found in service.verticals.values()]})


async def get_vertical(service: Service, call: Call) -> Response:
    """GET verticals/{slug}."""
    return JSONResponse(replies.vertical(_entry(call, "Vertical", service.verticals)))


def _entry(call: Call, what: str, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = known.get(call.id)
    if found is None:
        # The service's own server answers 500 here, its documentation says 404.
        status = 500 if call.where is Surface.API and what != "Vertical" else 404
        raise Refusal(status, f"{what} '{call.id}' not found.")
    return found


def _paged(call: Call, entries: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, int] = {}
    problems = []
    for name, default in (("page", 1), ("limit", _PAGE)):
        text = call.request.query_params.get(name, str(default))
        if text.isdecimal() and text.isascii() and len(text) < 10 and int(text) > 0:
            found[name] = int(text)
        else:
            problems.append(Problem(name, f"`{name}` must be a whole number from 1", "int_parsing"))
    if problems:
        raise Refusal.of(problems, call.where)
    return replies.page(entries, found["page"], found["limit"])


# --- numbers -----------------------------------------------------------------------------------------------


async def dashboard_stats(service: Service, call: Call) -> Response:
    """GET dashboard/stats."""
    return JSONResponse(replies.dashboard(service.store, call.owner, call.key))


async def credits_usage(service: Service, call: Call) -> Response:
    """GET credits/usage: of the key, with what its allowance leaves; without keys, of everyone."""
    return JSONResponse(ledger.usage(service.store, call.key))


async def credits_history(service: Service, call: Call) -> Response:
    """GET credits/history: every charge of the key, or of everyone without keys, newest first."""
    return JSONResponse({"transactions": ledger.history(service.store, call.key)})


async def health(service: Service) -> Response:
    """GET health: needs no key."""
    try:
        service.store.row("SELECT 1 FROM jobs LIMIT 1")
        state = "healthy"
    except sqlite3.Error:
        state = "unhealthy"
    services = {"database": {"status": state}}
    found = {"status": state, "timestamp": service.clock.now(), "services": services}
    return JSONResponse(found, status_code=200 if state == "healthy" else 503)
