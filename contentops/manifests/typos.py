"""Misspelt keys: what they were probably meant as, so that one typo is one finding, without all it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from contentops.errors import nearest
from contentops.manifests.schema_match import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.manifests.expand import Declared


def meant(value: Any, known: Iterable[str]) -> frozenset[str]:
    """The known keys that a map does not set, but that one of its unknown keys is close to."""
    if not isinstance(value, dict):
        return frozenset()
    known = frozenset(known)
    close = (nearest(key, known) for key in value if key not in known)
    return frozenset(name for name in close if name is not None and name not in value)


def with_meant(declared: Sequence[Declared], schema: Mapping[str, Any]) -> list[Declared]:
    """The declarations of a manifest that does not fit its schema, each with the fields it was meant to set."""
    if not declared:
        return []
    root = declared[0].document.root
    shared = meant(root, schema["properties"])
    fields = _names(schema, "defaults")
    if "defaults" in shared:
        shared |= fields
    shared |= meant(root.get("defaults"), fields)
    item = _names(schema, "item")
    return [structs.replace(entry, meant=shared | meant(root["items"][entry.index], item)) for entry in declared]


def _names(schema: Mapping[str, Any], definition: str) -> frozenset[str]:
    return frozenset(resolve(schema["definitions"][definition], schema)["properties"])
