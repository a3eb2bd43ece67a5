"""The fields of one item after its layers are merged: values, templates, and the position of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.manifests.values import MISSING, Branch, Tree, Written, is_template, top

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.manifests.origins import OriginKind, Origins, OriginShapes
    from contentops.model import Json

OWN_KEYS: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that are not fields."""


class Unrendered(Struct, frozen=True):
    """A map of fields that contains templates."""

    values: dict[str, Any]
    """All entries, in order."""
    open: dict[str, Any]
    """The entries with templates: texts and lists as Written, maps as Unrendered."""


class FieldTemplate(Struct, frozen=True):
    """A written value that contains templates, with its field and its name with dots."""

    field: str
    name: str
    written: Written


class ItemFields:
    """The merged fields of one item."""

    __slots__ = ("kinds", "open", "positions", "shapes", "templates", "values")

    def __init__(self, fields: Mapping[str, Tree], shapes: OriginShapes) -> None:
        self.shapes = shapes
        """Shared by the items of the file."""
        self.positions: dict[str, int] = {}
        """The packed position of each value, by its name with dots."""
        self.kinds: dict[str, OriginKind] = {}
        """The rest of the origin of each value, without the variables of templates."""
        self.templates: list[FieldTemplate] = []
        self.values = self._map("", "", fields)
        """By field, its value; Written for one with templates, Unrendered for a map with templates in some entries."""
        self.open = _open(self.values)
        """The values that are still to be rendered."""

    def origins(self, templates: dict[str, OriginKind]) -> Origins:
        """The origins of all values; `templates` has the kinds of those with templates."""
        return self.shapes.origins(self.positions, self.kinds | templates)

    def _map(self, field: str, prefix: str, entries: Mapping[str, Tree]) -> dict[str, Any]:
        """The values of a map; notes their positions and templates."""
        values: dict[str, Any] = {}
        for key, node in entries.items():
            name = prefix + key
            if type(node) is Branch and node.entries:
                inner = self._map(field or key, f"{name}.", node.entries)
                open_ = _open(inner)
                values[key] = Unrendered(inner, open_) if open_ else inner
                continue
            written = top(node)
            value = {} if type(node) is Branch else _without_templates(written.value)
            if value is MISSING:
                value = written
                self.templates.append(FieldTemplate(field or key, name, written))
            values[key] = value
            self.positions[name], self.kinds[name] = written.packed, self.shapes.kind(written.layer, written.file)
        return values


def _open(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if type(value) in _OPEN}


_OPEN: Final = frozenset({Written, Unrendered})


def _without_templates(value: Json) -> Any:
    """A written value as plain lists and maps, without positions; MISSING if it contains Jinja."""
    if isinstance(value, str):
        return MISSING if is_template(value) else value
    if not isinstance(value, dict | list):
        return value
    entries = value.values() if isinstance(value, dict) else value
    plain_entries = [
        entry if type(entry) is str and "{" not in entry else _without_templates(entry) for entry in entries
    ]
    if MISSING in plain_entries:
        return MISSING
    return dict(zip(value, plain_entries, strict=True)) if isinstance(value, dict) else plain_entries
