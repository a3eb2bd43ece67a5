"""Colour for text reports, by the meaning of what is painted."""

from __future__ import annotations

_CODES = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "hint": "36",
    "strong": "1",
    "dim": "2",
    "add": "32",
    "change": "33",
    "move": "36",
    "remove": "31",
    "held": "1;31",
    "unknown": "1;35",
    "keep": "34",
    "plain": "",
}


def paint(text: str, style: str, *, color: bool) -> str:
    """`text` in the colour of a style (`error`, `add`, `dim`, ...), or as it is without `color`."""
    code = _CODES[style] if color else ""
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text
