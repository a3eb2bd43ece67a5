"""Reads requests and makes replies, in the documented shapes of `/v1` and the undocumented shapes of `/api`."""

from __future__ import annotations

import enum
import re
import sqlite3
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, to_builtins
from msgspec.structs import asdict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from contentops.json_reader import DeepJson, decode_json
from contentops.pricing import CREDITS
from contentops.server.contents import ContentChange, ContentRow
from contentops.server.engines.protocol import TextRequest
from contentops.server.jobs import GenerationRequest, StoredJob
from contentops.server.store import iso

Json = dict[str, Any]
T = TypeVar("T")

BODY_BYTES = 10 * 1024 * 1024
"""The largest body accepted."""
DEPTH = 100
"""The deepest nesting accepted, so that every JSON reader can read what is stored."""

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "template": ("template_id", "template"),
        "style": ("style_profile_id", "style_profile"),
        "inputs": ("inputs", "user_input", "dynamic_parameters"),
        "vertical": ("vertical", "vertical_id"),
        "brand_voice": ("brand_voice_id",),
    }
)
"""The keys of a submit for the fields of a `TextRequest`; a field without an entry has its own name."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "rate_limit_exceeded",
    503: "unavailable",
}


class Surface(enum.Enum):
    """The two APIs of the server: the documented `/v1`, and `/api`, which the service's own SDK uses."""

    V1 = "/v1"
    API = "/api"

    @classmethod
    def of(cls, path: str) -> Surface:
        """Return the API that a path belongs to. A path outside both APIs counts as `/v1`."""
        return cls.API if path == "/api" or path.startswith("/api/") else cls.V1


class Page(Struct, frozen=True):
    """A page of a list: the number of the page, from 1, and the most entries of a page."""

    page: int = 1
    limit: int = 100

    @property
    def skip(self) -> int:
        """Return the number of entries on all earlier pages."""
        return (self.page - 1) * self.limit


# --- refusals ----------------------------------------------------------------------------------------------


def problem(message: str, *location: str, kind: str = "value_error") -> Json:
    """Return a problem in a request as JSON: its kind, its location and a message."""
    return {"type": kind, "loc": list(location), "msg": message}


class BodyRefused(HTTPException):
    """The request is invalid. `problems` has all its problems."""

    def __init__(self, *problems: Json) -> None:
        super().__init__(400, "; ".join(each["msg"] for each in problems))
        self.problems = problems


def refusal(error: HTTPException, surface: Surface) -> JSONResponse:
    """Return the response to a refused request.

    Under `/api` problems of fields are 422 with a list, under `/v1` 400 with a sentence, or 422 if a field is
    missing; a value that is not one of the choices is 400 in both.
    """
    status = error.status_code
    body: Json = {"detail": error.detail}
    problems = error.problems if isinstance(error, BodyRefused) else ()
    kinds = {each["type"] for each in problems}
    if "missing" in kinds:
        status = 422
    if surface is Surface.V1:
        body = {"error": {"code": _CODES.get(status, "error"), "message": error.detail}}
    elif status == 429:
        # As the service's limiter answers.
        body = {"error": error.detail}
    elif kinds - {"enum"}:
        status, body = 422, {"detail": problems}
    return JSONResponse(body, status_code=status, headers=error.headers)


# --- requests ----------------------------------------------------------------------------------------------


