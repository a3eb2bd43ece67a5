"""Cleans the titles and bodies of texts, makes their digests, and finds merge conflict markers.

Text from a model or a server is untrusted. Cleaning drops characters that Markdown does not need and that can deceive a
terminal, a reviewer or a parser: control characters except tab and line feed, marks that change the writing direction,
and byte order marks. Everything else is kept, also spaces at the end of a line (a line break in Markdown) and joiners
inside emoji.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final

from contentops.conflict_markers import CLOSE, OPEN, ORDER
from contentops.digest import Digest, digest_text
from contentops.model import State
from contentops.sanitize import Policy, hidden_runs, sanitize, without_bom
from contentops.sections import has_words

TITLE_LIMIT: Final = 300
"""The length of the longest title, in characters. A longer title is cut and ends in an ellipsis."""

_BREAKS: Final = re.compile("[\t-\r\x1c-\x1f\x85]")
# The spaces that French and Japanese set in a line stay as they are.
_SPACES: Final = re.compile(r"[^\S\u00a0\u202f\u3000]+")
_BLANK: Final = " \t\n"


def clean_title(text: str) -> str:
    """Return a title as one line of at most 300 characters, with single spaces and no control characters.

    No-break and ideographic spaces stay, except at both ends. Cleaning a clean title changes nothing.
    """
    if text.isascii() and text.isprintable():
        line = " ".join(text.split())  # the same, at a tenth of the price
    else:
        line = _SPACES.sub(" ", sanitize(_BREAKS.sub(" ", text), Policy.BODY)).strip()
    return line if len(line) <= TITLE_LIMIT else f"{line[: TITLE_LIMIT - 1].rstrip()}…"


def is_cut(title: str) -> bool:
    """Return whether cleaning has shortened this title."""
    return len(title) >= TITLE_LIMIT - 1 and title.endswith("…")


def hides_characters(text: str) -> bool:
    """Return whether a text has characters that cleaning drops, or invisible ones that may carry a message.

    Line ends, a byte order mark at the start, and a whole mark of provenance do not count.
    """
    plain = without_bom(text).replace("\r\n", "\n").replace("\r", "\n")
    return sanitize(plain, Policy.BODY) != plain or any(hidden_runs(text))


def clean_body(text: str) -> str:
    """Return a body with LF line ends, one newline at its end, and no control characters or outer blank lines.

    A lone surrogate becomes U+FFFD. A text without anything visible becomes the empty string. Cleaning a clean body
    changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = sanitize(text, Policy.BODY)
    core = text.rstrip(_BLANK)
    if not has_words(core):
        return ""
    # Spaces that end the last line, or indent the first one, belong to the text; blank lines around it do not.
    end = text.find("\n", len(core))
    lead = len(core) - len(core.lstrip(_BLANK))
    start = core.rfind("\n", 0, lead) + 1
    return (text[start:] if end < 0 else text[start:end]) + "\n"


@functools.lru_cache(maxsize=16)
def body_digest(body: str) -> Digest:
    """Return the digest of a body after cleaning. The digest identifies the body."""
    # Each step of an item needs the digest of its text; a small cache keeps memory bounded.
    return digest_text(clean_body(body))


def title_digest(title: str) -> Digest:
    """Return the digest of a title after cleaning. Each run of white space counts as one space.

    Some servers and old records keep only single spaces.
    """
    line = clean_title(title)
    return digest_text(line if line.isascii() else " ".join(line.split()))


def prose(body: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a body outside of code blocks, each with its number (from 1)."""
    fence = ""
    for number, line in enumerate(body.split("\n"), start=1):
        before, fence = fence, _fence_after(fence, line)
        if not before and not fence:
            yield number, line


_FENCE_LINE: Final = re.compile(r" {0,3}(?P<sign>`{3,}(?=[^`]*$)|~{3,})(?P<rest>.*)")


def known_bodies(state: State) -> Iterator[Digest]:
    """Yield the digests of all bodies that the state records.

    These bodies may contain lines that look like conflict markers.
    """
    for record in state.records.values():
        yield from record.bodies
    yield from (job.body for job in state.open_jobs.values() if job.body)


def conflict_line(text: str) -> int:
    """Return the line of the first merge conflict in a Markdown file.

    Lines count from 1, and 0 means that there is none.
    """
    if OPEN not in text or CLOSE not in text:
        return 0
    passed = start = 0
    fence = ""
    lines = text.replace("\r\n", "\n").split("\n")
    front = _front_lines(text)
    for number, line in enumerate(lines, start=1):
        if not passed and number > front:
            fence = _fence_after(fence, line)
        # Once a conflict has begun, a fence may have been opened on one of its sides alone.
        if (passed or not fence) and ORDER[passed].match(line):
            start = start or number
            passed += 1
            if passed == len(ORDER):
                return start
    return 0


_LFS_POINTER: Final = re.compile(r"version https://git-lfs\.github\.com/spec/\S+\r?\n([a-z0-9.-]+ \S.*\n){1,20}\Z")


def is_lfs_pointer(text: str) -> bool:
    """Return whether a file is only a Git LFS pointer because its content was not fetched."""
    return _LFS_POINTER.match(text) is not None


FRONT: Final = re.compile(r"\ufeff?---[ \t]*\r?\n")
"""The line that opens front matter, at the very start of a file."""
# `...` ends a YAML document just as `---` does: Jekyll takes it for the end of front matter too.
FRONT_END: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE)


def _front_lines(text: str) -> int:
    """Return the number of lines of the front matter. Code fences in these lines do not count."""
    opened = FRONT.match(text)
    closed = opened and FRONT_END.search(text, opened.end())
    return text.count("\n", 0, closed.end()) + 1 if closed else 0


def _fence_after(fence: str, line: str) -> str:
    """Return the fence of the code block that is open after a line. It is empty outside of code."""
    match = _FENCE_LINE.match(line)
    if match is None:
        return fence
    if not fence:
        return match["sign"]
    closes = match["sign"].startswith(fence) and not match["rest"].strip()
    return "" if closes else fence
