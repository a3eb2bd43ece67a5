"""The lines that git leaves around two sides of a merge that no one has resolved."""

from __future__ import annotations

import re
from typing import Final

OPEN, BASE, SPLIT, CLOSE = MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
"""How the lines begin, in the order in which they stand."""

ORDER: Final = (re.compile(r"<{7} \S"), re.compile(r"={7}$"), re.compile(r">{7} \S"))
"""The three lines that a conflict has in any case, one by one."""
SIDE: Final = re.compile(r"^(?:<{7}|\|{7}|>{7}) \S", re.MULTILINE)
"""A line that opens or closes a conflict, for formats where no valid line starts like that."""
MIDDLE: Final = re.compile(r"^={7}(?=\r?$)", re.MULTILINE)
"""A `=======` left behind; it may also underline a heading, so ask only about a file that cannot be read."""
WHOLE: Final = re.compile(r"^<{7} \S.*?^={7}\r?$.*?^>{7} \S", re.MULTILINE | re.DOTALL)
"""A conflict with its markers in order, for formats whose texts may hold such lines one by one."""
LINE: Final = re.compile(r"(?:<{7} \S.*|\|{7} \S.*|={7}|>{7} \S.*)")
"""One whole line that is a marker."""


def between_markers(ours: str, theirs: str) -> str:
    """Both sides of a conflict between the lines of git, with the names of where they are."""
    ours, theirs = (f"{side.rstrip()}\n" if side.strip() else "" for side in (ours, theirs))
    return f"{OPEN} file\n{ours}{SPLIT}\n{theirs}{CLOSE} writerzroom\n\n"
