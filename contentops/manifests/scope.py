"""What templates read: values, and how they read in a text; variables, where each was written and what it leads to."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Final

from contentops.manifests.layers import Tree, Written, leaves, top
from contentops.manifests.templates import Templates, templates_in
from contentops.model import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.manifests.expand import Declared
    from contentops.model import Json


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentops.model import Json

    Lookup = Callable[[str], Any]

MAX_TEXT: Final = 1024 * 1024
"""Longest text a template may hold or give, in characters."""

MAX_NUMBER_BITS: Final = 64
"""Widest whole number a template may give."""

MAX_DEPTH: Final = 100
"""Deepest nesting of lists and maps a template may give."""

MAX_VALUES: Final = 100_000
"""Most entries of lists and maps a template may give."""


MISSING: Final[Any] = object()
"""What a look-up gives for a name that is not defined."""

_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class TemplateError(Exception):
    """A template that cannot be rendered.

    `offset` is the character of the source the problem is at, of the file of macros if `in_macros`; `name` is the
    variable that is not defined, if that is the problem.
    """

    def __init__(
        self, code: str, message: str, *, hint: str = "", offset: int = 0, name: str = "", in_macros: bool = False
    ) -> None:
        super().__init__(message)
        self.in_macros = in_macros
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        self.name = name


class Lazy:
    """A map whose values are made when a template asks for them; `item` is one."""

    __slots__ = ("_get", "names")

    def __init__(self, names: tuple[str, ...], get: Callable[[str], Any]) -> None:
        self.names = names
        self._get = get

    def get(self, name: str) -> Any:
        """The value, or MISSING."""
        return self._get(name) if name in self.names else MISSING


def unsendable(value: Any) -> str | None:
    """Why a text or number cannot be sent, or None."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"gives a text of more than {MAX_TEXT} characters"
        if found := _UNSENDABLE.search(value):
            return f"gives a text with the character U+{ord(found.group()):04X}"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "gives a number that is not finite"
    elif value.bit_length() > MAX_NUMBER_BITS:
        return f"gives a whole number of more than {MAX_NUMBER_BITS} bits"
    return None


