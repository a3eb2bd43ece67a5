"""Words from outside, made fit for a message: one clean line, no secret, not too long."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from contentops.sanitize import redact

if TYPE_CHECKING:
    from contentops.model import Json

LIMIT = 500
"""The most characters a message keeps."""

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_READ = LIMIT * 40


def one_line(text: str) -> str:
    """`text` without control, format (bidi, zero-width) and unassigned characters, each run of space made one."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (each for each in text if each.isspace() or unicodedata.category(each) not in _DROPPED)
    return " ".join("".join(kept).split())


def speak(text: str, secret: str) -> str:
    """`text` as a message may show it: one line, at most `LIMIT` characters, without any form of `secret`."""
    # Redaction comes after cleaning, which may join what was apart, and before cutting, which may halve a secret.
    clean = one_line(text[:_READ])
    if len(text) > _READ:
        clean = clean.rpartition(" ")[0]
    clean = redact(clean, secret)
    return clean if len(clean) <= LIMIT else f"{clean[: LIMIT - 3]}..."


def server_words(value: Json) -> str:
    """What an error reply says, whichever of the known shapes it has; empty if it says nothing.

    Known: `{"error": {"code", "message"}}`, `{"error": text}`, `{"detail": text}`, `{"detail": [{"loc", "msg"}]}`,
    `{"message": text}`, and each of them inside `data`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(found for found in map(_field_error, value[:20]) if found)
    if not isinstance(value, dict):
        return ""
    for key in ("error", "detail", "message", "msg", "title", "data"):
        inner = value.get(key)
        # A chain of `error` in `error` is no known shape, so one level is enough.
        words = _leaf(inner) if isinstance(inner, dict) else server_words(inner)
        if words:
            return words
    return ""


def _leaf(value: dict[str, Json]) -> str:
    for key in ("message", "detail", "error", "msg", "code"):
        inner = value.get(key)
        if isinstance(inner, str) and inner:
            return inner
    return ""


def _field_error(value: Json) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    words = value.get("msg") or value.get("message")
    if not isinstance(words, str):
        return ""
    place = value.get("loc")
    parts = place if isinstance(place, list) else [place] if isinstance(place, str) else []
    where = ".".join(str(part) for part in parts if isinstance(part, (str, int)) and part != "body")
    return f"{where}: {words}" if where else words
