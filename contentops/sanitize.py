"""Secrets taken out of words from outside, in every form they could come back in."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

REDACTED = "[key]"
"""What stands for a key of the API."""


def redact(text: str, secret: str, mark: str = REDACTED) -> str:
    """`text` with every form of `secret` replaced by `mark`: as it is, URL-encoded, JSON-escaped and in base64."""
    if not secret:
        return text
    for form in sorted(set(_forms(secret)), key=len, reverse=True):
        text = re.sub(re.escape(form), mark, text, flags=re.IGNORECASE)
    return text


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="", errors="surrogateescape")
    yield quote_plus(secret, errors="surrogateescape")
    yield json.dumps(secret)[1:-1]
    raw = secret.encode("utf-8", "surrogateescape")
    for shift in range(3):
        # Base64 has three alignments; only the characters that hold nothing but bits of the secret are searched for.
        coded = base64.b64encode(bytes(shift) + raw).decode().rstrip("=")
        inner = coded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        if len(inner) >= len(secret):
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
