"""Lines that git leaves where a merge could not decide: never content, though some of them parse.

A marker is seven signs at the very start of a line. A data file or a quoted text may hold one and still be valid,
and an item made from it would be paid for, so they are looked for before anything is parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contentops.manifests.places import place

if TYPE_CHECKING:
    from contentops.errors import Diagnostic
    from contentops.manifests.places import Source

CODE = "conflict-markers"

_SIDE = re.compile(r"^(?:<{7}|\|{7}|>{7}) \S", re.MULTILINE)
_MIDDLE = re.compile(r"^={7}(?=\r?$)", re.MULTILINE)
_LINE = re.compile(r"(?:<{7} \S.*|\|{7} \S.*|={7}|>{7} \S.*)")
_IN_ORDER = re.compile(r"^<{7} \S.*?^={7}\r?$.*?^>{7} \S", re.MULTILINE | re.DOTALL)


def conflict(source: Source) -> Diagnostic | None:
    """The first line that opens or closes a conflict, in a format where no valid line starts like that."""
    return _told(source, _SIDE.search(source.text))


def middle(source: Source) -> Diagnostic | None:
    """A `=======` left behind; it may also underline a heading, so ask only about a file that cannot be read."""
    return _told(source, _MIDDLE.search(source.text))


def whole_conflict(source: Source) -> Diagnostic | None:
    """The first conflict with its markers in order, in a format whose texts may hold such lines one by one."""
    if "<<<<<<< " not in source.text:
        return None
    return _told(source, _IN_ORDER.search(source.text))


def conflict_at(source: Source, line: int) -> Diagnostic | None:
    """The finding for a line (1-based) that is a marker, or None for any other line."""
    text = source.line(line)
    return _at(source, line) if text[:1] in "<|=>" and _LINE.fullmatch(text) else None


def _told(source: Source, found: re.Match[str] | None) -> Diagnostic | None:
    return None if found is None else _at(source, source.mark(found.start())[0])


def _at(source: Source, line: int) -> Diagnostic:
    message = "git left this conflict marker: a merge is not resolved"
    hint = "resolve the merge, then run again"
    return place(source, CODE, message, (line, 1), width=len(source.line(line)), hint=hint)
