"""Stored contents: created, updated with every earlier version kept, listed newest first."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict, replace

if TYPE_CHECKING:
    import sqlite3

    from contentops.server.store import Store


class ContentChange(Struct, frozen=True, kw_only=True):
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


class ContentRow(Struct, frozen=True, kw_only=True):
    """One stored text. Times in seconds."""

    id: str
    owner: str
    title: str = "Untitled"
    body: str = ""
    html: str | None = None
    status: str = "draft"
    type: str = "article"
    metadata: dict[str, Any] = {}
    created_at: float
    updated_at: float


_LISTED = (
    "SELECT id, title, status, type, created_at, updated_at FROM contents WHERE ? = '' OR owner IN ('', ?) ORDER BY"
)


def find(store: Store, content_id: str) -> ContentRow | None:
    """The content of that id, or None."""
    row = store.row(
        "SELECT id, owner, title, body, html, status, type, metadata, created_at, updated_at"
        " FROM contents WHERE id = ?",
        (content_id,),
    )
    return None if row is None else ContentRow(**{**dict(row), "metadata": json.loads(row["metadata"])})


def entries(store: Store, owner: str) -> list[sqlite3.Row]:
    """The contents `owner` may see, without bodies, newest first; an empty owner sees all."""
    return store.rows(f"{_LISTED} created_at DESC, number DESC", (owner, owner))


def latest(store: Store, owner: str, limit: int) -> list[sqlite3.Row]:
    """The contents changed last, without bodies."""
    return store.rows(f"{_LISTED} updated_at DESC, number DESC LIMIT ?", (owner, owner, limit))


def counts(store: Store, owner: str) -> dict[str, int]:
    """How many contents there are: `total`, `published` and `drafts`."""
    return store.numbers(
        "SELECT count(*) AS total, sum(status = 'published') AS published, sum(status = 'draft') AS drafts"
        " FROM contents WHERE ? = '' OR owner IN ('', ?)",
        (owner, owner),
    )


def save(store: Store, change: ContentChange, *, owner: str, at: float) -> str:
    """Create or update inside the caller's transaction; gives the content's id.

    An update that changes nothing leaves version and time alone. Raises LookupError for an unknown id.
    """
    if not change.id:
        return _create(store, change, owner, at)
    old = find(store, change.id)
    if old is None:
        raise LookupError(change.id)
    new = _applied(old, change)
    if new != old:
        _keep_version(store, old.id, at)
        store.run(
            "UPDATE contents SET title = :title, body = :body, html = :html, status = :status, type = :type,"
            " metadata = :metadata, version = version + 1, updated_at = :updated_at WHERE id = :id",
            _row(replace(new, updated_at=at)),
        )
    return old.id


def _create(store: Store, change: ContentChange, owner: str, at: float) -> str:
    blank = ContentRow(id=f"cnt_{uuid.uuid4().hex}", owner=owner, created_at=at, updated_at=at)
    made = _applied(blank, replace(change, status=change.status or None, type=change.type or None))
    store.run(
        "INSERT INTO contents (id, owner, title, body, html, status, type, metadata, created_at, updated_at) VALUES"
        " (:id, :owner, :title, :body, :html, :status, :type, :metadata, :created_at, :updated_at)",
        _row(made),
    )
    return made.id


def _applied(old: ContentRow, change: ContentChange) -> ContentRow:
    given = {name: value for name, value in asdict(change).items() if name != "id" and value is not None}
    if change.html is None and given.get("body", old.body) != old.body:
        given["html"] = None
    return replace(old, **given)


def _row(content: ContentRow) -> dict[str, Any]:
    return {**asdict(content), "metadata": json.dumps(content.metadata, ensure_ascii=False, allow_nan=False)}


def remove(store: Store, content_id: str, at: float) -> None:
    """Take a content out of every list, inside the caller's transaction; its last text stays among the versions."""
    _keep_version(store, content_id, at)
    store.run("DELETE FROM contents WHERE id = ?", (content_id,))


def _keep_version(store: Store, content_id: str, at: float) -> None:
    store.run(
        "INSERT INTO versions (content_id, version, title, body, html, status, metadata, replaced_at)"
        " SELECT id, version, title, body, html, status, metadata, ? FROM contents WHERE id = ?",
        (at, content_id),
    )
