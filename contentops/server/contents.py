"""Reads and writes stored contents and their sections."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from html.parser import HTMLParser
from typing import Any

import msgspec
from msgspec import Struct, convert
from msgspec.structs import asdict, replace

from contentops.sections import Heading, Span, parse_headings, raw_html, spans
from contentops.server.store import Store

_DEEPEST = 6
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_OPENER = re.compile(r"<(?=[a-z!?])", re.IGNORECASE)
_NEVER_OPEN = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"),
    *("p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "html", "head", "body"),
}
"""HTML elements that have no end tag, or that the next element closes."""


def find_section(text: str, heading: str) -> Span | None:
    """Return the first section that has this heading, or None. `## Why now` and `why  now` are the same heading."""
    return next(iter(spans(text, heading)), None)


def body(text: str, section: Span) -> str:
    """Return the text of a section without its heading and without blank lines around it."""
    return text[section.text : section.end].strip("\n")


def replace_section(text: str, section: Span, new: str) -> str:
    """Return the text with a new section text under a section's heading. The rest of the text stays the same."""
    head, words, after = text[: section.text], new.strip("\n"), text[section.end :]
    head = head if head.endswith("\n") else f"{head}\n"
    # The end of the text keeps its single newline.
    return head + (f"\n{words}\n" if words else "") + (f"\n{after}" if after else "")


def nested(text: str, level: int) -> str:
    """Return a text in a form that fits under a heading: with deeper headings and closed code blocks.

    `level` is the level of the heading above.

    Headings keep their relative depth. A heading that would be too deep becomes a bold line.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    # Without first lines that are blank or would start front matter.
    start = next((at for at, line in enumerate(lines) if line.rstrip() not in {"---", ""}), len(lines))
    lines = lines[start:] or [""]
    headings = tuple(parse_headings("\n".join(lines)))
    down = level + 1 - min((heading.level for heading in headings), default=level + 1)
    made: list[str] = []
    done = 0
    for heading in headings:
        made += lines[done : heading.first]
        made += _deeper(heading, heading.level + max(0, down), made, lines[heading.end :])
        done = heading.end
    whole = _closed("\n".join([*made, *lines[done:]]))
    if not _OPENER.search(text) or (_ends(whole) and not _leaves_open(whole)):
        return whole
    # Its tags and comments are shown as words then, and those of a block of HTML may be headings.
    return nested(_OPENER.sub("&lt;", text), level)


def _deeper(heading: Heading, level: int, before: list[str], after: list[str]) -> list[str]:
    """Return the lines of a heading, moved to another level. If the level is too deep, return a bold line.

    The bold line gets blank lines around it, so that it is a paragraph.
    """
    if level <= _DEEPEST:
        underlined = [""] * (heading.end - heading.first - 1)
        return [f"{'#' * level} {heading.text}".rstrip(), *underlined[:1]]
    apart = [""] if before and before[-1].strip() else []
    if not heading.text:
        return apart
    return [*apart, f"**{heading.text}**", *([""] if after and after[0].strip() else [])]


def _closed(text: str) -> str:
    """Return a text whose last code block is closed, so that text after it is not part of the block."""
    marks = sorted(_FENCE.findall(text), key=len, reverse=True)
    fences = [next((mark for mark in marks if mark[0] == kind), "") for kind in "`~"]
    ends = [f"\n{mark}" for mark in fences if mark]
    return next((text + end for end in ("", *ends) if _ends(text + end)), text)


def _ends(text: str) -> bool:
    """Return whether a text closes its code blocks and HTML. If so, a heading after the text stays a heading."""
    whole = f"{text}\n\n# End"
    return any(heading.first == whole.count("\n") for heading in parse_headings(whole))


# --- raw HTML that a text leaves open, which would include or hide the rest of a page ------------------------


class _OpenTags(HTMLParser):
    """A parser that finds unclosed HTML elements and incomplete HTML tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - as the parser has it
        if tag not in _NEVER_OPEN:
            self.open.append(tag)

    handle_startendtag = handle_starttag
    """A browser ignores the slash of `<script/>`."""

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None and _OPENER.match(data):
            self.open.append(data)


