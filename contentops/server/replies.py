"""What the embedded server answers, as plain JSON: flat documented shapes under `/v1`, the server's under `/api`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.server import contents, jobs, ledger
from contentops.server.clock import iso
from contentops.server.refusal import Surface

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from contentops.server.jobs import Job
    from contentops.server.keys import Key
    from contentops.server.store import Store

PREVIEW = 200
"""Characters of a text shown as its preview."""

RECENT = 5
"""Entries in each of the dashboard's lists."""


def accepted(job: Job, where: Surface) -> dict[str, Any]:
    """The answer to a submit; the same for a repeated one, however far the job has come."""
    found = {"request_id": job.id, "status": "pending", "created_at": iso(job.created_at)}
    if where is Surface.API:
        found["message"] = "Generation started"
        return {**found, "links": {"status": f"/api/generate/status/{job.id}"}}
    return found


def status(job: Job, where: Surface) -> dict[str, Any]:
    """Where a job stands, with its text once it is completed."""
    return {"success": True, "data": _status_api(job)} if where is Surface.API else _status_v1(job)


def _status_v1(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {"request_id": job.id, "status": job.status}
    if job.finished_at is None:
        return {**found, **({"stage": job.stage} if job.stage else {}), "progress": job.progress}
    if job.status == "failed":
        return {**found, "error": job.error}
    content = {
        "id": job.content_id,
        "title": job.title,
        "body": job.body,
        "word_count": len(job.body.split()),
        "created_at": iso(job.finished_at),
    }
    return {**found, "content": content}


def _status_api(job: Job) -> dict[str, Any]:
    done = job.status == "completed"
    metadata: dict[str, Any] = {}
    if done and job.finished_at is not None:
        preview = " ".join(job.body[: PREVIEW * 2].split())[:PREVIEW]
        metadata = {"completed_at": iso(job.finished_at), "title": job.title, "subtitle": "", "preview": preview}
    return {
        "request_id": job.id,
        # The vendor's SDK knows no other word for a failure than `failed`.
        "status": "running" if job.status == "processing" else job.status,
        "progress": 0.0 if job.status == "failed" else job.progress / 100,
        "current_agent": (job.stage or None) if job.open else None,
        "content": job.body if done else None,
        "title": job.title if done else None,
        "error": job.error or None,
        "metadata": metadata,
    }


def content_list(rows: Sequence[sqlite3.Row], stats: Mapping[str, int]) -> dict[str, Any]:
    """Every stored content without its text."""
    return {
        "content": [
            {
                "id": row["id"],
                "title": row["title"],
                "status": row["status"],
                "type": row["type"],
                "createdAt": iso(row["created_at"]),
                "updatedAt": iso(row["updated_at"]),
            }
            for row in rows
        ],
        "stats": dict(stats),
    }


def content(found: contents.Content) -> dict[str, Any]:
    """One stored content."""
    return {
        "id": found.id,
        "title": found.title,
        "content": found.body,
        "contentHtml": found.html,
        "status": found.status,
        "type": found.type,
        "createdAt": iso(found.created_at),
        "updatedAt": iso(found.updated_at),
        "metadata": found.metadata,
    }


def page(items: list[dict[str, Any]], number: int, limit: int) -> dict[str, Any]:
    """One page of a list in the envelope of `/api`; `count` is the number on all pages."""
    first = (number - 1) * limit
    return {
        "success": True,
        "data": {"items": items[first : first + limit], "count": len(items), "page": number, "limit": limit},
    }


def template_entry(found: Mapping[str, Any], where: Surface) -> dict[str, Any]:
    """A template in a list."""
    kind = "category" if where is Surface.V1 else "template_type"
    return {
        "id": found["slug"],
        "name": found["name"],
        kind: found[kind],
        "description": found["description"],
    }


def template(found: Mapping[str, Any], where: Surface) -> dict[str, Any]:
    """A template with its inputs."""
    parameters = {spec["name"]: _parameter(spec) for spec in found["inputs"]}
    entry = {
        "id": found["slug"],
        "name": found["name"],
        "slug": found["slug"],
        "description": found["description"],
        "parameters": parameters,
    }
    if where is Surface.API:
        data = {**entry, "template_type": found["template_type"], "metadata": {"category": found["category"]}}
        return {"success": True, "data": data}
    needed = [name for name, spec in parameters.items() if spec["required"]]
    return {**entry, "type": found["template_type"], "category": found["category"], "required_fields": needed}


def _parameter(spec: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "name": spec["name"],
        "label": spec["label"],
        # The service's word for an input whose type nobody declared.
        "type": "string" if spec["type"] == "any" else spec["type"],
        "required": spec["required"],
        "default": spec.get("default"),
        "description": spec.get("description", ""),
        "placeholder": spec.get("placeholder", ""),
        "options": spec.get("options"),
    }
    return {**found, **({"aliases": spec["aliases"]} if "aliases" in spec else {})}


def style_entry(found: Mapping[str, Any], where: Surface) -> dict[str, Any]:
    """A style in a list."""
    entry = {"id": found["slug"], "name": found["name"], "tone": found["tone"]}
    if where is Surface.V1:
        return {**entry, "category": found["category"], "formality": found["formality"]}
    return {**entry, "voice": found["voice"], "audience": found["audience"], "platform": "web"}


def style(found: Mapping[str, Any], where: Surface) -> dict[str, Any]:
    """A style with all that is known of it."""
    entry = {name: found[name] for name in ("name", "category", "tone", "voice", "audience", "formality")}
    entry = {"id": found["slug"], "slug": found["slug"], "description": _described(found), **entry}
    if where is Surface.V1:
        return entry
    prompt = f"Write in a {found['tone']} tone, in the {found['voice']}, for {found['audience']}."
    return {"success": True, "data": {**entry, "platform": "web", "system_prompt": prompt, "formatting": {}}}


def _described(found: Mapping[str, Any]) -> str:
    return f"{found['tone'].capitalize()}, for {found['audience']}"


def vertical(found: Mapping[str, Any]) -> dict[str, Any]:
    """A vertical; lists and details show the same."""
    return {"id": found["slug"], "name": found["name"], "description": found["description"]}


def dashboard(store: Store, owner: str, key: Key | None) -> dict[str, Any]:
    """Counts and the latest changes, with the number of generations and the credits they took."""
    stats = contents.counts(store, owner)
    recent = contents.latest(store, owner, RECENT)
    kinds = ["published" if row["status"] == "published" else "updated" for row in recent]
    return {
        "total_content": stats["total"],
        "drafts": stats["drafts"],
        "published": stats["published"],
        "views": 0,
        "recent_content": [
            {
                "id": row["id"],
                "title": row["title"],
                "status": row["status"],
                "updated_at": iso(row["updated_at"]),
                "type": row["type"],
            }
            for row in recent
        ],
        "recent_activity": [
            {
                "id": row["id"],
                "type": kind,
                "description": f"{kind.capitalize()} {row['title']}",
                "timestamp": iso(row["updated_at"]),
            }
            for row, kind in zip(recent, kinds, strict=True)
        ],
        "generations": dict(jobs.counts(store, owner)),
        "credits": ledger.usage(store, key),
    }
