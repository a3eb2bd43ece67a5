"""Builds values with positions from parser events, and bounds what hostile input can cost.

A tenth of the time of PyYAML's own loaders; positions and duplicate keys come along.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from contentops.errors import nearest
from contentops.yaml.positions import SHIFT, Map, Seq, Source, place, unpack
from contentops.yaml.syntax import CODE, UNQUOTED, explain, number_hint, plain_scalar, unwanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.errors import Diagnostic

MAX_DEPTH: Final = 100
"""Deepest nesting, aliases expanded."""
MAX_EVENTS: Final = 10_000_000
"""Most keys, values and brackets in one file."""
MAX_ALIASED: Final = 1_000_000
"""Most values that aliases of one file may repeat."""
MAX_FINDINGS: Final = 1_000
"""After so many problems the rest of a file is not read."""

_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final[dict[str, type | tuple[type, ...]]] = {
    f"{_TAG}int": int,
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": bool,
    f"{_TAG}null": type(None),
}
_TEXT_TAGS: Final[frozenset[str | None]] = frozenset({None, "!", f"{_TAG}str"})
_MAP_TAGS: Final[frozenset[str | None]] = frozenset({None, "!", f"{_TAG}map"})
_SEQ_TAGS: Final[frozenset[str | None]] = frozenset({None, "!", f"{_TAG}seq"})
_MERGE: Final = "\0<<"
"""The key of a map that takes over the keys of another; no written key can hold NUL."""


class StopReading(Exception):  # control flow: reading this file ends here
    """Reading cannot go on."""

    def __init__(self, finding: Diagnostic) -> None:
        super().__init__(finding.message)
        self.finding = finding


class _Frame:
    """A list or map being filled."""

    __slots__ = ("anchor", "height", "is_map", "jinja", "key", "key_at", "merged", "merged_at", "more", "node")

    def __init__(self, node: Any, *, is_map: bool, anchor: _Anchor | None = None) -> None:
        self.anchor = anchor
        self.node = node
        self.is_map = is_map
        self.key: str | None = None
        """The key whose value comes next."""
        self.key_at = 0
        self.more = 0
        """How many values stand below its own entries."""
        self.height = 0
        self.merged: Any = None
        """What its `<<` takes over."""
        self.merged_at: int | None = None
        self.jinja: int | None = None
        """Where it starts in the text, if it is really an unquoted `{{ expression }}`."""


class _Anchor:
    """A value that aliases may repeat; `nodes` is 0 while it is still being read."""

    __slots__ = ("height", "nodes", "value")

    def __init__(self, value: Any, nodes: int) -> None:
        self.value = value
        self.nodes = nodes
        self.height = 0


def _packed(mark: Any) -> int:
    """The packed position of a parser's mark."""
    return int(mark.line << SHIFT | mark.column)