async def read_body(request: Request) -> BodyFields:
    """Return the fields of a request body, which must be a JSON object.

    Raises HTTPException: 413, 415, or 400 (422 under `/api`).
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "Unsupported content type")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > BODY_BYTES):
        raise HTTPException(413, "Request body too large")
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > BODY_BYTES:
                raise HTTPException(413, "Request body too large")
    except ClientDisconnect as error:
        raise HTTPException(400, "The request stopped before the end of its body") from error
    try:
        body = decode_json(bytes(data), dict[str, Any], deepest=DEPTH)
    except (msgspec.MsgspecError, UnicodeDecodeError, DeepJson) as error:
        raise BodyRefused(problem(f"body is not a JSON object: {error}", "body", kind="json_invalid")) from error
    # Both are the client's own id of a request, by which a repeated one is found.
    return BodyFields({"request_id": request.headers.get("idempotency-key"), **body})


class BodyFields:
    """Reads the fields of a request body. A field can have several names.

    `done` raises an error with all problems.
    """

    def __init__(self, body: Json) -> None:
        self._body = body
        self._problems: list[Json] = []

    def _value(self, names: tuple[str, ...], kind: type[T], *, required: bool) -> T | None:
        """Return the value of a field that can have several names. If several names have values, they must be equal."""
        given = [name for name in names if self._body.get(name) is not None]
        value = self._body[given[0]] if given else None
        if required and not given:
            self._problem(names[0], f"`{names[0]}` is required", "missing")
        for other in given[1:]:
            if self._body[other] != value:
                self._problem(other, f"`{given[0]}` and `{other}` differ: send one of them")
        if value is None or isinstance(value, kind):
            return value
        expected, code = ("a string", "string_type") if kind is str else ("an object", "dict_type")
        self._problem(names[0], f"`{names[0]}` must be {expected}", code)
        return None

    def text(self, *names: str, required: bool = False) -> str | None:
        """Return the text of a field, or None if the field is absent."""
        return self._value(names, str, required=required)

    def mapping(self, *names: str, required: bool = False) -> Json | None:
        """Return the JSON object of a field, or None if the field is absent."""
        return self._value(names, dict, required=required)

    def mode(self) -> str:
        """Return the generation mode. The default is `standard`."""
        mode = self.text("generation_mode")
        if mode is not None and mode not in CREDITS:
            self._problem("generation_mode", f"`generation_mode` must be one of {', '.join(CREDITS)}", "enum")
        return "standard" if mode is None else mode

    def identifier(self, *names: str, required: bool = False) -> str | None:
        """Return the id in a field, which must be safe in a URL, or None if the field is absent."""
        text = self.text(*names, required=required)
        if text is not None and not _ID.fullmatch(text):
            expected = "1 to 200 letters, digits and `._:-`, the first a letter or digit"
            self._problem(names[0], f"`{names[0]}` must be {expected}", "string_pattern_mismatch")
        return text

    def _problem(self, field: str, message: str, kind: str = "value_error") -> None:
        self._problems.append(problem(message, "body", field, kind=kind))

    def done(self) -> None:
        """Raise HTTPException with all problems of the body, if it has any."""
        if self._problems:
            raise BodyRefused(*self._problems)


def read_page(request: Request, limit: int = 100) -> Page:
    """Return the page of a list that the query of a request asks for. Raises HTTPException."""
    numbers, problems = {"page": 1, "limit": limit}, []
    for name, usual in numbers.items():
        text = request.query_params.get(name, str(usual))
        if text.isdecimal() and text.isascii() and len(text) < 10 and int(text) > 0:
            numbers[name] = int(text)
        else:
            problems.append(problem(f"`{name}` must be a whole number from 1", "query", name, kind="int_parsing"))
    if problems:
        raise BodyRefused(*problems)
    return Page(**numbers)


def read_generation(
    fields: BodyFields, surface: Surface, catalog: Mapping[str, Mapping[str, Any]]
) -> tuple[GenerationRequest, str | None]:
    """Return the generation request in a request body, and the client's request id. Raises HTTPException.

    `catalog` has the entries by kind and slug. The body must have inputs. If a required input is missing, the request
    is accepted and its job fails later, as on the service; under `/api` it fails only if there is no topic. Unknown
    keys are ignored.
    """
    documented = surface is Surface.V1
    required = {"template", "style"} if documented else set()
    texts = [name for name in TextRequest.__struct_fields__ if name not in {"inputs", "mode"}]
    values = {name: fields.text(*NAMES.get(name, (name,)), required=name in required) for name in texts}
    inputs = fields.mapping(*NAMES["inputs"], required=True)
    mode = fields.mode()
    request_id = fields.identifier("request_id")
    fields.done()
    slugs = (("Template", values["template"], "templates"), ("Style profile", values["style"], "styles"))
    for word, slug, kind in slugs:
        if slug not in catalog[kind]:
            # The service's own server answers 500, even without a slug.
            message = f"{word} '{slug}' not found."
            raise HTTPException(404, message) if documented else HTTPException(500, f"Internal server error: {message}")
    given: Json = {name: value for name, value in values.items() if value}
    return GenerationRequest(**given, mode=mode, inputs=inputs or {}, topic_alone=not documented), request_id


def read_section(fields: BodyFields) -> tuple[GenerationRequest, str | None]:
    """Return the request for a new text of one section, and the client's request id. Raises HTTPException.

    The service does not document this call. This server reads `content_id`, `section` (the text of the heading),
    `instructions` and `generation_mode`.
    """
    request = GenerationRequest(
        kind="section",
        content_id=fields.identifier("content_id", "contentId", "id", required=True) or "",
        section=fields.text("section", "heading", required=True) or "",
        instructions=fields.text("instructions") or "",
        mode=fields.mode(),
    )
    request_id = fields.identifier("request_id")
    fields.done()
    return request, request_id


def read_change(fields: BodyFields, content_id: str = "") -> ContentChange:
    """Return the content in a request body. It updates stored content if the body or `content_id` has an id.

    Raises HTTPException.
    """
    change = ContentChange(
        id=content_id or fields.text("id", "content_id", "contentId") or "",
        title=fields.text("title"),
        body=fields.text("content"),
        html=fields.text("contentHtml"),
        status=fields.text("status"),
        type=None if content_id else fields.text("type"),
        metadata=fields.mapping("metadata"),
    )
    fields.done()
    return change


# --- generations -------------------------------------------------------------------------------------------


def accepted(job: StoredJob, surface: Surface) -> Json:
    """Return the reply to a request that submits a job. A repeated request gets the same reply."""
    more = {"message": "Generation started", "links": {"status": f"/api/generate/status/{job.id}"}}
    answer = {"request_id": job.id, "status": "pending", "created_at": iso(job.created_at)}
    return answer if surface is Surface.V1 else {**answer, **more}


def status(job: StoredJob, surface: Surface) -> Json:
    """Return the status of a job. A completed job includes its text."""
    return {"success": True, "data": _status_api(job)} if surface is Surface.API else _status_v1(job)


def _status_v1(job: StoredJob) -> Json:
    named: Json = {"request_id": job.id, "status": job.status}
    if job.finished_at is None:
        return {**named, **({"stage": job.stage} if job.stage else {}), "progress": job.progress}
    written = _written(job)
    metadata = {"metadata": written} if written else {}
    if job.status == "failed":
        return {**named, "error": job.error, **metadata}
    content = {
        "id": job.content_id,
        "title": job.title,
        "body": job.body,
        "word_count": len(job.body.split()),
        "created_at": iso(job.finished_at),
    }
    return {**named, "content": content, **metadata}


def _status_api(job: StoredJob) -> Json:
    done = job.status == "completed"
    metadata: Json = {}
    if done and job.finished_at is not None:
        preview = " ".join(job.body[:400].split())[:200]
        metadata = {"completed_at": iso(job.finished_at), "title": job.title, "subtitle": "", "preview": preview}
    return {
        "request_id": job.id,
        # The vendor's SDK knows only `failed` for a failure.
        "status": "running" if job.status == "processing" else job.status,
        "progress": 0.0 if job.status == "failed" else job.progress / 100,
        "current_agent": (job.stage or None) if job.open else None,
        "content": job.body if done else None,
        "title": job.title if done else None,
        "error": job.error or None,
        "metadata": metadata | _written(job),
    }


def _written(job: StoredJob) -> Json:
    """Return the engine, the model and the tokens of a job, as far as they are known."""
    request = job.request
    tokens = None if request.tokens is None else to_builtins(request.tokens)
    return {
        name: value
        for name, value in (("engine", request.engine), ("model", request.model), ("tokens", tokens))
        if value not in ("", None)
    }


# --- contents ----------------------------------------------------------------------------------------------


def content_list(rows: Iterable[sqlite3.Row], stats: Mapping[str, int], page: Page) -> Json:
    """Return one page of the list of stored contents, without their texts.

    `stats` counts the contents of all pages.
    """
    listed = [
        {
            **{name: row[name] for name in ("id", "title", "status", "type", "version")},
            "createdAt": iso(row["created_at"]),
            "updatedAt": iso(row["updated_at"]),
        }
        for row in rows
    ]
    return {"content": listed, "stats": stats, **asdict(page)}


def content(row: ContentRow) -> Json:
    """Return stored content as JSON."""
    return {
        "id": row.id,
        "title": row.title,
        "content": row.body,
        "contentHtml": row.html,
        "status": row.status,
        "type": row.type,
        "createdAt": iso(row.created_at),
        **stamp(row),
        "metadata": row.metadata,
    }


def stamp(row: ContentRow) -> Json:
    """Return the time and version of stored content. They show a client whether the content has changed."""
    return {"updatedAt": iso(row.updated_at), "version": row.version}


# --- catalog -----------------------------------------------------------------------------------------------

_UNSTATED = {"default": None, "description": "", "placeholder": "", "options": None}
"""What an input of a template has where the catalog says nothing."""


def paged(items: list[Json], page: Page) -> Json:
    """Return one page of a list in the form of `/api`. `count` is the number of entries on all pages."""
    data = {"items": items[page.skip : page.skip + page.limit], "count": len(items), **asdict(page)}
    return {"success": True, "data": data}


def template_entry(source: Mapping[str, Any], surface: Surface) -> Json:
    """Return a template as JSON for a list of templates."""
    kind = "category" if surface is Surface.V1 else "template_type"
    return {"id": source["slug"], "name": source["name"], kind: source[kind], "description": source["description"]}


def template(source: Mapping[str, Any], surface: Surface) -> Json:
    """Return a template as JSON with all its inputs."""
    named = {name: source[name] for name in ("slug", "name", "description")}
    # `string` is the service's word for an input without a declared type.
    types = {spec["name"]: "string" if spec["type"] == "any" else spec["type"] for spec in source["inputs"]}
    parameters = {spec["name"]: {**_UNSTATED, **spec, "type": types[spec["name"]]} for spec in source["inputs"]}
    entry = {"id": source["slug"], **named, "parameters": parameters}
    if surface is Surface.API:
        data = {**entry, "template_type": source["template_type"], "metadata": {"category": source["category"]}}
        return {"success": True, "data": data}
    needed = [name for name, spec in parameters.items() if spec["required"]]
    return {**entry, "type": source["template_type"], "category": source["category"], "required_fields": needed}


def style_entry(source: Mapping[str, Any], surface: Surface) -> Json:
    """Return a style as JSON for a list of styles."""
    entry = {"id": source["slug"], "name": source["name"], "tone": source["tone"]}
    if surface is Surface.V1:
        return {**entry, "category": source["category"], "formality": source["formality"]}
    return {**entry, "voice": source["voice"], "audience": source["audience"], "platform": "web"}


def style(source: Mapping[str, Any], surface: Surface) -> Json:
    """Return a style as JSON with all its details."""
    tone, readers = source["tone"], source["audience"]
    entry = {"id": source["slug"], **source, "description": f"{tone.capitalize()}, for {readers}"}
    if surface is Surface.V1:
        return entry
    prompt = f"Write in a {tone} tone, in the {source['voice']}, for {readers}."
    return {"success": True, "data": {**entry, "platform": "web", "system_prompt": prompt, "formatting": {}}}


def vertical(source: Mapping[str, Any], _surface: Surface) -> Json:
    """Return a vertical as JSON. Its fields are the same in a list and in its details."""
    return {"id": source["slug"], "name": source["name"], "description": source["description"]}
