"""Front matter as data with extents: the entries of one YAML mapping, and from where to where each was written.

The text belongs to people and other programs, so what a manifest may not hold is kept as it is: `.inf`, `.nan` and
numbers too long or too large to hold stay text, and `<<` is a key like any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from contentops.yaml.builder import Builder, StopReading
from contentops.yaml.positions import Map, Seq, Source, place, unpack
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


_PLAIN: Final = re.compile(
    r"(?P<indent>  )?(?:(?P<dash>-)|(?P<key>[A-Za-z][A-Za-z0-9_-]{0,99}):)"
    r"(?: (?:\"(?P<quoted>[^\"\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*)\""
    r"|(?P<text>[A-Za-z](?:[A-Za-z0-9 _./-]*[A-Za-z0-9_./-])?)|(?P<number>0|[1-9][0-9]{0,15})))?\n"
)
"""A plain line. Its texts without quotes are of letters, digits and signs that have no meaning in YAML."""
_SCALARS: Final = frozenset({"quoted", "text", "number"})
_BOOLS: Final = {"true": True, "false": False}


def _plainly_written(text: str) -> dict[str, Entry] | None:
    """The entries of a mapping that is written as we write most of them; None for every other text.

    Known are keys with a text, a whole number or a bool on one line, and below a key such keys or a list of such
    values. What is read here is read as the parser reads it, which takes five times as long.
    """
    entries: dict[str, Entry] = {}
    last, at = "", 0
    while at < len(text):
        line = _PLAIN.match(text, at)
        if line is None or any((word or "").lower() in {"null", *_BOOLS} for word in _odd_words(line)):
            return None
        at = line.end()
        if line["indent"]:
            entry = _with_line(entries[last], line) if entries else None
        else:
            last = line["key"]
            entry = _entry_of(line) if last and last not in entries else None
        if entry is None:
            return None
        entries[last] = entry
    return None if any(entry.value is None for entry in entries.values()) else entries


def _odd_words(line: re.Match[str]) -> tuple[str | None, ...]:
    """What of a plain line could be something else than a text."""
    return line["key"], None if line["text"] in _BOOLS else line["text"]


def _entry_of(line: re.Match[str]) -> Entry:
    """A plain line at column 0; without a value where that is to come below it."""
    raw, value, start, end = _scalar(line)
    key_start, key_end = line.span("key")
    return Entry(
        key=line["key"],
        value=value,
        raw=raw,
        key_start=key_start,
        key_end=key_end,
        value_start=start,
        value_end=end,
        block=False,
    )


def _with_line(over: Entry, line: re.Match[str]) -> Entry | None:
    """An entry with one more line below its key; None where it has no place there."""
    raw, value, _, end = _scalar(line)
    kind, name = (Seq, "dash") if line["dash"] else (Map, "key")
    if raw is None or over.raw is not None or not (over.value is None or type(over.value) is kind):
        return None
    below = kind() if over.value is None else over.value
    if isinstance(below, Seq):
        below.append(value)
    elif line["key"] in below:
        return None
    else:
        below[line["key"]] = value
    start = line.start(name) if over.value is None else over.value_start
    return structs.replace(over, value=below, value_start=start, value_end=end, block=True)


def _scalar(line: re.Match[str]) -> tuple[str | None, Any, int, int]:
    """The value of a plain line: as written, as it is meant, and from where to where it stands; None for none."""
    kind = line.lastgroup
    if kind not in _SCALARS:
        return None, None, -1, -1
    raw, (start, end) = line[kind], line.span(kind)
    if kind == "quoted":
        return raw, raw, start - 1, end + 1
    return raw, int(raw) if kind == "number" else _BOOLS.get(raw, raw), start, end


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
