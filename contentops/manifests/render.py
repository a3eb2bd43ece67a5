"""Renders the templates of an item, and records the origin of each value.

Variables and the fields of `item` are rendered when a template first reads them, so they may use each other in
any order. A cycle is an error that names its members.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct, structs

from contentops.digest import NOTHING, Digest, digest_json, short
from contentops.documents.preset import CHANGED_AT
from contentops.errors import Diagnostic, Severity, suggest
from contentops.manifests.expand import Declared, Origins, of_fields, of_variables
from contentops.manifests.references import DeclaredTexts, part_of
from contentops.manifests.templates import INPUTS, Scope, Uses, root_of
from contentops.manifests.values import (
    MISSING,
    REF,
    ROWS,
    TEXTS,
    UNKNOWN,
    Guesses,
    Lazy,
    Opened,
    Problems,
    SourceError,
    TemplateError,
    Unknown,
    Written,
    cycle_of,
    find,
    is_template,
    leaves,
    reachable,
    replaced,
    templates_in,
    unclear,
)
from contentops.model import REQUEST_FIELDS, ItemId, Json, Origin, Reference, Spec
from contentops.model.desired import PARTS, READERS, Reading
from contentops.yaml.positions import Pointer

if TYPE_CHECKING:
    from contentops.manifests.values import Each, Lookup

    Instance = tuple[Declared, Each | None, Scope, Uses]
    """An item to render: a declaration, or one combination of its `for_each` and `matrix`."""

ITEM_FIELDS: Final = ("id", *REQUEST_FIELDS, "tags", "metadata", "publish_on")
"""The fields of `item` that templates can read."""

REFERRING: Final = frozenset({"inputs", "metadata", "output"})
"""The fields that may use the texts of other items."""
USES: Final = "uses"
"""The field that names the items whose texts are read, if the templates do not make this clear."""
UNCLEAR: Final = "reference-unclear"
_METADATA: Final = "metadata."
"""The beginning of the names of metadata keys. The generation of a text does not wait for these keys."""

_CHANGED_AT: Final = "changed_at"
_ALONE: Final = re.compile(r"\{\{-?\s*changed_at\s*-?\}\}")
MAX_CHAIN: Final = 50
"""Longest chain of values that use one another."""


class _FailedError(Exception):
    """The error that stops rendering a value after its problem was reported."""


_Key = TypeVar("_Key")
_Made = TypeVar("_Made")


def _every(parts: Iterable[tuple[_Key, Callable[[], _Made]]]) -> dict[_Key, _Made]:
    """Call each of the given functions, and return their results by key.

    Raises _FailedError after all calls if any call raised it.
    """
    made: dict[_Key, _Made] = {}
    failed = False
    for key, make in parts:
        try:
            made[key] = make()
        except _FailedError:
            failed = True
    if failed:
        raise _FailedError
    return made


def subject_of(declared: Declared, each: Each | None) -> str:
    """Return the item's name for messages: its id as written, and its data row if it has one."""
    return declared.label if each is None else f"{declared.label} ({each.label})"


class Referring(Struct, frozen=True):
    """An item that uses texts of other items or rows of data files. It is rendered when these are known."""

    instance: Instance
    check: Callable[[Rendered], Spec | None]

    def render(self, bare: Spec, texts: DeclaredTexts, problems: Problems) -> tuple[Spec, tuple[Diagnostic, ...]]:
        """Render the item with the given texts of other items. Return its spec, and warnings.

        `bare` is the part of the item that is known without texts, or was rendered before. `problems` gets the errors
        that do not depend on the texts. Errors that come from the texts are the item's `trouble`.
        """
        trouble, before = Problems(), problems.errors
        rendered = Rendered(self.instance, problems, texts).render(trouble, bare.readings)
        is_whole = problems.errors == before and not trouble.errors
        # Without any of its texts, it is what was checked before.
        made = self.check(rendered) if is_whole and rendered.open != rendered.about else None
        found = trouble.done()
        spec = made or structs.replace(
            bare,
            **rendered.referred,
            trouble=tuple(one for one in found if one.severity is Severity.ERROR),
        )
        moved = texts.declared.moved
        is_known = bare.frame != NOTHING and not rendered.failed
        frame, earlier_frame = (bare.frame, bare.earlier_frame) if is_known else rendered.frames(moved)
        spec = structs.replace(
            spec,
            frame=frame,
            earlier_frame=earlier_frame,
            earlier_ids={one.id: moved[one.id] for one in spec.references if one.id in moved},
            output=spec.output or texts.paths.get(spec.id, ""),
        )
        return spec, tuple(one for one in found if one.severity is not Severity.ERROR)


