"""Stored contents: created, updated with every earlier version kept, listed newest first."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    from contentops.server.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What to store: a field that is None keeps its value in an update and gets the usual one in a creation.

    `id` empty creates. A body without html drops the earlier html, which would no longer be its picture.
    """

    id: str = ""
    title: str | None = None
    body: str | None = None
    html: str | None = None
    status: str | None = None
    type: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One stored text. Times in seconds; `version` counts from 1."""

    id: str
    owner: str
    title: str
    body: str
    html: str | None
    status: str
    type: str
    metadata: dict[str, Any]
    version: int
    created_at: float
    updated_at: float


class UnknownContentError(LookupError):
    """No content has that id."""


def find(store: Store, content_id: str) -> Content | None:
    """The content of that id, or None."""
    row = store.row("SELECT * FROM contents WHERE id = ?", (content_id,))
    return None if row is None else _content(row)


def _content(row: sqlite3.Row) -> Content:
    values = {field.name: row[field.name] for field in fields(Content)}
    return Content(**{**values, "metadata": json.loads(row["metadata"])})


def entries(store: Store, owner: str, limit: int = -1) -> list[sqlite3.Row]:
    """The contents `owner` may see, without bodies, newest first; an empty owner sees all, `limit` -1 means every."""
    return store.rows(
        "SELECT id, title, status, type, created_at, updated_at FROM contents WHERE ? = '' OR owner IN ('', ?)"
        " ORDER BY created_at DESC, number DESC LIMIT ?",
        (owner, owner, limit),
    )


def latest(store: Store, owner: str, limit: int) -> list[sqlite3.Row]:
    """The contents changed last, without bodies."""
    return store.rows(
        "SELECT id, title, status, type, created_at, updated_at FROM contents WHERE ? = '' OR owner IN ('', ?)"
        " ORDER BY updated_at DESC, number DESC LIMIT ?",
        (owner, owner, limit),
    )


def counts(store: Store, owner: str) -> dict[str, int]:
    """How many contents there are: `total`, `published` and `drafts`."""
    row = store.row(
        "SELECT count(*) AS total, sum(status = 'published') AS published, sum(status = 'draft') AS drafts"
        " FROM contents WHERE ? = '' OR owner IN ('', ?)",
        (owner, owner),
    )
    return {name: row[name] or 0 for name in ("total", "published", "drafts")} if row else {}


def save(store: Store, text: Text, *, owner: str, at: float) -> str:
    """Create or update inside the caller's transaction; gives the content's id.

    An update that changes nothing leaves version and time alone. Raises UnknownContentError.
    """
    if not text.id:
        return _create(store, text, owner, at)
    old = find(store, text.id)
    if old is None:
        raise UnknownContentError(text.id)
    new = _merged(old, text)
    if new != _fields(old):
        store.run(
            "INSERT INTO versions (content_id, version, title, body, html, status, metadata, replaced_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (old.id, old.version, old.title, old.body, old.html, old.status, _encoded(old.metadata), at),
        )
        store.run(
            "UPDATE contents SET title = ?, body = ?, html = ?, status = ?, type = ?, metadata = ?,"
            " version = version + 1, updated_at = ? WHERE id = ?",
            (*new[:5], _encoded(new[5]), at, old.id),
        )
    return old.id


_Fields = tuple[str, str, str | None, str, str, dict[str, Any]]


def _fields(content: Content) -> _Fields:
    return content.title, content.body, content.html, content.status, content.type, content.metadata


def _merged(old: Content, text: Text) -> _Fields:
    same_body = text.body is None or text.body == old.body
    return (
        old.title if text.title is None else text.title,
        old.body if text.body is None else text.body,
        old.html if text.html is None and same_body else text.html,
        old.status if text.status is None else text.status,
        old.type if text.type is None else text.type,
        old.metadata if text.metadata is None else text.metadata,
    )


def _create(store: Store, text: Text, owner: str, at: float) -> str:
    content_id = f"cnt_{uuid.uuid4().hex}"
    store.run(
        "INSERT INTO contents (id, owner, title, body, html, status, type, metadata, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            content_id,
            owner,
            "Untitled" if text.title is None else text.title,
            text.body or "",
            text.html,
            text.status or "draft",
            text.type or "article",
            _encoded(text.metadata or {}),
            at,
            at,
        ),
    )
    return content_id


def _encoded(metadata: dict[str, Any]) -> str:
    return json.dumps(metadata, ensure_ascii=False, allow_nan=False)


def remove(store: Store, content_id: str, at: float) -> None:
    """Take a content out of every list; its last text stays among the versions. Raises UnknownContentError."""
    with store.write():
        old = find(store, content_id)
        if old is None:
            raise UnknownContentError(content_id)
        store.run(
            "INSERT INTO versions (content_id, version, title, body, html, status, metadata, replaced_at)"
            " SELECT id, version, title, body, html, status, metadata, ? FROM contents WHERE id = ?",
            (at, content_id),
        )
        store.run("DELETE FROM contents WHERE id = ?", (content_id,))


def versions(store: Store, content_id: str) -> list[sqlite3.Row]:
    """The earlier versions of a content, oldest first: version, title, body, html, status, metadata, replaced_at."""
    return store.rows("SELECT * FROM versions WHERE content_id = ? ORDER BY version", (content_id,))
