"""Titles and bodies as contentops keeps them: cleaned once, on arrival, and compared by digest of the cleaned text.

Text from a model or a server is untrusted. What no Markdown needs and what can deceive a terminal, a reviewer or a
parser is dropped here: control characters but tab and line feed, the marks that override or isolate the writing
direction, and byte order marks. Everything else is kept, trailing spaces (a line break in Markdown) and joiners
inside emoji included.
"""

from __future__ import annotations

import re
from typing import Final

from contentops.digest import Digest, digest_text
from contentops.sanitize import Policy, sanitize

TITLE_LIMIT: Final = 300
"""The longest title, in characters; a longer one is cut and ends in an ellipsis."""

_BREAKS: Final = re.compile("[\t-\r\x1c-\x1f\x85]")
_BLANK: Final = " \t\n"


def clean_title(text: str) -> str:
    """`text` as one line of at most 300 characters: white space collapsed, control characters dropped.

    Cleaning a clean title changes nothing.
    """
    line = " ".join(sanitize(_BREAKS.sub(" ", text), Policy.BODY).split())
    return line if len(line) <= TITLE_LIMIT else f"{line[: TITLE_LIMIT - 1].rstrip()}…"


def clean_body(text: str) -> str:
    """`text` with line feeds alone, no control characters, no blank lines around it and exactly one final newline.

    A lone surrogate becomes U+FFFD. Text without anything but white space becomes the empty string.
    Cleaning a clean body changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = sanitize(text, Policy.BODY)
    core = text.rstrip(_BLANK)
    if not core or core.isspace():
        return ""
    # Spaces that end the last line, or indent the first one, belong to the text; blank lines around it do not.
    end = text.find("\n", len(core))
    lead = len(core) - len(core.lstrip(_BLANK))
    start = core.rfind("\n", 0, lead) + 1
    return (text[start:] if end < 0 else text[start:end]) + "\n"


def body_digest(body: str) -> Digest:
    """The identity of a body: the digest of its cleaned text."""
    return digest_text(clean_body(body))


def title_digest(title: str) -> Digest:
    """The identity of a title: the digest of its cleaned text."""
    return digest_text(clean_title(title))
