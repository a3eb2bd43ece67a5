"""From a declared item to its values: templates filled in, and a note of what each value was made from.

Variables and the fields of `item` are rendered when a template first asks for them, so they may use each other in
any order; going round in a circle is an error that names the circle. The items of one file are told apart by their ids.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from contentops.digest import digest_json
from contentops.errors import Location, Severity, suggest
from contentops.manifests.templates import INPUTS, Scope, Trace, Uses, is_template, plain, root_of, templates_in
from contentops.manifests.values import MISSING, Lazy, TemplateError, Tree, Written, top
from contentops.model import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.manifests.expand import Declared, Each, Layers
    from contentops.manifests.problems import Problems
    from contentops.manifests.templates import Templates
    from contentops.model import Json, Spec


ITEM_FIELDS: Final = ("id", "template", "style", "vertical", "brand_voice", "mode", "tags", "inputs", "metadata")
"""What templates may ask `item` for."""

MAX_CHAIN: Final = 50
"""How many values may lead from one to the next."""

_DIGITS: Final = slice(7, 19)
"""The first 12 hexadecimal digits of a digest, behind its `sha256:`."""


class _FailedError(Exception):
    """Something this value needs could not be rendered; that was reported at its own place."""


class Rendered(Struct, frozen=True):
    """One item with every field rendered. `values` lacks the fields that could not be."""

    declared: Declared
    each: Each | None
    values: Mapping[str, Json]
    failed: frozenset[str]
    """The fields that could not be rendered."""
    origins: Mapping[str, Origin]
    variables: Mapping[str, Origin] = field(default_factory=dict)
    used: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The item in messages: its id as written, with the row where there is one."""
        return subject_of(self.declared, self.each)


def subject_of(declared: Declared, each: Each | None) -> str:
    """The item in messages."""
    return declared.label if each is None else f"{declared.label} ({each.label})"


def fingerprint(value: Json) -> str:
    """The start of a value's digest; tells whether a variable changed."""
    return digest_json(value)[_DIGITS]


def render_item(declared: Declared, each: Each | None, scope: Scope, uses: Uses, problems: Problems) -> Rendered:
    """One item, for one combination of `for_each` or `matrix`; what cannot be rendered is reported."""
    item = _Item(declared, each, scope, problems)
    values: dict[str, Json] = {}
    failed: set[str] = set()
    for name, node in declared.fields.items():
        try:
            value = node.value if isinstance(node, Written) and node.is_plain else item.field(name)
        except _FailedError:
            failed.add(name)
            continue
        if value is not None:
            values[name] = value
    try:
        variables, used = ({}, {}) if failed else item.trace(uses)
    except _FailedError:
        failed.add("vars")
        variables, used = {}, {}
    return Rendered(declared, each, values, frozenset(failed), uses.origins, variables, used)


_FAILED: Final = object()
_NONE: Final[dict[str, Json]] = {}
"""The inputs of an item without any."""
_DEFINING: Final = frozenset({"vars", "for_each", "matrix"})
"""The fields of an item that make names known to its templates."""


