"""The fields of items: layers merged, and the values in them that are still to be rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.manifests.values import APPROVAL, MERGED, Written, is_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.model import Json
    from contentops.yaml.positions import Pointer

OWN_KEYS: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that are not fields."""


class Unrendered(Struct, frozen=True, gc=False):
    """A map of fields that contains templates."""

    values: dict[str, Any]
    """All entries, in order."""
    open: dict[str, Any]
    """The entries with templates: texts and lists as Written, maps as Unrendered."""


def merged(layer: Written, below: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a layer over those below it: plain values, but those with templates are as in `Unrendered.open`.

    A null removes the key. The maps in MERGED merge; any other value replaces the one below.
    """
    entries = layer.value if isinstance(layer.value, dict) else {}
    if not OWN_KEYS.isdisjoint(entries):
        entries = {key: value for key, value in entries.items() if key not in OWN_KEYS}
    if entries.get(APPROVAL) is not None:
        entries = {**entries, APPROVAL: _rule(entries[APPROVAL])}
    return _over(layer, layer.pointer, entries, below, MERGED)


def _rule(value: Json) -> Json:
    """An `approval` as a map, so that all its forms merge: a word is its `required`, which a map has by itself."""
    return {"required": True, **value} if isinstance(value, dict) else {"required": value}


def _over(
    layer: Written, at: Pointer, entries: Mapping[str, Any], below: Mapping[str, Any], maps: frozenset[str] | None
) -> dict[str, Any]:
    """The entries of a map over those below it; `maps` are the keys whose maps merge, None: all."""
    values = dict(below)
    for key, value in entries.items():
        if type(value) is str and "{" not in value:
            values[key] = value
        elif value is None:
            values.pop(key, None)
        elif isinstance(value, dict) and (maps is None or key in maps):
            under = values.get(key)
            under = under.values if type(under) is Unrendered else under if type(under) is dict else {}
            inner = _over(layer, (*at, key), value, under, None)
            values[key] = Unrendered(inner, open_) if (open_ := opened(inner)) else inner
        else:
            values[key] = Written(value, layer.layer, layer.document, (*at, key)) if _has_template(value) else value
    return values


def find(layers: Sequence[Written], path: Iterable[str]) -> tuple[Written, bool]:
    """The written value at a path and True, or what it would be in and False; of a merged map the highest.

    `layers` are the maps that were merged, the highest first.
    """
    for step in path:
        inside: list[Written] = []
        for below in [each.below(step) for each in layers if isinstance(each.value, dict) and step in each.value]:
            is_map = below.value is not None and (isinstance(below.value, dict) or step == APPROVAL)
            inside += [below] if is_map or (below.value is not None and not inside) else []
            if not is_map:
                break
        if not inside:
            return layers[0], False
        layers = inside
    return layers[0], True


_OPEN: Final = frozenset({Written, Unrendered})


def opened(values: dict[str, Any]) -> dict[str, Any]:
    """The entries of a map that are still to be rendered."""
    return {key: value for key, value in values.items() if type(value) in _OPEN}


def templates(open_: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Written]]:
    """Every value that contains templates, with its name with dots."""
    for key, node in open_.items():
        if type(node) is Unrendered:
            yield from templates(node.open, f"{prefix}{key}.")
        else:
            yield prefix + key, node


def paths(values: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value; that of a map is the paths of its entries, if its entries merge and it has any."""
    for key, node in values.items():
        inner = node.values if type(node) is Unrendered else node
        if type(inner) is dict and inner and (at or key in MERGED):
            yield from paths(inner, (*at, key))
        else:
            yield (*at, key)


def _has_template(value: Json) -> bool:
    """Whether a value contains Jinja, at any depth."""
    if isinstance(value, str):
        return is_template(value)
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has_template(entry) for entry in entries if type(entry) is not str or "{" in entry)
