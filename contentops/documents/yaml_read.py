"""Front matter as data with positions: the entries of one YAML mapping, and where each was written.

Values are JSON types by the rules of YAML 1.2's core schema; dates, `yes`, `no`, `1:30` and `012` stay text, and so do
`.inf`, `.nan` and numbers too long or too large to hold. Read from parser events, so that deep nesting, alias bombs and
custom tags end in a clear error, and an editor knows the exact extent of each value.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NODES: Final = 100_000
"""How many values front matter may hold, aliases expanded."""
MAX_DEPTH: Final = 100
"""How deep values may be nested, aliases expanded."""

_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_INT: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_CORE_TAGS: Final = frozenset(
    {None, *_TEXT_TAGS, *(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "map", "seq"))}
)
_LONGEST_NUMBER: Final = 300
_STYLES_WITH_BREAKS: Final = "|>"


class YamlProblem(ValueError):
    """Why text cannot be read as front matter, and on which line of the file (0: on none)."""

    def __init__(self, message: str, line: int = 0) -> None:
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
    try:
        parser = _parser(text, pure=pure)
        try:
            return _Reader(text, first_line, parser.get_event).document()
        finally:
            parser.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(str(error.problem or error.context), mark.line + first_line if mark else 0) from None
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        line = text.encode(errors="replace")[:position].count(b"\n") + first_line
        raise YamlProblem("it holds a character that YAML does not allow", line) from None
    except UnicodeError:
        raise YamlProblem("it is not valid Unicode text") from None


def _parser(text: str, *, pure: bool) -> Any:
    if pure or not yaml.__with_libyaml__:
        return _PureParser(text)
    from yaml._yaml import CParser

    return CParser(text)


class _PureParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


class _Node(Struct, frozen=True):
    """A value with what it weighs: its number of nodes, its height, and its extent in the text."""

    value: Any
    size: int
    height: int
    start: int
    end: int
    raw: str | None = None
    block: bool = False


class _Reader:
    """One pass over the events of one document."""

    def __init__(self, text: str, first_line: int, get: Callable[[], Any]) -> None:
        self._text = text
        self._first_line = first_line
        self._get = get
        self._anchors: dict[str, _Node] = {}
        self._nodes = 0

    def document(self) -> Block:
        self._get()
        event = self._get()
        if isinstance(event, yaml.StreamEndEvent):
            return Block()
        event = self._get()
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and plain_value(event.value) is None:
            found = Block()
        elif isinstance(event, yaml.MappingStartEvent):
            self._check_tag(event)
            pairs, _ = self._pairs(depth=1)
            found = Block(tuple(_entry(*pair) for pair in pairs), bool(event.flow_style))
        else:
            self._fail("it is not a list of `key: value` lines", event)
        self._get()
        event = self._get()
        if not isinstance(event, yaml.StreamEndEvent):
            self._fail("it holds more than one YAML document", event)
        return found

    def _pairs(self, depth: int) -> tuple[list[tuple[str, _Node, Any]], Any]:
        """The entries of the mapping that was just opened, each with its key's event, and the event that ends it."""
        found: list[tuple[str, _Node, Any]] = []
        lines: dict[str, int] = {}
        while not isinstance(event := self._get(), yaml.MappingEndEvent):
            key = self._key(event)
            if key in lines:
                self._fail(f"the key {_shown(key)} is written twice, first on line {lines[key]}", event)
            lines[key] = event.start_mark.line + self._first_line
            found.append((key, self._node(self._get(), depth), event))
        return found, event

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.AliasEvent):
            raw = self._alias(event).raw
        elif isinstance(event, yaml.ScalarEvent):
            raw = self._node(event, 0).raw
        else:
            raw = None
        if raw is None:
            self._fail("a key is not a text", event)
        return raw

    def _node(self, event: Any, depth: int) -> _Node:
        self._count(1, event)
        if depth > MAX_DEPTH:
            self._fail(f"it is nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event, depth)
        self._check_tag(event)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: Any, depth: int) -> _Node:
        node = self._alias(event)
        self._count(node.size, event)
        if depth + node.height > MAX_DEPTH:
            self._fail(f"it is nested deeper than {MAX_DEPTH} levels", event)
        return _Node(node.value, node.size, node.height, event.start_mark.index, event.end_mark.index, node.raw)

    def _alias(self, event: Any) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            # An alias inside the value it names is not known yet either: nothing can contain itself.
            self._fail(f"the alias {_shown('*' + event.anchor)} names nothing written before it", event)
        return node

    def _sequence(self, event: Any, depth: int) -> _Node:
        values: list[Any] = []
        size, height, end = 1, 0, event.end_mark.index
        while not isinstance(inner := self._get(), yaml.SequenceEndEvent):
            node = self._node(inner, depth + 1)
            values.append(node.value)
            size, height, end = size + node.size, max(height, node.height), node.end
        if event.flow_style:
            end = _end(inner)
        return _Node(values, size, height + 1, event.start_mark.index, end, block=not event.flow_style)

    def _mapping(self, event: Any, depth: int) -> _Node:
        pairs, last = self._pairs(depth + 1)
        values = {key: node.value for key, node, _ in pairs}
        size = 1 + sum(node.size + 1 for _, node, _ in pairs)
        height = max((node.height for _, node, _ in pairs), default=0)
        # A value that was left out has no place of its own: its entry ends where the key does.
        ends = [_end(last)] if event.flow_style else [max(at.end_mark.index, node.end) for _, node, at in pairs]
        end = max(ends, default=event.end_mark.index)
        return _Node(values, size, height + 1, event.start_mark.index, end, block=not event.flow_style)

    def _scalar(self, event: Any) -> _Node:
        meant = event.tag not in _TEXT_TAGS if event.tag is not None else not event.style
        value = plain_value(event.value) if meant else event.value
        start, end = event.start_mark.index, event.end_mark.index
        if event.style and event.style in _STYLES_WITH_BREAKS:
            # The parser counts the line breaks after a block scalar to it; blank lines there are nobody's.
            end = start + len(self._text[start:end].rstrip())
        return _Node(value, 1, 0, start, end, event.value)

    def _check_tag(self, event: Any) -> None:
        if event.tag not in _CORE_TAGS:
            self._fail(f"the tag {_shown(str(event.tag))} is not allowed", event)

    def _fail(self, message: str, event: Any) -> NoReturn:
        raise YamlProblem(message, event.start_mark.line + self._first_line)

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._fail(f"it expands to more than {MAX_NODES:,} values", event)


def _entry(key: str, node: _Node, at: Any) -> Entry:
    return Entry(
        key=key,
        value=node.value,
        raw=node.raw,
        key_start=at.start_mark.index,
        key_end=at.end_mark.index,
        value_start=node.start,
        value_end=node.end,
        block=node.block,
    )


def _end(event: Any) -> int:
    return int(event.end_mark.index)


def plain_value(text: str) -> Any:
    """What an unquoted scalar means by YAML 1.2's core schema, but for what contentops keeps as text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_INT.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _shown(text: str) -> str:
    """`text` for a message: shortened, without anything a terminal could obey."""
    short = text if len(text) <= 60 else f"{text[:60]}…"
    return "`" + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in short) + "`"
