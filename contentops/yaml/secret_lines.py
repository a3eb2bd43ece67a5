"""What may be a key or a password by the name it stands under; findings must not show it.

A file that cannot be parsed has no values yet, only lines, so `discreet` looks at lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import structs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentops.errors import Diagnostic
    from contentops.yaml.positions import Source

SECRET_KEYS: Final = frozenset(
    {"key", "api_key", "apikey", "token", "api_token", "secret", "password", "user_id", "bearer"}
)

_NAME: Final = r"""["']?(?:key|key_env|user_env|user_id|(?:[\w-]*[_-])?(?:(?:api|access|secret)[_-]?key|token|secret
    |password|passwd|bearer|authorization))(?![\w-])["']?"""
_ALONE: Final = re.compile(rf"\s*(?:-\s+)*{_NAME}\s*[:=]?\s*(?P<value>\S.*)?", re.IGNORECASE | re.VERBOSE)
_INSIDE: Final = re.compile(rf"[{{,]\s*{_NAME}\s*:\s*(?P<value>\S.*)", re.IGNORECASE | re.VERBOSE)
_LOGIN: Final = re.compile(r"://(?P<value>[^/\s\"']*)@")
_GOES_ON: Final = re.compile(r"[|>\"'&!]|$")
_OURS: Final = "key: value"
"""What hints say themselves."""
_PIECE: Final = 4
"""So many characters in a row of a secret are too many to show; shorter texts are no keys."""


def masked(finding: Diagnostic, secrets: Iterable[str]) -> Diagnostic:
    """A finding whose source line shows no secret; each is replaced by as many stars, so that columns stay."""
    excerpt = finding.excerpt
    for secret in secrets:
        if len(secret) >= _PIECE:
            excerpt = excerpt.replace(secret, "*" * len(secret))
    return finding if excerpt == finding.excerpt else structs.replace(finding, excerpt=excerpt)


def discreet(source: Source, found: Diagnostic) -> Diagnostic:
    """`found` with whatever looks like a secret starred out, column for column, and not repeated in words either."""
    spans = list(_spans(source, found))
    if not spans:
        return found
    excerpt, values = found.excerpt, []
    for start, end in spans:
        values.append(excerpt[start:end])
        excerpt = excerpt[:start] + "*" * (end - start) + excerpt[end:]
    message, hint = found.message, found.hint
    if any(_leaks(message, value) for value in values):
        message = "this line cannot be read as YAML"
    if any(_leaks(hint, value) for value in values):
        hint = "correct the line; its value is not shown, as it may be a secret"
    return structs.replace(found, excerpt=excerpt, message=message, hint=hint)


def _spans(source: Source, found: Diagnostic) -> Iterator[tuple[int, int]]:
    """Where secrets stand in the line of a finding."""
    line = found.excerpt
    match = _ALONE.match(line)
    if not match or not match["value"]:
        match = _INSIDE.search(line)
    if match and match["value"]:
        yield match.start("value"), len(line.rstrip())
        return
    yield from (match.span("value") for match in _LOGIN.finditer(line))
    if found.location is not None and _goes_on(source, found.location.line, _indent(line)):
        yield _indent(line), len(line.rstrip())


def _goes_on(source: Source, number: int, indent: int) -> bool:
    """Whether a line belongs to the value of a secret that begins above it."""
    for above in map(source.line, range(number - 1, 0, -1)):
        if above.strip() and _indent(above) < indent:
            match = _ALONE.fullmatch(above.rstrip())
            return match is not None and _GOES_ON.match(match["value"] or "") is not None
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _leaks(text: str, secret: str) -> bool:
    text = text.replace(_OURS, "")
    return any(text[at : at + _PIECE] in secret for at in range(len(text) - _PIECE + 1))
