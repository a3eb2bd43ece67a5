"""Removes secrets and unsafe characters from text, with a policy for each destination.

All text of manifests, models and servers passes through here on its way to terminal, logs, outputs and pull requests.
"""

from __future__ import annotations

import enum
import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from json import JSONEncoder
from typing import Final

import msgspec

from contentops.model import Json

ELLIPSIS: Final = "…"
REDACTED: Final = "[key]"
"""The replacement for a key of the API."""
MESSAGE_LIMIT: Final = 500
"""The most characters of outside text in a message."""


# --- secrets -----------------------------------------------------------------------------------------------


SHORTEST_SECRET: Final = 8
"""The least length of a secret that is masked; a shorter one is a placeholder, and may be a part of common words."""


def redact(text: str, secret: str, mark: str = REDACTED) -> str:
    """Replace a secret in `text` by `mark`, even if the secret is URL-encoded, JSON-escaped or in base64.

    A secret shorter than `SHORTEST_SECRET` is not replaced.
    """
    if len(secret) < SHORTEST_SECRET:
        return text
    for form in sorted(set(_forms(secret)), key=len, reverse=True):
        text = re.sub(re.escape(form), mark, text, flags=re.IGNORECASE)
    return text


def _forms(secret: str) -> Iterator[str]:
    import base64
    import json
    from urllib.parse import quote, quote_plus

    yield secret
    yield quote(secret, safe="", errors="surrogateescape")
    yield quote_plus(secret, errors="surrogateescape")
    yield json.dumps(secret)[1:-1]
    raw = secret.encode("utf-8", "surrogateescape")
    for shift in range(3):
        # Base64 has three alignments; search only the characters made of bits of the secret alone.
        coded = base64.b64encode(bytes(shift) + raw).decode().rstrip("=")
        inner = coded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        if len(inner) >= len(secret):
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


# --- policies ----------------------------------------------------------------------------------------------

# Unsafe characters: controls; marks that reorder or hide text; line separators; tag characters; lone surrogates, which
# no stream can encode. Joiners are safe: emoji and several scripts need them.
_HIDDEN = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_SURROGATES = "\ud800-\udfff"
_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"


class Policy(enum.Enum):
    """A policy says which characters a destination allows, and how the others are replaced."""

    TERMINAL = enum.auto()
    """One line for a terminal, a log or a comment: unsafe characters become visible escapes."""
    JSON = enum.auto()
    """JSON of several lines: unsafe characters become JSON's escapes; line feeds stay."""
    MESSAGE = enum.auto()
    """One line of a message: unsafe and unassigned characters are dropped, each run of space is one space."""
    BODY = enum.auto()
    """The text of a file: tabs and line feeds stay; other controls, marks of direction and byte order are dropped."""
    EXCERPT = enum.auto()
    """A quoted line of a file: U+FFFD for each control but tab, so that columns stay."""


def sanitize(text: str, policy: Policy) -> str:
    """Return `text`, in which each character that `policy` does not allow is replaced or removed."""
    if policy is Policy.BODY:
        return _without_controls(text)
    if policy is Policy.MESSAGE:
        return _one_line(text)
    pattern, replacement = _REPLACED[policy]
    return re.sub(pattern, replacement, text)


def visible(text: str) -> str:
    r"""Return `text` as one line for a terminal, with escapes such as `\x1b` for unsafe characters."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNSAFE, _shown, text)


def visible_lines(text: str) -> str:
    """Return `text` with its line ends and tabs, and with escapes for all other unsafe characters."""
    return "".join(part if at % 2 else visible(part) for at, part in enumerate(re.split(r"(\r\n|[\n\t])", text)))


def message(text: str, secret: str = "") -> str:
    """Return a text from outside as one safe line of at most `MESSAGE_LIMIT` characters, without `secret`."""
    # Redact after cleaning, which may join parts of a secret, and before cutting, which may halve one.
    readable = MESSAGE_LIMIT * 40
    clean = _one_line(text[:readable])
    if len(text) > readable:
        clean = clean.rpartition(" ")[0]
    clean = redact(clean, secret)
    return clean if len(clean) <= MESSAGE_LIMIT else f"{clean[: MESSAGE_LIMIT - 3]}..."


def is_printable(text: str) -> bool:
    """Return whether `text` has only visible ASCII characters, so that it can be sent in an HTTP header."""
    return text.isascii() and text.isprintable() and " " not in text


_UNSAFE = f"[\x00-\x1f\x7f-\x9f{_HIDDEN}{_SURROGATES}]"
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LAST_BYTE, _LAST_BMP = 0xFF, 0xFFFF


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_BMP else f"\\U{code:08x}"


def _in_json(match: re.Match[str]) -> str:
    import json

    return json.dumps(match[0])[1:-1]


_REPLACED: Mapping[Policy, tuple[str, str | Callable[[re.Match[str]], str]]] = {
    Policy.TERMINAL: (_UNSAFE, _shown),
    # The line feeds between values are the only unsafe characters that the encoder writes on purpose.
    Policy.JSON: (_UNSAFE.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"), _in_json),
    Policy.EXCERPT: (f"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029{_SURROGATES}]", "\ufffd"),
}

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Unicode's control, format (bidirectional, zero-width), surrogate, private and unassigned characters."""