def _leaves_open(text: str) -> bool:
    """Return whether a Markdown text has an HTML element, tag or comment that is not closed."""
    parser = _OpenTags()
    parser.feed(raw_html(text))
    return bool(parser.open or parser.rawdata)


# --- stored contents ---------------------------------------------------------------------------------------


class ContentChange(Struct, frozen=True, kw_only=True):
    """The fields of content to store. None keeps the old value, or sets the default if the content is new.

    An empty `id` creates new content. A new body without html removes the earlier html.
    """

    id: str = ""
    title: str | None = None
    body: str | None = None
    html: str | None = None
    status: str | None = None
    type: str | None = None
    metadata: dict[str, Any] | None = None


class ContentRow(Struct, frozen=True, kw_only=True):
    """Stored content, as a row of the database. `version` counts its changes from 1; times are in seconds."""

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


def find(store: Store, content_id: str) -> ContentRow | None:
    """Return the stored content with an id, or None if there is none.

    Raises msgspec.MsgspecError if another program wrote the row.
    """
    row = store.row("SELECT * FROM contents WHERE id = ?", (content_id,))
    if row is None:
        return None
    return convert({**dict(row), "metadata": msgspec.json.decode(row["metadata"])}, ContentRow)


def entries(store: Store, *, skip: int = 0, limit: int = -1) -> list[sqlite3.Row]:
    """Return rows of stored contents without their bodies, newest first.

    The first `skip` contents are left out, and at most `limit` are returned; -1 means all.
    """
    return store.rows(
        "SELECT id, title, status, type, version, created_at, updated_at FROM contents"
        " ORDER BY created_at DESC, number DESC LIMIT ? OFFSET ?",
        (limit, skip),
    )


def counts(store: Store) -> dict[str, int]:
    """Return how many stored contents there are: `total`, `published` and `drafts`."""
    by_status = dict(map(tuple, store.rows("SELECT status, count(*) FROM contents GROUP BY status")))
    published, drafts = by_status.get("published", 0), by_status.get("draft", 0)
    return {"total": sum(by_status.values()), "published": published, "drafts": drafts}


_SAVE = (
    "INSERT INTO contents (id, title, body, html, status, type, metadata, version, created_at, updated_at) VALUES"
    " (:id, :title, :body, :html, :status, :type, :metadata, :version, :created_at, :updated_at)"
    " ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, html = excluded.html,"
    " status = excluded.status, type = excluded.type, metadata = excluded.metadata, version = excluded.version,"
    " updated_at = excluded.updated_at"
)


def save(store: Store, change: ContentChange, *, at: float) -> str:
    """Create or update stored content in the caller's transaction, and return its id.

    An update without a change keeps the version and the time. Raises LookupError for an unknown id.
    """
    blank = ContentRow(id=f"cnt_{uuid.uuid4().hex}", version=0, created_at=at, updated_at=at)
    old = find(store, change.id) if change.id else blank
    if old is None:
        raise LookupError(change.id)
    # An empty status or type is none.
    stated = replace(change, id=old.id, status=change.status or None, type=change.type or None)
    given = {name: value for name, value in asdict(stated).items() if value is not None}
    if change.html is None and given.get("body", old.body) != old.body:
        given["html"] = None
    new = replace(old, **given)
    if new != old or not change.id:
        metadata = json.dumps(new.metadata, ensure_ascii=False, allow_nan=False)
        store.run(_SAVE, {**asdict(new), "metadata": metadata, "version": old.version + 1, "updated_at": at})
    return old.id


def remove(store: Store, content_id: str) -> None:
    """Delete the content with an id from the store."""
    store.run("DELETE FROM contents WHERE id = ?", (content_id,))
