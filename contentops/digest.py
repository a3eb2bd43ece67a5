"""Canonical JSON and its SHA-256: the fingerprint of requests, bodies, files and lock lines.

The encoder is part of the contract: two machines, or two releases, must give the same bytes for the same value.
Golden values in the tests pin it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NewType

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Digest = NewType("Digest", str)
"""`sha256:` and 64 hexadecimal digits; the empty string stands for "nothing"."""

DIGEST_VERSION = 1
"""Written into the lock's first line; a higher one recomputes recorded digests from the recorded requests."""

NOTHING = Digest("")
NO_TEXT = Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""The digest of an empty text."""
PREFIX = "sha256:"


def _as_dict(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        message = f"{type(value).__name__} is not JSON"
        raise TypeError(message)
    return dict(value.items())


_write = msgspec.json.Encoder(order="deterministic", enc_hook=_as_dict).encode
"""For comparisons alone: of numbers and escapes it has a spelling of its own."""


@functools.cache
def _encoder() -> Callable[[object], str]:
    import json  # start-up: a plan without changes writes none

    return json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_as_dict
    ).encode


def canonical(value: object) -> str:
    """`value` as JSON with sorted keys, no spaces, and characters as themselves.

    Raises ValueError for NaN and infinities, TypeError for what is not JSON.
    """
    return _encoder()(value)


def is_same_json(one: object, other: object) -> bool:
    """Whether two JSON values are written alike: `1`, `1.0` and `true` are not."""
    if type(one) is str and type(other) is str:
        return one == other
    return (one == other and _are_alike(one, other)) or canonical(one) == canonical(other)


def _are_alike(one: object, other: object) -> bool:
    """Whether two equal values are surely written alike, found out at a fraction of what writing them takes."""
    try:
        return _write(one) == _write(other)
    except (TypeError, ValueError, OverflowError):
        return False


def digest_bytes(data: bytes | memoryview) -> Digest:
    """The digest of raw bytes."""
    import hashlib  # start-up: the same

    return Digest(f"{PREFIX}{hashlib.sha256(data).hexdigest()}")


def short(digest: Digest) -> str:
    """Its first 12 digits: enough to tell one from another."""
    return digest.removeprefix(PREFIX)[:12]


def digest_text(text: str) -> Digest:
    """The digest of text, as UTF-8."""
    return digest_bytes(text.encode())


def digest_json(value: object) -> Digest:
    """The digest of a JSON value, independent of key order."""
    return digest_text(canonical(value))
