"""What an unquoted YAML scalar means: the YAML 1.2 core schema, with two exceptions.

`012` stays text (it was octal once, and is more often a code than a number), and `.inf` / `.nan` are refused
(JSON has no such numbers). `no`, `on`, `1:30`, `1_000` and dates are text.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

MAX_DIGITS: Final = 300
"""Longest number: beyond it a number is a mistake, and far beyond it Python refuses to print it."""

UNWANTED: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters no text may hold, however it was escaped: controls, lone surrogates, non-characters."""

_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START: Final = frozenset("+-.0123456789")
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar: None, a bool, an int, a float or the text itself.

    Raises ValueError with a sentence for numbers JSON cannot hold.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    message = ""
    if _INT.fullmatch(text):
        if len(text) <= MAX_DIGITS:
            return int(text, 0 if text[1:2] in {"o", "x"} else 10)
        message = f"the number has {len(text)} digits, more than {MAX_DIGITS}"
    elif _FLOAT.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
        message = f"the number `{text[:40]}` is too large"
    elif _NOT_JSON.fullmatch(text):
        message = f"`{text}` is a number that JSON cannot hold"
    if message:
        raise ValueError(message)
    return text
