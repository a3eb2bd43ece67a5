"""Writes canonical JSON, and computes SHA-256 digests of requests, texts, files and lock lines.

The encoder is part of the format: every machine and every release gives the same bytes for the same value. Golden
values in the tests pin it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NewType

import msgspec

if TYPE_CHECKING:
    import re

Digest = NewType("Digest", str)
"""`sha256:` and 64 hexadecimal digits, or the empty string for "nothing"."""

DIGEST_VERSION = 1
"""The version in the lock's first line; records of a lower one get new digests from their requests."""

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
"""Five times as fast as `canonical`; it writes numbers with fractions, and escapes, in another form."""


@functools.cache
def _encoder() -> Callable[[object], str]:
    import json  # start-up: a plan without changes writes none

    return json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_as_dict
    ).encode


def canonical(value: object) -> str:
    """Return `value` as JSON with sorted keys, without spaces and without escaped non-ASCII characters.

    Raises ValueError for NaN and infinities, and TypeError for a value that is not JSON.
    """
    return _encoder()(value)


def is_same_json(first: object, second: object) -> bool:
    """Return whether two values have the same canonical JSON. `1`, `1.0` and `true` are different."""
    if type(first) is str and type(second) is str:
        return first == second
    return (first == second and _are_alike(first, second)) or canonical(first) == canonical(second)


def _are_alike(first: object, second: object) -> bool:
    """Return True if two equal values certainly have the same JSON. Otherwise return False."""
    try:
        return _write(first) == _write(second)
    except (TypeError, ValueError, OverflowError):
        return False


def digest_bytes(data: bytes | memoryview) -> Digest:
    """Return the SHA-256 digest of bytes."""
    import hashlib  # start-up: the same

    return Digest(f"{PREFIX}{hashlib.sha256(data).hexdigest()}")


def short(digest: Digest) -> str:
    """Return the first 12 digits of a digest, as people see it."""
    return digest.removeprefix(PREFIX)[:12]


def plain_name(name: str) -> str:
    """Convert a name to at most 69 letters, digits, `_` and `-`. Different names give different results."""
    import re  # start-up: the same

    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60]
    mark = digest_bytes(name.encode("utf-8", "replace")).removeprefix(PREFIX)[:8]
    return name if plain == name else f"{plain}-{mark}".removeprefix("-")


def digest_text(text: str) -> Digest:
    """Return the digest of a text in UTF-8."""
    return digest_bytes(text.encode())


def digest_json(value: object) -> Digest:
    """Return the digest of a JSON value, which does not depend on the order of keys."""
    try:
        written = _write(value)
    except (TypeError, ValueError, OverflowError):
        return digest_text(canonical(value))
    # Without an escape, and a number with a fraction or an exponent, JSON has only one such form; a NaN became a null.
    fraction, exponent = _odd_numbers()
    if b"\\" in written or b"null" in written or fraction.search(written) or exponent.search(written):
        return digest_text(canonical(value))
    return digest_bytes(written)


@functools.cache
def _odd_numbers() -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return two patterns that find numbers in JSON: one with a fraction, one with an exponent.

    They may also match inside texts. Each begins with a literal character, which makes the search fast.
    """
    import re  # start-up: the same

    return re.compile(rb"\.[0-9]"), re.compile(rb"e(?<=[0-9]e)[-+0-9]")
