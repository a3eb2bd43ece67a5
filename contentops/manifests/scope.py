"""What templates read: values, and how they read in a text; variables, where each was written and what it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentops.manifests.layers import Tree, Written, leaves, top
from contentops.manifests.templates import Templates, templates_in
from contentops.model import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from contentops.manifests.expand import Declared
    from contentops.model import Json

    Lookup = Callable[[str], Any]


INPUTS: Final = "inputs"
"""The short name of `item.inputs`."""

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
                    names = self.templates.get(source).names
                    yield from map(self._meant, names) if INPUTS in names else names

    def _meant(self, name: str) -> str:
        """`inputs` is that of the item, unless a variable has the name."""
        return f"item.{INPUTS}" if name == INPUTS and name not in self.variables else name

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
