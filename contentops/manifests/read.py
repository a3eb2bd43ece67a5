"""YAML with positions: what people expect YAML to mean, and where each value was written.

Input is hostile: size, depth, expanded aliases and digits are bounded, and every problem is a `Diagnostic`, never
an exception. `scalars` says what a value means, `syntax` what a syntax error means, `places` how to point at it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from contentops.manifests.build import Builder, Stop
from contentops.manifests.conflicts import conflict, middle
from contentops.manifests.places import Document, Map, Mark, Seq, Source, finding, locate, place
from contentops.manifests.scalars import plain_scalar
from contentops.manifests.secrets import discreet
from contentops.manifests.syntax import CODE as SYNTAX

if TYPE_CHECKING:
    from contentops.errors import Diagnostic

__all__ = [
    "MAX_BYTES",
    "Document",
    "Map",
    "Mark",
    "Seq",
    "Source",
    "decode",
    "finding",
    "locate",
    "place",
    "plain_scalar",
    "read_yaml",
]

MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is read: about 100,000 items."""

_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(path: str, data: bytes) -> tuple[Source, list[Diagnostic]]:
    """The text of a file, without a byte order mark; the text is empty where there is a finding."""
    empty = Source(path, "")
    if len(data) > MAX_BYTES:
        message = f"the file has {len(data) // (1024 * 1024)} MiB, more than {MAX_BYTES // (1024 * 1024)} MiB"
        return empty, [place(empty, "file-too-large", message, (1, 1), hint="split it into several files")]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return empty, [place(empty, "not-utf8", "the file is UTF-16", (1, 1), hint="save it as UTF-8")]
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return Source(path, data.decode()), []
    except UnicodeDecodeError as error:
        before = Source(path, data[: error.start].decode())
        at = before.mark(len(before.text))
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        return empty, [place(before, "not-utf8", message, at, hint="save it as UTF-8")]


def read_yaml(path: str, data: bytes, *, pure: bool = False) -> tuple[Document, list[Diagnostic]]:
    """The one document in `data` and every finding; an empty file is a document without a root.

    `path` is relative to the project root and only named in findings. Where the structure is in doubt (a syntax
    error, several documents, runaway aliases) the root is None; after a finding about one value (a duplicate
    key, a refused number) the rest is there, so that it can be checked too. `pure` reads with the Python
    parser, which is used anyway where the C extension is missing.
    """
    source, findings = decode(path, data)
    if not findings:
        findings = _unreadable(source)
    if findings:
        return Document(source), [discreet(source, found) for found in findings]
    if found := conflict(source):
        return Document(source), [found]
    root, findings = _parsed(source, pure=pure)
    return Document(source, root), [discreet(source, found) for found in findings]


def _parsed(source: Source, *, pure: bool) -> tuple[Any, list[Diagnostic]]:
    """The root of a document, None where the structure is in doubt, and every finding."""
    builder = Builder(source)
    try:
        builder.run(_parser(source.text, pure=pure))
    except Stop as stop:
        left = middle(source) if stop.finding.code == SYNTAX else None
        return None, [left] if left else [*builder.findings, stop.finding]
    return builder.root, builder.findings


def _unreadable(source: Source) -> list[Diagnostic]:
    """The first character that may not stand in a YAML file; such files are not parsed at all."""
    found = _UNREADABLE.search(source.text)
    if not found:
        return []
    at = source.mark(found.start())
    message = f"the invisible character U+{ord(found.group()):04X} may not stand in a YAML file"
    hint = "remove it"
    if found.group() in "\x85\u2028\u2029":
        hint = f'remove it, or write it as `"\\u{ord(found.group()):04x}"` inside double quotes'
    return [place(source, "control-character", message, at, hint=hint)]


def _parser(text: str, *, pure: bool) -> Any:
    """A PyYAML event parser over `text`, the C one where there is one."""
    import yaml  # start-up: commands that find everything in the cache parse nothing

    if yaml.__with_libyaml__ and not pure:
        from yaml import cyaml

        return cyaml.CSafeLoader(text)
    return yaml.SafeLoader(text)
