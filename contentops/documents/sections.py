"""The sections of a Markdown body: headings as a reader sees them, those in fenced code left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(?P<text>.*?))?(?:[ \t]+#+)?[ \t]*$")


def headings(body: str) -> tuple[str, ...]:
    """The headings of a body in order, without their marks."""
    matches = (_HEADING.match(line) for line in _prose(body))
    return tuple(match["text"] for match in matches if match is not None and match["text"])


def main_heading(body: str) -> str:
    """The first heading of the first level of a cleaned body, without its marks; empty if there is none."""
    return next((text for line in _prose(body) if (text := _main(line))), "")


def _main(line: str) -> str:
    # Not with a pattern: a server's text may hold a line of a million blanks.
    mark = line[:4].lstrip(" ")[:1]
    rest = line.lstrip(" ")[1:]
    if mark != "#" or rest[:1] not in (" ", "\t"):
        return ""
    text = rest.strip(" \t")
    core = text.rstrip("#")
    return core.rstrip(" \t") if core != text and core[-1:] in ("", " ", "\t") else text


def _prose(body: str) -> Iterator[str]:
    """The lines that are no fenced code."""
    fence = ""
    for line in body.split("\n"):
        mark = _FENCE.match(line)
        if mark is not None and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence:
            yield line
