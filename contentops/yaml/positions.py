"""Finds the locations of values in YAML files, and makes findings that point to them.

Reading keeps only the values, because most files have no problem. The text is parsed again when a position is needed.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.sanitize import Policy, sanitize

Mark = tuple[int, int]
"""1-based line and column (in characters, not bytes)."""
Pointer = tuple[str | int, ...]
"""Keys and list indexes from the root of a document."""

MAX_EVENTS: Final = 10_000_000
"""Most keys, values and brackets in one file."""
MERGE: Final = "\0<<"
"""Stands for the key `<<`, which merges another map; no written key can contain NUL."""
MAX_EXCERPT: Final = 10_000
"""A longer line has no excerpt, since each finding in it would copy the whole line."""

_NO_KEYS: Final[Mapping[str, Any]] = MappingProxyType({})
_BLOCK_STYLES: Final = frozenset("|>")
_BREAK: Final = re.compile(r"\r\n|\r|\n")
_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
QUOTED: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""")
"""A text with its quotes."""
_BARE: Final = re.compile(r"[^\s,\[\]{}]+")
_SNIPPET: Final = re.compile(r"""[^\s'"\\]{1,24}""")


class Seq(list[Any]):
    """A list that also knows the positions of its entries."""

    __slots__ = ("positions",)

    def __init__(self) -> None:
        self.positions: list[Mark] = []


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
        """Return the line with this 1-based number, without its newline, or an empty text if there is none."""
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def mark(self, index: int) -> Mark:
        """Return the position of the character with this 0-based index."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    @property
    def line_count(self) -> int:
        """Return the number of lines, which is at least 1."""
        return len(self._lines)

    @functools.cached_property
    def places(self) -> Places:
        """Return the positions of all values in the YAML text. After a syntax error, values are missing."""
        return Places(self)


class YamlDocument(Struct, frozen=True):
    """A YAML file that was read. `root` is a dict, a list or a scalar; None if it is empty or could not be read."""

    source: Source
    root: Any = None


class StopReading(Exception):  # control flow: reading this file ends here
    """The error that ends the reading of a file. `unquoted_jinja`: Jinja without quotes is the cause."""

    def __init__(self, finding: Diagnostic, *, unquoted_jinja: bool = False) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.unquoted_jinja = unquoted_jinja


def parser_of(source: Source) -> Any:
    """Return a libyaml parser for a text. Raises InputError if PyYAML was installed without libyaml.

    PyYAML's parser in Python takes ten times as long, and reads some texts in another way.
    """
    try:
        from yaml._yaml import CParser  # a loader around it takes three times as long to make
    except ImportError:
        message = "PyYAML is installed without libyaml, which contentops reads YAML with"
        hint = "install it again as a wheel: `pip install --force-reinstall --only-binary :all: pyyaml`"
        raise InputError([Diagnostic(code="no-libyaml", message=message, hint=hint)]) from None
    return CParser(source.text)


def events_of(source: Source, *, limit: int = MAX_EVENTS) -> Iterator[Any]:
    """Return the parser events of a YAML text, as PyYAML defines them.

    Raises StopReading if there are more events than `limit`, and the parser's own errors (see `unparsable`).
    """
    parser = parser_of(source)
    # The loop over the events stays in C.
    return itertools.chain(itertools.islice(iter(parser.get_event, None), limit), _beyond(parser, source, limit))


def _beyond(parser: Any, source: Source, limit: int) -> Iterator[Any]:
    if parser.get_event() is not None:
        message = f"the file has more than {limit:,} keys and values"
        raise StopReading(finding_at(source, "too-many-values", message, (1, 1)))
    yield from ()


class Place(Struct):
    """The position of a value and of the values inside it, as offsets in characters."""

    start: int
    end: int
    """After the value, without comments and blank lines behind it."""
    raw: str | None
    """The text of a scalar as written, without quotes."""
    flow: bool | None
    """Whether a map or a list is written in braces or brackets; None for other values."""
    entries: Sequence[Place] = ()
    """The positions of the entries of a list."""
    keys: Mapping[str, tuple[Place, Place]] = _NO_KEYS
    """By key of a map, the positions of the key and of its value."""
    merged: Sequence[Place] = ()
    """The maps that its `<<` merges."""

    def find(self, key: str) -> tuple[Place, Place] | None:
        """Return the positions of a key and of its value, or None if the map does not have the key."""
        return self.keys.get(key) or next(filter(None, (one.find(key) for one in self.merged)), None)


class Places:
    """The positions of all values in a YAML text; `root` is None if the text has no value."""

    def __init__(self, source: Source) -> None:
        from yaml import YAMLError, events

        self._kinds: Any = events
        self._text = source.text
        self._anchors: dict[str | None, Place] = {}
        self.first: dict[int, int] = {}
        """The offset of the first key, by the offset of a repeated key of the same map."""
        self.root: Place | None = None
        self._events = events_of(source)
        with contextlib.suppress(YAMLError, StopReading, OverflowError, ValueError, RecursionError):
            self.root = next((self._place(each) for each in self._events if isinstance(each, events.NodeEvent)), None)

    def _place(self, event: Any) -> Place:
        start, end = event.start_mark.index, event.end_mark.index
        if getattr(event, "style", None) in _BLOCK_STYLES:
            end = start + len(self._text[start:end].rstrip())
        place = Place(start, end, getattr(event, "value", None), getattr(event, "flow_style", None))
        if type(event) is self._kinds.AliasEvent:
            named = self._anchors.get(event.anchor, place)
            place.raw, place.entries, place.keys, place.merged = named.raw, named.entries, named.keys, named.merged
            return place
        self._anchors[event.anchor] = place
        last, entries, keys = place, list[Place](), dict[str, tuple[Place, Place]]()
        if place.flow is not None:
            place.entries, place.keys = entries, keys
        for inner in self._events if place.flow is not None else ():
            if not isinstance(inner, self._kinds.NodeEvent):
                # The mark of the end of a block comes later than its last value.
                place.end = inner.end_mark.index if place.flow else last.end
                break
            last = self._place(inner)
            if type(event) is self._kinds.SequenceStartEvent:
                entries.append(last)
                continue
            key, name = last, getattr(inner, "value", "")
            is_merge = name == "<<" and inner.implicit[0] and inner.tag is None
            name = MERGE if is_merge else name
            # Before its value is read, which may end in an error.
            first, _ = keys.setdefault(name, (key, key))
            if first is not key:
                self.first[key.start] = first.start
            last = self._place(next(self._events))
            if is_merge:
                place.merged = place.merged or last.entries or [last]
            if first is key:
                keys[name] = (key, last)
        return place


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
    """Return a finding at a known position in a file. It marks `width` characters, but only to the end of the line."""
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
    """Return the location of the value at `pointer`, or of the last value on the way to it that exists."""
    at, _, _ = _follow(document, pointer, key=False)
    return Location(document.source.path, *at)


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
    """Return a finding about the value at `pointer`, or about its key if `key` is true.

    `offset` is the character inside a text to point at.
    """
    at, node, is_key = _follow(document, pointer, key=key)
    if offset and isinstance(node, str):
        at, width = _inside(document.source, at, node, offset)
    else:
        width = _width(document.source.line(at[0])[:MAX_EXCERPT], at[1] - 1, node, key=is_key)
    return finding_at(document.source, code, message, at, width=width, hint=hint, severity=severity)


def _follow(document: YamlDocument, pointer: Sequence[str | int], *, key: bool) -> tuple[Mark, Any, bool]:
    """Find the value at a pointer, or the last value on the way to it that exists.

    Return a position, the value there, and whether the position is that of a key.
    """
    node = document.root
    place = document.source.places.root if isinstance(node, dict | list) else None
    if place is None:
        return (1, 1), node, False
    for depth, step in enumerate(pointer):
        if isinstance(node, dict) and step in node and (found := place.find(str(step))):
            if key and depth == len(pointer) - 1:
                return document.source.mark(found[0].start), str(step), True
            place, node = found[1], node[step]
        elif isinstance(node, list) and isinstance(step, int) and 0 <= step < min(len(node), len(place.entries)):
            place, node = place.entries[step], node[step]
        else:
            break
    return document.source.mark(place.start), node, False


def _width(line: str, start: int, node: Any, *, key: bool) -> int:
    """Return how many characters of `line` to underline for a value that starts at `start`."""
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
    """Find where the file has one character of a value.

    The character has the index `offset` in `text`, the value. Return its position, and how many characters to
    underline.

    Escapes, folding and indentation make the written form differ from the value. Therefore the n-th occurrence of the
    word in the value is taken to be its n-th occurrence in the file, counted from `at`.
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
