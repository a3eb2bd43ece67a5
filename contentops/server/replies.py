"""The bundled server's answers as plain JSON: the documented shapes under `/v1`, the service's own under `/api`."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins
from msgspec.structs import asdict
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from contentops.server.store import iso

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from contentops.server.contents import ContentRow
    from contentops.server.jobs import StoredJob

PREVIEW = 200
"""Characters of a text shown as its preview."""

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
    """The two families of shapes: the documented `/v1`, and the `/api` of the service's server and SDK."""

    V1 = "/v1"
    API = "/api"

    @classmethod
    def of(cls, path: str) -> Surface:
        """The surface of a path; `/v1` for every path outside both."""
        return cls.API if path == "/api" or path.startswith("/api/") else cls.V1


class Page(Struct, frozen=True):
    """A part of a list: the page, from 1, and the number of entries on a page."""

    page: int = 1
    limit: int = 100

    @property
    def skip(self) -> int:
        """The number of entries on the pages before."""
        return (self.page - 1) * self.limit


class FieldProblem(Struct, frozen=True):
    """One problem of a request: the field, a message, and a type such as `missing` or `string_type`.

    `part` is the location of the field: `body`, `query` or `header`. An empty field is the whole part.
    """

    field: str
    message: str
    type: str = "value_error"
    part: str = "body"

    @property
    def location(self) -> list[str]:
        """The part and the field, as the service writes them."""
        return [self.part, self.field] if self.field else [self.part]


class BodyRefused(HTTPException):
    """A request that cannot be used, with all its problems."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__(400, "; ".join(problem.message for problem in problems))
        self.problems = problems


def refusal(error: HTTPException, surface: Surface) -> JSONResponse:
    """The reply to a request that is refused.

    Under `/api` problems of fields are 422 with a list, under `/v1` 400 with a sentence, or 422 where a field is
    missing; a value that is not one of the choices is 400 in both.
    """
    status = error.status_code
    body: dict[str, Any] = {"detail": error.detail}
    problems = error.problems if isinstance(error, BodyRefused) else ()
    if any(problem.type == "missing" for problem in problems):
        status = 422
    if surface is Surface.V1:
        body = {"error": {"code": _CODES.get(status, "error"), "message": error.detail}}
    elif status == 429:
        # As the service's limiter answers.
        body = {"error": error.detail}
    elif any(problem.type != "enum" for problem in problems):
        status = 422
        body = {"detail": [{"type": each.type, "loc": each.location, "msg": each.message} for each in problems]}
    return JSONResponse(body, status_code=status, headers=error.headers)


# --- generations -------------------------------------------------------------------------------------------


def accepted(job: StoredJob, surface: Surface) -> dict[str, Any]:
    """The answer to a submit; the same for a repeated one, whatever the job's status."""
    answer = {"request_id": job.id, "status": "pending", "created_at": iso(job.created_at)}
    if surface is Surface.V1:
        return answer
    return {**answer, "message": "Generation started", "links": {"status": f"/api/generate/status/{job.id}"}}


def status(job: StoredJob, surface: Surface) -> dict[str, Any]:
    """The status of a job, with the text of a completed one."""
    return {"success": True, "data": _status_api(job)} if surface is Surface.API else _status_v1(job)


def _status_v1(job: StoredJob) -> dict[str, Any]:
    named: dict[str, Any] = {"request_id": job.id, "status": job.status}
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


def _written(job: StoredJob) -> dict[str, Any]:
    """The engine that wrote the text, so that a client can recognise an outline, its model, and the model's tokens."""
    request = job.request
    written = {"engine": request.engine, "model": request.model}
    named = {name: value for name, value in written.items() if value}
    return {**named, **({"tokens": to_builtins(request.tokens)} if request.tokens is not None else {})}


def _status_api(job: StoredJob) -> dict[str, Any]:
    done = job.status == "completed"
    metadata: dict[str, Any] = {}
    if done and job.finished_at is not None:
        preview = " ".join(job.body[: PREVIEW * 2].split())[:PREVIEW]
        metadata = {"completed_at": iso(job.finished_at), "title": job.title, "subtitle": "", "preview": preview}
    metadata |= _written(job)
    return {
        "request_id": job.id,
        # The vendor's SDK knows only `failed` for a failure.
        "status": "running" if job.status == "processing" else job.status,
        "progress": 0.0 if job.status == "failed" else job.progress / 100,
        "current_agent": (job.stage or None) if job.open else None,
        "content": job.body if done else None,
        "title": job.title if done else None,
        "error": job.error or None,
        "metadata": metadata,
    }


# --- contents ----------------------------------------------------------------------------------------------


