"""Renders the templates of an item, and records the origin of each value.

Variables and the fields of `item` are rendered when a template first reads them, so they may use each other in
any order; a circle is an error that names its members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field, to_builtins

from contentops.digest import digest_json, short
from contentops.errors import Severity, suggest
from contentops.manifests.item_fields import Unrendered
from contentops.manifests.mentions import FoundReferences, RenderedAlone, key_by_key, loose_keys
from contentops.manifests.origins import Origins, of_fields, of_variables
from contentops.manifests.references import LONGEST, NoAddressError, hole, parts_of
from contentops.manifests.templates import INPUTS, REF, Scope, Uses, root_of, templates_in
from contentops.manifests.values import MISSING, Branch, Lazy, TemplateError, Written, is_template, top
from contentops.model import REQUEST_FIELDS, ItemId, Reference, WaitReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.manifests.expand import Declared, Each
    from contentops.manifests.problems import Problems
    from contentops.manifests.references import Sources
    from contentops.model import Json, Origin


ITEM_FIELDS: Final = ("id", *REQUEST_FIELDS, "tags", "metadata", "publish_on")
"""The fields of `item` that templates can read."""

REFERRING: Final = frozenset({"inputs", "metadata", "output"})
"""The fields that may use the texts of other items."""

MAX_CHAIN: Final = 50
"""Longest chain of values that use one another."""


class _FailedError(Exception):
    """A value that this one uses could not be rendered; that was reported there."""


class Rendered(Struct, frozen=True, gc=False):
    """One rendered item. `values` lacks the fields that could not be rendered."""

    declared: Declared
    each: Each | None
    values: Mapping[str, Json]
    failed: frozenset[str]
    """The fields that could not be rendered."""
    origins: Mapping[str, Origin]
    variables: Mapping[str, Origin] = field(default_factory=dict)
    used: Mapping[str, str] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    """The items whose texts it uses, sorted by id."""
    mentions: tuple[Reference, ...] = ()
    """The items whose texts only its metadata uses, for nothing that `ref` reads of it; sorted by id."""
    open_metadata: tuple[str, ...] = ()
    """The keys of metadata that it lacks until every mentioned item has a text."""
    unknown: frozenset[str] = frozenset()
    """The names, with dots, of values that are not known before every reference has a text."""


def subject_of(declared: Declared, each: Each | None) -> str:
    """The item in messages: its id as written, and its row."""
    return declared.label if each is None else f"{declared.label} ({each.label})"


def fingerprint(value: Json) -> str:
    """The start of a value's digest, which shows whether a variable changed."""
    return short(digest_json(value))


def render_item(
    declared: Declared, each: Each | None, scope: Scope, uses: Uses, problems: Problems, sources: Sources
) -> Rendered:
    """One item for one combination of `for_each` and `matrix`; what cannot be rendered is reported."""
    item = _Item(declared, each, scope, problems, sources)
    values = dict(declared.values)
    failed: set[str] = set()
    loose = loose_keys(uses.referring)
    for name in declared.open:
        if loose and name == "metadata":
            continue
        try:
            values[name] = item.field(name)
        except _FailedError:
            failed.add(name)
        if name in failed or values[name] is None:
            del values[name]
    found = FoundReferences(item.references)
    if loose:

        def alone(node: Any, name: str) -> RenderedAlone:
            return _Item(declared, each, scope, problems, sources).alone(node, name)

        found, metadata = key_by_key(item.references, loose, declared.values["metadata"], alone)
        values["metadata"] = metadata or {}
        failed |= {"metadata"} if metadata is None else set()
    try:
        used = {} if failed else item.used(uses)
    except _FailedError:
        failed.add("vars")
        used = {}
    item.end()
    unknown = [name for name in uses.referring if found.waits and root_of(name) in REFERRING]
    return Rendered(
        declared,
        each,
        values,
        frozenset(failed),
        Origins(of_fields, declared.written, declared.below, uses),
        Origins(of_variables, uses, scope, each) if used else {},
        used,
        _by_id(found.references),
        mentions=_by_id(found.mentions),
        open_metadata=found.open,
        unknown=frozenset(unknown),
    )


def _by_id(references: Mapping[ItemId, Reference]) -> tuple[Reference, ...]:
    return tuple(references[name] for name in sorted(references))


