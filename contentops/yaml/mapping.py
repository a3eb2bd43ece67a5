"""Reads front matter: the entries of one YAML mapping, each with its extent in the text.

Other programs write front matter too, so that more is allowed than in manifests: `.inf`, `.nan` and numbers that are
too long or too large stay text, and `<<` is a key like any other.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from contentops.errors import Diagnostic
from contentops.yaml.positions import Source, StopReading, events_of, finding_at, mark_of
from contentops.yaml.read import BREAKS, Builder, hide_secrets, unreadable

MAX_ALIASED: Final = 100_000
"""Most values that aliases of one block may repeat."""
_LEADING_EVENTS: Final = 3
"""Stream, document and mapping each start with an event."""
_STYLES_WITH_BREAKS: Final = frozenset("|>")


class YamlProblem(ValueError):
    """A text cannot be read as front matter; `line` is the line of the file."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Entry(Struct, frozen=True, kw_only=True):
    """One top-level key with its value; positions are offsets in characters into the text that was read.

    `raw` is a scalar's text as written, without quotes, else None. `value_end` excludes comments and blank lines after
    the value.
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


class Block(Struct, frozen=True, dict=True):
    """The top-level mapping of a text: its values by key, in order. Extents are only computed when read."""

    text: str = ""
    values: Mapping[str, Any] = {}

    @functools.cached_property
    def _events(self) -> list[Any]:
        return list(events_of(Source("", self.text)))

    @property
    def flow(self) -> bool:
        """Return whether the mapping is written in braces."""
        return next((bool(event.flow_style) for event in self._events if hasattr(event, "flow_style")), False)

    @functools.cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Return the entries of the mapping in order."""
        return tuple(_entries(iter(self._events[_LEADING_EVENTS:]), self.values, self.text)) if self.values else ()


def read_mapping(text: str, *, first_line: int = 1) -> Block:
    """Read `text` as one YAML mapping; text without any content is an empty one.

    `first_line` is the file's line that `text` starts on, for messages.
    Raises YamlProblem for what is not one safe mapping with unique text keys.
    """
    source = Source("", "\n" * (first_line - 1) + text)
    problem = unreadable(source, but=BREAKS)
    if problem is not None:
        raise _problem(source, problem)
    builder = Builder(source, lenient=True, max_aliased=MAX_ALIASED)
    try:
        root = builder.read()
    except StopReading as stop:
        raise _problem(source, stop.finding) from None
    if builder.findings:
        raise _problem(source, builder.findings[0])
    if root is not None and not isinstance(root, dict):
        start = next(itertools.islice(events_of(source), _LEADING_EVENTS - 1, None)).start_mark
        raise _problem(source, finding_at(source, "", "it is not a list of `key: value` lines", mark_of(start)))
    return Block(text, {} if root is None else root)


def _problem(source: Source, problem: Diagnostic) -> YamlProblem:
    return YamlProblem(hide_secrets(source, problem).message, problem.location.line if problem.location else 1)


def _entries(events: Iterator[Any], values: Mapping[str, Any], text: str) -> Iterator[Entry]:
    """Yield the entries of a mapping from the events after its start; its keys are scalars."""
    raws: dict[str, str | None] = {}
    for key in events:
        if not hasattr(key, "anchor"):
            return  # the end of the mapping
        _end(key, events, text, raws)
        value = next(events)
        end = _end(value, events, text, raws)
        yield Entry(
            key=key.value,
            value=values[key.value],
            raw=getattr(value, "value", None) if hasattr(value, "tag") else raws[value.anchor],
            key_start=key.start_mark.index,
            key_end=key.end_mark.index,
            value_start=value.start_mark.index,
            value_end=end,
            block=not getattr(value, "flow_style", True),
        )


def _end(event: Any, rest: Iterator[Any], text: str, raws: dict[str, str | None]) -> int:
    """Return the offset where the value that starts with an event ends; adds the texts of anchored scalars to `raws`.

    A block collection ends with its last value; the parser's end mark comes later.
    """
    start, end = event.start_mark.index, int(event.end_mark.index)
    if event.anchor and hasattr(event, "tag"):
        raws[event.anchor] = getattr(event, "value", None)
    if getattr(event, "style", None) in _STYLES_WITH_BREAKS:
        # The parser's end mark of a block scalar comes after the blank lines that follow it.
        return int(start + len(text[start:end].rstrip()))
    for inner in rest if hasattr(event, "flow_style") else ():
        if not hasattr(inner, "anchor"):
            return int(inner.end_mark.index) if event.flow_style else end
        end = max(end, _end(inner, rest, text, raws))
    return end