def text_of(value: Any) -> str:
    """A value as it reads inside a text: `true` for a bool, digits for a number. Raises TemplateError for others."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        hint = 'give another text with `default("...", true)`, or leave the part out with `{% if %}`'
        raise TemplateError("template-value", "a null cannot stand inside a text", hint=hint)
    hint = 'write `| join(", ")`, or pick one entry'
    raise TemplateError("template-value", f"{kind_of(value)} cannot stand inside a text", hint=hint)


def kind_of(value: Any) -> str:
    """What a value is, in plain words with its article."""
    if value is None:
        return "a null"
    kinds = {bool: "a bool", int: "a whole number", float: "a number", str: "a text", dict: "a map", Lazy: "a map"}
    kinds |= {list: "a list", tuple: "a list"}
    unknown = f"something that is no JSON value ({type(value).__name__})"
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), unknown)


def as_json(value: Any) -> Json:
    """A value a template gave, as plain JSON types. Raises TemplateError where it is none, or is too large."""
    return _as_json(value, 0, itertools.count())


def _as_json(value: Any, depth: int, counted: Iterator[int]) -> Json:
    if next(counted) > MAX_VALUES:
        raise TemplateError("template-limit", f"gives more than {MAX_VALUES} values")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        problem = unsendable(value)
        if problem:
            raise TemplateError("template-value", problem)
        return str(value) if isinstance(value, str) else value
    if depth > MAX_DEPTH:
        raise TemplateError("template-value", f"gives lists or maps nested more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return [_as_json(entry, depth + 1, counted) for entry in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TemplateError("template-value", "gives a map with a key that is no text")
        return {str(key): _as_json(value[key], depth + 1, counted) for key in value}
    str(value)  # a missing value deep inside a list says here, in Jinja's way, what it misses
    hint = "add `| list`" if hasattr(value, "__iter__") else "only texts, numbers, bools, lists and maps can be sent"
    raise TemplateError("template-value", f"gives {kind_of(value)}", hint=hint)


Trace = tuple[dict[str, Origin], dict[str, str]]
"""Where the value of each variable was written, and the start of its digest."""


class Scope:
    """The variables some items share, and what is the same for all of those items.

    A variable that depends on neither `each` nor `item` is rendered once.
    """

    def __init__(self, variables: Mapping[str, Tree], builtin: Mapping[str, Json], templates: Templates) -> None:
        self.variables = variables
        self.builtin = builtin
        self.templates = templates
        self.constants: dict[str, Json] = dict(builtin)
        self.prints: dict[str, str] = {}
        self.broken: set[str] = set()
        self.shared: dict[int, Origin] = {}
        """Origins of defaults by the identity of what was written, which outlives this scope."""
        self.traces: dict[tuple[str, ...], Trace] = {}
        """What items note about their variables, by those variables, where it is the same for every item."""
        self._reach: dict[str, frozenset[str]] = {}
        self._origins: dict[str, Origin] = {}

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

    def direct(self, node: Tree) -> Iterator[str]:
        """The names the templates inside a value use themselves."""
        if isinstance(node, Written) and isinstance(node.value, str) and "{" not in node.value:
            return
        for _, leaf in leaves(node, ()):
            if leaf.layer != "command line":
                for source in templates_in(leaf.value):
                    yield from self.templates.get(source).names

    def is_constant(self, name: str) -> bool:
        """Whether a variable is the same for every item."""
        return root_of(name) not in {"each", "item"} and not any(
            root_of(step) in {"each", "item"} for step in self.reach(name)
        )

    def origin(self, name: str) -> Origin:
        """Where a variable was written."""
        found = self._origins.get(name)
        if found is None:
            written = top(self.variables[name])
            others = tuple(sorted(self.reach(name) - {name}))
            found = self._origins[name] = Origin(layer=written.layer, location=written.location, variables=others)
        return found


def root_of(name: str) -> str:
    """The variable a name starts with: `each` of `each.city`."""
    return name.partition(".")[0]


class Uses:
    """Which variables each field of a declared item uses; the same for all of its rows."""

    def __init__(self, declared: Declared, scope: Scope) -> None:
        self._declared = declared
        self._scope = scope
        self._fields: dict[str, frozenset[str]] = {}
        self.origins: dict[str, Origin] = {}
        for name, node in declared.fields.items():
            if isinstance(node, Written):
                self.origins[name] = self._origin(name, node)
            else:
                self.origins |= {".".join(path): self._origin(name, leaf) for path, leaf in leaves(node, (name,))}
        self.names = tuple(sorted({name for origin in self.origins.values() for name in origin.variables}))

    def _origin(self, name: str, leaf: Written) -> Origin:
        """Where a value comes from. What a default says is the same for every item, unless it asks for `item`."""
        known = self._scope.shared.get(id(leaf))
        if known is not None:
            return known
        direct = tuple(self._scope.direct(leaf))
        names = tuple(sorted(self._expand(direct, frozenset({name})))) if direct else ()
        origin = Origin(layer=leaf.layer, location=leaf.location, variables=names)
        if leaf.layer != "item" and not any(root_of(step) == "item" for step in direct):
            self._scope.shared[id(leaf)] = origin
        return origin

    def of(self, name: str) -> frozenset[str]:
        """The variables behind one field."""
        return self._field(name, frozenset())

    def _field(self, name: str, on_the_way: frozenset[str]) -> frozenset[str]:
        node = self._declared.fields.get(name)
        if node is None or name in on_the_way:
            return frozenset()
        found = self._fields.get(name)
        if found is None:
            found = self._fields[name] = self._expand(self._scope.direct(node), on_the_way | {name})
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
