"""Untrusted text made harmless: what a terminal would obey is shown instead.

Manifests, model output and server replies reach the terminal, log files and pull requests through this module.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentops.model import Json

ELLIPSIS = "…"

# Beside the control characters: marks that reorder or hide what a reader sees, line separators, tag characters,
# and lone surrogates, which no stream can encode. Joiners stay: emoji and several scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LAST_BYTE, _LAST_BMP = 0xFF, 0xFFFF


def _escape(character: str) -> str:
    code = ord(character)
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_BMP else f"\\U{code:08x}"


def visible(text: str) -> str:
    r"""`text` on one line, with control, bidirectional and invisible characters shown as escapes such as `\x1b`."""
    return _UNSAFE.sub(lambda found: _NAMED.get(found[0]) or _escape(found[0]), text)


def clip(text: str, width: int) -> str:
    """`text` in at most `width` characters (at least 1), the last one an ellipsis where something was cut."""
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS


def columns(text: str) -> int:
    """How many terminal columns `text` takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


_encoder = json.JSONEncoder(ensure_ascii=False, default=repr)


def _literal(value: Json, room: int) -> str:
    """The first characters of `value` as JSON, at least `room` of them, without encoding all of a large value."""
    if isinstance(value, str):
        return _encoder.encode(value[:room]) if len(value) <= room else _encoder.encode(value[:room])[:-1]
    parts: list[str] = []
    length = 0
    try:
        for part in _encoder.iterencode(value):
            parts.append(part[: room + 1])
            length += len(part)
            if length > room:
                break
    except (RecursionError, ValueError):
        parts.append(ELLIPSIS)
    return "".join(parts)


def short(value: Json, width: int = 60) -> str:
    """A JSON value as one harmless line of at most `width` characters; None is `(none)`."""
    if value is None:
        return "(none)"
    return clip(visible(_literal(value, width + 1)), width)


def short_pair(before: Json, after: Json, width: int = 60) -> tuple[str, str]:
    """Two values, each as `short` makes them, cut so that the first difference of two long texts is in sight."""
    if not (isinstance(before, str) and isinstance(after, str)):
        return short(before, width), short(after, width)
    if max(len(before), len(after)) + 2 <= width:
        return short(before, width), short(after, width)
    same = next(
        (at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    start = max(0, same - width // 3)
    if start < 2:
        return short(before, width), short(after, width)
    return tuple(short(ELLIPSIS + text[start:], width) for text in (before, after))  # type: ignore[return-value]


def json_text(value: Json, *, indent: int | None = 2) -> str:
    """`value` as JSON that is safe to show: characters as themselves, but unsafe ones as escapes.

    Raises TypeError for what is not JSON and ValueError for NaN and infinities.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    # The line feeds between the values are the only unsafe characters the encoder leaves on purpose.
    return _UNSAFE.sub(lambda found: "\n" if found[0] == "\n" else _json_escape(found[0]), text)


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]