def _one_line(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        text = "".join(each for each in text if each.isspace() or unicodedata.category(each) not in _DROPPED)
    return " ".join(text.split())


_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
MARK: Final = f"\ufeff\U000e0133\U000e0122\U000e0140\U000e0131\U000e0144\U000e0148\U000e0144\ufe00[{_SELECTORS}]*"
"""Finds a provenance mark: a C2PA manifest in invisible characters, which its first bytes identify."""
_NOT_IN_BODY = f"\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTIONS}"
_DROPPED_FROM_BODY = f"[{_NOT_IN_BODY}]|\ufeff(?!{MARK.removeprefix(chr(0xFEFF))})"
_RUN = (
    f"[\u034f\u180b-\u180f\u200b-\u200d\u2060-\u2064\ufeff{_SELECTORS}\U000e0000-\U000e007f]{{8,}}"
    f"|(?<=[A-Za-z\u00c0-\u024f])[{_SELECTORS}]+"
)
_ASCII_UNWANTED = bytes([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])


def _without_controls(text: str) -> str:
    if text.isascii():
        # Thousands of bodies are read and compared; this is five times as fast as a pattern.
        raw = text.encode("ascii")
        kept = raw.translate(None, _ASCII_UNWANTED)
        return text if len(kept) == len(raw) else kept.decode("ascii")
    if not re.search(f"[{_NOT_IN_BODY}\ufeff{_SURROGATES}]", text):
        return text
    return re.sub(f"[{_SURROGATES}]", "\ufffd", re.sub(_DROPPED_FROM_BODY, "", text))


def without_bom(text: str) -> str:
    """Return `text` without a byte order mark at its start. If it starts with a provenance mark, it stays unchanged."""
    return text if re.match(MARK, text) else text.removeprefix("\ufeff")


def hidden_runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and length of each sequence of invisible characters that may hide a message.

    A provenance mark is not yielded. No emoji and no flag has eight such characters in a row, and no Latin letter has
    variants that a variation selector could choose.
    """
    if not text.isascii() and re.search(_RUN, text):
        for match in re.finditer(f"{MARK}|({_RUN})", text):
            if match[1]:
                yield match.start(), len(match[1])


# --- short values ------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Return `text` as one line, in which every sequence of white space is a single space."""
    return " ".join(text.split())


def clip(text: str, width: int) -> str:
    """Cut `text` to `width` characters (at least 1). An ellipsis replaces the rest."""
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS


def columns(text: str) -> int:
    """Return the width of `text` in terminal columns. A wide character has two, and a combining one has none."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def json_text(value: Json, *, indent: int | None = 2) -> str:
    """Return `value` as JSON with escapes for unsafe characters.

    Raises TypeError if it is not JSON, and ValueError for NaN and infinities.
    """
    import json

    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if indent is not None:
        # With an indent, the encoder of `json` does not use its C implementation.
        text = msgspec.json.format(text, indent=indent)
    return sanitize(text, Policy.JSON)


def bounded(value: Json, secrets: Collection[str] = (), *, most: int, longest: int) -> Json:
    """Return a safe copy of a JSON value: secrets are removed, and long lists and texts are cut.

    `most` is the most entries of a list, and `longest` the most characters of a text. What is cut says its full length.
    """
    if isinstance(value, str):
        text = visible_lines(value[: longest + 1])
        for secret in secrets:
            text = redact(text, secret)
        return text if len(value) <= longest else f"{clip(text, longest)} (cut: {len(value):,} characters)"
    if isinstance(value, dict):
        pairs = ((bounded(key, secrets, most=most, longest=longest), each) for key, each in value.items())
        return {str(key): bounded(each, secrets, most=most, longest=longest) for key, each in pairs}
    if isinstance(value, list | tuple):
        cut = [bounded(each, secrets, most=most, longest=longest) for each in value[:most]]
        return cut if len(value) <= most else [*cut, f"... and {len(value) - most:,} more"]
    return value


def short(value: Json, width: int = 60) -> str:
    """Return a JSON value as one safe line of at most `width` characters. `null` becomes `(none)`."""
    if value is None:
        return "(none)"
    return clip(visible(_literal(value, width + 1)), width)


def short_pair(before: Json, after: Json, width: int = 60) -> tuple[str, str]:
    """Return two values as short lines. Long values are cut so that their first difference stays visible."""
    if isinstance(before, str) and isinstance(after, str):
        start = _start(before, after, width)
        return short(ELLIPSIS * bool(start) + before[start:], width), short(
            ELLIPSIS * bool(start) + after[start:], width
        )
    if isinstance(before, list | dict) and isinstance(after, list | dict):
        old, new = (visible(_literal(value, _COMPARED)) for value in (before, after))
        start = _start(old, new, width)
        return clip(ELLIPSIS * bool(start) + old[start:], width), clip(ELLIPSIS * bool(start) + new[start:], width)
    return short(before, width), short(after, width)


_COMPARED: Final = 10_000
"""Characters of a list or map in which the first difference is looked for."""


def _start(before: str, after: str, width: int) -> int:
    """Return the offset from which two long texts are shown, so that their first difference is visible."""
    if max(len(before), len(after)) + 2 <= width:
        return 0
    pairs = enumerate(zip(before, after, strict=False))
    same = next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))
    start = same - width // 3
    return start if start >= 2 else 0


@functools.cache
def _encoder() -> JSONEncoder:
    import json

    return json.JSONEncoder(ensure_ascii=False, default=repr)


def _literal(value: Json, room: int) -> str:
    """Encode a value as JSON, but stop after about `room` characters, because the value can be large."""
    if isinstance(value, str):
        literal = _encoder().encode(value[:room])
        return literal if len(value) <= room else literal[:-1]
    parts: list[str] = []
    length = 0
    try:
        for part in _encoder().iterencode(value):
            parts.append(part[: room + 1])
            length += len(part)
            if length > room:
                break
    except (RecursionError, ValueError):
        parts.append(ELLIPSIS)
    return "".join(parts)
