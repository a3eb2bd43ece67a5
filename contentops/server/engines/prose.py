"""Values of inputs as Markdown that cannot break out of the place it is put in.

What a person or a server sent may hold markup, HTML, template code or control characters; here it becomes text that
reads the same and does nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

INLINE = 280
"""The most characters of one value inside a sentence."""
POINT = 600
"""The most characters of one point in a list."""
POINTS = 40
"""The most points shown of one value."""
DEPTH = 3
"""How deep nested lists and maps are written out."""

_INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_SPACE = re.compile(r"\s+")
_SPECIAL = re.compile(r"[\\`*<\[\]{}]|~~|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_BLOCK = re.compile(r"^(?:[-+=#>:|~]|\d{1,9}(?=[.)](?:\s|$)))")


def plain(value: str, limit: int) -> str:
    """One clean line: no control or invisible characters, single spaces, at most `limit` characters."""
    # Work is bounded before anything scans the text: a value may be megabytes.
    cut = value[: limit * 4 + 64]
    cut = cut.encode("utf-8", "replace").decode()
    shown = "".join(" " if unicodedata.category(char) == "Cc" else char for char in _INVISIBLE.sub("", cut))
    line = _SPACE.sub(" ", shown).strip()
    if len(line) <= limit and len(value) <= len(cut):
        return line
    return f"{line[: limit - 1].rstrip()}…"


def escape(line: str) -> str:
    """`line` with everything Markdown, HTML or a site generator would act on made literal."""
    safe = _SPECIAL.sub(lambda found: "".join(f"\\{char}" for char in found[0]), line)
    return _BLOCK.sub(_literal_start, safe)


def _literal_start(found: re.Match[str]) -> str:
    # A number cannot be escaped itself: the mark after it is what makes it a list.
    return f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}"


def inline(value: Any, limit: int = INLINE) -> str:
    """A value as one piece of a sentence: text as it is, lists as `a, b and c`, maps as `key: value`."""
    return escape(_line(value, limit))


def _line(value: Any, limit: int, depth: int = 0) -> str:
    if isinstance(value, str):
        return plain(value, limit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if depth > DEPTH and isinstance(value, Mapping | Sequence):
        return "…"
    if isinstance(value, Mapping):
        pairs = [f"{plain(str(key), 60)}: {_line(value[key], limit, depth + 1)}" for key in ordered(value)]
        return plain(_joined(pairs, depth), limit)
    if isinstance(value, Sequence):
        return plain(_joined([_line(item, limit, depth + 1) for item in value[:POINTS]], depth), limit)
    return "none" if value is None else plain(str(value), limit)


def _joined(parts: list[str], depth: int) -> str:
    if depth or len(parts) < 2:
        return ", ".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def ordered(value: Mapping[str, Any]) -> list[str]:
    """The keys to show, sorted, so that key order in a request never changes a text."""
    return sorted(value, key=str)[:POINTS]


def points(value: Any) -> list[str]:
    """A value as list items: one per entry of a list or map, one per line of text."""
    if isinstance(value, Mapping):
        shown = [f"**{escape(plain(str(key), 60))}**: {inline(value[key], POINT)}" for key in ordered(value)]
        return _counted(shown, len(value))
    if isinstance(value, str):
        lines = [line for line in value[: POINT * POINTS].splitlines() if plain(line, POINT)]
        return _counted([inline(line, POINT) for line in lines[:POINTS]], len(lines))
    if isinstance(value, Sequence):
        return _counted([inline(item, POINT) for item in value[:POINTS]], len(value))
    return [inline(value, POINT)]


def _counted(shown: list[str], total: int) -> list[str]:
    hidden = total - len(shown)
    return [*shown, f"and {hidden} more"] if hidden > 0 else shown
