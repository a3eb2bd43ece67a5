"""Front matter as data with extents: the entries of one YAML mapping, and from where to where each was written.

The text belongs to people and other programs, so what a manifest may not hold is kept as it is: `.inf`, `.nan` and
numbers too long or too large to hold stay text, and `<<` is a key like any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.yaml.builder import Builder, StopReading
from contentops.yaml.positions import Map, Source, place, unpack
from contentops.yaml.read import BREAKS, discreet, parser_of, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.errors import Diagnostic

MAX_ALIASED: Final = 100_000
"""Most values that aliases of one block may repeat."""
_STYLES_WITH_BREAKS: Final = frozenset("|>")


class YamlProblem(ValueError):
    """Why text cannot be read as front matter, and on which line of the file."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Entry(Struct, frozen=True, kw_only=True):
    """One top-level key with its value; positions are offsets in characters into the text that was read.

    `raw` is a scalar's text as written, without quotes, else None. `value_end` is the end of the last thing that
    belongs to the value, without the comments and blank lines after it.
    """

    key: str
    value: Any
    raw: str | None
    key_start: int
    key_end: int
    value_start: int
    value_end: int
    block: bool
    """Whether the value is a block collection."""


class Block(Struct, frozen=True):
    """The top-level mapping: its entries in order, and whether it is written in braces."""

    entries: tuple[Entry, ...] = ()
    flow: bool = False


def read_mapping(text: str, *, first_line: int = 1, pure: bool = False) -> Block:
    """Read `text` as one YAML mapping; text without any content is an empty one.

    `first_line` is the file's line that `text` starts on, for messages. `pure` reads with the parser written in
    Python, as where the C library is missing.
    Raises YamlProblem for whatever is not a single, safe mapping with unique text keys.
    """
    entries = None if pure else _plainly_written(text)
    return Block(tuple(entries.values())) if entries else parse_mapping(text, first_line=first_line, pure=pure)


def parse_mapping(text: str, *, first_line: int = 1, pure: bool = False) -> Block:
    """The same, by the parser alone."""
    above = first_line - 1
    source = Source("", "\n" * above + text)
    found = unreadable(source, but=BREAKS)
    if found is not None:
        raise _problem(source, found)
    builder = Builder(source, foreign=True, max_aliased=MAX_ALIASED)
    parser = _Recorder(parser_of(source.text, pure=pure))
    try:
        builder.run(parser)
    except StopReading as stop:
        raise _problem(source, stop.finding) from None
    if builder.findings:
        raise _problem(source, builder.findings[0])
    root = builder.root
    if root is None:
        return Block()
    if not isinstance(root, Map):
        at = unpack(builder.top.node.places[0])
        raise _problem(source, place(source, "", "it is not a list of `key: value` lines", at))
    flow = next(bool(event.flow_style) for event in parser.events if hasattr(event, "flow_style"))
    return Block(tuple(_entries(parser.events, root, source.text, above)), flow)


_KEY: Final = r"(?!(?i:null|true|false):)[A-Za-z][A-Za-z0-9_-]{0,99}"
_QUOTED: Final = r"[^\"\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*"
# Letters, digits and signs that have no meaning in YAML.
_WORD = r"true|false|(?!(?i:null|true|false)\n)[A-Za-z](?:[A-Za-z0-9 _./-]*[A-Za-z0-9_./-])?"
# What looks like a date is text, whatever it says.
_WORD += r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?(?:Z|[+-][0-9:]{4,5}))?)?"
_NUMBER: Final = r"0|[1-9][0-9]{0,15}"
_SCALAR: Final = rf"(?:\"({_QUOTED})\"|({_WORD})|({_NUMBER}))\n"
_BELOW: Final = rf"(?:\"{_QUOTED}\"|{_WORD}|{_NUMBER})\n"
_PLAIN: Final = re.compile(rf"({_KEY}):(?: {_SCALAR}|\n((?:  - {_BELOW})++)|\n((?:  {_KEY}: {_BELOW})++))")
"""A key with a scalar, or with a list or a mapping of scalars below it."""
_PLAIN_LIST: Final = re.compile(rf"  - {_SCALAR}")
_PLAIN_PAIRS: Final = re.compile(rf"  ({_KEY}): {_SCALAR}")
_BOOLS: Final = {"true": True, "false": False}


