"""Reads a YAML file: the value with positions, and every problem as a finding that shows no secret, never an exception.

Input is hostile: size, depth, expanded aliases and digits are bounded.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.conflict_markers import MIDDLE, SIDE
from contentops.yaml.builder import Builder, StopReading, events_of
from contentops.yaml.positions import MAX_EXCERPT, Source, YamlDocument, place
from contentops.yaml.syntax import CODE as SYNTAX
from contentops.yaml.syntax import conflict, doubtful, may_be_doubtful

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.errors import Diagnostic


_NAME: Final = r"""["']?(?:key|key_env|user_env|user_id|(?:[\w-]*[_-])?(?:(?:api|access|secret|private)[_ -]?key
    |token|secret|password|passphrase|passwd|pass|pwd|credentials?|bearer|authorization))(?![\w-])["']?"""
_ALONE: Final = rf"(?ix)\s*(?:-\s+)*{_NAME}\s*[:=]?\s*(?P<value>\S.*)?"
_INSIDE: Final = rf"(?ix)[{{,]\s*{_NAME}\s*:\s*(?P<value>\S.*)"
_LOGIN: Final = re.compile(r"://(?P<value>[^\s\"']*)@")
_GOES_ON: Final = re.compile(r"[|>\"'&!]|$")
_OURS: Final = "key: value"
"""What hints say themselves."""
_LONGEST: Final = 500
"""No secret has so many lines."""
_PIECE: Final = 4
"""So many characters in a row of a secret are too many to show; shorter texts are no keys."""


def is_secret(key: str) -> bool:
    """Whether what stands under a key may be an API key or a password."""
    return re.fullmatch(f"(?ix){_NAME}", key) is not None


def masked(finding: Diagnostic, secrets: Iterable[str]) -> Diagnostic:
    """A finding whose source line shows no secret; each is replaced by as many stars, so that columns stay."""
    excerpt = finding.excerpt
    for secret in secrets:
        if len(secret) >= _PIECE:
            excerpt = excerpt.replace(secret, "*" * len(secret))
    return finding if excerpt == finding.excerpt else structs.replace(finding, excerpt=excerpt)


def discreet(source: Source, found: Diagnostic) -> Diagnostic:
    """`found` with whatever looks like a secret starred out, column for column, and not repeated in words either."""
    number = found.location.line if found.location else 0
    line = found.excerpt or source.line(number)  # a long one is not shown, but words may repeat it
    whole = (_indent(line), len(line.rstrip()))
    spans = (whole,) if _goes_on(source, number, line) else _spans(line)
    if not spans:
        return found
    values, excerpt = [line[start:end] for start, end in spans], found.excerpt
    for start, end in spans if excerpt else ():
        excerpt = excerpt[:start] + "*" * (end - start) + excerpt[end:]
    message, hint = found.message, found.hint
    if any(_leaks(message, value) for value in values):
        message = "this line cannot be read as YAML"
    if any(_leaks(hint, value) for value in values):
        hint = "correct the line; its value is not shown, as it may be a secret"
    return structs.replace(found, excerpt=excerpt, message=message, hint=hint)


@functools.lru_cache(maxsize=1)
def _spans(line: str) -> tuple[tuple[int, int], ...]:
    """Where a line names secrets; kept, as many findings may be in one long line."""
    match = re.match(_ALONE, line)
    if not match or not match["value"]:
        match = re.search(_INSIDE, line)
    named = ((match.start("value"), len(line.rstrip())),) if match and match["value"] else ()
    return (*named, *(match.span("value") for match in _LOGIN.finditer(line)))


def _goes_on(source: Source, number: int, line: str) -> bool:
    """Whether a line belongs to the value of a secret that begins above it."""
    indent = _indent(line.expandtabs())
    for above in map(source.line, range(number - 1, max(0, number - _LONGEST), -1)):
        if above.strip() and _indent(above.expandtabs()) < indent:
            match = re.fullmatch(_ALONE, above.rstrip())
            return match is not None and _GOES_ON.match(match["value"] or "") is not None
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _leaks(text: str, secret: str) -> bool:
    text = text.replace(_OURS, "")
    return len(secret) > MAX_EXCERPT or any(text[at : at + _PIECE] in secret for at in range(len(text) - _PIECE + 1))


MAX_BYTES: Final = 64 * 1024 * 1024
"""Largest file that is read: about 100,000 items."""

_UNREADABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
BREAKS: Final = "\x85\u2028\u2029"
"""Line breaks to YAML, but to no editor."""


def decode(path: str, data: bytes) -> tuple[Source, list[Diagnostic]]:
    """The text of a file, without a byte order mark; the text is empty where there is a finding."""
    empty = Source(path, "")
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // (1024 * 1024)} MiB"
        return empty, [place(empty, "file-too-large", message, (1, 1), hint="split it into several files")]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return empty, [place(empty, "not-utf8", "the file is UTF-16", (1, 1), hint="save it as UTF-8")]
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return Source(path, data.decode()), []
    except UnicodeDecodeError as error:
        before = Source(path, data[: error.start].decode())
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        return empty, [place(before, "not-utf8", message, before.mark(len(before.text)), hint="save it as UTF-8")]


def read_yaml(path: str, data: bytes, *, pure: bool = False) -> tuple[YamlDocument, list[Diagnostic]]:
    """The one document in `data` and every finding; an empty file is a document without a root.

    `path` is relative to the project root and only named in findings. Where the structure is in doubt (a syntax
    error, several documents, runaway aliases) the root is None; after a finding about one value (a duplicate
    key, a refused number) the rest is there, so that it can be checked too. `pure` reads with the Python
    parser, which is used anyway where the C extension is missing.
    """
    source, findings = decode(path, data)
    root = None
    if not findings and (found := unreadable(source) or conflict(source, SIDE)):
        findings = [found]
    if not findings:
        builder = Builder(source)
        try:
            root, findings = builder.read(events_of(source, pure=pure)), builder.findings
            if may_be_doubtful(source.text) and (found := doubtful(source, events_of(source, pure=pure))):
                root, findings = None, [found]
        except StopReading as stop:
            left = conflict(source, MIDDLE) if stop.finding.code == SYNTAX else None
            findings = [left] if left else [*builder.findings, stop.finding]
    return YamlDocument(source, root), [discreet(source, found) for found in findings]


def unreadable(source: Source, *, but: str = "") -> Diagnostic | None:
    """The first character, except those in `but`, that may not stand in a YAML file; such files are not parsed."""
    found = next((found for found in _UNREADABLE.finditer(source.text) if found.group() not in but), None)
    if not found:
        return None
    message = f"the invisible character U+{ord(found.group()):04X} may not stand in a YAML file"
    hint = "remove it"
    if found.group() in BREAKS:
        hint = f'remove it, or write it as `"\\u{ord(found.group()):04x}"` inside double quotes'
    return place(source, "control-character", message, source.mark(found.start()), hint=hint)
