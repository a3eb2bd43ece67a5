"""Texts that may hold Jinja: what they are, which names they use, and what they give.

A text without `{{`, `{%` or `{#` is itself. A text of plain look-ups (`AI in {{ company }}`) is put together here,
without Jinja, wherever that gives exactly what Jinja would give; everything else, and every error, is Jinja's (see
`compiled`), which is imported only then. Compiled texts are kept, so that a thousand rows compile theirs once.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

from contentops.manifests.values import (
    MAX_TEXT,
    MISSING,
    RESERVED,
    Branch,
    Lazy,
    TemplateError,
    Tree,
    Written,
    is_template,
    top,
    unsendable,
)
from contentops.yaml.positions import YamlDocument, finding
from contentops.yaml.read import decode
from contentops.yaml.syntax import JINJA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.errors import Diagnostic
    from contentops.manifests.compiled import Compiled, Macros
    from contentops.manifests.data import DataFile
    from contentops.manifests.item_fields import FieldTemplate, ItemFields
    from contentops.manifests.origins import OriginKind, Origins, OriginShapes
    from contentops.manifests.values import Lookup
    from contentops.model import Json, Project
    from contentops.yaml.positions import Source

    Trace = tuple[Origins, dict[str, str]]
    """Where the value of each variable was written, and the start of its digest."""


_PIECE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")
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

        What its macros use counts, its own names do not. Empty where it cannot be compiled.
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
        for path in paths:
            value = _follow(path, lookup)
            if isinstance(value, str) and not value.strip() and any(map(str.strip, literals)):
                return ".".join(path)
        return ""

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
    between = "\0".join(literals)
    if "{" in between and (JINJA.search(between) or "{\0" in between):
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


# --- macros ------------------------------------------------------------------------------------------------


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


# --- scope -------------------------------------------------------------------------------------------------


INPUTS: Final = "inputs"
"""The short name of `item.inputs`."""


class Scope:
    """The variables some items share, and what is the same for all of those items.

    A variable that depends on neither `each` nor `item` is rendered once.
    """

    def __init__(
        self, variables: Mapping[str, Tree], builtin: Mapping[str, Json], templates: Templates, shapes: OriginShapes
    ) -> None:
        self.variables = variables
        self.builtin = builtin
        self.templates = templates
        self.shapes = shapes
        self.constants: dict[str, Json] = dict(builtin)
        self.prints: dict[str, str] = {}
        self.broken: set[str] = set()
        self.shared: dict[int, OriginKind] = {}
        """What the origins of defaults say, by the identity of the template, which outlives this scope."""
        self.traces: dict[tuple[str, ...], Trace] = {}
        """What items note about their variables, by those variables, where it is the same for every item."""
        self._reach: dict[str, frozenset[str]] = {}
        self._behind: dict[tuple[str, ...], tuple[str, ...] | None] = {}
        self._constant: dict[str, bool] = {}
        self._origins: dict[str, tuple[int, OriginKind]] = {}

    def reach(self, name: str) -> frozenset[str]:
        """Every variable a variable leads to, itself included, and the parts of `each` and `item` it uses."""
        found = self._reach.get(name)
        if found is None:
            seen: set[str] = set()
            todo = [name]
            while todo:
                step = todo.pop()
                if step in seen:
                    continue
                if step in self.variables:
                    seen.add(step)
                    todo += self.direct(self.variables[step])
                elif root_of(step) in {"each", "item"}:
                    seen.add(step)
            found = self._reach[name] = frozenset(seen)
        return found

    def direct(self, node: Tree) -> tuple[str, ...]:
        """The names the templates inside a value use themselves."""
        if isinstance(node, Branch):
            return tuple(name for below in node.entries.values() for name in self.direct(below))
        if node.layer == "command line":
            return ()
        sources = (node.value,) if isinstance(node.value, str) else tuple(templates_in(node.value))
        if len(sources) == 1:
            return self._named(sources[0])
        return tuple(name for source in sources for name in self._named(source))

    def _named(self, source: str) -> tuple[str, ...]:
        """The names in a text; `inputs` is that of the item, unless a variable has the name."""
        names = self.templates.get(source).names if is_template(source) else ()
        if INPUTS not in names or INPUTS in self.variables:
            return names
        return tuple(f"item.{INPUTS}" if name == INPUTS else name for name in names)

    def behind(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Every variable that names lead to, sorted; None where they ask for fields of the item."""
        if names not in self._behind:
            found = set().union(*map(self.reach, names))
            self._behind[names] = None if "item" in map(root_of, found) else tuple(sorted(found))
        return self._behind[names]

    def is_constant(self, name: str) -> bool:
        """Whether a variable is the same for every item."""
        found = self._constant.get(name)
        if found is None:
            found = {"each", "item"}.isdisjoint(map(root_of, (name, *self.reach(name))))
            self._constant[name] = found
        return found

    def origin(self, name: str) -> tuple[int, OriginKind]:
        """Where a variable was written."""
        found = self._origins.get(name)
        if found is None:
            written = top(self.variables[name])
            others = tuple(sorted(self.reach(name) - {name}))
            found = self._origins[name] = self.shapes.place(written.layer, written.location, others)
        return found


def root_of(name: str) -> str:
    """The variable a name starts with: `each` of `each.city`."""
    return name.partition(".")[0]


class Uses:
    """Which variables each field of a declared item uses; the same for all of its rows."""

    def __init__(self, fields: ItemFields, scope: Scope) -> None:
        self._fields = fields
        self._scope = scope
        self._known: dict[str, frozenset[str]] = {}
        found = {template.name: self._kind(template) for template in fields.templates}
        self.names = tuple(sorted({name for kind in found.values() for name in kind.variables}))
        self.origins = fields.origins(found)

    def _kind(self, template: FieldTemplate) -> OriginKind:
        """What a default says is the same for every item, unless it asks for `item`."""
        known = self._scope.shared.get(id(template.written))
        if known is not None:
            return known
        direct = self._scope.direct(template.written)
        names = self._scope.behind(direct)
        asks_item = names is None
        if names is None:
            names = tuple(sorted(self._expand(direct, frozenset({template.field}))))
        plain = self._fields.kinds[template.name]
        kind = self._scope.shapes.kind(plain.layer, plain.file, names)
        if plain.layer != "item" and not asks_item:
            self._scope.shared[id(template.written)] = kind
        return kind

    def of(self, name: str) -> frozenset[str]:
        """The variables behind one field."""
        return self._field(name, frozenset())

    def _field(self, name: str, on_the_way: frozenset[str]) -> frozenset[str]:
        if name not in self._fields.open or name in on_the_way:
            return frozenset()
        found = self._known.get(name)
        if found is None:
            templates = (template.written for template in self._fields.templates if template.field == name)
            direct = [used for written in templates for used in self._scope.direct(written)]
            found = self._known[name] = self._expand(direct, on_the_way | {name})
        return found

    def _expand(self, direct: Iterable[str], on_the_way: frozenset[str]) -> frozenset[str]:
        found: set[str] = set()
        for name in direct:
            for step in self._scope.reach(name):
                if root_of(step) == "item":
                    found |= self._field(step.partition(".")[2], on_the_way)
                else:
                    found.add(step)
        return frozenset(found)
