"""Reads a YAML file: the value with positions, and every problem as a finding that shows no secret.

It raises nothing: size, depth, expanded aliases and digits are limited, as the input may be hostile.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.conflict_markers import MIDDLE, SIDE
from contentops.yaml.builder import Builder
from contentops.yaml.positions import MAX_EXCERPT, Source, StopReading, YamlDocument, events_of, finding_at
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
"""An example in hints, which reveals nothing."""
_LONGEST: Final = 500
"""Most lines of a secret."""
_PIECE: Final = 4
"""A message may show fewer characters of a secret in a row; shorter texts are no keys."""


def is_secret(key: str) -> bool:
    """Whether the value of a key may be an API key or a password."""
    return re.fullmatch(f"(?ix){_NAME}", key) is not None


def masked(finding: Diagnostic, secrets: Iterable[str]) -> Diagnostic:
    """A finding with stars for each of some secrets in its source line, so that columns stay."""
    excerpt = finding.excerpt
    for secret in secrets:
        if len(secret) >= _PIECE:
            excerpt = excerpt.replace(secret, "*" * len(secret))
    return finding if excerpt == finding.excerpt else structs.replace(finding, excerpt=excerpt)


def hide_secrets(source: Source, problem: Diagnostic) -> Diagnostic:
    """A finding without what looks like a secret in its line: stars in the excerpt, other words in message and hint."""
    number = problem.location.line if problem.location else 0
    line = problem.excerpt or source.line(number)  # a long line has no excerpt, but the message may repeat it
    whole = (_indent(line), len(line.rstrip()))
    spans = (whole,) if _continues_secret(source, number, line) else _spans(line)
    if not spans:
        return problem
    values, excerpt = [line[start:end] for start, end in spans], problem.excerpt
    for start, end in spans if excerpt else ():
        excerpt = excerpt[:start] + "*" * (end - start) + excerpt[end:]
    message, hint = problem.message, problem.hint
    if any(_leaks(message, value) for value in values):
        message = "this line cannot be read as YAML"
    if any(_leaks(hint, value) for value in values):
        hint = "correct the line; its value is not shown, as it may be a secret"
    return structs.replace(problem, excerpt=excerpt, message=message, hint=hint)


@functools.lru_cache(maxsize=1)
def _spans(line: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each secret in a line; cached, as many findings may be in one long line."""
    match = re.match(_ALONE, line)
    if not match or not match["value"]:
        match = re.search(_INSIDE, line)
    named = ((match.start("value"), len(line.rstrip())),) if match and match["value"] else ()
    return (*named, *(match.span("value") for match in _LOGIN.finditer(line)))


def _continues_secret(source: Source, number: int, line: str) -> bool:
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
"""The largest file that is read: about 100,000 items."""

_UNREADABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
BREAKS: Final = "\x85\u2028\u2029"
"""Line breaks in YAML that editors do not show as such."""


def decode(path: str, data: bytes) -> tuple[Source, list[Diagnostic]]:
    """The text of a file without a byte order mark, empty if it cannot be read, and findings."""
    empty = Source(path, "")
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // (1024 * 1024)} MiB"
        return empty, [finding_at(empty, "file-too-large", message, (1, 1), hint="split it into several files")]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return empty, [finding_at(empty, "not-utf8", "the file is UTF-16", (1, 1), hint="save it as UTF-8")]
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return Source(path, data.decode()), []
    except UnicodeDecodeError as error:
        before = Source(path, data[: error.start].decode())
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        return empty, [finding_at(before, "not-utf8", message, before.mark(len(before.text)), hint="save it as UTF-8")]


def read_yaml(path: str, data: bytes, *, pure: bool = False) -> tuple[YamlDocument, list[Diagnostic]]:
    """The one document in `data` and every finding; an empty file is a document without a root.

    `path` is relative to the project root. After a finding about one value (a duplicate key, a refused number) the
    rest can still be checked; after one about the structure (a syntax error, several documents, too many aliases)
    the root is None. `pure` reads with the Python parser.
    """
    source, findings = decode(path, data)
    root = None
    if not findings and (problem := unreadable(source) or conflict(source, SIDE)):
        findings = [problem]
    if not findings:
        builder = Builder(source)
        try:
            root, findings = builder.read(pure=pure), builder.findings
            if may_be_doubtful(source.text) and (problem := doubtful(source, events_of(source, pure=pure))):
                root, findings = None, [problem]
        except StopReading as stop:
            marker = conflict(source, MIDDLE) if stop.finding.code == SYNTAX else None
            findings = [marker] if marker else [*builder.findings, stop.finding]
    return YamlDocument(source, root), [hide_secrets(source, problem) for problem in findings]


def unreadable(source: Source, *, but: str = "") -> Diagnostic | None:
    """A finding for the first character that is not allowed in a YAML file, except those in `but`."""
    match = next((match for match in _UNREADABLE.finditer(source.text) if match.group() not in but), None)
    if not match:
        return None
    message = f"the invisible character U+{ord(match.group()):04X} is not allowed in a YAML file"
    hint = "remove it"
    if match.group() in BREAKS:
        hint = f'remove it, or write it as `"\\u{ord(match.group()):04x}"` inside double quotes'
    return finding_at(source, "control-character", message, source.mark(match.start()), hint=hint)