class Builder:
    """Turns parser events into Map, Seq and scalars, counting what they cost.

    With `foreign`, the text is another program's: numbers that JSON cannot hold stay text, control characters may be
    written as escapes, and `<<` is a key like any other.
    """

    def __init__(self, source: Source, *, foreign: bool = False, max_aliased: int = MAX_ALIASED) -> None:
        self.source = source
        self.foreign = foreign
        self.max_aliased = max_aliased
        self.findings: list[Diagnostic] = []
        self.top = _Frame(Seq(), is_map=False)
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchor] = {}
        self.scalars: dict[str, Any] = {}
        self.keys: dict[str, str] = {}
        self.aliased = 0
        self.documents = 0

    @property
    def root(self) -> Any:
        """The value of the document that was read."""
        return self.top.node[0] if self.top.node else None

    def run(self, parser: Any, limit: int = MAX_EVENTS) -> None:
        """Read events until the stream ends; raises StopReading where that makes no sense any more."""
        from yaml import events
        from yaml.error import YAMLError

        handlers: dict[type, Callable[[Any], None]] = {
            events.ScalarEvent: self.scalar,
            events.MappingStartEvent: self.begin_map,
            events.SequenceStartEvent: self.begin_seq,
            events.MappingEndEvent: self.end,
            events.SequenceEndEvent: self.end,
            events.AliasEvent: self.alias,
            events.DocumentStartEvent: self.document,
        }
        event = None
        try:
            for event in itertools.islice(iter(parser.get_event, None), limit):
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(event)
                elif type(event) is events.StreamEndEvent:
                    return
        except YAMLError as error:
            finding = explain(self.source, error, event)
            if finding.message == UNQUOTED and self.findings and self.findings[-1].code == "unquoted-jinja":
                self.findings.pop()
            raise StopReading(finding) from None
        except (OverflowError, ValueError):  # the Python parser's, for an escape like `\UFFFFFFFF`
            message = "an escape in double quotes names no character"
            raise self.stop(_packed(parser.get_mark()), CODE, message) from None
        raise self.stop(0, "too-many-values", f"the file holds more than {limit:,} keys and values")

    def report(self, code: str, message: str, at: int, *, width: int = 1, hint: str = "") -> None:
        """Note a problem that reading can step over."""
        if len(self.findings) >= MAX_FINDINGS:
            raise self.stop(at, "too-many-findings", f"the file has more than {MAX_FINDINGS:,} such problems")
        self.findings.append(place(self.source, code, message, unpack(at), width=width, hint=hint))

    def stop(self, at: int, code: str, message: str, *, width: int = 1, hint: str = "") -> StopReading:
        """The exception for a problem that reading cannot step over."""
        return StopReading(place(self.source, code, message, unpack(at), width=width, hint=hint))

    def document(self, event: Any) -> None:
        """Refuse a second document."""
        self.documents += 1
        if self.documents > 1:
            hint = "one file holds one document: move what follows `---` to a file of its own"
            at = _packed(event.start_mark)
            raise self.stop(at, "several-documents", "a second YAML document starts here", width=3, hint=hint)

    def scalar(self, event: Any) -> None:
        """A key or a value: most events are one, so the usual cases are spelled out."""
        mark = event.start_mark
        at = mark.line << SHIFT | mark.column
        text = event.value
        plain = event.implicit[0] and event.tag is None
        top = self.top
        key, node = top.key, top.node
        if key is None and top.is_map:
            top.key = self.keys.get(text)
            top.key_at = at
            if top.key is None or top.key in node or not plain or event.anchor:
                self.take_key(event, at, plain=plain)
            return
        if not plain:
            value = self.tagged(event, at)
        elif text in self.scalars:
            value = self.scalars[text]
        else:
            value = self.plain(text, at)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(value, 1)
        if key is None:
            node.append(value)
            node.places.append(at)
        elif key is _MERGE or key in node:
            self.put(value, at)
        else:
            top.key = None
            node[key] = value
            node.places += (top.key_at, at)

    def take_key(self, event: Any, at: int, *, plain: bool) -> None:
        """Remember a key until its value comes."""
        top, text = self.top, event.value
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(text, 1)
        if event.tag not in _TEXT_TAGS:
            self.refuse_tag(event.tag, at)
        self.check_text(event, at)
        first = None
        if plain and text == "<<" and not self.foreign:
            top.key = _MERGE
            first = top.merged_at
        else:
            top.key = text
            if text and text != "<<":
                self.keys[text] = text
            if text in top.node:  # not `keys_at`, which may be asked for only when the map is complete
                first = top.node.places[2 * list(top.node).index(text)]
        if top.jinja is not None:
            return
        if plain and not text and not self.foreign:
            self.report("empty-key", "a key is missing before the `:`", at, hint="write `key: value`")
        if first is not None:
            line, column = unpack(first)
            message = f"the key `{text[:80]}` stands twice in one map: first at line {line}, column {column}"
            hint = "write `- id` if a new item starts here" if text == "id" else "remove one, or rename it"
            self.report("duplicate-key", message, at, width=len(text), hint=hint)

    def plain(self, text: str, at: int) -> Any:
        """The value of an unquoted scalar not seen before in this file."""
        try:
            value = plain_scalar(text)
        except ValueError as error:
            if not self.foreign:
                hint = "put it in quotes if it is meant as text"
                self.report("bad-number", str(error), at, width=len(text), hint=hint)
            return text
        self.scalars[text] = value
        return value

    def check_text(self, event: Any, at: int) -> None:
        """Refuse characters that only an escape can bring in."""
        if event.style == '"' and not self.foreign and (found := unwanted(event.value)):
            self.report("control-character", found[0], at, hint=found[1])

    def tagged(self, event: Any, at: int) -> Any:
        """The value of a scalar that is quoted, a block, or carries a tag."""
        self.check_text(event, at)
        text: str = event.value
        tag: str | None = event.tag
        if tag in _TEXT_TAGS:
            return text
        wanted = _SCALAR_TAGS.get(tag or "")
        if wanted is None:
            self.refuse_tag(tag, at)
            return text
        value = self.plain(text, at)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            message = f"`{text[:80]}` does not fit its tag `!!{(tag or '')[len(_TAG) :]}`"
            self.report("bad-tag", message, at, hint=number_hint(text))
        return value

    def refuse_tag(self, tag: str | None, at: int) -> None:
        """Note a tag that YAML's core schema does not have, or not here."""
        tag = tag or ""
        written = f"!!{tag[len(_TAG) :]}" if tag.startswith(_TAG) else tag
        message = f"the tag `{written[:80]}` is not supported here"
        self.report("bad-tag", message, at, width=len(written), hint="remove it, or put the text in quotes")

    def put(self, value: Any, at: int) -> None:
        """Store a finished value, or one that is about to be filled, where it belongs."""
        top = self.top
        node = top.node
        if not top.is_map:
            node.append(value)
            node.places.append(at)
            return
        key = top.key
        top.key = None
        if key is _MERGE:
            if top.merged_at is None:
                top.merged, top.merged_at = value, top.key_at
        elif key not in node:
            node[key] = value
            places = node.places
            places.append(top.key_at)
            places.append(at)

    def begin_map(self, event: Any) -> None:
        """A map starts."""
        self.begin(event, Map(start=_packed(event.start_mark)), _MAP_TAGS)

    def begin_seq(self, event: Any) -> None:
        """A list starts."""
        self.begin(event, Seq(start=_packed(event.start_mark)), _SEQ_TAGS)

    def begin(self, event: Any, node: Map | Seq, tags: frozenset[str | None]) -> None:
        """Store what starts and go down into it."""
        at, top = node.start, self.top
        if event.tag not in tags:
            self.refuse_tag(event.tag, at)
        if len(self.stack) >= MAX_DEPTH:
            raise self.too_deep(at)
        anchor = None
        if event.anchor:
            anchor = self.anchors[event.anchor] = _Anchor(node, 0)
        if top.is_map and top.key is None:
            self.begin_key(top, event.start_mark.index, at)
        else:
            self.put(node, at)
        self.stack.append(top)
        self.top = _Frame(node, is_map=tags is _MAP_TAGS, anchor=anchor)

    def too_deep(self, at: int, width: int = 1) -> StopReading:
        """The exception for nesting beyond the limit."""
        return self.stop(at, "too-deep", f"lists and maps are nested more than {MAX_DEPTH} deep", width=width)

    def begin_key(self, top: _Frame, index: int, at: int) -> None:
        """A list or a map where a key should be: most often `{{ expression }}` without quotes."""
        text = self.source.text
        if index and not top.node and text.startswith("{{", index - 1):
            top.jinja = index - 1
            top.key = "{{"
            return
        jinja = text.startswith("{{", index)
        hint = 'quote Jinja: `"{{ name }}": value`' if jinja else "keys are plain words or quoted texts"
        raise self.stop(at, "bad-key", "a list or a map cannot be a key", hint=hint)

    def end(self, event: Any) -> None:
        """A list or a map is complete."""
        done = self.top
        self.top = top = self.stack.pop()
        anchor = done.anchor
        if done.merged_at is not None:
            self.merge(done, done.merged_at)
        if done.jinja is not None:
            text = self.quote_jinja(done, top, done.jinja, event.end_mark.index)
            if anchor is not None:
                anchor.value = text
        size = done.more + len(done.node)
        top.more += size
        if done.height >= top.height:
            top.height = done.height + 1
        if anchor is not None:
            anchor.nodes = size + 1
            anchor.height = done.height + 1

    def quote_jinja(self, done: _Frame, top: _Frame, start: int, end: int) -> str:
        """Report an unquoted `{{ expression }}` and put its text, which is returned, where it stands."""
        text = self.source.text[start:end]
        line, column = self.source.mark(start)
        short = len(text) <= 80 and '"' not in text
        hint = f'quote Jinja: `"{text}"`' if short else "put the text in quotes"
        message = "unquoted `{{` is read as a map by YAML"
        self.report("unquoted-jinja", message, (line - 1) << SHIFT | column - 1, width=len(text), hint=hint)
        node = top.node
        last = next(reversed(node), "") if top.is_map else len(node) - 1
        if node and node[last] is done.node:
            node[last] = text
        return text

    def merge(self, done: _Frame, at: int) -> None:
        """Fill a map from its `<<` key: what the map says itself wins, then the earlier of several sources."""
        value, node = done.merged, done.node
        for source in value if isinstance(value, Seq) else (value,):
            if not isinstance(source, Map):
                hint = "write `<<: *name`, where `&name` marks a map"
                self.report("bad-merge", "`<<` takes a map or a list of maps", at, width=2, hint=hint)
                return
            self.repeat(len(source), at)
            places = iter(source.places)
            for (key, entry), key_at, value_at in zip(source.items(), places, places, strict=True):
                if key not in node:
                    node[key] = entry
                    node.places += (key_at, value_at)

    def repeat(self, nodes: int, at: int, width: int = 1) -> None:
        """Count values that stand in the file once and are used again."""
        self.aliased += nodes
        if self.aliased > self.max_aliased:
            message = f"the aliases of this file repeat more than {self.max_aliased:,} values"
            raise self.stop(at, "too-many-aliases", message, width=width, hint="use `defaults` or `vars` instead")

    def alias(self, event: Any) -> None:
        """A value that was written before, under an anchor."""
        name = event.anchor
        at = _packed(event.start_mark)
        width = len(name) + 1
        anchor = self.anchors.get(name)
        if anchor is None:
            close = nearest(name, self.anchors)
            hint = f"did you mean `*{close}`?" if close else f'put it in quotes if it is meant as text: `"*{name}"`'
            message = f"the alias `*{name}` names no anchor above it"
            raise self.stop(at, "unknown-alias", message, width=width, hint=hint)
        if not anchor.nodes:
            raise self.stop(at, "recursive-alias", f"the alias `*{name}` stands inside its own anchor", width=width)
        if self.top.is_map and self.top.key is None:
            raise self.stop(at, "bad-key", "an alias cannot be a key", width=width)
        self.repeat(anchor.nodes, at, width)
        if len(self.stack) + anchor.height > MAX_DEPTH:
            raise self.too_deep(at, width)
        self.top.height = max(self.top.height, anchor.height)
        self.top.more += anchor.nodes - 1
        self.put(anchor.value, at)
