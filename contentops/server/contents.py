"""Stored contents and their sections."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, convert
from msgspec.structs import asdict, replace

from contentops.sections import Heading, Span, parse_headings, raw_html, spans
from contentops.server.store import Store

_DEEPEST = 6
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_HTML_ENDS = ("-->", "?>", "]]>", "</pre>", ">")
"""The ends of blocks of HTML that go on after blank lines; the last one ends a declaration."""
_MOST = 20
"""The most elements that are closed one by one."""
_COMMENT, _TORN = "-->", ">"
"""The ends of a comment, and of a tag that is cut off."""
_OPENER = re.compile(r"<(?=[a-z!?])", re.IGNORECASE)
_ANY_END = re.compile(">")
_COMMENT_END = re.compile(r"--!?>")
_TAG = re.compile(r"<!--|<[!?]|<(/?)([a-z][a-z0-9-]*)(?:(?:[^<>\"']|\"[^\"]*\"|'[^']*')*(>))?", re.IGNORECASE)
_TEXT_ALONE = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript"}
"""Elements that contain only text up to their end tag."""
_NEVER_OPEN = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"),
    *("p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "html", "head", "body"),
}
"""Elements that have no end, or that the next element closes."""


def find_section(text: str, heading: str) -> Span | None:
    """Return the first section with that heading, or None. `## Why now` and `why  now` name the same one."""
    return next(iter(spans(text, heading)), None)


def body(text: str, section: Span) -> str:
    """Return the text under the heading, without blank lines around it."""
    return text[section.text : section.end].strip("\n")


def replace_section(text: str, section: Span, new: str) -> str:
    """Return `text` with another text under the heading; everything outside the section stays the same."""
    head, words, after = text[: section.text], new.strip("\n"), text[section.end :]
    head = head if head.endswith("\n") else f"{head}\n"
    # The end of the text keeps its single newline.
    return head + (f"\n{words}\n" if words else "") + (f"\n{after}" if after else "")


def nested(text: str, level: int) -> str:
    """Return `text` changed to fit under a heading of `level`: deeper headings, and closed code blocks and HTML.

    Headings keep their relative depth; those that would be too deep become bold lines.
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
    whole = _html_closed(_closed("\n".join([*made, *lines[done:]])))
    # Else its tags and comments are shown as words, and those of a block of HTML may be headings.
    return nested(_OPENER.sub("&lt;", text), level) if whole is None else whole


def _deeper(heading: Heading, level: int, before: list[str], after: list[str]) -> list[str]:
    """Return the lines of a heading at another level. A bold line gets blank lines around it, to be a paragraph."""
    if level <= _DEEPEST:
        underlined = [""] * (heading.end - heading.first - 1)
        return [f"{'#' * level} {heading.text}".rstrip(), *underlined[:1]]
    apart = [""] if before and before[-1].strip() else []
    if not heading.text:
        return apart
    return [*apart, f"**{heading.text}**", *([""] if after and after[0].strip() else [])]


def _closed(text: str) -> str:
    """Return `text` with an end for an open code block or HTML block, which would include what follows."""
    marks = sorted(_FENCE.findall(text), key=len, reverse=True)
    fences = [next((mark for mark in marks if mark[0] == kind), "") for kind in "`~"]
    ends = [f"\n{end}" for end in (*fences, *_missing_ends(text)[:1], *_HTML_ENDS) if end]
    return next((text + end for end in ("", *ends) if _ends(text + end)), text)


def _ends(text: str) -> bool:
    """Return whether every block of `text` has ended, so that a heading after it is a heading."""
    whole = f"{text}\n\n# End"
    return any(heading.first == whole.count("\n") for heading in parse_headings(whole))


# --- raw HTML that a text leaves open, which would include or hide the rest of a page ------------------------


def _html_closed(text: str) -> str | None:
    """Return `text` with an end for each element and comment that it leaves open; None where that is not possible."""
    for _ in range(3):
        ends = _missing_ends(text)
        if not ends:
            return text
        if len(ends) > _MOST or _TORN in ends:
            return None
        # A comment ends at the end of the next one.
        text = f"{text}\n\n<!-- -->" if _COMMENT in ends else "\n".join([f"{text}\n", *ends])
    return None


def _missing_ends(text: str) -> list[str]:
    """Return the missing ends of HTML in a Markdown text, innermost first."""
    html = raw_html(text) if _OPENER.search(text) else ""
    stack: list[str] = []
    open_now: Counter[str] = Counter()
    for is_end, name in _tags(html):
        if name in (_COMMENT, _TORN):
            return [name]
        if not is_end:
            stack.append(name)
            open_now[name] += 1
        elif open_now[name]:
            while (last := stack.pop()) != name:
                open_now[last] -= 1
            open_now[name] -= 1
    return [f"</{name}>" for name in reversed(stack)]


def _tags(html: str) -> Iterator[tuple[bool, str]]:
    """Yield each tag of an element that may stay open: is it an end tag, its name; last, a part without an end."""
    start = 0
    while tag := _TAG.search(html, start):
        start = tag.end()
        if tag[2] is None:
            is_comment = tag[0] == "<!--"
            # For a browser `<!-->` is a whole comment, and `<!` and `<?` begin a comment up to the next `>`.
            end = (_COMMENT_END if is_comment else _ANY_END).search(html, start - 2 if is_comment else start)
            if end is None:
                yield False, _COMMENT if is_comment else _TORN
                return
            start = end.end()
            continue
        name = tag[2].lower()
        if not tag[3]:
            yield False, _TORN
            return
        if name in _NEVER_OPEN:
            continue
        yield bool(tag[1]), name
        if name in _TEXT_ALONE and not tag[1]:
            match = re.compile(f"</{name}", re.IGNORECASE).search(html, start)
            start = match.start() if match is not None else len(html)


# --- stored contents ---------------------------------------------------------------------------------------


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


def find(store: Store, content_id: str) -> ContentRow | None:
    """Return the content of that id, or None. Raises msgspec.MsgspecError for a row that this program did not write."""
    row = store.row("SELECT * FROM contents WHERE id = ?", (content_id,))
    if row is None:
        return None
    return convert({**dict(row), "metadata": msgspec.json.decode(row["metadata"])}, ContentRow)


def entries(store: Store, *, skip: int = 0, limit: int = -1) -> list[sqlite3.Row]:
    """Return the contents without bodies, newest first: at most `limit` (-1: all) after the first `skip`."""
    return store.rows(
        "SELECT id, title, status, type, version, created_at, updated_at FROM contents"
        " ORDER BY created_at DESC, number DESC LIMIT ? OFFSET ?",
        (limit, skip),
    )


def counts(store: Store) -> dict[str, int]:
    """Return the numbers of contents: `total`, `published` and `drafts`."""
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
    """Create or update a content, inside the caller's transaction; gives the content's id.

    An update that changes nothing leaves version and time alone. Raises LookupError for an unknown id.
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
    """Delete a content."""
    store.run("DELETE FROM contents WHERE id = ?", (content_id,))