_FAILED: Final = object()
_NO_INPUTS: Final[dict[str, Json]] = {}
_DEFINING: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that define names for its templates."""


class _Item:
    """The values of one item while they are being rendered."""

    def __init__(
        self, declared: Declared, each: Each | None, scope: Scope, problems: Problems, sources: Sources
    ) -> None:
        self.references: dict[ItemId, Reference] = {}
        self._parts: dict[ItemId, set[str]] = {}
        """The parts that were read of each item."""
        self._sources = sources
        self._long: set[ItemId] = set()
        self._declared = declared
        self._each = each
        self._scope = scope
        self._problems = problems
        self._done: dict[str, Any] = {}
        self._stack: list[str] = []
        self._lazy: Lazy | None = None

    def end(self) -> None:
        """Break the reference cycle, so that no garbage collection is needed."""
        self._lazy = None

    def field(self, name: str) -> Json:
        """A rendered field of the item; None where it is absent. Raises _FailedError."""
        return self._once(f"item.{name}", self._declared.values[name])

    def alone(self, node: Any, name: str) -> RenderedAlone:
        """A value that is rendered first, so that all references are its own."""
        try:
            value = self._tree(node, name)
        except _FailedError:
            value = MISSING
        self.end()
        return RenderedAlone(value, self.references, self._parts)

    def _ask(self, name: str) -> Any:
        """The value of `item.<name>`, or MISSING."""
        if name not in self._declared.values:
            if name == "id":  # a missing id is reported once, with the item
                raise _FailedError
            return MISSING
        value = self.field(name)
        return MISSING if value is None else value

    def lookup(self, name: str) -> Any:
        """The value of a name in templates, or MISSING."""
        if name == "each":
            return MISSING if self._each is None else self._each.values
        if name == "item":
            if self._lazy is None:
                self._lazy = Lazy(ITEM_FIELDS, self._ask)
            return self._lazy
        if name in self._scope.constants:
            return self._scope.constants[name]
        node = self._scope.variables.get(name)
        if node is None:
            return self._inputs() if name == INPUTS else self._ref if name == REF else MISSING
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

    def _ref(self, name: Any = None, approved: Any = False) -> Lazy:
        """The text of another item. Raises TemplateError."""
        if not isinstance(name, str) or not name or not isinstance(approved, bool):
            hint = "write `ref('ID')` or `ref('ID', approved=true)`"
            raise TemplateError("template-value", "`ref` takes the id of an item", hint=hint)
        text = self._sources.look(ItemId(name), approved=approved)
        earlier = self.references.get(text.id)
        if earlier is None or earlier.wait is None:
            self.references[text.id] = text.reference
        parts = parts_of(text, self._long.add, self._lack)

        def part(name: str) -> Any:
            self._parts.setdefault(text.id, set()).add(name)
            return parts.get(name)

        return Lazy(parts.names, part)

    def _lack(self, name: ItemId) -> None:
        """Note that an item waits, as a part of a text that it uses is empty."""
        self.references[name] = Reference(id=name, wait=WaitReason.NO_PART)

    def _inputs(self) -> Json:
        """The rendered inputs, empty for an item without any."""
        inputs = self._ask(INPUTS)
        return _NO_INPUTS if inputs is MISSING else inputs

    def _once(self, name: str, node: Any) -> Json:
        """The value of a variable or field, rendered once; reports a circle."""
        if name in self._done:
            value = self._done[name]
            if value is _FAILED:
                raise _FailedError
            return value
        if name in self._stack:
            self._report_circle(name)
            raise _FailedError
        if len(self._stack) >= MAX_CHAIN:
            core = f"`{self._stack[0]}` depends on a chain of more than {MAX_CHAIN} other values"
            hint = "use the last values of the chain directly"
            self._problems.about("", self._written(name), "template-limit", core, hint=hint)
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

    def _written(self, name: str) -> Written:
        """A variable or field as written."""
        in_item = name.startswith("item.")
        return self._declared.find((name[5:],))[0] if in_item else top(self._scope.variables[name])

    def _tree(self, node: Any, name: str) -> Json:
        """A value with its templates rendered. A null inside a merged map removes its key."""
        if isinstance(node, Written):
            return self._value(node, name)
        if not isinstance(node, Branch | Unrendered):
            return node  # a field without templates
        values, open_ = ({}, node.entries) if isinstance(node, Branch) else (node.values, node.open)
        values = values | self._all((key, entry, f"{name}.{key}") for key, entry in open_.items())
        for key in open_:
            if values[key] is None:
                del values[key]
        return values

    def _value(self, written: Written, name: str) -> Json:
        value = written.value
        if isinstance(value, str):
            return self._template(written, name) if written.layer != "command line" and is_template(value) else value
        if not isinstance(value, list | dict):
            return value
        if written.layer == "command line" or next(templates_in(value), None) is None:
            return to_builtins(value)
        keys: Iterable[str | int] = value if isinstance(value, dict) else range(len(value))
        entries = self._all((key, written.below(key), name) for key in keys)
        return entries if isinstance(value, dict) else list(entries.values())

    def _all(self, entries: Iterable[tuple[Any, Any, str]]) -> dict[Any, Json]:
        """Every rendered entry of a list or map; problems of all entries are reported."""
        values: dict[Any, Json] = {}
        failed = False
        for key, node, name in entries:
            try:
                values[key] = self._tree(node, name)
            except _FailedError:
                failed = True
        if failed:
            raise _FailedError
        return values

    def _template(self, written: Written, name: str) -> Json:
        template = self._scope.templates.get(written.value)
        try:
            value = template.render(self.lookup)
        except TemplateError as error:
            if any(one.wait for one in self.references.values()) and not isinstance(error, NoAddressError):
                return hole(name)  # it may be about a placeholder
            self._report(written, name, error)
            raise _FailedError from None
        self._warn_cut(written)
        if (name == "item.id" or name.startswith("item.inputs")) and (gap := template.gap(self.lookup)):
            core = f"has no value for `{{{{ {gap} }}}}` inside the text of `{name[5:]}`"
            hint = f"fill it in, or state another value: `{{{{ {gap} or ... }}}}`"
            subject = subject_of(self._declared, self._each)
            severity = Severity.WARNING
            self._problems.about(subject, written, "empty-between-words", core, hint=hint, severity=severity)
        return value

    def _warn_cut(self, written: Written) -> None:
        while self._long:
            core = f"uses only the first {LONGEST:,} characters of the text of `{self._long.pop()}`"
            hint = "use its `excerpt` or one `section`"
            subject = subject_of(self._declared, self._each)
            self._problems.about(subject, written, "reference-cut", core, hint=hint, severity=Severity.WARNING)

    def _report(self, written: Written, name: str, error: TemplateError) -> None:
        macros = self._scope.templates.macros
        if error.code == "undefined-variable" and (
            self._declared.misspelt & _DEFINING or (error.name and macros and not macros.macros)
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
        """A hint for a name that is not defined."""
        if name == "each":
            return "`each` is only known with `for_each` or `matrix`"
        file = self._scope.templates.macros
        macros = file.macros.names if file and file.macros else frozenset()
        names = sorted(
            {*self._scope.variables, *self._scope.builtin, *macros, "item", INPUTS, *(["each"] if self._each else [])}
        )
        hint = suggest(name, tuple(names))
        return f"{hint}; others are declared under `vars`" if hint.startswith("there are ") else hint

    def _report_circle(self, name: str) -> None:
        circle = self._stack[self._stack.index(name) :]
        first = circle.index(min(circle))
        circle = circle[first:] + circle[:first]
        names = " -> ".join(f"`{step}`" for step in (*circle, circle[0]))
        hint = "put a value that several inputs use under `vars`" if circle == ["item.inputs"] else ""
        core = f"values refer to each other in a cycle: {names}"
        self._problems.about("", self._written(circle[0]), "variable-cycle", core, hint=hint)

    def used(self, uses: Uses) -> dict[str, str]:
        """The starts of the digests of the variables that the item uses."""
        stored = self._scope.used.get(uses.names)
        if stored is not None:
            return stored
        used = {name: self._print(name) for name in uses.known(self._each)}
        if all(map(self._scope.is_constant, uses.names)):
            self._scope.used[uses.names] = used
        return used

    def _print(self, name: str) -> str:
        if root_of(name) == "each" and self._each is not None:
            _, _, part = name.partition(".")
            return fingerprint(self._each.values[part] if part else self._each.values)
        digest_start = self._scope.prints.get(name)
        if digest_start is None:
            digest_start = fingerprint(self.lookup(name))
            if self._scope.is_constant(name):
                self._scope.prints[name] = digest_start
        return digest_start
