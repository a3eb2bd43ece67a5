"""The sections of a Markdown body: headings as a reader sees them, those in fenced code left out."""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(?P<text>.*?))?(?:[ \t]+#+)?[ \t]*$")


def headings(body: str) -> tuple[str, ...]:
    """The headings of a body in order, without their marks."""
    found: list[str] = []
    fence = ""
    for line in body.split("\n"):
        mark = _FENCE.match(line)
        if mark is not None and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
            continue
        heading = None if fence else _HEADING.match(line)
        if heading is not None and heading["text"]:
            found.append(heading["text"])
    return tuple(found)
