"""Lines that git leaves where a merge could not decide: never content, though some of them parse.

A marker is seven signs at the very start of a line. A data file or a quoted text may hold one and still be valid,
and an item made from it would be paid for, so they are looked for before anything is parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from contentops.yaml.positions import place

if TYPE_CHECKING:
    from contentops.errors import Diagnostic
    from contentops.yaml.positions import Source

SIDE: Final = re.compile(r"^(?:<{7}|\|{7}|>{7}) \S", re.MULTILINE)
"""A line that opens or closes a conflict, for formats where no valid line starts like that."""
MIDDLE: Final = re.compile(r"^={7}(?=\r?$)", re.MULTILINE)
"""A `=======` left behind; it may also underline a heading, so ask only about a file that cannot be read."""
WHOLE: Final = re.compile(r"^<{7} \S.*?^={7}\r?$.*?^>{7} \S", re.MULTILINE | re.DOTALL)
"""A conflict with its markers in order, for formats whose texts may hold such lines one by one."""

_LINE: Final = re.compile(r"(?:<{7} \S.*|\|{7} \S.*|={7}|>{7} \S.*)")


def conflict(source: Source, kind: re.Pattern[str]) -> Diagnostic | None:
    """The first marker of a kind, or None."""
    if kind is WHOLE and "<<<<<<< " not in source.text:
        return None
    found = kind.search(source.text)
    return None if found is None else _at(source, source.mark(found.start())[0])


def conflict_at(source: Source, line: int) -> Diagnostic | None:
    """The finding for a line (1-based) that is a marker, or None for any other line."""
    text = source.line(line)
    return _at(source, line) if text[:1] in "<|=>" and _LINE.fullmatch(text) else None


def _at(source: Source, line: int) -> Diagnostic:
    message = "git left this conflict marker: a merge is not resolved"
    hint = "resolve the merge, then run again"
    return place(source, "conflict-markers", message, (line, 1), width=len(source.line(line)), hint=hint)
