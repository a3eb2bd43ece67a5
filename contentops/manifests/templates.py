"""Texts that may hold Jinja: what they are, which names they use, and what they give.

A text without `{{`, `{%` or `{#` is itself. A text of plain look-ups (`AI in {{ company }}`) is put together here,
without Jinja, wherever that gives exactly what Jinja would give; everything else, and every error, is Jinja's (see
`compiled`), which is imported only then. Compiled texts are kept, so that a thousand rows compile theirs once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from contentops.manifests.values import MAX_TEXT, MISSING, Lazy, TemplateError, unsendable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.manifests.compiled import Compiled
    from contentops.manifests.macros import MacroFile
    from contentops.manifests.scope import Lookup
    from contentops.model import Json


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

    def gap(self, lookup: Lookup) -> str:
        """The first plain look-up between words that gives nothing; empty where none does."""
        literals, paths = self._pieces or ((), ())
        if not any(map(str.strip, literals)):
            return ""
        values = ((path, _follow(path, lookup)) for path in paths)
        return next((".".join(path) for path, value in values if isinstance(value, str) and not value.strip()), "")

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
