"""Reads a YAML file, and reports every problem as a finding that shows no secret.

Reading raises no exception. Size, depth, expanded aliases and digits are limited, because the input may be hostile.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import structs

from contentops.conflict_markers import MIDDLE, SIDE
from contentops.errors import Diagnostic, did_you_mean
from contentops.yaml.positions import (
    MAX_EXCERPT,
    MERGE,
    Mark,
    Seq,
    Source,
    StopReading,
    YamlDocument,
    events_of,
    finding_at,
    parser_of,
)
from contentops.yaml.syntax import CODE as SYNTAX
from contentops.yaml.syntax import (
    conflict,
    doubtful,
    explain,
    plain_scalar,
    unwanted,
)

_NAME: Final = r"""["']?(?:key|key_env|user_env|user_id|(?:[\w-]*[_-])?(?:(?:api|access|secret|private)[_ -]?key
    |token|secret|password|passphrase|passwd|pass|pwd|credentials?|bearer|authorization))(?![\w-])["']?"""
_ALONE: Final = rf"(?ix)\s*(?:-\s+)*{_NAME}\s*[:=]?\s*(?P<value>\S.*)?"
_INSIDE: Final = rf"(?ix)[{{,]\s*{_NAME}\s*:\s*(?P<value>\S.*)"
_LOGIN: Final = re.compile(r"://(?P<value>[^\s\"']*)@")
_ADDRESS: Final = re.compile(r"(?i)(?:base_url|ledger)[\"']?\s*:\s*(?P<value>[^\s,}][^,}]*[?@][^,}]*)")
_GOES_ON: Final = re.compile(r"[|>\"'&!]|$")
_OURS: Final = "key: value"
"""An example in hints, which reveals nothing."""
_LONGEST: Final = 500
"""Most lines of a secret."""
_PIECE: Final = 4
"""A message may show fewer than this many consecutive characters of a secret."""


def is_secret(key: str) -> bool:
    """Return whether the value of a key may be an API key or a password."""
    return re.fullmatch(f"(?ix){_NAME}", key) is not None


def masked(source: Source, problem: Diagnostic) -> Diagnostic:
    """Return a finding in which stars replace possible secrets in the source line. Columns stay the same."""
    excerpt = problem.excerpt
    for start, end in _secrets(source, problem)[1] if excerpt else ():
        excerpt = excerpt[:start] + "*" * (end - start) + excerpt[end:]
    return problem if excerpt == problem.excerpt else structs.replace(problem, excerpt=excerpt)


def hide_secrets(source: Source, problem: Diagnostic) -> Diagnostic:
    """Remove possible secrets from a finding: from its excerpt, its message and its hint."""
    line, spans = _secrets(source, problem)
    values, message, hint = [line[start:end] for start, end in spans], problem.message, problem.hint
    if any(_leaks(message, value) for value in values):
        message = "this line cannot be read as YAML"
    if any(_leaks(hint, value) for value in values):
        hint = "correct the line; its value is not shown, as it may be a secret"
    return structs.replace(masked(source, problem), message=message, hint=hint)


def _secrets(source: Source, problem: Diagnostic) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the line of a finding, with the start and end of each possible secret in it."""
    number = problem.location.line if problem.location else 0
    line = problem.excerpt or source.line(number)  # a long line has no excerpt, but the message may repeat it
    whole = (_indent(line), len(line.rstrip()))
    return line, (whole,) if _continues_secret(source, number, line) else _spans(line)


@functools.lru_cache(maxsize=1)
def _spans(line: str) -> tuple[tuple[int, int], ...]:
    """Return the start and end of each possible secret in a line.

    The result is cached, because a long line may have many findings.
    """
    match = re.match(_ALONE, line)
    if not match or not match["value"]:
        match = re.search(_INSIDE, line)
    named = ((match.start("value"), len(line.rstrip())),) if match and match["value"] else ()
    return (*named, *(match.span("value") for one in (_LOGIN, _ADDRESS) for match in one.finditer(line)))


def _continues_secret(source: Source, number: int, line: str) -> bool:
    """Return whether a line continues the value of a secret that starts above it."""
    indent = _indent(line.expandtabs())
    for above in map(source.line, range(number - 1, max(0, number - _LONGEST), -1)):
        if above.strip() and _indent(above.expandtabs()) < indent:
            match = re.fullmatch(_ALONE, above.rstrip())
            return match is not None and _GOES_ON.match(match["value"] or "") is not None
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _leaks(text: str, secret: str) -> bool:
    text = text.replace(_OURS, "")
    return len(secret) > MAX_EXCERPT or any(text[at : at + _PIECE] in secret for at in range(len(text) - _PIECE + 1))


MAX_BYTES: Final = 64 * 1024 * 1024
"""The largest file that is read: about 100,000 items."""

_UNREADABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_USUAL: Final = bytes([*b"\t\n\r", *range(0x20, 0x7F)])
"""The characters of most files."""
BREAKS: Final = "\x85\u2028\u2029"
"""Line breaks in YAML that editors do not show as such."""


def decode(path: str, data: bytes) -> tuple[Source, list[Diagnostic]]:
    """Decode a file. Return its text without byte order mark, and findings. An unreadable file gives an empty text."""
    empty = Source(path, "")
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // (1024 * 1024)} MiB"
        return empty, [finding_at(empty, "file-too-large", message, (1, 1), hint="split it into several files")]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return empty, [finding_at(empty, "not-utf8", "the file is UTF-16", (1, 1), hint="save it as UTF-8")]
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return Source(path, data.decode()), []
    except UnicodeDecodeError as error:
        before = Source(path, data[: error.start].decode())
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        return empty, [finding_at(before, "not-utf8", message, before.mark(len(before.text)), hint="save it as UTF-8")]


def read_yaml(path: str, data: bytes) -> tuple[YamlDocument, list[Diagnostic]]:
    """Parse a YAML file that has one document. Return the document, and every finding.

    `path` is relative to the project root. An empty file gives a document without a root. After a finding about one
    value (a duplicate key, a refused number) the rest can still be checked. After a finding about the structure (a
    syntax error, several documents, too many aliases) the root is None.
    """
    source, findings = decode(path, data)
    root = None
    if not findings and (problem := unreadable(source) or conflict(source, SIDE)):
        findings = [problem]
    if not findings:
        builder = Builder(source)
        try:
            root, findings = builder.read(), builder.findings
            if problem := doubtful(source):
                root, findings = None, [problem]
        except StopReading as stop:
            marker = conflict(source, MIDDLE) if stop.finding.code == SYNTAX else None
            findings = [marker] if marker else [*builder.findings, stop.finding]
    return YamlDocument(source, root), [hide_secrets(source, problem) for problem in findings]


def unreadable(source: Source, *, but: str = "") -> Diagnostic | None:
    """Return a finding for the first character that a YAML file must not have. Characters in `but` are allowed."""
    if source.text.isascii() and not source.text.encode().translate(None, _USUAL):
        return None  # the pattern takes eight times as long
    match = next((match for match in _UNREADABLE.finditer(source.text) if match.group() not in but), None)
    if not match:
        return None
    message = f"the invisible character U+{ord(match.group()):04X} is not allowed in a YAML file"
    hint = "remove it"
    if match.group() in BREAKS:
        hint = f'remove it, or write it as `"\\u{ord(match.group()):04x}"` inside double quotes'
    return finding_at(source, "control-character", message, source.mark(match.start()), hint=hint)


# --- from events to values ---------------------------------------------------------------------------------

MAX_DEPTH: Final = 100
"""Deepest nesting, aliases expanded."""
MAX_ALIASED: Final = 1_000_000
"""Most values that aliases of one file may repeat."""
LISTED: Final = 2
"""The depth of the lists whose entries keep their positions: a list of rows, or one like `items`."""
MAX_FINDINGS: Final = 1_000
"""Reading stops after this many problems."""

_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset({None, "!", f"{_TAG}str"})
_MAP_TAGS: Final = frozenset({None, "!", f"{_TAG}map"})
_SEQ_TAGS: Final = frozenset({None, "!", f"{_TAG}seq"})
_NOT_READ: Final = object()


def _measured(value: Any, most: int) -> tuple[int, int]:
    """Return how many values a nested value has, itself included, and its depth. Counting stops above `most`."""
    if not isinstance(value, dict | list):
        return 1, 0
    nodes, height = 1, 1
    for entry in value.values() if isinstance(value, dict) else value:
        below, inner = _measured(entry, most - nodes)
        nodes, height = nodes + below, max(height, inner + 1)
        if nodes > most:
            break
    return nodes, height


def unparsable(source: Source) -> StopReading | None:
    """Return the syntax error of a YAML text, or None if it has none."""
    from yaml import YAMLError

    parser, event = parser_of(source), None
    try:
        while (event := parser.get_event()) is not None:
            pass
    except YAMLError as error:
        problem, unquoted_jinja = explain(source, error, event)
        return StopReading(problem, unquoted_jinja=unquoted_jinja)
    return None


class Builder:
    """Builds dicts, Seqs and scalars from YAML events, within limits.

    `findings` has the problems that do not stop it. `lenient` is for text of other programs: numbers that JSON cannot
    represent stay text, control characters may be written as escapes, and `<<` is a key like any other.
    """

    def __init__(self, source: Source, *, lenient: bool = False, max_aliased: int = MAX_ALIASED) -> None:
        from yaml import events

        self.findings: list[Diagnostic] = []
        self._source = source
        self._lenient = lenient
        self._max_aliased = max_aliased
        self._kinds: Any = events
        self._events: Iterator[Any] = iter(())
        self._anchors: dict[str | None, Any] = {}
        """The values that aliases may repeat, by anchor; _NOT_READ while one is being read."""
        self._scalars: dict[str, Any] = {}
        """The values of unquoted scalars so far."""
        self._keys: dict[str, str] = {}
        """The unquoted keys so far: equal ones are one text."""
        self._aliased = 0
        """The values that aliases repeated so far."""

    def read(self) -> Any:
        """Return the value of the file's only document. Raises StopReading."""
        from yaml import YAMLError

        self._events = events_of(self._source)
        try:
            return self._document()
        except (YAMLError, OverflowError, ValueError):
            stop = unparsable(self._source)
            if stop is None:
                raise
            # An error behind an unquoted expression is the same mistake.
            if stop.unquoted_jinja and self.findings and self.findings[-1].code == "unquoted-jinja":
                self.findings.pop()
            raise stop from None

    def _document(self) -> Any:
        root, documents = None, 0
        for event in self._events:
            if type(event) is self._kinds.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    message = "a second YAML document starts here"
                    hint = "a file has one document: move the part after `---` to another file"
                    raise self._stop(event, "several-documents", message, width=3, hint=hint)
            elif isinstance(event, self._kinds.NodeEvent):
                root = self._value(event, 0)
        return root

    def _report(self, code: str, message: str, at: Mark, *, width: int = 1, hint: str = "") -> None:
        """Add a finding that does not stop the reading."""
        if len(self.findings) >= MAX_FINDINGS:
            message = f"the file has more than {MAX_FINDINGS:,} such problems"
            raise StopReading(finding_at(self._source, "too-many-findings", message, at))
        self.findings.append(finding_at(self._source, code, message, at, width=width, hint=hint))

    def _stop(self, event: Any, code: str, message: str, *, width: int = 1, hint: str = "") -> StopReading:
        """Return the exception for a problem that stops the reading at an event."""
        return StopReading(finding_at(self._source, code, message, _at(event), width=width, hint=hint))

    # --- lists and maps ------------------------------------------------------------------------------------

    def _value(self, event: Any, depth: int) -> Any:
        """Return the value that starts with an event, at `depth` below the root.

        The value of an unquoted `{{ expression }}` is its text.
        """
        kind, kinds = type(event), self._kinds
        if kind is kinds.ScalarEvent:
            return self._scalar(event)
        if kind is kinds.AliasEvent:
            return self._alias(event, depth)
        is_map = kind is kinds.MappingStartEvent
        if event.tag not in (_MAP_TAGS if is_map else _SEQ_TAGS):
            self._refuse_tag(event)
        if depth >= MAX_DEPTH:
            raise self._too_deep(event)
        self._anchors[event.anchor] = _NOT_READ
        value = self._map(depth + 1) if is_map else self._seq(depth + 1)
        self._anchors[event.anchor] = value
        return value

    def _too_deep(self, event: Any, width: int = 1) -> StopReading:
        return self._stop(event, "too-deep", f"lists and maps are nested more than {MAX_DEPTH} deep", width=width)

    # Most of the time of reading goes into these two loops, so that they take the usual scalar without a call.

    def _seq(self, depth: int) -> list[Any]:
        node = Seq() if depth <= LISTED else []
        append, scalars, positions = node.append, self._scalars, getattr(node, "positions", None)
        scalar, end = self._kinds.ScalarEvent, self._kinds.SequenceEndEvent
        for event in self._events:
            kind = type(event)
            if kind is end:
                break
            if positions is not None:
                positions.append((event.start_mark.line + 1, event.start_mark.column + 1))
            if kind is scalar:
                text = event.value
                is_usual = text in scalars and event.implicit[0] and event.tag is None and not event.anchor
                append(scalars[text] if is_usual else self._scalar(event))
            else:
                append(self._value(event, depth))
        return node

    def _map(self, depth: int) -> dict[str, Any] | str:
        node: dict[str, Any] = {}
        events, keys, scalars = self._events, self._keys, self._scalars
        scalar, end = self._kinds.ScalarEvent, self._kinds.MappingEndEvent
        merged: tuple[Any, Any] | None = None
        expression: int | None = None
        for event in events:
            kind = type(event)
            if kind is scalar:
                key = keys.get(event.value, "")
                if not key or key in node or not event.implicit[0] or event.tag is not None or event.anchor:
                    key = self._key(event)
                    if expression is None and (key in node or not key or (key is MERGE and merged)):
                        self._check_key(event, is_again=key in node or key is MERGE)
            elif kind is end:
                break
            else:
                key, expression = "", self._start_of_expression(event, node)
                self._value(event, depth)
            written = next(events)
            if type(written) is scalar:
                text = written.value
                is_usual = text in scalars and written.implicit[0] and written.tag is None and not written.anchor
                value = scalars[text] if is_usual else self._scalar(written)
            else:
                value = self._value(written, depth)
            if key is MERGE:
                merged = merged or (event, value)
            elif key not in node:
                node[key] = value
        if merged:
            self._merge(node, *merged)
        return node if expression is None else self._expression(expression, event.end_mark.index)

    def _merge(self, node: dict[str, Any], event: Any, value: Any) -> None:
        """Add the keys of the YAML merge key `<<` to a map.

        The map's own keys win, then those of the first merged map.
        """
        for source in value if isinstance(value, list) else (value,):
            if not isinstance(source, dict):
                hint = "write `<<: *name`, where `&name` marks a map"
                self._report("bad-merge", "`<<` takes a map or a list of maps", _at(event), width=2, hint=hint)
                return
            self._repeat(len(source), event)
            for key, entry in source.items():
                node.setdefault(key, entry)

    def _start_of_expression(self, event: Any, node: dict[str, Any]) -> int:
        """Return where an unquoted `{{ expression }}` starts. YAML reads it as a map that is used as a key.

        Raises StopReading for any other key that is not a scalar.
        """
        if type(event) is self._kinds.AliasEvent:
            self._anchor(event)
            raise self._stop(event, "bad-key", "an alias cannot be a key", width=len(event.anchor) + 1)
        text, index = self._source.text, event.start_mark.index
        if index and not node and text.startswith("{{", index - 1):
            return int(index - 1)
        jinja = text.startswith("{{", index)
        hint = 'quote Jinja: `"{{ name }}": value`' if jinja else "keys are plain words or quoted texts"
        raise self._stop(event, "bad-key", "a list or a map cannot be a key", hint=hint)

    def _expression(self, start: int, end: int) -> str:
        """Report an unquoted `{{ expression }}`, and return its text."""
        text = self._source.text[start:end]
        hint = f'quote Jinja: `"{text}"`' if len(text) <= 80 and '"' not in text else "put the text in quotes"
        message = "unquoted `{{` is read as a map by YAML"
        self._report("unquoted-jinja", message, self._source.mark(start), width=len(text), hint=hint)
        return text

    # --- keys and scalars ----------------------------------------------------------------------------------

    def _key(self, event: Any) -> str:
        text: str = event.value
        is_plain = event.implicit[0] and event.tag is None
        self._anchors[event.anchor] = text
        if not is_plain:
            self._tagged(event)
        if text == "<<":
            return MERGE if is_plain and not self._lenient else text
        return self._keys.setdefault(text, text)

    def _check_key(self, event: Any, *, is_again: bool) -> None:
        """Report an empty or repeated key."""
        text, at = event.value, _at(event)
        if not text and event.implicit[0] and event.tag is None and not self._lenient:
            self._report("empty-key", "a key is missing before the `:`", at, hint="write `key: value`")
        if is_again:
            first = self._source.places.first.get(event.start_mark.index, event.start_mark.index)
            line, column = self._source.mark(first)
            message = f"the key `{text[:80]}` appears twice in the same map: first at line {line}, column {column}"
            hint = "write `- id` if a new item starts here" if text == "id" else "remove one, or rename it"
            self._report("duplicate-key", message, at, width=len(text), hint=hint)

    def _scalar(self, event: Any) -> Any:
        text = event.value
        if event.implicit[0] and event.tag is None:
            value = self._scalars.get(text, _NOT_READ)
            if value is _NOT_READ:
                value = self._plain(event)
        else:
            value = self._tagged(event)
        self._anchors[event.anchor] = value
        return value

    def _plain(self, event: Any) -> Any:
        """Return the value of an unquoted scalar."""
        text: str = event.value
        try:
            value = self._scalars[text] = plain_scalar(text)
        except ValueError as error:
            if not self._lenient:
                hint = "put it in quotes if it is meant as text"
                self._report("bad-number", str(error), _at(event), width=len(text), hint=hint)
            return text
        return value

    def _tagged(self, event: Any) -> Any:
        """Return the text of a scalar that is quoted, is a block scalar or has a tag."""
        # Characters that only an escape can write.
        if event.style == '"' and not self._lenient and (problem := unwanted(event.value)):
            self._report("control-character", problem[0], _at(event), hint=problem[1])
        if event.tag not in _TEXT_TAGS:
            self._refuse_tag(event)
        return event.value

    def _refuse_tag(self, event: Any) -> None:
        """Report a tag that is not the standard tag of a text, list or map."""
        tag = event.tag or ""
        written = f"!!{tag[len(_TAG) :]}" if tag.startswith(_TAG) else tag
        message, hint = f"the tag `{written[:80]}` is not supported here", "remove it, or put the text in quotes"
        self._report("bad-tag", message, _at(event), width=len(written), hint=hint)

    # --- aliases -------------------------------------------------------------------------------------------

    def _alias(self, event: Any, depth: int) -> Any:
        """Return the value that an alias refers to."""
        value, width = self._anchor(event), len(event.anchor) + 1
        nodes, height = _measured(value, self._max_aliased - self._aliased)
        self._repeat(nodes, event, width)
        if depth + height > MAX_DEPTH:
            raise self._too_deep(event, width)
        return value

    def _anchor(self, event: Any) -> Any:
        """Return the value of the anchor that an alias names. Raises StopReading if there is none."""
        name, width = event.anchor, len(event.anchor) + 1
        if name not in self._anchors:
            hint = f'put it in quotes if it is meant as text: `"*{name}"`'
            hint = did_you_mean(f"*{name}", [f"*{one}" for one in self._anchors if one], hint)
            message = f"the alias `*{name}` has no anchor above it"
            raise self._stop(event, "unknown-alias", message, width=width, hint=hint)
        value = self._anchors[name]
        if value is _NOT_READ:
            raise self._stop(event, "recursive-alias", f"the alias `*{name}` is inside its own anchor", width=width)
        return value

    def _repeat(self, nodes: int, event: Any, width: int = 1) -> None:
        """Count values that aliases repeat. Raises StopReading if there are too many."""
        self._aliased += nodes
        if self._aliased > self._max_aliased:
            message = f"the aliases in this file repeat more than {self._max_aliased:,} values"
            raise self._stop(event, "too-many-aliases", message, width=width, hint="use `defaults` or `vars` instead")


def _at(event: Any) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1
