"""Markers of a merge that git left unresolved in an output: it is neither side's text, so nothing may be made of it.

A text about git shows such lines too. It has them in a fenced code block, or it is a text that a job made, which is
known by its digest; everything else with git's three lines in git's order, each at the very start of its line, is
taken for a conflict.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.model import State

_ORDER: Final = (re.compile(r"<{7} \S"), re.compile(r"={7}$"), re.compile(r">{7} \S"))
_FENCE: Final = re.compile(r" {0,3}(?P<sign>`{3,}(?=[^`]*$)|~{3,})(?P<rest>.*)")


def known_bodies(state: State) -> frozenset[Digest]:
    """The bodies that are whole whatever lines they have: made by a job, or taken by the server."""
    found = {record.generated for record in state.records.values()}
    found |= {record.saved.body for record in state.records.values() if record.saved is not None}
    found |= {entry.body for entry in state.entries.values()}
    return frozenset(filter(None, found))


def conflict_line(text: str) -> int:
    """The number of the line (1-based) where the first conflict of a Markdown file starts, or 0."""
    if "<<<<<<< " not in text or ">>>>>>> " not in text:
        return 0
    passed = start = 0
    fence = ""
    lines = text.replace("\r\n", "\n").split("\n")
    front = _front_lines(lines)
    for number, line in enumerate(lines, start=1):
        if not passed and number > front:
            fence = _fence_after(fence, line)
        # Once a conflict has begun, a fence may have been opened on one of its sides alone.
        if (passed or not fence) and _ORDER[passed].match(line):
            start = start or number
            passed += 1
            if passed == len(_ORDER):
                return start
    return 0


def _front_lines(lines: list[str]) -> int:
    """How many lines the front matter has; fences mean nothing in it."""
    if lines[0].removeprefix("\ufeff").rstrip() != "---":
        return 0
    closing = (number for number, line in enumerate(lines[1:], start=2) if line.rstrip() in {"---", "..."})
    return next(closing, 0)


def _fence_after(fence: str, line: str) -> str:
    """The signs that opened the code block a line leaves us in, or nothing outside of one."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    if not fence:
        return found["sign"]
    closes = found["sign"].startswith(fence) and not found["rest"].strip()
    return "" if closes else fence
