"""What may be a key or a password by the name it stands under; findings must not show it.

A file that cannot be parsed has no values yet, only lines, so this looks at lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import structs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.errors import Diagnostic
    from contentops.manifests.places import Source

SECRET_KEYS = frozenset({"key", "api_key", "apikey", "token", "api_token", "secret", "password", "user_id", "bearer"})

_NAME = r"""["']?(?:key|key_env|user_env|user_id|(?:[\w-]*[_-])?(?:(?:api|access|secret)[_-]?key|token|secret
    |password|passwd|bearer|authorization))(?![\w-])["']?"""
_ALONE = re.compile(rf"\s*(?:-\s+)*{_NAME}\s*[:=]?\s*(?P<value>\S.*)?", re.IGNORECASE | re.VERBOSE)
_INSIDE = re.compile(rf"[{{,]\s*{_NAME}\s*:\s*(?P<value>\S.*)", re.IGNORECASE | re.VERBOSE)
_LOGIN = re.compile(r"://(?P<value>[^/\s\"']*)@")
_GOES_ON = re.compile(r"[|>\"'&!]|$")
_OURS = "key: value"
"""What hints say themselves."""
_PIECE = 4
"""So many characters in a row of a secret are too many to show."""


def discreet(source: Source, found: Diagnostic) -> Diagnostic:
    """`found` with whatever looks like a secret starred out, column for column, and not said in words either."""
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
    for pattern in (_ALONE, _INSIDE):
        match = pattern.match(line) if pattern is _ALONE else pattern.search(line)
        if match and match["value"]:
            yield match.start("value"), len(line.rstrip())
            return
    yield from (match.span("value") for match in _LOGIN.finditer(line))
    if found.location is not None and _goes_on(source, found.location.line, _indent(line)):
        yield _indent(line), len(line.rstrip())


def _goes_on(source: Source, number: int, indent: int) -> bool:
    """Whether a line belongs to the value of a secret that begins above it."""
    while number > 1:
        number -= 1
        above = source.line(number)
        if above.strip() and _indent(above) < indent:
            match = _ALONE.fullmatch(above.rstrip())
            return match is not None and _GOES_ON.match(match["value"] or "") is not None
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _leaks(text: str, secret: str) -> bool:
    text = text.replace(_OURS, "")
    return any(text[at : at + _PIECE] in secret for at in range(len(text) - _PIECE + 1))
