"""Finds the names that templates use, and renders templates.

A text with only plain look-ups (`AI in {{ company }}`) is filled in here, without Jinja, if the result is the same.
Jinja does everything else and explains every error (see `compiled`). It is imported only then.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from contentops.manifests.data import DataFile
from contentops.manifests.values import (
    MAX_TEXT,
    MISSING,
    RESERVED,
    ROWS,
    Lazy,
    TemplateError,
    Written,
    is_template,
    reachable,
    templates_in,
    unsendable,
)
from contentops.model import Json, Project
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


_MAPS = (dict, Lazy)


class TextTemplate:
    """A template, which is a text that contains Jinja.

    `names` are the sorted variables that the template or its macros may use, such as `company`, `item.id` or
    `each.city`. If the template cannot be compiled, there are none, and `problem` says why.
    """

    __slots__ = ("_compiled", "_literals", "_macros", "_paths", "names", "problem", "source")

    def __init__(self, source: str, macros: MacroFile | None = None) -> None:
        self.source = source
        self._compiled: Compiled | None = None
        self.problem: TemplateError | None = None
        self._macros = macros.macros if macros else None
        self._literals, self._paths = _split(source)
        try:
            self.names = _names_in(self._paths) if self._literals else self.compiled.names
        except TemplateError as error:
            self.names, self.problem = (), error

    def render(self, lookup: Lookup) -> Json:
        """Render the template and return its value.

        It is a JSON value if the template is one whole expression, otherwise a text.

        `lookup` returns the value of a name or MISSING. Raises TemplateError, and what `lookup` raises.
        """
        value = _assemble(self._literals, self._paths, lookup) if self._literals else MISSING
        return self.compiled.render(lookup) if value is MISSING else value

    def gap(self, lookup: Lookup) -> str:
        """Return the first name in the template whose value is blank, or an empty text if there is none."""
        for path in self._paths:
            value = _follow(path, lookup)
            if isinstance(value, str) and not value.strip() and any(map(str.strip, self._literals)):
                return ".".join(path)
        return ""

    @property
    def compiled(self) -> Compiled:
        """Return the template, compiled by Jinja. Raises TemplateError."""
        if self.problem is not None:
            raise self.problem
        if self._compiled is None:
            from contentops.manifests.compiled import Compiled

            self._compiled = Compiled(self.source, self._macros)
        return self._compiled


class Templates:
    """Makes and caches templates by their source texts. All of them can use the same macros."""

    def __init__(self, macros: MacroFile | None = None) -> None:
        self.macros = macros
        self.names = macros.macros.names if macros and macros.macros else frozenset[str]()
        """The names of the macros."""
        self.get = functools.lru_cache(10_000)(functools.partial(TextTemplate, macros=macros))


Paths = tuple[tuple[str, ...], ...]
Direct = tuple[str, tuple[str, ...]]
"""A template of an item: its name with dots, and the names that it uses directly."""


def _split(source: str) -> tuple[Sequence[str], Paths]:
    """Split a template into literal texts and the names that are inserted between them.

    Return nothing if it has any other Jinja, or a `{` directly before `{{` or a carriage return, because Jinja treats
    these specially.
    """
    parts = _PIECE.split(source)
    literals, paths = parts[0::2], tuple(tuple(name.split(".")) for name in parts[1::2])
    if "\r" in source or len(source) > MAX_TEXT or any(path[0] in _KEYWORDS for path in paths):
        return (), ()
    between = "\0".join(literals)
    if "{" in between and (JINJA.search(between) or "{\0" in between):
        return (), ()
    return literals, paths


@functools.lru_cache(1_000)
def _names_in(paths: Paths) -> tuple[str, ...]:
    """Return the sorted names that the look-ups of a template use. Most templates use the same few names."""
    return tuple(sorted({".".join(path[:2]) if path[0] in {"each", "item"} else path[0] for path in paths}))


def _assemble(literals: Sequence[str], paths: Paths, lookup: Lookup) -> Json:
    """Return the value of a template that inserts variables and does nothing else.

    Return MISSING if Jinja has to render the template, or to explain its error.
    """
    if len(paths) == 1 and not literals[0] and not literals[1]:
        value = _follow(paths[0], lookup)
        return value if type(value) in {str, int, float, bool} and unsendable(value) is None else MISSING
    text = literals[0]
    for at, path in enumerate(paths, start=1):
        value = _follow(path, lookup)
        if type(value) not in {str, int}:
            return MISSING
        text += f"{value}{literals[at]}"
    return text if unsendable(text) is None else MISSING


def _follow(path: tuple[str, ...], lookup: Lookup) -> Any:
    value = lookup(path[0])
    for name in path[1:]:
        value = value.get(name, MISSING) if isinstance(value, _MAPS) else MISSING
    return value


# --- macros ------------------------------------------------------------------------------------------------


class MacroFile:
    """The file of macros that a project names, and its problems. `settings` is the text of the project file."""

    def __init__(self, project: Project, settings: Source, data: DataFile) -> None:
        from contentops.manifests.compiled import Macros  # start-up: a plan from the cache needs no Jinja

        self.data = data
        self.macros: Macros | None = None
        """None if the macros cannot be used."""
        source, self.problems = decode(data.path, data.content)
        document = YamlDocument(source, source.text)
        self.written = Written(document.root, "macros", document)
        """The whole file as a value, for findings inside it."""
        if data.problem:
            self.problems = [data.problem]
        elif not data.exists:
            message = f"`macros` names `{project.macros[:200]}`, which does not exist"
            hint = "the path is relative to the project root"
            named = YamlDocument(settings, project.settings)
            self.problems = [finding(named, "no-macros", message, ("macros",), hint=hint)]
        taken = RESERVED | project.vars.keys() | project.environment_vars.keys() | project.cli_vars.keys()
        try:
            self.macros = None if self.problems else Macros(source.text, taken)
        except TemplateError as error:
            message = f"the file of macros has an error: {error.message}"
            self.problems = [finding(document, error.code, message, hint=error.hint, offset=error.offset)]


# --- scope -------------------------------------------------------------------------------------------------


INPUTS: Final = "inputs"
"""The short name of `item.inputs`."""
_PER_ITEM: Final = frozenset({"each", "item", *READERS})
"""The names whose values differ between items."""


class Scope:
    """The variables that several items share, and cached results that are the same for all these items.

    A variable that depends on neither `each` nor `item` is rendered once.
    """

    def __init__(
        self,
        variables: Mapping[str, Json],
        builtin: Mapping[str, Json],
        templates: Templates,
        rows: Callable[[str], list[Json]] = lambda _path: [],
        cli: Mapping[str, Json] = MappingProxyType({}),
    ) -> None:
        """Create a scope with the given variables. `variables` are already merged.

        Those from the command line (`cli`) are not rendered as templates.
        """
        self.rows = rows
        """The rows of a data file. Raises TemplateError."""
        self.variables = variables
        self.builtin = builtin
        self.templates = templates
        self.constants: dict[str, Json] = {**builtin, **{name: cli[name] for name in cli if name in variables}}
        self._cli = cli
        self.prints: dict[str, str] = {}
        self.used: dict[tuple[str, ...], dict[str, str]] = {}
        """Short digests of variables that have the same value for every item, by the names of the variables."""
        self._uses: dict[tuple[Direct, ...], Uses] = {}
        self._reach: dict[str, frozenset[str]] = {}
        self._constant: dict[str, bool] = {}
        self.readers = frozenset(READERS - variables.keys())
        """The functions that read texts and rows."""

    def refers(self, name: str) -> bool:
        """Return whether a variable uses texts of other items or rows of data files.

        Uses through other variables count.
        """
        return not self.readers.isdisjoint(self.reach(name))

    @functools.cached_property
    def made_from_texts(self) -> frozenset[str]:
        """Return the functions that read texts, and the variables that use one of these functions."""
        functions = self.readers - {ROWS}
        return functions.union(name for name in self.variables if not functions.isdisjoint(self.reach(name)))

    def reach(self, name: str) -> frozenset[str]:
        """Return a variable's name and all known names that it uses, directly or through other variables."""
        if name not in self._reach:
            self._reach[name] = self.known(reachable([name], self.below))
        return self._reach[name]

    def below(self, name: str) -> Iterable[str]:
        """Return the names that a variable uses directly in its templates."""
        is_made = name in self.variables and name not in self._cli
        return self.direct(self.variables[name]) if is_made else ()

    def known(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of the names are variables, parts of `each` or `item`, or functions that read texts or rows."""
        return frozenset(name for name in names if name in self.variables or root_of(name) in _PER_ITEM)

    def direct(self, value: Json) -> tuple[str, ...]:
        """Return the names that the templates of a value use directly.

        `inputs` means `item.inputs`, unless a variable has that name.
        """
        if isinstance(value, str):
            names = self.templates.get(value).names if is_template(value) else ()
        else:
            names = tuple(name for source in templates_in(value) for name in self.templates.get(source).names)
        if INPUTS not in names or INPUTS in self.variables:
            return names
        return tuple(f"item.{INPUTS}" if name == INPUTS else name for name in names)

    def uses(self, templates: Iterable[tuple[str, Json]]) -> Uses:
        """Return the variables that an item with these templates uses. Most items share them."""
        key = tuple((name, self.direct(value)) for name, value in templates)
        return self._uses.get(key) or self._uses.setdefault(key, Uses(key, self))

    def is_constant(self, name: str) -> bool:
        """Return whether a variable has the same value for every item."""
        if name not in self._constant:
            self._constant[name] = _PER_ITEM.isdisjoint(map(root_of, (name, *self.reach(name))))
        return self._constant[name]


def root_of(name: str) -> str:
    """Return the first part of a name with dots, such as `each` for `each.city`."""
    return name.partition(".")[0]


class Uses:
    """The variables that each field of a declared item uses. They are the same for all of its rows."""

    def __init__(self, templates: tuple[Direct, ...], scope: Scope) -> None:
        self._templates = templates
        self._scope = scope
        self.variables = {name: tuple(sorted(self.reach(direct))) for name, direct in templates}
        """By the name of a template with dots, the variables that it uses, directly or not."""
        used = self.variables.items()
        self.names = tuple(sorted({name for _, names in used for name in names} - scope.readers))
        self.referring = frozenset(template for template, names in used if not scope.readers.isdisjoint(names))
        """The names of the templates that use texts of other items or rows of data files, directly or not."""
        named = {f"item.{name}" for name in self.referring}
        named |= {name for name in self.referring if name.startswith(f"{INPUTS}.") and INPUTS not in scope.variables}
        self.made_from_texts = scope.made_from_texts.union(named) if self.referring else frozenset()
        """The functions that read texts, and the variables and fields that may use one, with dots."""

    def known(self, each: Each | None) -> Iterator[str]:
        """Yield the names that the item's fields use, without the columns that a data row lacks.

        Names that use texts or rows are left out too.
        """
        for name in self.names:
            root, _, part = name.partition(".")
            is_of_row = each is not None and (not part or part in each.values)
            if is_of_row if root == "each" else not self._scope.refers(name):
                yield name

    def reach(self, names: Iterable[str]) -> frozenset[str]:
        """Return all variables that the given variables or fields (such as `item.id`) use, directly or not."""
        return frozenset(name for name in self._scope.known(reachable(names, self._below)) if root_of(name) != "item")

    def _below(self, name: str) -> Iterable[str]:
        root, _, part = name.partition(".")
        if root != "item":
            return self._scope.below(name)
        return [used for template, names in self._templates if root_of(template) == part for used in names]
