"""Stored contents and their sections."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from contentops.sections import parse_headings, spans
from contentops.server import raw_html
from contentops.server.store import EVERY_ROW, RowRefusedError

if TYPE_CHECKING:
    import sqlite3

    from contentops.sections import Heading, Span
    from contentops.server.store import Store

_DEEPEST = 6
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_HTML_ENDS = ("-->", "?>", "]]>", "</pre>", ">")
"""The ends of blocks of HTML that go on after blank lines; the last one ends a declaration."""


def find_section(text: str, heading: str) -> Span | None:
    """The first section with that heading, or None. `## Why now` and `why  now` name the same one."""
    return next(iter(spans(text, heading)), None)


def body(text: str, section: Span) -> str:
    """The text under the heading, without blank lines around it."""
    return text[section.text : section.end].strip("\n")


def replace_section(text: str, section: Span, new: str) -> str:
    """`text` with another text under the heading; everything outside the section stays the same."""
    head, words, after = text[: section.text], new.strip("\n"), text[section.end :]
    head = head if head.endswith("\n") else f"{head}\n"
    # The end of the text keeps its single newline.
    return head + (f"\n{words}\n" if words else "") + (f"\n{after}" if after else "")


def nested(text: str, level: int) -> str:
    """`text` changed to fit under a heading of `level`: deeper headings, and closed code blocks and HTML.

    Headings keep their relative depth; those that would be too deep become bold lines.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    _unframed(lines)
    headings = tuple(parse_headings("\n".join(lines)))
    down = level + 1 - min((heading.level for heading in headings), default=level + 1)
    made: list[str] = []
    done = 0
    for heading in headings:
        made += lines[done : heading.first]
        made += _deeper(heading, heading.level + max(0, down), made, lines[heading.end :])
        done = heading.end
    whole = raw_html.closed(_closed("\n".join([*made, *lines[done:]])))
    # The words of an escaped block of HTML may be headings.
    return nested(raw_html.escaped(text), level) if whole is None else whole


def _unframed(lines: list[str]) -> None:
    """Remove first lines that are blank or would start front matter."""
    while lines and lines[0].rstrip() in {"---", ""}:
        del lines[0]
    if not lines:
        lines.append("")


def _deeper(heading: Heading, level: int, before: list[str], after: list[str]) -> list[str]:
    """The lines of a heading at another level. A bold line gets blank lines around it, to be a paragraph."""
    if level <= _DEEPEST:
        underlined = [""] * (heading.end - heading.first - 1)
        return [f"{'#' * level} {heading.text}".rstrip(), *underlined[:1]]
    apart = [""] if before and before[-1].strip() else []
    if not heading.text:
        return apart
    return [*apart, f"**{heading.text}**", *([""] if after and after[0].strip() else [])]


def _closed(text: str) -> str:
    """`text` with an end for an open code block or HTML block, which would include what follows."""
    marks = sorted(_FENCE.findall(text), key=len, reverse=True)
    fences = [next((mark for mark in marks if mark[0] == kind), "") for kind in "`~"]
    if _ends(text):
        return text
    ends = [f"\n{end}" for end in (*fences, *raw_html.missing_ends(text)[:1], *_HTML_ENDS) if end]
    return next((text + end for end in ends if _ends(text + end)), text)


def _ends(text: str) -> bool:
    """Whether every block of `text` has ended, so that a heading after it is a heading."""
    whole = f"{text}\n\n# End"
    return any(heading.first == whole.count("\n") for heading in parse_headings(whole))


class ContentChange(Struct, frozen=True, kw_only=True):
    """The fields to store. None keeps the value in an update, and sets the default in a new content.

    An empty `id` creates. A new body without html removes the earlier html.
    """

    id: str = ""
    title: str | None = None
    body: str | None = None
    html: str | None = None
    status: str | None = None
    type: str | None = None
    metadata: dict[str, Any] | None = None


class ContentRow(Struct, frozen=True, kw_only=True):
    """One stored text. `version` counts its changes from 1; times in seconds."""

    id: str
    title: str = "Untitled"
    body: str = ""
    html: str | None = None
    status: str = "draft"
    type: str = "article"
    metadata: dict[str, Any] = {}
    version: int = 1
    created_at: float
    updated_at: float


_LISTED = "SELECT id, title, status, type, version, created_at, updated_at FROM contents ORDER BY"


def find(store: Store, content_id: str) -> ContentRow | None:
    """The content of that id, or None."""
    row = store.row(
        "SELECT id, title, body, html, status, type, metadata, version, created_at, updated_at"
        " FROM contents WHERE id = ?",
        (content_id,),
    )
    return None if row is None else ContentRow(**{**dict(row), "metadata": _metadata(row)})


def _metadata(row: sqlite3.Row) -> dict[str, Any]:
    try:
        metadata = json.loads(row["metadata"])
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise RowRefusedError("the metadata of a row of the table `contents` cannot be read")
    return metadata


def entries(store: Store, *, skip: int = 0, limit: int = EVERY_ROW) -> list[sqlite3.Row]:
    """The contents without bodies, newest first: at most `limit` after the first `skip`."""
    return store.rows(f"{_LISTED} created_at DESC, number DESC LIMIT ? OFFSET ?", (limit, skip))


def latest(store: Store, limit: int) -> list[sqlite3.Row]:
    """The contents changed last, without bodies."""
    return store.rows(f"{_LISTED} updated_at DESC, number DESC LIMIT ?", (limit,))


def counts(store: Store) -> dict[str, int]:
    """The numbers of contents: `total`, `published` and `drafts`."""
    by_status = dict(map(tuple, store.rows("SELECT status, count(*) FROM contents GROUP BY status")))
    published, drafts = by_status.get("published", 0), by_status.get("draft", 0)
    return {"total": sum(by_status.values()), "published": published, "drafts": drafts}


def save(store: Store, change: ContentChange, *, at: float) -> str:
    """Create or update a content, inside the caller's transaction; gives the content's id.

    An update that changes nothing leaves version and time alone. Raises LookupError for an unknown id.
    """
    if not change.id:
        return _create(store, change, ContentRow(id=f"cnt_{uuid.uuid4().hex}", created_at=at, updated_at=at))
    old = find(store, change.id)
    if old is None:
        raise LookupError(change.id)
    new = _applied(old, change)
    if new != old:
        store.run(
            "UPDATE contents SET title = :title, body = :body, html = :html, status = :status, type = :type,"
            " metadata = :metadata, version = version + 1, updated_at = :updated_at WHERE id = :id",
            _row(replace(new, updated_at=at)),
        )
    return old.id


def _create(store: Store, change: ContentChange, blank: ContentRow) -> str:
    made = _applied(blank, replace(change, status=change.status or None, type=change.type or None))
    store.run(
        "INSERT INTO contents (id, title, body, html, status, type, metadata, created_at, updated_at)"
        " VALUES (:id, :title, :body, :html, :status, :type, :metadata, :created_at, :updated_at)",
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


def remove(store: Store, content_id: str) -> None:
    """Delete a content."""
    store.run("DELETE FROM contents WHERE id = ?", (content_id,))
