"""Finds the marker lines that git writes into a file with a merge conflict."""

from __future__ import annotations

import re
from typing import Final

OPEN, BASE, SPLIT, CLOSE = MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
"""The beginnings of the lines, in order."""

ORDER: Final = (re.compile(r"<{7} \S"), re.compile(r"={7}$"), re.compile(r">{7} \S"))
"""The three lines that every conflict has."""
SIDE: Final = re.compile(r"^(?:<{7}|\|{7}|>{7}) \S", re.MULTILINE)
"""A line that opens or closes a conflict, for formats without valid lines of that form."""
MIDDLE: Final = re.compile(r"^={7}(?=\r?$)", re.MULTILINE)
"""A `=======`; it may also underline a heading, so use it only for a file that cannot be read."""
WHOLE: Final = re.compile(r"^<{7} \S.*?^={7}\r?$.*?^>{7} \S", re.MULTILINE | re.DOTALL)
"""A conflict with its markers in order, for formats whose texts may have single lines of that form."""
LINE: Final = re.compile(r"(?:<{7} \S.*|\|{7} \S.*|={7}|>{7} \S.*)")
"""One whole line that is a marker."""
