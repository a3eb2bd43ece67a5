"""Builds values with positions from the parser's events, within limits for hostile input."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any, Final

from contentops.errors import nearest
from contentops.yaml.positions import SHIFT, Map, Seq, Source, finding_at, unpack
from contentops.yaml.syntax import CODE, explain, number_hint, plain_scalar, unwanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.errors import Diagnostic

MAX_DEPTH: Final = 100
"""Deepest nesting, aliases expanded."""
MAX_EVENTS: Final = 10_000_000
"""Most keys, values and brackets in one file."""
MAX_ALIASED: Final = 1_000_000
"""Most values that aliases of one file may repeat."""
MAX_FINDINGS: Final = 1_000
"""After so many problems reading stops."""

_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final[dict[str, type | tuple[type, ...]]] = {
    f"{_TAG}int": int,
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": bool,
    f"{_TAG}null": type(None),
}
_TEXT_TAGS: Final = frozenset({None, "!", f"{_TAG}str"})
_MAP_TAGS: Final = frozenset({None, "!", f"{_TAG}map"})
_SEQ_TAGS: Final = frozenset({None, "!", f"{_TAG}seq"})
_MERGE: Final = "\0<<"
"""Stands for the key `<<`, which merges another map; no written key can contain NUL."""
_NOT_READ: Final = object()


class StopReading(Exception):  # control flow: reading this file ends here
    """Reading cannot go on; `unquoted_jinja` says whether that is the cause."""

    def __init__(self, finding: Diagnostic, *, unquoted_jinja: bool = False) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.unquoted_jinja = unquoted_jinja


class _Anchor:
    """A value that aliases may repeat, with its number of values (0 while it is being read) and its depth."""

    __slots__ = ("height", "nodes", "value")

    def __init__(self, value: Any = None, nodes: int = 0) -> None:
        self.value = value
        self.nodes = nodes
        self.height = 0


def _stop(source: Source, at: int, code: str, message: str, *, width: int = 1, hint: str = "") -> StopReading:
    """The exception for a problem after which reading cannot go on."""
    return StopReading(finding_at(source, code, message, unpack(at), width=width, hint=hint))


def events_of(source: Source, *, pure: bool = False, limit: int = MAX_EVENTS) -> Iterator[Any]:
    """PyYAML's events of a text, from the Python parser if `pure` or if libyaml is missing, else from the C parser.

    Raises StopReading where there are more events than `limit`, and the parser's own errors (see `unparsable`).
    """
    parser = _parser(source, pure=pure)
    return itertools.chain(itertools.islice(iter(parser.get_event, None), limit), _beyond(parser, source, limit))


def _beyond(parser: Any, source: Source, limit: int) -> Iterator[Any]:
    if parser.get_event() is not None:
        raise _stop(source, 0, "too-many-values", f"the file has more than {limit:,} keys and values")
    yield from ()


def _parser(source: Source, *, pure: bool) -> Any:
    import yaml  # start-up: commands that find everything in the cache parse nothing

    return (yaml.CSafeLoader if yaml.__with_libyaml__ and not pure else yaml.SafeLoader)(source.text)


def unparsable(source: Source, *, pure: bool) -> StopReading | None:
    """The syntax error of a text, which is parsed again to know the event before the error; None: there is none."""
    from yaml import YAMLError

    parser, event = _parser(source, pure=pure), None
    try:
        while (event := parser.get_event()) is not None:
            pass
    except YAMLError as error:
        problem, unquoted_jinja = explain(source, error, event)
        return StopReading(problem, unquoted_jinja=unquoted_jinja)
    except (OverflowError, ValueError):  # the Python parser's, for an escape like `\UFFFFFFFF`
        mark = parser.get_mark()
        message = "an escape sequence in double quotes is not a character"
        return _stop(source, mark.line << SHIFT | mark.column, CODE, message)
    return None


class Builder:
    """Turns events into Map, Seq and scalars within limits; `findings` are the problems after which reading goes on.

    With `lenient`, for text of other programs, numbers that JSON cannot hold stay text, control characters may be
    written as escapes, and `<<` is a key like any other.
    """

    def __init__(self, source: Source, *, lenient: bool = False, max_aliased: int = MAX_ALIASED) -> None:
        from yaml import events

        self.findings: list[Diagnostic] = []
        self._source = source
        self._lenient = lenient
        self._max_aliased = max_aliased
        self._kinds: Any = events
        self._events: Iterator[Any] = iter(())
        self._anchors: dict[str, _Anchor] = {}
        self._scalars: dict[str, Any] = {}
        self._aliased = 0
        self._nodes = 0
        """Values read so far; those that aliases repeat count each time."""
        self._deepest = 0
        """The depth of the collection that is being read, counted from the root."""

    def read(self, *, pure: bool = False) -> Any:
        """The value of the one document. Raises StopReading."""
        from yaml import YAMLError

        self._events = events_of(self._source, pure=pure)
        try:
            return self._document()
        except (YAMLError, OverflowError, ValueError):
            stop = unparsable(self._source, pure=pure)
            if stop is None:
                raise
            # An error behind an unquoted expression is the same mistake.
            if stop.unquoted_jinja and self.findings and self.findings[-1].code == "unquoted-jinja":
                self.findings.pop()
            raise stop from None

    def _document(self) -> Any:
        root, documents = None, 0
        for event in self._events:
            at = event.start_mark.line << SHIFT | event.start_mark.column
            if type(event) is self._kinds.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    message = "a second YAML document starts here"
                    hint = "a file has one document: move the part after `---` to another file"
                    raise self._stop(at, "several-documents", message, width=3, hint=hint)
            elif isinstance(event, self._kinds.NodeEvent):
                root = self._value(event, at, 0)
        return root

    def _report(self, code: str, message: str, at: int, *, width: int = 1, hint: str = "") -> None:
        """Add a problem after which reading goes on."""
        if len(self.findings) >= MAX_FINDINGS:
            raise self._stop(at, "too-many-findings", f"the file has more than {MAX_FINDINGS:,} such problems")
        self.findings.append(finding_at(self._source, code, message, unpack(at), width=width, hint=hint))

    def _stop(self, at: int, code: str, message: str, *, width: int = 1, hint: str = "") -> StopReading:
        return _stop(self._source, at, code, message, width=width, hint=hint)

    # --- lists and maps ------------------------------------------------------------------------------------

    def _value(self, event: Any, at: int, depth: int) -> Any:
        """The value that starts with an event, `depth` lists and maps below the root.

        The value of an unquoted `{{ expression }}` is its text.
        """
        kind, kinds = type(event), self._kinds
        if kind is kinds.ScalarEvent:
            return self._scalar(event, at)
        if kind is kinds.AliasEvent:
            return self._alias(event, at, depth)
        is_map = kind is kinds.MappingStartEvent
        if event.tag not in (_MAP_TAGS if is_map else _SEQ_TAGS):
            self._refuse_tag(event.tag, at)
        if depth >= MAX_DEPTH:
            raise self._too_deep(at)
        read, nodes, deepest = self._map if is_map else self._seq, self._nodes, self._deepest
        if not event.anchor:
            self._deepest = max(deepest, depth + 1)
            return read(at, depth + 1)
        anchor = self._anchors[event.anchor] = _Anchor()
        self._deepest = depth + 1
        value = read(at, depth + 1)
        anchor.value, anchor.nodes, anchor.height = value, self._nodes - nodes + 1, self._deepest - depth
        self._deepest = max(deepest, self._deepest)
        return value

    def _too_deep(self, at: int, width: int = 1) -> StopReading:
        return self._stop(at, "too-deep", f"lists and maps are nested more than {MAX_DEPTH} deep", width=width)

    def _seq(self, at: int, depth: int) -> Seq:
        node = Seq(start=at)
        positions, scalar, end = node.positions, self._kinds.ScalarEvent, self._kinds.SequenceEndEvent
        for event in self._events:
            kind = type(event)
            if kind is end:
                break
            mark = event.start_mark
            at = mark.line << SHIFT | mark.column
            node.append(self._scalar(event, at) if kind is scalar else self._value(event, at, depth))
            positions.append(at)
        self._nodes += len(node)
        return node

    def _map(self, start: int, depth: int) -> Map | str:
        node = Map(start=start)
        positions, events = node.positions, self._events
        scalar, end = self._kinds.ScalarEvent, self._kinds.MappingEndEvent
        merged: tuple[int, Any] | None = None
        expression: int | None = None
        for event in events:
            kind = type(event)
            if kind is end:
                break
            mark = event.start_mark
            key_at = mark.line << SHIFT | mark.column
            if kind is scalar:
                key = self._key(event, key_at)
                if expression is None and (key in node or not key or (key is _MERGE and merged)):
                    self._check_key(event, key_at, node, merged[0] if key is _MERGE and merged else None)
            else:
                key, expression = "", self._start_of_expression(event, key_at, node)
                self._value(event, key_at, depth)
            written = next(events)
            mark = written.start_mark
            at = mark.line << SHIFT | mark.column
            value = self._scalar(written, at) if type(written) is scalar else self._value(written, at, depth)
            if key is _MERGE:
                merged = merged or (key_at, value)
            elif key not in node:
                node[key] = value
                positions.append(key_at)
                positions.append(at)
        if merged:
            self._merge(node, *merged)
        self._nodes += len(node)
        return node if expression is None else self._expression(expression, event.end_mark.index)

    def _merge(self, node: Map, at: int, value: Any) -> None:
        """Fill a map from its `<<` key: its own keys win, then the earlier of several sources."""
        for source in value if isinstance(value, Seq) else (value,):
            if not isinstance(source, Map):
                hint = "write `<<: *name`, where `&name` marks a map"
                self._report("bad-merge", "`<<` takes a map or a list of maps", at, width=2, hint=hint)
                return
            self._repeat(len(source), at)
            positions = iter(source.positions)
            for (key, entry), key_at, value_at in zip(source.items(), positions, positions, strict=True):
                if key not in node:
                    node[key] = entry
                    node.positions += (key_at, value_at)

    def _start_of_expression(self, event: Any, at: int, node: Map) -> int:
        """The index where an unquoted `{{ expression }}` starts, which YAML reads as a map for a key.

        Raises StopReading for any other key that is not a scalar.
        """
        if type(event) is self._kinds.AliasEvent:
            self._anchor(event, at)
            raise self._stop(at, "bad-key", "an alias cannot be a key", width=len(event.anchor) + 1)
        text, index = self._source.text, event.start_mark.index
        if index and not node and text.startswith("{{", index - 1):
            return int(index - 1)
        jinja = text.startswith("{{", index)
        hint = 'quote Jinja: `"{{ name }}": value`' if jinja else "keys are plain words or quoted texts"
        raise self._stop(at, "bad-key", "a list or a map cannot be a key", hint=hint)

    def _expression(self, start: int, end: int) -> str:
        """Report an unquoted `{{ expression }}`; returns its text."""
        text = self._source.text[start:end]
        line, column = self._source.mark(start)
        hint = f'quote Jinja: `"{text}"`' if len(text) <= 80 and '"' not in text else "put the text in quotes"
        message = "unquoted `{{` is read as a map by YAML"
        self._report("unquoted-jinja", message, (line - 1) << SHIFT | column - 1, width=len(text), hint=hint)
        return text

    # --- keys and scalars ----------------------------------------------------------------------------------

    def _key(self, event: Any, at: int) -> str:
        text: str = event.value
        is_plain = event.implicit[0] and event.tag is None
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(text, 1)
        if not is_plain:
            if event.tag not in _TEXT_TAGS:
                self._refuse_tag(event.tag, at)
            self._check_text(event, at)
        return _MERGE if text == "<<" and is_plain and not self._lenient else sys.intern(text)

    def _check_key(self, event: Any, at: int, node: Map, first: int | None) -> None:
        """Report an empty key, or one that its map has already; `first` is the position of an earlier `<<`."""
        text = event.value
        if not text and event.implicit[0] and event.tag is None and not self._lenient:
            self._report("empty-key", "a key is missing before the `:`", at, hint="write `key: value`")
        if first is None and text in node:  # `keys_at` is only right once the map is complete
            first = node.positions[2 * list(node).index(text)]
        if first is not None:
            line, column = unpack(first)
            message = f"the key `{text[:80]}` appears twice in the same map: first at line {line}, column {column}"
            hint = "write `- id` if a new item starts here" if text == "id" else "remove one, or rename it"
            self._report("duplicate-key", message, at, width=len(text), hint=hint)

    def _scalar(self, event: Any, at: int) -> Any:
        text = event.value
        if event.implicit[0] and event.tag is None:
            value = self._scalars.get(text, _NOT_READ)
            if value is _NOT_READ:
                value = self._plain(text, at)
        else:
            value = self._tagged(event, at)
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(value, 1)
        return value

    def _plain(self, text: str, at: int) -> Any:
        """The value of an unquoted scalar."""
        try:
            value = self._scalars[text] = plain_scalar(text)
        except ValueError as error:
            if not self._lenient:
                hint = "put it in quotes if it is meant as text"
                self._report("bad-number", str(error), at, width=len(text), hint=hint)
            return text
        return value

    def _tagged(self, event: Any, at: int) -> Any:
        """The value of a scalar that is quoted, a block, or carries a tag."""
        self._check_text(event, at)
        text: str = event.value
        tag: str | None = event.tag
        if tag in _TEXT_TAGS:
            return text
        wanted = _SCALAR_TAGS.get(tag or "")
        if wanted is None:
            self._refuse_tag(tag, at)
            return text
        value = self._plain(text, at)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            message = f"`{text[:80]}` does not fit its tag `!!{(tag or '')[len(_TAG) :]}`"
            self._report("bad-tag", message, at, hint=number_hint(text))
        return value

    def _check_text(self, event: Any, at: int) -> None:
        """Report characters that only an escape can write."""
        if event.style == '"' and not self._lenient and (problem := unwanted(event.value)):
            self._report("control-character", problem[0], at, hint=problem[1])

    def _refuse_tag(self, tag: str | None, at: int) -> None:
        """Report a tag that YAML's core schema does not have, or not for this kind of value."""
        tag = tag or ""
        written = f"!!{tag[len(_TAG) :]}" if tag.startswith(_TAG) else tag
        message = f"the tag `{written[:80]}` is not supported here"
        self._report("bad-tag", message, at, width=len(written), hint="remove it, or put the text in quotes")

    # --- aliases -------------------------------------------------------------------------------------------

    def _alias(self, event: Any, at: int, depth: int) -> Any:
        """The value of the anchor that an alias names."""
        anchor, width = self._anchor(event, at), len(event.anchor) + 1
        self._repeat(anchor.nodes, at, width)
        if depth + anchor.height > MAX_DEPTH:
            raise self._too_deep(at, width)
        self._deepest = max(self._deepest, depth + anchor.height)
        self._nodes += anchor.nodes - 1
        return anchor.value

    def _anchor(self, event: Any, at: int) -> _Anchor:
        """The anchor that an alias names. Raises StopReading where there is none."""
        name = event.anchor
        anchor = self._anchors.get(name)
        if anchor is None:
            close = nearest(name, self._anchors)
            hint = f"did you mean `*{close}`?" if close else f'put it in quotes if it is meant as text: `"*{name}"`'
            message = f"the alias `*{name}` has no anchor above it"
            raise self._stop(at, "unknown-alias", message, width=len(name) + 1, hint=hint)
        if not anchor.nodes:
            message = f"the alias `*{name}` is inside its own anchor"
            raise self._stop(at, "recursive-alias", message, width=len(name) + 1)
        return anchor

    def _repeat(self, nodes: int, at: int, width: int = 1) -> None:
        """Count values that aliases repeat. Raises StopReading where there are too many."""
        self._aliased += nodes
        if self._aliased > self._max_aliased:
            message = f"the aliases in this file repeat more than {self._max_aliased:,} values"
            raise self._stop(at, "too-many-aliases", message, width=width, hint="use `defaults` or `vars` instead")
