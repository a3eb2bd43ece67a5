"""The fields of one item, put together from its layers in one walk: values, templates, and where each stands.

What the layers below an item say is worked out once for its file. The result is that of `values.overlay`, which is
asked again where a message needs the place of a field.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.manifests.origins import OriginShapes
from contentops.manifests.values import MERGED, MISSING, Branch, Tree, Written, is_template, top
from contentops.yaml.positions import Map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.manifests.origins import OriginKind, Origins
    from contentops.model import Json
    from contentops.yaml.positions import Pointer, YamlDocument

OWN_KEYS: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that are no fields."""


class Unrendered(Struct, frozen=True):
    """A map of fields in which templates stand."""

    values: dict[str, Any]
    """All of it, in order."""
    open: dict[str, Any]
    """Those of them with templates: texts and lists as Written, maps as Unrendered."""


class FieldTemplate(Struct, frozen=True):
    """A written value with templates in it: the field it belongs to, and its name with dots."""

    field: str
    name: str
    written: Written


class _Default(Struct, frozen=True):
    """What the layers below an item say at one place."""

    value: Any
    """As in `ItemFields.values`."""
    places: Mapping[str, int]
    kinds: Mapping[str, OriginKind]
    """By name with dots, where every value in it stands, and what else its origin says."""
    templates: tuple[FieldTemplate, ...] = ()
    entries: Mapping[str, _Default] = MappingProxyType({})
    """Those of a map that merges."""


class Defaults:
    """What the layers below the items of a file say, and the origins they share."""

    def __init__(self, document: YamlDocument, fields: Mapping[str, Tree]) -> None:
        self.document = document
        self.shapes = OriginShapes()
        self.own = self.shapes.kind("item", document.source.path)
        self.root = _of_entries({name: self._default(name, name, node) for name, node in fields.items()})

    def _default(self, field: str, name: str, node: Tree) -> _Default:
        if isinstance(node, Branch) and node.entries:
            return _of_entries(
                {key: self._default(field, f"{name}.{key}", entry) for key, entry in node.entries.items()}
            )
        written = top(node)
        place, kind = self.shapes.place(written.layer, written.location)
        value = {} if isinstance(node, Branch) else _settled(written.value)
        if value is MISSING:
            return _Default(written, {name: place}, {name: kind}, (FieldTemplate(field, name, written),))
        return _Default(value, {name: place}, {name: kind})


def _of_entries(entries: Mapping[str, _Default]) -> _Default:
    return _Default(
        value=_joined({key: entry.value for key, entry in entries.items()}),
        places={name: place for entry in entries.values() for name, place in entry.places.items()},
        kinds={name: kind for entry in entries.values() for name, kind in entry.kinds.items()},
        templates=tuple(template for entry in entries.values() for template in entry.templates),
        entries=entries,
    )


class ItemFields:
    """One entry of `items` over the defaults of its file."""

    __slots__ = ("_defaults", "kinds", "open", "places", "templates", "values")

    def __init__(self, defaults: Defaults, index: int, entry: Map) -> None:
        self._defaults = defaults
        self.places: dict[str, int] = {}
        """By name with dots, where each value stands."""
        self.kinds: dict[str, OriginKind] = {}
        """What else the origins of those values say that are not the item's own; without the variables of templates."""
        self.templates: list[FieldTemplate] = []
        found = self._over(defaults.root, _fields_of(entry), "", ("items", index))
        self.values: dict[str, Any]
        """By field: what it says; Written where that holds templates, Unrendered for a map in which some entries do."""
        self.open: dict[str, Any]
        """Those of them that are still to be rendered."""
        self.values, self.open = (found.values, found.open) if isinstance(found, Unrendered) else (found, {})

    @property
    def shapes(self) -> OriginShapes:
        """What the origins of the file have in common."""
        return self._defaults.shapes

    def kind(self, name: str) -> OriginKind:
        """What the origin of a value says without its variables."""
        return self.kinds.get(name, self._defaults.own)

    def origins(self, templates: dict[str, OriginKind]) -> Origins:
        """The origins of all values, with what those of `templates` say."""
        return self.shapes.origins(self.places, self.kinds | templates, self._defaults.own)

    def _over(self, below: _Default, entry: Map, prefix: str, pointer: Pointer) -> dict[str, Any] | Unrendered:
        """A map over what is below it."""
        values: dict[str, Any] = {}
        is_open, places = type(below.value) is Unrendered, self.places
        if below.entries:
            values.update(below.value.values if is_open else below.value)
            self._take_rest(below, entry)
        for (key, value), place in zip(entry.items(), entry.places[1::2], strict=True):
            kind, found = type(value), value
            # Most values are numbers or texts without a brace, and are taken as they are.
            if kind not in _NUMBERS and (kind is not str or "{" in value):
                if value is None:
                    values.pop(key, None)
                    continue
                if kind is Map and (prefix or key in MERGED):
                    under = below.entries.get(key, _NOTHING)
                    found = values[key] = self._over(under, value, f"{prefix}{key}.", (*pointer, key))
                    is_open = is_open or type(found) is Unrendered
                    if found:
                        continue
                elif (found := _settled(value)) is MISSING:
                    found = self._template(prefix + key, value, (*pointer, key))
                    is_open = True
            values[key] = found
            places[prefix + key] = place
        return _joined(values) if is_open else values

    def _take_rest(self, below: _Default, entry: Map) -> None:
        """Note where the values stand that a map leaves to those below it."""
        rest = (default for key, default in below.entries.items() if key not in entry)
        for default in (below,) if entry.keys().isdisjoint(below.entries) else rest:
            self.places.update(default.places)
            self.kinds.update(default.kinds)
            self.templates += default.templates

    def _template(self, name: str, value: Json, pointer: Pointer) -> Written:
        written = Written(value, "item", self._defaults.document, pointer)
        self.templates.append(FieldTemplate(str(pointer[2]), name, written))
        return written


_OPEN: Final = frozenset({Written, Unrendered})
_NUMBERS: Final = frozenset({int, float, bool})
_NOTHING: Final = _Default({}, {}, {})


def _joined(values: dict[str, Any]) -> dict[str, Any] | Unrendered:
    templates = {key: value for key, value in values.items() if type(value) in _OPEN}
    return Unrendered(values, templates) if templates else values


def _fields_of(entry: Map) -> Map:
    """An entry without the keys that are no fields."""
    if OWN_KEYS.isdisjoint(entry):
        return entry
    found = Map(start=entry.start)
    for (key, value), key_at, value_at in zip(entry.items(), entry.places[::2], entry.places[1::2], strict=True):
        if key not in OWN_KEYS:
            found[key] = value
            found.places += (key_at, value_at)
    return found


def _settled(value: Json) -> Any:
    """A written value as plain lists and maps, without its places; MISSING if there is Jinja in it."""
    if isinstance(value, str):
        return MISSING if is_template(value) else value
    if not isinstance(value, dict | list):
        return value
    entries = value.values() if isinstance(value, dict) else value
    found = [entry if type(entry) is str and "{" not in entry else _settled(entry) for entry in entries]
    if MISSING in found:
        return MISSING
    return dict(zip(value, found, strict=True)) if isinstance(value, dict) else found
