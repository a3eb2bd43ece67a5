"""Reads front matter as one YAML mapping, and finds the start and end of each entry in the text.

Other programs write front matter too, so more is allowed than in manifests: `.inf`, `.nan` and numbers that are too
long or too large stay text, and `<<` is a key like any other.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from contentops.errors import Diagnostic
from contentops.yaml.positions import MERGE, Place, Source, StopReading, finding_at
from contentops.yaml.read import BREAKS, Builder, hide_secrets, unreadable

MAX_ALIASED: Final = 100_000
"""Most values that aliases of one block may repeat."""


class YamlProblem(ValueError):
    """The error for a text that cannot be read as front matter. `line` is the line of the problem in the file."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Entry(Struct, frozen=True, kw_only=True):
    """One top-level key of front matter, with its value and the positions of both.

    Positions are offsets in characters. `raw` is a scalar's text as written, without quotes, and None for other values.
    `value_end` excludes comments and blank lines after the value.
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
    """The top-level mapping of a text, with its keys and values in order. Positions are computed when first read."""

    text: str = ""
    values: Mapping[str, Any] = {}

    @functools.cached_property
    def _root(self) -> Place | None:
        return Source("", self.text).places.root

    @property
    def flow(self) -> bool:
        """Return whether the mapping is written in braces."""
        return self._root is not None and self._root.flow is True

    @functools.cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Return the entries of the mapping in order."""
        places = self._root.keys if self._root is not None else {}
        keys = ("<<" if name == MERGE else name for name in places)
        return tuple(_entry(key, self.values[key], *each) for key, each in zip(keys, places.values(), strict=True))


def read_mapping(text: str, *, first_line: int = 1) -> Block:
    """Read `text` as one YAML mapping. A text without content gives an empty mapping.

    `first_line` is the file's line that `text` starts on, for messages.
    Raises YamlProblem for a text that is not one safe mapping with unique text keys.
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
        at = source.mark(source.places.root.start) if source.places.root is not None else (1, 1)
        raise _problem(source, finding_at(source, "", "it is not a list of `key: value` lines", at))
    return Block(text, {} if root is None else root)


def _problem(source: Source, problem: Diagnostic) -> YamlProblem:
    return YamlProblem(hide_secrets(source, problem).message, problem.location.line if problem.location else 1)


def _entry(key: str, value: Any, name: Place, place: Place) -> Entry:
    return Entry(
        key=key,
        value=value,
        raw=place.raw,
        key_start=name.start,
        key_end=name.end,
        value_start=place.start,
        value_end=place.end,
        block=place.flow is False,
    )
