"""Texts with Jinja: the names they use and the values they give.

A text of plain look-ups (`AI in {{ company }}`) is filled in here, without Jinja, where the result is exactly the same.
Everything else, and every error, comes from Jinja (see `compiled`), which is imported only then.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from contentops.errors import Diagnostic
from contentops.manifests.data import DataFile
from contentops.manifests.values import (
    MAX_TEXT,
    MISSING,
    RESERVED,
    ROWS,
    Branch,
    Lazy,
    TemplateError,
    Tree,
    Written,
    is_template,
    reachable,
    top,
    unsendable,
)
from contentops.model import Json, Origin, Project
from contentops.model.desired import READERS
from contentops.yaml.positions import Source, YamlDocument, finding
from contentops.yaml.read import decode
from contentops.yaml.syntax import JINJA

if TYPE_CHECKING:
    from contentops.manifests.compiled import Compiled, Macros
    from contentops.manifests.values import Each, Lookup


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
        """The variables that it or its macros may use, sorted: `company`, `item.id`, `each.city` if only that is used.

        Empty where it cannot be compiled.
        """
        if self._names is None:
            if self._pieces is not None:
                self._names = _names_in(self._pieces[1])
            else:
                compiled = self._compile()
                self._names = () if isinstance(compiled, TemplateError) else compiled.names
        return self._names

    @property
    def problem(self) -> TemplateError | None:
        """Why it cannot be compiled; None if it can."""
        compiled = None if self._pieces is not None else self._compile()
        return compiled if isinstance(compiled, TemplateError) else None

    def render(self, lookup: Lookup) -> Json:
        """The rendered value: a JSON value if the text is one whole expression, else a text.

        `lookup` returns the value of a name or MISSING. Raises TemplateError, and what `lookup` raises.
        """
        if self._pieces is not None:
            value = _assemble(*self._pieces, lookup)
            if value is not MISSING:
                return value
        return self._usable().render(lookup)

    def explore(self, lookup: Lookup) -> None:
        """Carry it out for all that the texts of other items may be (see `Compiled.explore`). Raises TemplateError."""
        self._usable().explore(lookup)

    def gap(self, lookup: Lookup) -> str:
        """The first plain look-up between words whose value is blank; empty where there is none."""
        literals, paths = self._pieces or ((), ())
        for path in paths:
            value = _follow(path, lookup)
            if isinstance(value, str) and not value.strip() and any(map(str.strip, literals)):
                return ".".join(path)
        return ""

    def _usable(self) -> Compiled:
        compiled = self._compile()
        if isinstance(compiled, TemplateError):
            raise compiled
        return compiled

    def _compile(self) -> Compiled | TemplateError:
        if self._compiled is None:
            from contentops.manifests.compiled import Compiled

            try:
                self._compiled = Compiled(self.source, self._macros.macros if self._macros else None)
            except TemplateError as error:
                self._compiled = error
        return self._compiled


class Templates:
    """Templates by source text, with the macros that all of them can use; `limit` is how many are cached."""

    def __init__(self, limit: int = 10_000, macros: MacroFile | None = None) -> None:
        self.macros = macros
        self.get = functools.lru_cache(limit)(functools.partial(TextTemplate, macros=macros))


def templates_in(value: Json) -> Iterator[str]:
    """Every text with Jinja inside a value, at any depth; the keys of maps are not templates."""
    if isinstance(value, str):
        if is_template(value):
            yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from templates_in(entry)


Paths = tuple[tuple[str, ...], ...]
Direct = tuple[str, tuple[str, ...]]
"""A template of an item: its name with dots, and the names that it uses directly."""


def _split(source: str) -> tuple[tuple[str, ...], Paths] | None:
    """Literal texts and the look-ups between them; None if the text has any other Jinja.

    It is also None with a `{` directly before `{{` or a carriage return, which Jinja reads in its own way.
    """
    parts = _PIECE.split(source)
    literals, paths = parts[0::2], tuple(map(_path_of, parts[1::2]))
    if "\r" in source or len(source) > MAX_TEXT or () in paths:
        return None
    between = "\0".join(literals)
    if "{" in between and (JINJA.search(between) or "{\0" in between):
        return None
    return tuple(literals), paths


@functools.lru_cache(1_000)
def _path_of(name: str) -> tuple[str, ...]:
    """The steps of a look-up; none where Jinja reads its first word as something else than a variable."""
    path = tuple(name.split("."))
    return () if path[0] in _KEYWORDS else path


@functools.lru_cache(1_000)
def _names_in(paths: Paths) -> tuple[str, ...]:
    """The names of some look-ups, sorted; most templates have the same few."""
    return tuple(sorted({".".join(path[:2]) if path[0] in {"each", "item"} else path[0] for path in paths}))


def _assemble(literals: tuple[str, ...], paths: Paths, lookup: Lookup) -> Json:
    """The value of a split text; MISSING where Jinja has to render it or explain the error."""
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
    """A file of macros that was read; `settings` is the text of the project file, which names it."""

    def __init__(self, project: Project, settings: Source, data: DataFile) -> None:
        self.path = data.path
        self.exists = data.exists
        self._taken = RESERVED | project.vars.keys() | project.environment_vars.keys() | project.cli_vars.keys()
        source, self.unread = decode(data.path, data.content)
        self._document = YamlDocument(source, source.text)
        if data.problem:
            self.unread = [data.problem]
        elif not data.exists:
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
        """Problems with the macros of the file; `unread` has those with reading it."""
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
            message = f"the file of macros has an error: {error.message}"
            return None, [finding(self._document, error.code, message, hint=error.hint, offset=error.offset)]


# --- scope -------------------------------------------------------------------------------------------------


INPUTS: Final = "inputs"
"""The short name of `item.inputs`."""


class Scope:
    """The variables that some items share, and cached results that are the same for all of them.

    A variable that depends on neither `each` nor `item` is rendered once.
    """

    def __init__(
        self,
        variables: Mapping[str, Tree],
        builtin: Mapping[str, Json],
        templates: Templates,
        rows: Callable[[str], list[Json]] = lambda _path: [],
    ) -> None:
        self.rows = rows
        """The rows of a data file. Raises TemplateError."""
        self.variables = variables
        self.builtin = builtin
        self.templates = templates
        self.constants: dict[str, Json] = dict(builtin)
        self.prints: dict[str, str] = {}
        self.broken: set[str] = set()
        self.used: dict[tuple[str, ...], dict[str, str]] = {}
        """By their variables, the starts of digests that are the same for every item."""
        self._uses: dict[tuple[Direct, ...], Uses] = {}
        self._reach: dict[str, frozenset[str]] = {}
        self._constant: dict[str, bool] = {}
        self.readers = frozenset(READERS - variables.keys())
        """The functions that read texts and rows."""

    def refers(self, name: str) -> bool:
        """Whether a variable uses texts of other items or rows of data files, directly or not."""
        return not self.readers.isdisjoint(self.reach(name))

    @functools.cached_property
    def made_from_texts(self) -> frozenset[str]:
        """The functions that read texts, and the variables that use one of them."""
        functions = self.readers - {ROWS}
        return functions.union(name for name in self.variables if not functions.isdisjoint(self.reach(name)))

    def reach(self, name: str) -> frozenset[str]:
        """Every variable that a variable uses, directly or not, with itself, and the parts of `each` and `item`."""
        names = self._reach.get(name)
        if names is None:
            steps = reachable(name, lambda step: self.direct(self.variables[step]) if step in self.variables else ())
            used = (step for step in steps if step in self.variables or root_of(step) in {"each", "item", *READERS})
            names = self._reach[name] = frozenset(used)
        return names

    def direct(self, node: Tree) -> tuple[str, ...]:
        """The names that the templates of a value use directly."""
        if isinstance(node, Written) and isinstance(node.value, str) and node.layer != "command line":
            return self._named(node.value) if is_template(node.value) else ()
        if isinstance(node, Branch):
            return tuple(name for below in node.entries.values() for name in self.direct(below))
        if node.layer == "command line":
            return ()
        return tuple(name for source in templates_in(node.value) for name in self._named(source))

    def _named(self, source: str) -> tuple[str, ...]:
        """The names in a text; `inputs` means that of the item, unless a variable has the name."""
        names = self.templates.get(source).names
        if INPUTS not in names or INPUTS in self.variables:
            return names
        return tuple(f"item.{INPUTS}" if name == INPUTS else name for name in names)

    def uses(self, templates: Iterable[tuple[str, Written]]) -> Uses:
        """The variables of an item with these templates; most items share them."""
        key = tuple((name, self.direct(written)) for name, written in templates)
        return self._uses.get(key) or self._uses.setdefault(key, Uses(key, self))

    def is_constant(self, name: str) -> bool:
        """Whether a variable is the same for every item."""
        constant = self._constant.get(name)
        if constant is None:
            constant = {"each", "item", *READERS}.isdisjoint(map(root_of, (name, *self.reach(name))))
            self._constant[name] = constant
        return constant

    def origin(self, name: str) -> Origin:
        """The origin of a variable."""
        written = top(self.variables[name])
        others = tuple(sorted(self.reach(name) - {name}))
        return Origin(layer=written.layer, location=written.location, variables=others)


def leaves(node: Tree) -> Iterator[Written]:
    """Every written value of a tree."""
    if isinstance(node, Branch):
        for below in node.entries.values():
            yield from leaves(below)
    else:
        yield node


def root_of(name: str) -> str:
    """The variable that a name starts with: `each` of `each.city`."""
    return name.partition(".")[0]


class Uses:
    """Which variables each field of a declared item uses; the same for all of its rows."""

    def __init__(self, templates: tuple[Direct, ...], scope: Scope) -> None:
        self._templates = templates
        self._scope = scope
        self._names_by_field: dict[str, frozenset[str]] = {}
        self.variables = {name: self._variables(name, direct) for name, direct in templates}
        """By the name of a template with dots, the variables that it uses, directly or not."""
        used = self.variables.items()
        self.names = tuple(sorted({name for _, names in used for name in names if self._is_value(name)}))
        self.referring = frozenset(template for template, names in used if not all(map(self._is_value, names)))
        """The names of the templates that use texts of other items or rows of data files, directly or not."""
        named = {f"item.{name}" for name in self.referring}
        named |= {name for name in self.referring if name.startswith(f"{INPUTS}.") and INPUTS not in scope.variables}
        self.made_from_texts = scope.made_from_texts.union(named) if self.referring else frozenset()
        """The functions that read texts, and the variables and fields that may use one, with dots."""

    def known(self, each: Each | None) -> Iterator[str]:
        """The names that have a value in a row, without those that use texts or rows."""
        for name in self.names:
            root, _, part = name.partition(".")
            if root != "each" and self._scope.refers(name):
                continue
            if root != "each" or (each is not None and (not part or part in each.values)):
                yield name

    def _is_value(self, name: str) -> bool:
        return name not in self._scope.readers

    def _variables(self, name: str, direct: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(self._expand(direct, frozenset({root_of(name)}))))

    def of(self, name: str) -> frozenset[str]:
        """The variables that one field uses, directly or not."""
        return self._field(name, frozenset())

    def _field(self, name: str, visiting: frozenset[str]) -> frozenset[str]:
        if name in visiting:
            return frozenset()
        names = self._names_by_field.get(name)
        if names is None:
            direct = [used for template, names in self._templates if root_of(template) == name for used in names]
            names = self._names_by_field[name] = self._expand(direct, visiting | {name})
        return names

    def _expand(self, direct: Iterable[str], visiting: frozenset[str]) -> frozenset[str]:
        names: set[str] = set()
        for name in direct:
            for step in self._scope.reach(name):
                if root_of(step) == "item":
                    names |= self._field(step.partition(".")[2], visiting)
                else:
                    names.add(step)
        return frozenset(names)