def _plainly_written(text: str) -> dict[str, Entry] | None:
    """The entries of a mapping that is written as we write most of them; None for every other text.

    What is read here is read as the parser reads it, which takes ten times as long.
    """
    entries: dict[str, Entry] = {}
    at = 0
    while at < len(text):
        found = _PLAIN.match(text, at)
        if found is None or found[1] in entries:
            return None
        key, quoted, word, number, below, pairs = found.groups("")
        value: Any
        if below:
            value = [_meant(*scalar) for scalar in _PLAIN_LIST.findall(below)]
        elif pairs:
            value = {name: _meant(*scalar) for name, *scalar in _PLAIN_PAIRS.findall(pairs)}
            if len(value) < pairs.count("\n"):
                return None  # a key is there twice
        else:
            value = _meant(quoted, word, number)
        block = bool(below or pairs)
        key_end = at + len(key)
        entries[key] = Entry(
            key=key,
            value=value,
            raw=None if block else quoted or word or number,
            key_start=at,
            key_end=key_end,
            value_start=key_end + (4 if block else 2),
            value_end=found.end() - 1,
            block=block,
        )
        at = found.end()
    return entries


def _meant(quoted: str, word: str, number: str) -> str | int | bool:
    """The value of a scalar, by the way it is written."""
    return int(number) if number else quoted or _BOOLS.get(word, word)


def _problem(source: Source, found: Diagnostic) -> YamlProblem:
    return YamlProblem(discreet(source, found).message, found.location.line if found.location else 1)


class _Recorder:
    """Hands a parser's events on, and keeps them."""

    def __init__(self, parser: Any) -> None:
        self.events: list[Any] = []
        self._parser = parser

    def get_event(self) -> Any:
        """The next event of the parser."""
        event = self._parser.get_event()
        self.events.append(event)
        return event

    def get_mark(self) -> Any:
        """Where the parser stands; only the Python parser can tell."""
        return self._parser.get_mark()


def _entries(events: list[Any], root: Map, text: str, above: int) -> Iterator[Entry]:
    """The entries of the mapping that `events` describe, a whole document whose top-level keys are scalars.

    Offsets do not count the first `above` characters of the text.
    """
    from yaml import events as kinds

    # Marks are optional in the types of PyYAML; those of parsed events are there.
    opening: Any = kinds.CollectionStartEvent
    closing: Any = kinds.CollectionEndEvent
    alias: Any = kinds.AliasEvent
    raws: dict[str, str | None] = {}
    found: list[tuple[Any, Any, str | None]] = []
    ends: list[int] = []
    key: Any = None
    flows: list[bool] = []
    for event in events:
        end = -1
        if isinstance(event, closing):
            # A block collection ends with the last thing in it, not where the parser noticed.
            end = event.end_mark.index if flows.pop() else -1
        elif isinstance(event, (kinds.ScalarEvent, alias, opening)):
            raw = raws.get(event.anchor) if isinstance(event, alias) else getattr(event, "value", None)
            if event.anchor:
                raws[event.anchor] = raw
            if len(flows) == 1 and key is None:
                key = event
                continue
            if len(flows) == 1:
                found.append((key, event, raw))
                ends.append(0)
                key = None
            end = _end(event, text)
            if isinstance(event, opening):
                flows.append(bool(event.flow_style))
        if ends and flows:
            ends[-1] = max(ends[-1], end)
    for (key, value, raw), end in zip(found, ends, strict=True):
        yield Entry(
            key=key.value,
            value=root[key.value],
            raw=raw,
            key_start=key.start_mark.index - above,
            key_end=key.end_mark.index - above,
            value_start=value.start_mark.index - above,
            value_end=end - above,
            block=isinstance(value, opening) and not value.flow_style,
        )


def _end(event: Any, text: str) -> int:
    """Where a scalar, an alias or the sign that opens a collection ends."""
    start, end = event.start_mark.index, event.end_mark.index
    if getattr(event, "style", None) in _STYLES_WITH_BREAKS:
        # The parser counts the line breaks after a block scalar to it; blank lines there belong to nothing.
        return int(start + len(text[start:end].rstrip()))
    return int(end)
