"""Reads JSON from files and servers, and refuses JSON that is nested too deeply. Imports nothing of contentops.

The limits of the JSON libraries differ between versions and machines; the limit here is always the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

MAX_DEPTH: Final = 250
"""The deepest nesting. Manifests are 100 deep at most, and a template can add 100; records and plans add a few."""

D = TypeVar("D", str, bytes, str | bytes)
T = TypeVar("T")

_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(sorted({*range(256)} - {*b"[]{}"}))


class DeepJson(ValueError):
    """The JSON text is nested too deeply."""

    def __init__(self) -> None:
        super().__init__("is nested too deeply")


def load_json(data: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError for what is not JSON, and DeepJson."""
    import json  # start-up: a plan without changes reads none

    return bounded(json.loads, data)


def decode_json(data: str | bytes, kind: type[T], *, deepest: int = MAX_DEPTH) -> T:
    """Return the value of a JSON text as type `kind`. Raises DeepJson, and msgspec.MsgspecError if it does not fit."""
    value: T = bounded(functools.partial(msgspec.json.decode, type=kind), data, deepest=deepest)
    return value


def bounded(read: Callable[[D], T], data: D, *, deepest: int = MAX_DEPTH) -> T:
    """Decode a JSON text with the function `read`. Raises DeepJson, and the exceptions of `read`."""
    try:
        value = read(data)
    except RecursionError:
        raise DeepJson from None
    if _is_deep(data, deepest):
        raise DeepJson
    return value


def _is_deep(data: str | bytes, deepest: int) -> bool:
    """Return whether a valid JSON text has lists and objects nested more than `deepest` levels deep."""
    count = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
    if count <= deepest:
        return False
    whole = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    left = _TEXT.sub(b"", whole).translate(_SQUARE, _OTHERS)
    for _ in range(deepest):
        left = left.replace(b"[]", b"")  # the innermost ones
        if not left:
            return False
    return True
