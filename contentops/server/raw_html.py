"""Closes raw HTML that a Markdown text leaves open, which would include or hide the rest of a page."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from contentops.sections import raw_html

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def closed(text: str) -> str | None:
    """`text` with an end for each element and comment that it leaves open; None where that is not possible."""
    for _ in range(3):
        ends = missing_ends(text)
        if not ends:
            return text
        if len(ends) > _MOST or _TORN in ends:
            return None
        # A comment ends at the end of the next one.
        text = f"{text}\n\n<!-- -->" if _COMMENT in ends else "\n".join([f"{text}\n", *ends])
    return None


def escaped(text: str) -> str:
    """`text` with its tags and comments shown as words."""
    return _OPENER.sub("&lt;", text)


def missing_ends(text: str) -> list[str]:
    """The missing ends of HTML in a Markdown text, innermost first."""
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
    """Each tag of an element that may stay open: whether it is an end tag, its name; last, a part without an end."""
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