_FAILED: Final = object()
_FOLLOWING: Final[Mapping[str, tuple[str, ...]]] = {
    "inputs": ("missing-input",),
    "template": ("missing-input", "unknown-input", "wrong-input", "duplicate-input"),
}
"""The codes of problems that follow if a misspelt key did not set a field, by the name of the field."""
NO_INPUTS: Final[Mapping[str, Json]] = {}
_DEFINING: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that define names for its templates."""


class Rendered:
    """One item during and after its rendering. It is made from one combination of `for_each` and `matrix`.

    Values that use the texts of other items are left out if these texts are not given.
    """

    def __init__(self, instance: Instance, problems: Problems, texts: DeclaredTexts | None = None) -> None:
        """Prepare to render the item. `problems` gets the errors that do not depend on the texts of other items."""
        self.declared, self.each, self._scope, self._uses = instance
        self.values = dict(self.declared.values)
        """Its fields without those that could not be rendered."""
        self.failed: set[str] = set()
        """The fields that could not be rendered."""
        self.used: Mapping[str, str] = {}
        """Short digests of its variables."""
        self.readings: Mapping[str, tuple[Reading, ...]] = {}
        """What each value reads of other items, by its name with dots."""
        self.open: frozenset[str] = self._uses.referring
        """The names, with dots, of values that use texts which cannot be used yet. They are not in `values`."""
        self.about = None if texts is None else self._uses.referring
        """The names of the values whose problems are reported, because the others were checked before. None: all."""
        self._texts = texts
        self.problems = problems
        self._done: dict[str, Any] = {}
        self._stack: list[str] = []

    def render(self, trouble: Problems, readings: Mapping[str, tuple[Reading, ...]] = MappingProxyType({})) -> Rendered:
        """Render the values of the item, and return the rendered item.

        `trouble` gets the errors that come from the texts. `readings` says what the values read, if this is known.
        """
        refused = {root_of(name) for name in self.open} - REFERRING if self.open else set()  # that is reported
        self.failed |= refused
        try:
            self._look(trouble, readings)
        except _FailedError:
            self.failed.add("inputs")
        for name in self.declared.open:
            value = None
            try:
                if name not in refused and name not in self.open:
                    value = self.field(name)
            except _FailedError:
                self.failed.add(name)
            if value is None or name in self.failed:
                del self.values[name]
            else:
                self.values[name] = value
        try:
            self.used = {} if self.failed else self._used()
        except _FailedError:
            self.failed.add("vars")
        return self

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Return where each field of the item was set. The names of inner fields have dots."""
        return Origins(of_fields, self.declared, self._uses)

    @property
    def variables(self) -> Mapping[str, Origin]:
        """Return where each variable that the item uses was set."""
        return Origins(of_variables, self.declared, self._uses, self._scope, self.each) if self.used else {}

    def field(self, name: str) -> Json:
        """Return the rendered value of a field of the item. Raises _FailedError."""
        if name not in self.declared.open:
            return self.declared.values[name]
        return self._once(f"item.{name}", self._done)

    def ask(self, name: str) -> Any:
        """Return the value of `item.<name>` in templates, or MISSING."""
        if name in self.open:
            return MISSING
        value = self.field(name) if name in self.declared.values else None
        if value is None and name == "id":  # a missing id is reported once, with the item
            raise _FailedError
        return MISSING if value is None else value

    def lookup(self, name: str) -> Any:
        """Return the value that a name has in templates, or MISSING."""
        if name == "each":
            return MISSING if self.each is None else self.each.values
        if name == "item":
            return Lazy(ITEM_FIELDS, self.ask)
        value = self._scope.constants.get(name, _FAILED)
        if value is not _FAILED:
            return value
        if name in self._scope.variables:
            done = self._scope.constants if self._scope.is_constant(name) else self._done
            return self._once(name, done)
        if name == INPUTS:
            inputs = self.ask(INPUTS)
            return NO_INPUTS if inputs is MISSING else inputs
        if name == _CHANGED_AT and (not self._stack or self._stack[-1] == "item.metadata"):
            return CHANGED_AT  # while nothing is rendered, it is only looked at what templates read
        return {REF: self._ref, TEXTS: self._listed, ROWS: self._scope.rows}.get(name, MISSING)

    # --- texts of other items --------------------------------------------------------------------------------

    def _look(self, trouble: Problems, known: Mapping[str, tuple[Reading, ...]]) -> None:
        """Find which texts of other items each value reads, and which values cannot be rendered yet.

        Raises _FailedError. From then on, problems are reported to `trouble`.
        """
        if self._texts is None or not self.open:
            return
        texts, problems, self.problems = self._texts, self.problems, trouble
        if not known:
            explorer = _Explorer((self.declared, self.each, self._scope, self._uses), problems, texts)
            asked = [own for own in self.declared.templates if own[0] in self.open and root_of(own[0]) in REFERRING]
            known = _every((own[0], functools.partial(explorer.readings_of, own, texts)) for own in asked)
        self.readings = known

        def is_open(name: str) -> bool:
            return any(texts.reference(one).wait is not None for one in self.readings.get(name, ()))

        # A request is known as a whole or not at all; each key of metadata is known or not.
        waits = any(is_open(name) for name in self.readings if not name.startswith(_METADATA))
        referring = self._uses.referring
        self.open = frozenset(name for name in referring if (is_open(name) if name.startswith(_METADATA) else waits))

    def _below(self, own: Opened) -> list[Opened]:
        """Return the variables and fields through which a value uses texts of other items or data rows."""
        direct = self._scope.direct
        names = reachable(
            direct(own[2]), lambda name: [used for below in self._made(name) for used in direct(below[2])]
        )
        return [below for name in names for below in self._made(name)]

    def _made(self, name: str) -> list[Opened]:
        """Return the templates of a variable or field, if it uses texts of other items or data rows.

        Otherwise return an empty list.
        """
        if root_of(name) == "item":
            part, fields = name.partition(".")[2], self.declared.templates
            return [own for own in fields if own[0] in self._uses.referring and root_of(own[0]) == part]
        is_made = name in self._scope.variables and self._scope.refers(name)
        return [("", path, value) for path, value in leaves(self._scope.variables[name], (name,))] if is_made else []

    @property
    def referred(self) -> dict[str, Any]:
        """Return the spec fields that record which texts the item uses."""
        return {
            "references": self.references(),
            "mentions": self.references(of_metadata=True),
            "readings": self.readings,
        }

    def references(self, *, of_metadata: bool = False) -> tuple[Reference, ...]:
        """Return the texts that the item's own text uses, sorted by id. `of_metadata`: those that its metadata uses."""
        if not self.readings or self._texts is None:
            return ()
        readings = (read for name, read in self.readings.items() if name.startswith(_METADATA) is of_metadata)
        references = [*map(self._texts.reference, itertools.chain.from_iterable(readings))]
        # Of those to one item, the first that has to wait.
        made = {one.id: one for one in references}
        made |= {one.id: one for one in reversed(references) if one.wait is not None}
        return tuple(made[id_] for id_ in sorted(made))

    def frames(self, moved: Mapping[ItemId, ItemId]) -> tuple[Digest, Digest]:
        """Return two digests of the request's templates and variables, without the texts that they read.

        The second digest has the ids from before `moved`. Both are empty if the request uses no texts.
        """
        fields = self.declared.templates
        templates = [own for own in fields if own[0] in self._uses.referring and root_of(own[0]) == INPUTS]
        if not templates or self.failed:
            return NOTHING, NOTHING
        keys = {path[1] for _, path, _ in templates}
        known = {name: self.values.get(name) for name in REQUEST_FIELDS if name != INPUTS}
        known[INPUTS] = {key: value for key, value in (self.values.get(INPUTS) or {}).items() if key not in keys}
        written = [(name, value) for name, _, value in templates]
        written += [(own[0], value) for own in templates for _, _, value in self._below(own) if value != {}]
        used = (
            name
            for name in sorted(self._uses.reach([f"item.{INPUTS}"]))
            if name not in self._uses.made_from_texts | READERS
        )
        variables = {name: value for name in used if (value := self._plain(name)) is not MISSING}
        named = [written, variables, self.field(USES) if USES in self.declared.values else None]
        frame = digest_json([known, named])
        return frame, digest_json([known, _renamed(named, moved)]) if moved else frame

    def _plain(self, name: str) -> Any:
        """Return the value of a variable, or of a column such as `each.city`. Return MISSING if it has none."""
        root, _, part = name.partition(".")
        value = self.lookup(root)
        return value.get(part, MISSING) if part and value is not MISSING else value

    def _ref(self, name: Any = None, approved: Any = False, **others: Any) -> Lazy:
        """Return the text of another item, for the template function `ref`. Raises TemplateError."""
        _check_arguments(REF, name, others, ("name", "approved"))
        if not isinstance(name, str) or not name or not isinstance(approved, bool):
            hint = "write `ref('ID')` or `ref('ID', approved=true)`"
            raise TemplateError("template-value", "`ref` takes the id of an item", hint=hint)
        return self._text(Reading(ItemId(name), approved=approved))

    def _listed(self, selector: Any = None, **others: Any) -> list[Lazy]:
        """Return the texts of the other items with a tag, for the template function `texts`. Raises TemplateError."""
        _check_arguments(TEXTS, selector, others, ("selector",))
        own = self.field("id") if "id" in self.declared.values else None
        ids = [] if self._texts is None else self._texts.tagged(selector)
        return [self._text(Reading(id_, listed=True)) for id_ in ids if id_ != own]

    def _text(self, reading: Reading) -> Lazy:
        known = any(one.id == reading.id for each in self.readings.values() for one in each)
        if not known or self._texts is None:
            message = f"`ref` reads `{reading.id[:200]}`, which is not named where it is always read"
            raise TemplateError(UNCLEAR, message, hint=f"name it: `uses: [{reading.id[:200]}]`")
        text = self._texts.look(reading.id, approved=reading.approved)
        if text.wait is not None:
            raise TemplateError(UNCLEAR, f"`{reading.id}` {text.wait.words}")
        return Lazy(PARTS, functools.partial(part_of, text))

    def _once(self, name: str, done: dict[str, Any]) -> Json:
        """Return the value of a variable or field. It is rendered once and kept in `done`. A cycle is reported."""
        value = done.get(name, MISSING)
        if value is _FAILED:
            if name in self._stack:
                self._report_circle(name)
            raise _FailedError
        if value is not MISSING:
            return value
        if len(self._stack) >= MAX_CHAIN:
            core = f"`{self._stack[0]}` depends on a chain of more than {MAX_CHAIN} other values"
            hint = "use the last values of the chain directly"
            self.problems.about("", self._written(name), "template-limit", core, hint=hint)
            raise _FailedError
        self._stack.append(name)
        done[name] = _FAILED
        try:
            if name.startswith("item."):
                done[name] = self._rendered(name[5:])
            else:
                done[name] = self._value(self._scope.variables[name], name, (name,), merges=True)
        finally:
            self._stack.pop()
        return done[name]

    def _written(self, name: str, path: Pointer = ()) -> Written:
        """Return the written value of a variable or field, with its location. `path` names a value inside it."""
        if name.startswith("item."):
            return self.declared.find(path or (name[5:],))[0]
        return find(self.declared.vars, path or (name,))[0]

    def _rendered(self, name: str) -> Json:
        """Return a field with its templates rendered. A null inside a map that merges removes its key."""
        value, failed = self.declared.values[name], False
        for part, path, written in self.declared.open[name]:  # most of the time of rendering goes in here
            try:
                make = self._template if isinstance(written, str) else self._value
                new = None if part in self.open else make(written, f"item.{part}", path)
            except _FailedError:
                failed = True
            else:
                value = replaced(value, path[1:], new)
        if failed:
            raise _FailedError
        return value

    def _value(self, value: Json, name: str, path: Pointer, *, merges: bool = False) -> Json:
        """Return a value after rendering its templates. In a map that is merged, null removes a key."""
        if isinstance(value, str):
            return self._template(value, name, path) if is_template(value) else value
        if not isinstance(value, list | dict):
            return value
        keys: Iterable[Any] = value if isinstance(value, dict) else range(len(value))
        merges = merges and isinstance(value, dict)
        inner = functools.partial(self._value, merges=merges)
        made = _every(
            (key, functools.partial(inner, value[key], f"{name}.{key}" if merges else name, (*path, key)))
            for key in keys
        )
        if isinstance(value, list):
            return list(made.values())
        return {key: each for key, each in made.items() if each is not None} if merges else made

    def _template(self, source: str, name: str, path: Pointer) -> Json:
        template = self._scope.templates.get(source)
        try:
            if _CHANGED_AT in source and _CHANGED_AT in template.names and _CHANGED_AT not in self._scope.variables:
                _check_changed_at(source, name)
            value = template.render(self.lookup)
        except TemplateError as error:
            self._report(self._written(name, path), name, error)
            raise _FailedError from None
        is_asked = name == "item.id" or name.startswith("item.inputs")
        if is_asked and (self._texts is None or name[5:] in self._uses.referring):
            gap = template.gap(self.lookup)
            if gap:  # it makes half a sentence
                core = f"has no value for `{{{{ {gap} }}}}` inside the text of `{name[5:]}`"
                hint = f"fill it in, or state another value: `{{{{ {gap} or ... }}}}`"
                self.report(path, "empty-between-words", core, hint=hint, severity=Severity.WARNING)
        return value

    def report(
        self,
        path: Pointer,
        code: str,
        core: str,
        *,
        key: bool = False,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Report a problem of the field at this path. `core` follows the name of the item in the message."""
        if any(code in _FOLLOWING.get(name, ()) for name in self.declared.misspelt):
            return
        names = map(".".join, itertools.accumulate([str(step)] for step in path))
        if self.about is not None and self.about.isdisjoint(names):
            return
        written, exists = self.declared.find(path)
        if written.document is None or not path:
            written, exists = self.declared.written, False
        subject = subject_of(self.declared, self.each)
        self.problems.about(subject, written, code, core, key=key and exists, hint=hint, severity=severity)

    def _report(self, written: Written, name: str, error: TemplateError) -> None:
        macros = self._scope.templates.macros
        if error.code == "undefined-variable" and (
            self.declared.misspelt & _DEFINING or (error.name and macros and not macros.macros)
        ):
            return
        subject, core = subject_of(self.declared, self.each), f"uses the variable `{name}`: {error.message}"
        if name.startswith("item."):
            core = f"has a problem in `{name[5:]}`: {error.message}"
        elif self._scope.is_constant(root_of(name)):
            subject, core = "", f"variable `{name}`: {error.message}"
        hint, offset = error.hint or (self._suggest(error.name) if error.name else ""), error.offset
        if error.in_macros and macros:
            written = macros.written
        elif written.document is None:
            written, offset = self.declared.written, 0
        self.problems.about(subject, written, error.code, core, hint=hint, offset=offset)

    def _suggest(self, name: str) -> str:
        """Return a hint for a name that is not defined."""
        if name == "each":
            return "`each` is only known with `for_each` or `matrix`"
        own = ("item", INPUTS, *(["each"] if self.each else []))
        names = sorted({*self._scope.variables, *self._scope.builtin, *self._scope.templates.names, *own})
        hint = suggest(name, tuple(names))
        return f"{hint}; others are declared under `vars`" if hint.startswith("there are ") else hint

    def _report_circle(self, name: str) -> None:
        circle = self._stack[self._stack.index(name) :]
        first, cycle = cycle_of(circle)
        hint = "put a value that several inputs use under `vars`" if circle == ["item.inputs"] else ""
        core = f"values refer to each other in a cycle: {cycle}"
        self.problems.about("", self._written(first), "variable-cycle", core, hint=hint)

    def _used(self) -> dict[str, str]:
        """Return short digests of the variables that the item uses. Those with a text or row are left out."""
        names, scope = self._uses.names, self._scope
        used = scope.used.get(names)
        if used is None:
            used = {name: self._print(name) for name in self._uses.known(self.each)}
            if all(map(scope.is_constant, names)):
                scope.used[names] = used
        return used

    def _print(self, name: str) -> str:
        prints = self._scope.prints if self._scope.is_constant(name) else {}
        return prints.get(name) or prints.setdefault(name, short(digest_json(self._plain(name))))


class _Explorer(Rendered):
    """Runs an item's templates without the texts of other items, to find out which of these texts they read."""

    def readings_of(self, own: Opened, texts: DeclaredTexts) -> tuple[Reading, ...]:
        """Return what a value's templates read of other items (such as a title or the body), in order.

        What is read through other values counts too. If a part of a text is read, the whole text is not listed.
        """
        name = own[0]
        self._read: dict[Reading, None] = {}
        sources: dict[str, Opened] = {}
        for below in (*self._below(own), own):
            sources |= dict.fromkeys(templates_in(below[2]), below)
        stated = self.field(USES) if USES in self.declared.values else None
        is_unclear = False
        for source, (at, path, _) in sources.items():
            try:
                self._scope.templates.get(source).compiled.explore(self.lookup)
            except TemplateError as error:
                if error.code == UNCLEAR and stated is not None:
                    is_unclear = True
                    continue
                self._report(self._written(at and f"item.{at}", path), f"item.{name}", error)
                raise _FailedError from None
        parts = {(one.id, one.approved) for one in self._read if one.part}
        found = {one: None for one in self._read if one.part or (one.id, one.approved) not in parts}
        if not isinstance(stated, list) or (name.startswith(_METADATA) and not is_unclear):
            return tuple(found)
        for one in found:
            if one.id not in stated and not one.listed:
                core = f"reads the text of `{one.id[:200]}` in `{name}`, which is not in its `uses`"
                self.report(own[1], "reference-not-used", core, hint="add it there")
                raise _FailedError
        return tuple(found | dict.fromkeys(self._stated(stated, texts)))

    def _stated(self, stated: list[Json], texts: DeclaredTexts) -> list[Reading]:
        """Return the texts that the field `uses` names. An unknown id is reported."""
        before = self.problems.errors
        named = [Reading(ItemId(id_)) for id_ in stated if isinstance(id_, str)]
        for reading in named:
            try:
                texts.reference(reading)
            except TemplateError as error:
                self._report(self.declared.find((USES,))[0], f"item.{USES}", error)
        if self.problems.errors > before:
            raise _FailedError
        return named

    def lookup(self, name: str) -> Any:
        """Return the value of a name, or MISSING. A value that is made from texts is an `Unknown`."""
        if name in self._scope.readers:
            return super().lookup(name)
        if name == "item":
            return Lazy(ITEM_FIELDS, lambda field: self._partly(f"item.{field}", self.ask, field))
        return self._partly(name, super().lookup, name)

    def _partly(self, path: str, get: Lookup, name: str) -> Any:
        """Return the value at a path, with UNKNOWN in place of every value that depends on texts of other items."""
        unknown = self._uses.made_from_texts
        if path in unknown:
            return UNKNOWN
        value = get(name)
        inside = {each[len(path) + 1 :].partition(".")[0] for each in unknown if each.startswith(f"{path}.")}
        known = value if isinstance(value, dict) else {}
        return {**known, **dict.fromkeys(inside, UNKNOWN)} if inside else value

    def _text(self, reading: Reading) -> Lazy:
        if not reading.listed and Guesses.now is not None:
            Guesses.now.note(reading.id)
        self._note(reading)
        return Lazy(PARTS, functools.partial(self._part, reading), is_open=True)

    def _part(self, reading: Reading, name: str) -> Any:
        if name not in PARTS:
            raise SourceError("unknown-part", f"a text has no part `{name[:60]}`", hint=suggest(name, PARTS))
        return self._note(structs.replace(reading, part=name))

    def _note(self, reading: Reading) -> Any:
        """Record that the template reads another item's text or one value of it.

        Raises TemplateError for an unknown id or address.
        """
        assert self._texts is not None
        self._texts.reference(reading)
        self._read[reading] = None
        return UNKNOWN


def _check_changed_at(source: str, name: str) -> None:
    """Raise TemplateError if a template uses `changed_at` outside of metadata, or applies a filter to it."""
    if not name.startswith(f"item.{_METADATA}"):
        message = f"`{_CHANGED_AT}` is known in `metadata` alone: it changes with the text"
        raise TemplateError("template-value", message, hint="a request, a path or a variable cannot use it")
    if _CHANGED_AT in _ALONE.sub("", source):
        message = f"`{_CHANGED_AT}` is known when the text is, so that nothing can be done with it before"
        raise TemplateError("template-value", message, hint=f"write `{CHANGED_AT}`, without filters")


def _check_arguments(reader: str, asked: Any, others: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in others:
        raise SourceError("template-value", f"`{reader}` has no argument `{name[:60]}`", hint=suggest(name, known))
    if isinstance(asked, Unknown):
        raise unclear()


_NAMED: Final = re.compile(r"""(["'])(.*?)\1""")


def _renamed(value: Json, ids: Mapping[ItemId, ItemId]) -> Json:
    """Return a value in which each item id is replaced by its new id in `ids`.

    An id is a whole text, or is in quotes within a text.
    """
    if isinstance(value, str):
        quoted = _NAMED.sub(lambda each: each[1] + ids.get(ItemId(each[2]), each[2]) + each[1], value)
        return ids.get(ItemId(value), quoted)
    if isinstance(value, Mapping):
        return {key: _renamed(each, ids) for key, each in value.items()}
    return [_renamed(each, ids) for each in value] if isinstance(value, list | tuple) else value