class _Item:
    """The values of one item while they are being rendered."""

    def __init__(self, declared: Declared, each: Each | None, scope: Scope, problems: Problems) -> None:
        self._declared = declared
        self._each = each
        self._scope = scope
        self._problems = problems
        self._done: dict[str, Any] = {}
        self._stack: list[str] = []
        self._lazy = Lazy(ITEM_FIELDS, self._ask)

    def field(self, name: str) -> Json:
        """A rendered field of the item; None where it is absent. Raises _FailedError."""
        return self._once(f"item.{name}", self._declared.fields[name])

    def _ask(self, name: str) -> Any:
        """What a template gets for `item.<name>`."""
        if name not in self._declared.fields:
            if name == "id":  # reported with the item, not with everything that is named after it
                raise _FailedError
            return MISSING
        value = self.field(name)
        return MISSING if value is None else value

    def lookup(self, name: str) -> Any:
        """What a template gets for a name."""
        if name == "each":
            return MISSING if self._each is None else self._each.values
        if name == "item":
            return self._lazy
        if name in self._scope.constants:
            return self._scope.constants[name]
        node = self._scope.variables.get(name)
        if node is None:
            return self._inputs() if name == INPUTS else MISSING
        if name in self._scope.broken:
            raise _FailedError
        constant = self._scope.is_constant(name)
        try:
            value = self._once(name, node)
        except _FailedError:
            if constant:
                self._scope.broken.add(name)
            raise
        if constant:
            self._scope.constants[name] = value
        return value

    def _inputs(self) -> Json:
        """The rendered inputs, empty for an item without any."""
        found = self._ask(INPUTS)
        return _NONE if found is MISSING else found

    def _once(self, name: str, node: Tree) -> Json:
        """Render a variable or field unless that was done or is being done."""
        if name in self._done:
            value = self._done[name]
            if value is _FAILED:
                raise _FailedError
            return value
        if name in self._stack:
            self._report_circle(name)
            raise _FailedError
        if len(self._stack) >= MAX_CHAIN:
            core = f"`{self._stack[0]}` leads through more than {MAX_CHAIN} other values"
            self._problems.about("", top(node), "template-limit", core, hint="let it use the last ones directly")
            raise _FailedError
        self._stack.append(name)
        try:
            value = self._done[name] = self._tree(node, name)
        except _FailedError:
            self._done[name] = _FAILED
            raise
        finally:
            self._stack.pop()
        return value

    def _tree(self, node: Tree, name: str) -> Json:
        """A value with its templates filled in. A null inside a map of layers takes its key away."""
        if isinstance(node, Written):
            return self._value(node, name)
        found = self._all((key, entry, f"{name}.{key}") for key, entry in node.entries.items())
        return {key: value for key, value in found.items() if value is not None}

    def _value(self, written: Written, name: str) -> Json:
        value = written.value
        if written.is_plain:
            return value
        if isinstance(value, str):
            return self._template(written, name) if written.layer != "command line" and is_template(value) else value
        if not isinstance(value, list | dict):
            return value
        if written.layer == "command line" or next(templates_in(value), None) is None:
            return plain(value)
        keys: Iterable[str | int] = value if isinstance(value, dict) else range(len(value))
        found = self._all((key, written.below(key), name) for key in keys)
        return found if isinstance(value, dict) else list(found.values())

    def _all(self, entries: Iterable[tuple[Any, Tree, str]]) -> dict[Any, Json]:
        """Every entry of a list or map, so that all of its problems are found at once."""
        found: dict[Any, Json] = {}
        failed = False
        for key, node, name in entries:
            try:
                found[key] = self._tree(node, name)
            except _FailedError:
                failed = True
        if failed:
            raise _FailedError
        return found

    def _template(self, written: Written, name: str) -> Json:
        template = self._scope.templates.get(written.value)
        try:
            value = template.render(self.lookup)
        except TemplateError as error:
            self._report(written, name, error)
            raise _FailedError from None
        if name.startswith("item.inputs") and (gap := template.gap(self.lookup)):
            core = f"has nothing for `{{{{ {gap} }}}}` between the words of `{name[5:]}`"
            hint = f"fill it in, or say what stands there without it: `{{{{ {gap} or ... }}}}`"
            subject = subject_of(self._declared, self._each)
            severity = Severity.WARNING
            self._problems.about(subject, written, "empty-between-words", core, hint=hint, severity=severity)
        return value

    def _report(self, written: Written, name: str, error: TemplateError) -> None:
        macros = self._scope.templates.macros
        if error.code == "undefined-variable" and (
            self._declared.meant & _DEFINING or (error.name and macros and not macros.macros)
        ):
            return
        subject, core = subject_of(self._declared, self._each), f"uses the variable `{name}`: {error.message}"
        if name.startswith("item."):
            core = f"has a problem in `{name[5:]}`: {error.message}"
        elif self._scope.is_constant(root_of(name)):
            subject, core = "", f"variable `{name}`: {error.message}"
        hint, offset = error.hint or (self._suggest(error.name) if error.name else ""), error.offset
        if error.in_macros and macros:
            written = macros.written()
        elif written.document is None:
            written, offset = self._declared.written, 0
        self._problems.about(subject, written, error.code, core, hint=hint, offset=offset)

    def _suggest(self, name: str) -> str:
        """What to write instead of a name that is not defined."""
        if name == "each":
            return "`each` is only known with `for_each` or `matrix`"
        file = self._scope.templates.macros
        macros = file.macros.names if file and file.macros else frozenset()
        known = sorted(
            {*self._scope.variables, *self._scope.builtin, *macros, "item", INPUTS, *(["each"] if self._each else [])}
        )
        return suggest(name, tuple(known)) or "declare it under `vars`"

    def _report_circle(self, name: str) -> None:
        circle = self._stack[self._stack.index(name) :]
        first = circle.index(min(circle))
        circle = circle[first:] + circle[:first]
        names = " -> ".join(f"`{step}`" for step in (*circle, circle[0]))
        in_item, name = circle[0].startswith("item."), circle[0].removeprefix("item.")
        node = self._declared.fields[name] if in_item else self._scope.variables[name]
        hint = "put what several inputs use under `vars`" if circle == ["item.inputs"] else ""
        self._problems.about("", top(node), "variable-cycle", f"values go round in a circle: {names}", hint=hint)

    def trace(self, uses: Uses) -> Trace:
        """Every variable the item used: where its value was written, and the start of its value's digest."""
        known = self._scope.traces.get(uses.names)
        if known is not None:
            return known
        origins: dict[str, Origin] = {}
        used: dict[str, str] = {}
        data: dict[Any, Origin] = {}
        for name in uses.names:
            root, _, part = name.partition(".")
            if root != "each":
                origins[name] = self._scope.origin(name)
                used[name] = self._print(name)
            elif self._each is not None and (not part or part in self._each.values):
                location = self._each.place(part)
                origins[name] = data.setdefault(location, Origin(layer="data", location=location))
                used[name] = fingerprint(self._each.values[part] if part else self._each.values)
        if all(map(self._scope.is_constant, uses.names)):
            self._scope.traces[uses.names] = origins, used
        return origins, used

    def _print(self, name: str) -> str:
        found = self._scope.prints.get(name)
        if found is None:
            found = fingerprint(self.lookup(name))
            if self._scope.is_constant(name):
                self._scope.prints[name] = found
        return found


