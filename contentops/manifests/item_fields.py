"""The fields of one item, put together from its layers in one walk: values, templates, and where each stands.

What the layers below an item say is worked out once for its file. The result is that of `values.overlay`, which is
asked again where a message needs the place of a field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.manifests.origins import OriginShapes
from contentops.manifests.templates import settled
from contentops.manifests.values import MERGED, MISSING, Branch, Tree, Written, top
from contentops.yaml.positions import Map, Seq

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.manifests.origins import OriginKind
    from contentops.yaml.positions import Pointer, YamlDocument

OWN_KEYS: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that are no fields."""


class Unrendered(Struct, frozen=True):
    """A map of fields in which templates stand."""

    values: dict[str, Any]
    """All of it, in order."""
    open: dict[str, Any]
    """Those of them with templates: texts and lists as they were Written, and maps that are Unrendered."""


class FieldTemplate(Struct, frozen=True):
    """A written value with templates in it: the field it belongs to, and its name with dots."""

    field: str
    name: str
    written: Written


class _Default(Struct, frozen=True):
    """What the layers below an item say at one place."""

    value: Any
    """As in `ItemFields.values`."""
    leaves: tuple[tuple[str, int, OriginKind], ...]
    """The name, position and kind of every value in it."""
    templates: tuple[FieldTemplate, ...]
    below: Mapping[str, _Default]
    """The entries of a map that merges."""


class Defaults:
    """What the layers below the items of a file say, and the origins they share."""

    def __init__(self, document: YamlDocument, fields: Mapping[str, Tree]) -> None:
        self.document = document
        self.shapes = OriginShapes()
        self.own = self.shapes.kind("item", document.source.path)
        self.fields = {name: self._default(name, name, node) for name, node in fields.items()}

    def _default(self, field: str, name: str, node: Tree) -> _Default:
        if isinstance(node, Branch) and node.entries:
            below = {key: self._default(field, f"{name}.{key}", entry) for key, entry in node.entries.items()}
            values = {key: entry.value for key, entry in below.items()}
            return _Default(
                value=_joined(values, {key: value for key, value in values.items() if type(value) in OPEN}),
                leaves=tuple(leaf for entry in below.values() for leaf in entry.leaves),
                templates=tuple(template for entry in below.values() for template in entry.templates),
                below=below,
            )
        written = top(node)
        value = {} if isinstance(node, Branch) else settled(written.value)
        is_open = value is MISSING
        return _Default(
            value=written if is_open else value,
            leaves=((name, *self.shapes.place(written.layer, written.location)),),
            templates=(FieldTemplate(field, name, written),) if is_open else (),
            below=_NOTHING,
        )


class ItemFields:
    """One entry of `items` over the defaults of its file."""

    __slots__ = ("_defaults", "kinds", "open", "places", "shapes", "templates", "values")

    def __init__(self, defaults: Defaults, index: int, entry: Map) -> None:
        self._defaults = defaults
        self.shapes = defaults.shapes
        self.places: dict[str, int] = {}
        """By name with dots, where each value stands."""
        self.kinds: dict[str, OriginKind] = {}
        """By the same names, what else their origins say; of templates, without variables."""
        self.templates: list[FieldTemplate] = []
        self.values, self.open = self._over(defaults.fields, entry, "", ("items", index))

    def _over(
        self, below: Mapping[str, _Default], entry: Map, prefix: str, pointer: Pointer
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A map over what is below it: every value, and those in which templates stand."""
        values = {key: default.value for key, default in below.items()}
        for key, default in below.items():
            if key not in entry:
                self._take(default)
        is_open = any(type(value) in OPEN for value in values.values())
        places, kinds, own = self.places, self.kinds, self._defaults.own
        for (key, value), place in zip(entry.items(), entry.places[1::2], strict=True):
            if value is None or (not prefix and key in OWN_KEYS):
                values.pop(key, None)
                continue
            name, kind, found = prefix + key, type(value), value
            if kind is Map and (prefix or key in MERGED):
                under = below[key].below if key in below else _NOTHING
                found = _joined(*self._over(under, value, f"{name}.", (*pointer, key)))
                is_open = is_open or type(found) is Unrendered
                if found:
                    values[key] = found
                    continue
            elif (kind is str and "{" in value) or kind is Seq or kind is Map:
                found = settled(value)
                if found is MISSING:
                    at = (*pointer, key)
                    found = Written(value, "item", self._defaults.document, at)
                    self.templates.append(FieldTemplate(str(at[2]), name, found))
                    is_open = True
            values[key] = found
            places[name] = place
            kinds[name] = own
        return values, {key: value for key, value in values.items() if type(value) in OPEN} if is_open else {}

    def _take(self, default: _Default) -> None:
        """What the item leaves to the layers below it."""
        for name, place, kind in default.leaves:
            self.places[name] = place
            self.kinds[name] = kind
        self.templates += default.templates


OPEN: Final = frozenset({Written, Unrendered})
_NOTHING: Final[Mapping[str, _Default]] = {}


def _joined(values: dict[str, Any], templates: dict[str, Any]) -> dict[str, Any] | Unrendered:
    return Unrendered(values, templates) if templates else values
