"""Writes front matter that contentops and all site generators (in Go, Ruby and JavaScript) read in the same way.

The same value always gives the same bytes. Jekyll reads YAML 1.1, contentops 1.2. A text is written plain only if all
readers read it as the same text. Every other text is written in double quotes, on one line, with escapes that all
readers know. With `dates`, a text that is a date is written plain too: contentops reads it as text, and site generators
read it as a date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from contentops.model import is_day

_LETTERS: Final = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3"
_INNER: Final = _LETTERS + "0-9 _./,()'+&!?\\-\u2013\u2014\u2018\u2019\u201c\u201d\u2026"
# The ranges are fixed, not asked of the Unicode tables of this Python: another release must write the same bytes.
_PLAIN: Final = f"[{_LETTERS}](?:[{_INNER}]*[{_INNER.replace(' ', '')}])?"
_RESERVED: Final = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "none", "nan", "inf", "infinity"}
)
# Some readers of YAML 1.1 take an exponent without digits before it for a number.
_EXPONENT: Final = r"[eE][0-9]+"
_DATE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
    r"(?: ?(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]))?)?"
)
_ESCAPED: Final = '["\\\\\x00-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]'
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LONGEST_KEY: Final = 1000
"""A key longer than 1,024 characters needs YAML's explicit form."""


def write_pair(key: str, value: Any, *, dates: bool = False) -> list[str]:
    """Return one mapping entry as YAML lines without newlines. The first line is not indented.

    Raises TypeError for a value that is not JSON, and ValueError for NaN and infinities.
    """
    lines, block = write_value(value, dates=dates)
    name = write_scalar(key)
    if len(name) > _LONGEST_KEY:
        return [f"? {name}", *([":", *lines] if block else [f": {lines[0]}"])]
    return [f"{name}:", *lines] if block else [f"{name}: {lines[0]}"]


def write_value(value: Any, *, dates: bool = False) -> tuple[list[str], bool]:
    """Return the YAML lines of a value, and whether they start below its key. Lines below a key are already indented.

    Raises like `write_pair`.
    """
    lines = _lines(value, dates=dates)
    block = bool(value) and isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)
    return (_indented(lines), True) if block else (lines, False)


def write_scalar(value: Any, *, dates: bool = False) -> str:
    """Return a text, number, bool or None on one line. A lone surrogate is written as U+FFFD.

    Raises TypeError for anything else, and ValueError for NaN and infinities.
    """
    if isinstance(value, str):
        if dates and _is_date(value):
            return value
        plain = re.fullmatch(_PLAIN, value) and value.lower() not in _RESERVED and not re.fullmatch(_EXPONENT, value)
        return value if plain else f'"{re.sub(_ESCAPED, _escape, value)}"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    message = f"a value of type `{type(value).__name__}` cannot be written in front matter"
    raise TypeError(message)


def _is_date(text: str) -> bool:
    """Return whether a text is a valid date, or a date with a time, in the form of ISO 8601."""
    match = _DATE.fullmatch(text)
    return match is not None and is_day(match[1])


def _lines(value: Any, *, dates: bool) -> list[str]:
    """Return a value as YAML lines without indentation."""
    if isinstance(value, Mapping):
        pairs = (write_pair(_key(key), inner, dates=dates) for key, inner in value.items())
        return [line for lines in pairs for line in lines] or ["{}"]
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return [line for inner in value for line in _entry(inner, dates=dates)] or ["[]"]
    return [write_scalar(value, dates=dates)]


def _entry(value: Any, *, dates: bool) -> list[str]:
    first, *others = _lines(value, dates=dates)
    return [f"- {first}", *_indented(others)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    message = f"a key of type `{type(key).__name__}` cannot be written in front matter"
    raise TypeError(message)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        message = "a number that is not finite cannot be written in front matter"
        raise ValueError(message)
    text = repr(float(value))
    mantissa, mark, exponent = text.partition("e")
    # YAML 1.1 reads `1e+16` as a text: a float needs its dot.
    return f"{mantissa}.0e{exponent}" if mark and "." not in mantissa else text