# --- items -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class FileItems:
    """What the declarations of one file became."""

    specs: list[Spec] = dataclasses.field(default_factory=list)
    claims: list[tuple[str, Location]] = dataclasses.field(default_factory=list)
    """The ids of items with errors, and where they are declared."""
    used: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    """The variables each declaration uses."""
    complete: bool = True
    """Whether every id is known."""


def make_items(
    declared: Sequence[Declared],
    problems: Problems,
    *,
    builtin: Mapping[str, Json],
    templates: Templates,
    check: Callable[[Rendered, Problems], Spec | None],
) -> FileItems:
    """Render and `check` every item; `builtin` are the names all templates know besides variables."""
    scopes: dict[int, Scope] = {}
    ids: dict[str, Rendered] = {}
    made = FileItems()
    for entry in declared:
        scope = scopes.get(id(entry.variables))
        if scope is None:
            scope = scopes[id(entry.variables)] = Scope(entry.variables, builtin, templates)
        uses = Uses(entry, scope)
        made.used.append(uses.names)
        if not entry.each and entry.each is not None:
            made.complete = False
        if not _may_multiply(entry, uses, problems):
            made.complete = False
            continue
        for each in (None,) if entry.each is None else entry.each:
            rendered = render_item(entry, each, scope, uses, problems)
            _sort_in(made, rendered, check(rendered, problems), ids, problems)
    return made


def _sort_in(
    made: FileItems, rendered: Rendered, spec: Spec | None, ids: dict[str, Rendered], problems: Problems
) -> None:
    """Keep a spec, or at least the id of an item with errors; of two with one id the first."""
    name = spec.id if spec else rendered.values.get("id")
    if not isinstance(name, str):
        made.complete = False
        return
    first = ids.setdefault(name, rendered)
    if first is not rendered:
        _report_duplicate(rendered, first, name, problems)
    elif spec:
        made.specs.append(spec)
    else:
        made.claims.append((name, rendered.declared.location))


def _may_multiply(declared: Declared, uses: Uses, problems: Problems) -> bool:
    """Whether an item with `for_each` or `matrix` tells its rows apart by `each`."""
    if declared.each is None or "id" not in declared.fields:
        return True
    if any(name.partition(".")[0] == "each" for name in uses.of("id")):
        return True
    written = declared.fields["id"]
    assert isinstance(written, Written)
    hint = "name a column that stays the same: `{{ each.slug }}`; for plain values `{{ each.value }}`"
    core = "makes several items, so its id must use `each`"
    problems.about(declared.label, written, "id-without-each", core, hint=hint)
    return False


def _report_duplicate(rendered: Rendered, first: Rendered, name: str, problems: Problems) -> None:
    written = rendered.declared.fields["id"]
    assert isinstance(written, Written)
    here = f" ({rendered.each.label})" if rendered.each else ""
    there = first.each.label if first.each and first.each.location else f"{first.declared.location}"
    if first.each and not first.each.location:
        there += f" ({first.each.label})"
    # All of it tells one from the other: what is left to be equal is the place and the code.
    said = f"item `{name[:200]}`{here} is declared twice: first at {there}"
    problems.about(said, written, "duplicate-id", "", hint="ids are unique in the whole project: rename one")


def warn_unused(
    below: Layers, declared: Sequence[Declared], used: Sequence[tuple[str, ...]], problems: Problems
) -> None:
    """Warn about variables of the manifest that no item uses, and of an item that the item itself does not."""
    everywhere = frozenset().union(*used)
    idle = [(written, "any item") for written in below.local if declared and written.pointer[-1] not in everywhere]
    for entry, names in zip(declared, used, strict=True):
        idle += [(written, entry.label) for written in entry.own_variables if written.pointer[-1] not in names]
    for written, whom in idle:
        core = f"variable `{written.pointer[-1]}` is not used by {whom}"
        hint = "remove it, or use it"
        problems.about("", written, "unused-variable", core, key=True, hint=hint, severity=Severity.WARNING)
