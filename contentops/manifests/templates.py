"""Texts that may hold Jinja: what they are, which names they use, what they give, and what is wrong with them.

A text without `{{`, `{%` or `{#` is itself. A text of plain look-ups (`AI in {{ company }}`) is put together here,
without Jinja, wherever that gives exactly what Jinja would give; everything else, and every error, is Jinja's (see
`compiled`), which is imported only then. Compiled texts are kept, so that a thousand rows compile theirs once.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from contentops.errors import suggest
from contentops.manifests.expand import RESERVED
from contentops.manifests.layers import Written
from contentops.manifests.sandbox import sandbox
from contentops.manifests.scope import MAX_TEXT, MISSING, Lazy, TemplateError, unsendable
from contentops.yaml.positions import YamlDocument, finding
from contentops.yaml.read import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import TemplateSyntaxError

    from contentops.errors import Diagnostic
    from contentops.manifests.compiled import Compiled, Macros
    from contentops.manifests.data import DataFile
    from contentops.manifests.scope import Lookup
    from contentops.model import Json, Project
    from contentops.yaml.positions import Source


_NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")
_UNKNOWN_TAG = re.compile(r"unknown tag '(\w+)'")
_CALL = re.compile(r"^[\w.<>]+\(\) (?=got|missing|takes)")
_OPEN_BLOCK = re.compile(r"block that needs to be closed is '(\w+)'")
_TAG = re.compile(r"\{[{%#]")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_CLOSING_TOKENS = {"'end of print statement'": "`}}`", "'end of statement block'": "`%}`"}


def explain_syntax(error: TemplateSyntaxError, source: str) -> TemplateError:
    """Why a text is no Jinja, and what to write instead."""
    message = error.message or "is not Jinja"
    offset = tag_offset(source, error.lineno)
    if found := _NO_FILTER.search(message):
        unknown, at = _unknown(*found.groups()), word_offset(source, error.lineno, found.group(2))
        unknown.offset = offset if at is None else at
        return unknown
    if tag := _unclosed(source):
        hint = f"close it with `{_CLOSING[tag.group()]}`"
        return TemplateError("template-syntax", f"a `{tag.group()}` is not closed", hint=hint, offset=tag.start())
    block = _OPEN_BLOCK.search(message)
    hint = f"end it with `{{% end{block.group(1)} %}}`" if block else ""
    if block and message.startswith("Unexpected end of template"):
        message = f"the `{{% {block.group(1)} %}}` has no end"
    for token, closing in _CLOSING_TOKENS.items():
        message = message.replace(f"token {token}", closing).replace(token, closing)
    message = _UNKNOWN_TAG.sub(r"unknown tag `\1`", message)
    return TemplateError("template-syntax", _sentence(message), hint=hint, offset=offset)


def _unclosed(source: str) -> re.Match[str] | None:
    """The first tag whose end does not come before the next tag begins."""
    tags = list(_TAG.finditer(_COMMENT.sub(lambda found: " " * len(found[0]), source)))
    ends = (*(tag.start() for tag in tags[1:]), len(source))
    for tag, end in zip(tags, ends, strict=False):
        if source.find(_CLOSING[tag.group()], tag.end(), end) < 0:
            return tag
    return None


def explain_failure(error: Exception) -> TemplateError:
    """What went wrong while a template was rendered."""
    if isinstance(error, RecursionError):
        return TemplateError("template-limit", "goes too deep: a macro calls itself without end")
    message = _CALL.sub("a filter or call ", str(error) or type(error).__name__)
    found = _NO_FILTER.search(message)
    return _unknown(*found.groups()) if found else TemplateError("template-error", _sentence(message))


def _unknown(kind: str, name: str) -> TemplateError:
    known = sandbox().filters if kind == "filter" else sandbox().tests
    hint = suggest(name, tuple(sorted(entry for entry in known if entry.isidentifier())))
    return TemplateError("template-syntax", f"there is no {kind} `{name}`", hint=hint)


def _sentence(message: str) -> str:
    """Python's or Jinja's words as one short clause in our style."""
    first = message.splitlines()[0].rstrip(".")[:200]
    return first[:1].lower() + first[1:]


def _span(source: str, line: int) -> tuple[int, int]:
    """Where a 1-based line of a text starts and ends."""
    lines = source.split("\n")
    if line > len(lines):
        return 0, len(source)
    start = sum(len(text) + 1 for text in lines[: line - 1])
    return start, start + len(lines[line - 1])


def tag_offset(source: str, line: int) -> int:
    """The offset of what stands inside the first tag of a line."""
    start, end = _span(source, line)
    found = re.compile(r"\{[{%#][-+]?\s*").search(source, start, end)
    return found.end() if found and found.end() < end else found.start() if found else start


def word_offset(source: str, line: int, word: str) -> int | None:
    """The offset of a name inside the tags of a line, or None."""
    start, end = _span(source, line)
    tag = source.find("{", start, end)
    found = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)").search(source, max(tag, start), end)
    return found.start() if found else None


_PIECE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")
_OPENING = re.compile(r"\{[{%#]")
# Names Jinja reads as something else than a variable.
_KEYWORDS = frozenset(
    str.split(
        """and as block call caller do elif else extends false filter for from if import in include is kwargs
        loop macro none not or recursive self set super true varargs with without context False None True"""
    )
)


class TextTemplate:
    """One text with Jinja in it."""

    __slots__ = ("_compiled", "_macros", "_names", "_pieces", "source")

    def __init__(self, source: str, macros: MacroFile | None = None) -> None:
        self.source = source
        self._macros = macros
        self._pieces = _split(source)
        self._compiled: Compiled | TemplateError | None = None
        self._names: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The variables it may use, sorted: `company`, `item.id`, `each.city` where only that part is used.

        What its macros use counts, its own names do not. None where it cannot be compiled.
        """
        if self._names is None:
            if self._pieces is not None:
                paths = self._pieces[1]
                found = {".".join(path[:2]) if path[0] in {"each", "item"} else path[0] for path in paths}
                self._names = tuple(sorted(found))
            else:
                compiled = self._compile()
                self._names = () if isinstance(compiled, TemplateError) else compiled.names
        return self._names

    def render(self, lookup: Lookup) -> Json:
        """What the text gives: a JSON value if it is one whole expression, else a text.

        `lookup` gives the value of a name or MISSING. Raises TemplateError; what `lookup` raises passes through.
        """
        if self._pieces is not None:
            value = _assemble(*self._pieces, lookup)
            if value is not MISSING:
                return value
        compiled = self._compile()
        if isinstance(compiled, TemplateError):
            raise compiled
        return compiled.render(lookup)

    def _compile(self) -> Compiled | TemplateError:
        if self._compiled is None:
            from contentops.manifests.compiled import Compiled

            try:
                self._compiled = Compiled(self.source, self._macros.macros if self._macros else None)
            except TemplateError as error:
                self._compiled = error
        return self._compiled


