"""Values with the positions they were written at, and findings that point there."""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.errors import Diagnostic, Location, Severity
from contentops.sanitize import Policy, sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

Mark = tuple[int, int]
"""1-based line and column (in characters, not bytes)."""
Pointer = tuple[str | int, ...]
"""Keys and list indexes from the root of a document."""

SHIFT: Final = 27
"""A packed position is 0-based `line << SHIFT | column`; it takes an eighth of the memory of a tuple."""
_COLUMN: Final = (1 << SHIFT) - 1
NOWHERE: Final = -1
"""The packed position of a value that is in no file."""
MAX_EXCERPT: Final = 10_000
"""A longer line has no excerpt, since each finding in it would copy the whole line."""

_BREAK: Final = re.compile(r"\r\n|\r|\n")
_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
QUOTED: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""")
"""A text with its quotes."""
_BARE: Final = re.compile(r"[^\s,\[\]{}]+")
_SNIPPET: Final = re.compile(r"""[^\s'"\\]{1,24}""")


def unpack(packed: int) -> Mark:
    """The mark of a packed position."""
    return (packed >> SHIFT) + 1, (packed & _COLUMN) + 1


def pack(location: Location) -> int:
    """The packed position of a location."""
    return (location.line - 1) << SHIFT | (location.column - 1)


class Map(dict[str, Any]):
    """A mapping with its packed position, and in `positions` those of each key and its value in turn."""

    __slots__ = ("positions", "start")

    def __init__(self, *, start: int = 0) -> None:
        self.start = start
        self.positions: list[int] = []

    @property
    def at(self) -> Mark:
        """The position of its first key, or of its bracket."""
        return unpack(self.start)

    @property
    def keys_at(self) -> dict[str, Mark]:
        """The position of each key."""
        return dict(zip(self, map(unpack, self.positions[::2]), strict=True))

    @property
    def values_at(self) -> dict[str, Mark]:
        """The position of each value."""
        return dict(zip(self, map(unpack, self.positions[1::2]), strict=True))


class Seq(list[Any]):
    """A list with the packed positions of itself and of its entries."""

    __slots__ = ("positions", "start")

    def __init__(self, *, start: int = 0) -> None:
        self.start = start
        self.positions: list[int] = []

    @property
    def at(self) -> Mark:
        """The position of its first dash, or of its bracket."""
        return unpack(self.start)

    @property
    def values_at(self) -> list[Mark]:
        """The position of each entry."""
        return [unpack(packed) for packed in self.positions]


class Source(Struct, frozen=True, dict=True):
    """The text of a file and its path relative to the project root, with forward slashes."""

    path: str
    text: str

    @functools.cached_property
    def _lines(self) -> list[str]:
        return _BREAK.split(self.text)

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _BREAK.finditer(self.text))]

    def line(self, number: int) -> str:
        """The line with this 1-based number, without its newline; empty where there is none."""
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def mark(self, index: int) -> Mark:
        """The position of the character with this 0-based index."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    @property
    def line_count(self) -> int:
        """The number of lines; at least 1."""
        return len(self._lines)


class YamlDocument(Struct, frozen=True):
    """A file that was read. `root` is a Map, a Seq or a scalar; None where it is empty or could not be read."""

    source: Source
    root: Any = None


def finding_at(
    source: Source,
    code: str,
    message: str,
    at: Mark,
    *,
    width: int = 1,
    hint: str = "",
    severity: Severity = Severity.ERROR,
) -> Diagnostic:
    """A finding at a known position of a file; `width` is kept within the line."""
    line, column = at
    written = source.line(line)
    excerpt = sanitize(written, Policy.EXCERPT) if len(written) <= MAX_EXCERPT else ""
    return Diagnostic(
        code=code,
        message=sanitize(message, Policy.EXCERPT),
        severity=severity,
        location=Location(source.path, line, column),
        excerpt=excerpt,
        width=max(1, min(width, len(excerpt) - column + 1)),
        hint=sanitize(hint, Policy.EXCERPT),
    )


def locate(document: YamlDocument, pointer: Sequence[str | int]) -> Location:
    """The location of the value at `pointer`, or of the deepest value on the way that exists."""
    (line, column), _, _ = _follow(document, pointer, key=False)
    return Location(document.source.path, line, column)


def finding(
    document: YamlDocument,
    code: str,
    message: str,
    pointer: Sequence[str | int] = (),
    *,
    key: bool = False,
    hint: str = "",
    severity: Severity = Severity.ERROR,
    offset: int = 0,
) -> Diagnostic:
    """A finding about the value at `pointer`, or about its `key`; `offset` is the character of a text to point at."""
    at, node, is_key = _follow(document, pointer, key=key)
    if offset and isinstance(node, str):
        at, width = _inside(document.source, at, node, offset)
    else:
        width = _width(document.source.line(at[0])[:MAX_EXCERPT], at[1] - 1, node, key=is_key)
    return finding_at(document.source, code, message, at, width=width, hint=hint, severity=severity)


def _follow(document: YamlDocument, pointer: Sequence[str | int], *, key: bool) -> tuple[Mark, Any, bool]:
    """Position and value of the deepest part of a pointer that exists, and whether that is a key."""
    node = document.root
    at: Mark = getattr(node, "at", (1, 1))
    for depth, step in enumerate(pointer):
        if isinstance(node, Map) and step in node:
            name = str(step)
            if key and depth == len(pointer) - 1:
                return unpack(node.positions[2 * list(node).index(name)]), name, True
            at, node = unpack(node.positions[2 * list(node).index(name) + 1]), node[name]
        elif isinstance(node, Seq) and isinstance(step, int) and 0 <= step < len(node):
            at, node = unpack(node.positions[step]), node[step]
        else:
            break
    return at, node, False


def _width(line: str, start: int, node: Any, *, key: bool) -> int:
    """How many characters of `line` from `start` the scalar `node` takes; 1 for lists and maps."""
    begin = _PROPERTIES.match(line, start)
    skipped = begin.end() - start if begin else 0
    start += skipped
    if isinstance(node, (dict, list)):
        return skipped + 1
    quoted = QUOTED.match(line, start)
    if quoted:
        return skipped + quoted.end() - start
    text = node if isinstance(node, str) else ""
    if text and (key or line.startswith(text, start)):
        return skipped + len(text)
    if text and line[start : start + 1] not in {"", "|", ">", "*"}:
        return skipped + len(line[start:].rstrip())
    bare = _BARE.match(line, start)
    return skipped + (bare.end() - start if bare else 1)


def _inside(source: Source, at: Mark, text: str, offset: int) -> tuple[Mark, int]:
    """The position of character `offset` of a text written at `at`, and how many characters to underline.

    Escapes, folding and indentation make the written form differ from the value. So the n-th occurrence of the word
    in the value is its n-th occurrence in the file from `at` on.
    """
    match = _SNIPPET.search(text, offset)
    if not match:
        return at, 1
    word = match.group()
    remaining = text.count(word, 0, match.start() + len(word)) or 1
    number, start = at[0], at[1] - 1
    last = min(source.line_count, at[0] + 2 * (text.count("\n") + 2) + len(text) // 20)
    while number <= last:
        line = source.line(number)
        while (position := line.find(word, start)) >= 0:
            remaining -= 1
            if not remaining:
                return (number, position + 1), len(word)
            start = position + len(word)
        number, start = number + 1, 0
    return at, 1
