"""The fields of one item as its layers give them: values, templates, and where each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.manifests.values import MISSING, Branch, Tree, Written, is_template, top

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.manifests.origins import OriginKind, Origins, OriginShapes
    from contentops.model import Json

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


class ItemFields:
    """The fields of one item in its layers, gone through once."""

    __slots__ = ("kinds", "open", "places", "shapes", "templates", "values")

    def __init__(self, fields: Mapping[str, Tree], shapes: OriginShapes) -> None:
        self.shapes = shapes
        """What the origins of the file have in common."""
        self.places: dict[str, int] = {}
        """By name with dots, where each value stands."""
        self.kinds: dict[str, OriginKind] = {}
        """What else the origins of those values say, without the variables of templates."""
        self.templates: list[FieldTemplate] = []
        self.values = self._map("", "", fields)
        """By field: what it says; Written where that holds templates, Unrendered for a map in which some entries do."""
        self.open = _open(self.values)
        """Those of them that are still to be rendered."""

    def origins(self, templates: dict[str, OriginKind]) -> Origins:
        """The origins of all values, with what those of `templates` say."""
        return self.shapes.origins(self.places, self.kinds | templates)

    def _map(self, field: str, prefix: str, entries: Mapping[str, Tree]) -> dict[str, Any]:
        """A map without its layers, and noted where its values stand."""
        found: dict[str, Any] = {}
        for key, node in entries.items():
            name = prefix + key
            if type(node) is Branch and node.entries:
                values = self._map(field or key, f"{name}.", node.entries)
                open_ = _open(values)
                found[key] = Unrendered(values, open_) if open_ else values
                continue
            written = top(node)
            value = {} if type(node) is Branch else _settled(written.value)
            if value is MISSING:
                value = written
                self.templates.append(FieldTemplate(field or key, name, written))
            found[key] = value
            self.places[name], self.kinds[name] = written.packed, self.shapes.kind(written.layer, written.file)
        return found


def _open(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if type(value) in _OPEN}


_OPEN: Final = frozenset({Written, Unrendered})


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