class Templates:
    """Compiled templates by source text, with the macros they all know; the oldest are dropped when there are many."""

    __slots__ = ("_kept", "_limit", "macros")

    def __init__(self, limit: int = 10_000, macros: MacroFile | None = None) -> None:
        self._kept: dict[str, TextTemplate] = {}
        self._limit = limit
        self.macros = macros

    def get(self, source: str) -> TextTemplate:
        """The template of this text."""
        found = self._kept.get(source)
        if found is None:
            if len(self._kept) >= self._limit:
                del self._kept[next(iter(self._kept))]
            found = self._kept[source] = TextTemplate(source, self.macros)
        return found


def is_template(text: str) -> bool:
    """Whether a text holds Jinja."""
    return "{" in text and _OPENING.search(text) is not None


def templates_in(value: Json) -> Iterator[str]:
    """Every text with Jinja inside a value, at any depth; the keys of maps are not templates."""
    if isinstance(value, str):
        if is_template(value):
            yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from templates_in(entry)


def plain(value: Json) -> Json:
    """A written value as plain lists and maps, without its places."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


Paths = tuple[tuple[str, ...], ...]


def _split(source: str) -> tuple[tuple[str, ...], Paths] | None:
    """Literal texts and the look-ups between them; None if the text holds any other Jinja.

    A `{` directly before `{{` and a carriage return are left to Jinja, which reads them its own way.
    """
    parts = _PIECE.split(source)
    literals, paths = parts[0::2], tuple(tuple(path.split(".")) for path in parts[1::2])
    if "\r" in source or len(source) > MAX_TEXT or any(path[0] in _KEYWORDS for path in paths):
        return None
    if any(_OPENING.search(text) for text in literals) or any(text.endswith("{") for text in literals[:-1]):
        return None
    return tuple(literals), paths


def _assemble(literals: tuple[str, ...], paths: Paths, lookup: Lookup) -> Json:
    """The value of a split text; MISSING where Jinja has to say what is wrong, or how it would read it."""
    if len(paths) == 1 and not literals[0] and not literals[1]:
        value = _follow(paths[0], lookup)
        return value if type(value) in {str, int, float, bool} and unsendable(value) is None else MISSING
    parts = [literals[0]]
    for path, literal in zip(paths, literals[1:], strict=True):
        value = _follow(path, lookup)
        if type(value) not in {str, int}:
            return MISSING
        parts += (str(value), literal)
    text = "".join(parts)
    return text if unsendable(text) is None else MISSING


def _follow(path: tuple[str, ...], lookup: Lookup) -> Any:
    value = lookup(path[0])
    for name in path[1:]:
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        else:
            value = value.get(name) if isinstance(value, Lazy) else MISSING
    return value


class MacroFile:
    """A file of macros as read; `settings` is the text of the project file, which names it."""

    def __init__(self, project: Project, settings: Source, data: DataFile) -> None:
        self.path = data.path
        self.digest = data.digest
        self._taken = RESERVED | project.vars.keys() | project.environment_vars.keys() | project.cli_vars.keys()
        source, self.unread = decode(data.path, data.content)
        self._document = YamlDocument(source, source.text)
        if data.problem:
            self.unread = [data.problem]
        elif not data.digest:
            message = f"`macros` names `{project.macros[:200]}`, which does not exist"
            hint = "the path is relative to the project root"
            named = YamlDocument(settings, project.settings)
            self.unread = [finding(named, "no-macros", message, ("macros",), hint=hint)]

    @property
    def macros(self) -> Macros | None:
        """The macros; None where they cannot be used."""
        return self._compiled[0]

    @property
    def problems(self) -> list[Diagnostic]:
        """What is wrong with what the file holds; `unread` says why it cannot be read."""
        return self._compiled[1]

    def written(self) -> Written:
        """The whole file as a value, for findings inside it."""
        return Written(self._document.root, "macros", self._document)

    @functools.cached_property
    def _compiled(self) -> tuple[Macros | None, list[Diagnostic]]:
        from contentops.manifests.compiled import Macros  # start-up: a plan from the cache needs no Jinja

        if self.unread:
            return None, []
        try:
            return Macros(self._document.source.text, self._taken), []
        except TemplateError as error:
            message = f"the macros cannot be used: {error.message}"
            return None, [finding(self._document, error.code, message, hint=error.hint, offset=error.offset)]