def content_list(rows: Iterable[sqlite3.Row], stats: Mapping[str, int], page: Page) -> dict[str, Any]:
    """A page of stored contents, without their texts; `stats` are of all pages."""
    listed = [
        {
            **{name: row[name] for name in ("id", "title", "status", "type", "version")},
            "createdAt": iso(row["created_at"]),
            "updatedAt": iso(row["updated_at"]),
        }
        for row in rows
    ]
    return {"content": listed, "stats": stats, **asdict(page)}


def content(row: ContentRow) -> dict[str, Any]:
    """One stored content."""
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


def saved(row: ContentRow) -> dict[str, Any]:
    """The answer to a save, with the stamp of the content after it."""
    return {"success": True, "contentId": row.id, **stamp(row)}


def stamp(row: ContentRow) -> dict[str, Any]:
    """The time and the version of a content, which identify its state."""
    return {"updatedAt": iso(row.updated_at), "version": row.version}


def dashboard(stats: Mapping[str, int], latest: Iterable[sqlite3.Row]) -> dict[str, Any]:
    """Counts of contents, and the last changed ones."""
    recent, activity = [], []
    for row in latest:
        entry, time = {name: row[name] for name in ("id", "title", "status")}, iso(row["updated_at"])
        recent.append({**entry, "updated_at": time, "type": row["type"]})
        kind = "published" if row["status"] == "published" else "updated"
        description = f"{kind.capitalize()} {row['title']}"
        activity.append({"id": row["id"], "type": kind, "description": description, "timestamp": time})
    counts = {"total_content": stats["total"], "drafts": stats["drafts"], "published": stats["published"], "views": 0}
    return {**counts, "recent_content": recent, "recent_activity": activity}


# --- catalog -----------------------------------------------------------------------------------------------


def paged(items: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    """One page of a list in the envelope of `/api`; `count` is the number on all pages."""
    data = {"items": items[page.skip : page.skip + page.limit], "count": len(items), **asdict(page)}
    return {"success": True, "data": data}


def template_entry(source: Mapping[str, Any], surface: Surface) -> dict[str, Any]:
    """A template in a list."""
    kind = "category" if surface is Surface.V1 else "template_type"
    return {"id": source["slug"], "name": source["name"], kind: source[kind], "description": source["description"]}


def template(source: Mapping[str, Any], surface: Surface) -> dict[str, Any]:
    """A template with its inputs."""
    parameters = {spec["name"]: _parameter(spec) for spec in source["inputs"]}
    entry = {
        "id": source["slug"],
        "name": source["name"],
        "slug": source["slug"],
        "description": source["description"],
        "parameters": parameters,
    }
    if surface is Surface.API:
        data = {**entry, "template_type": source["template_type"], "metadata": {"category": source["category"]}}
        return {"success": True, "data": data}
    needed = [name for name, spec in parameters.items() if spec["required"]]
    return {**entry, "type": source["template_type"], "category": source["category"], "required_fields": needed}


def _parameter(spec: Mapping[str, Any]) -> dict[str, Any]:
    parameter = {
        "name": spec["name"],
        "label": spec["label"],
        # The service's word for an input without a declared type.
        "type": "string" if spec["type"] == "any" else spec["type"],
        "required": spec["required"],
        "default": spec.get("default"),
        "description": spec.get("description", ""),
        "placeholder": spec.get("placeholder", ""),
        "options": spec.get("options"),
    }
    return {**parameter, **({"aliases": spec["aliases"]} if "aliases" in spec else {})}


def style_entry(source: Mapping[str, Any], surface: Surface) -> dict[str, Any]:
    """A style in a list."""
    entry = {"id": source["slug"], "name": source["name"], "tone": source["tone"]}
    if surface is Surface.V1:
        return {**entry, "category": source["category"], "formality": source["formality"]}
    return {**entry, "voice": source["voice"], "audience": source["audience"], "platform": "web"}


def style(source: Mapping[str, Any], surface: Surface) -> dict[str, Any]:
    """A style in full."""
    tone, readers = source["tone"], source["audience"]
    named = {name: source[name] for name in ("name", "category", "tone", "voice", "audience", "formality")}
    described = f"{tone.capitalize()}, for {readers}"
    entry = {"id": source["slug"], "slug": source["slug"], "description": described, **named}
    if surface is Surface.V1:
        return entry
    prompt = f"Write in a {tone} tone, in the {source['voice']}, for {readers}."
    return {"success": True, "data": {**entry, "platform": "web", "system_prompt": prompt, "formatting": {}}}


def vertical(source: Mapping[str, Any], _surface: Surface) -> dict[str, Any]:
    """A vertical; lists and details show the same."""
    return {"id": source["slug"], "name": source["name"], "description": source["description"]}
