"""Draft outlines of the bundled server: the marks of one in a reply of the server and in the text."""

from __future__ import annotations

import re
from typing import Final

ENGINE: Final = "outline"
"""The server's name of the engine that writes them, under `engine` of a job's or a content's metadata."""
_LABEL: Final = re.compile(r"^[ \t]*> ?Draft outline, made offline\b", re.MULTILINE)


def has_label(body: str) -> bool:
    """Whether a text has the line that each outline, and each section of one, begins with."""
    return "Draft outline" in body and _LABEL.search(body) is not None
