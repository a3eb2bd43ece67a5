"""The fields of an item, put together in one walk, are those of the layers laid over each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from contentops.manifests.item_fields import OWN_KEYS, Defaults, ItemFields, Unrendered
from contentops.manifests.templates import plain
from contentops.manifests.values import Branch, Tree, Written, fields, overlay
from contentops.yaml.positions import unpack
from contentops.yaml.read import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["", "x", "{{ a }}", "{b", "{# c #}"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "tags", "inputs", "metadata", "checks", "vars", "output"])
ENTRIES = st.dictionaries(KEYS, VALUES, max_size=6)


def closed(node: Any) -> Any:
    """What `ItemFields` holds, with its templates as they are written."""
    if isinstance(node, Unrendered):
        assert node.open.keys() == {
            key for key, value in node.values.items() if isinstance(value, Written | Unrendered)
        }
        return {key: closed(value) for key, value in node.values.items()}
    return plain(node.value) if isinstance(node, Written) else node


def laid(node: Any) -> Any:
    """The same of a tree of layers."""
    if isinstance(node, Branch):
        return {key: laid(below) for key, below in node.entries.items()}
    return plain(node.value)


def leaves(node: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Written]]:
    """Every value of a tree with its path; an empty map counts as a value."""
    if isinstance(node, Written):
        yield path, node
    elif not node.entries:
        yield path, node.top
    else:
        for key, below in node.entries.items():
            yield from leaves(below, (*path, key))


@given(ENTRIES, ENTRIES)
def test_one_walk_gives_what_the_layers_give(below: dict[str, Any], own: dict[str, Any]) -> None:
    """Values, their order, which of them are templates, and where each was written."""
    text = json.dumps({"defaults": below, "items": [own]}, indent=1)
    document, found = read_yaml("content/a.yaml", text.encode())
    assert not found
    root = document.root
    manifest = Written(root["defaults"], "manifest", document, ("defaults",))
    entry = Written(root["items"][0], "item", document, ("items", 0))
    low = overlay(fields(manifest, leave_out=OWN_KEYS), {})
    trees = overlay(fields(entry, leave_out=OWN_KEYS), low)
    item = ItemFields(Defaults(document, low), 0, root["items"][0])
    values = {name: closed(value) for name, value in item.values.items()}
    assert json.dumps(values) == json.dumps({name: laid(node) for name, node in trees.items()})
    written = {".".join(path): leaf for name, node in trees.items() for path, leaf in leaves(node, (name,))}
    places = {name: unpack(place) for name, place in item.places.items()}
    wanted = {name: leaf.location for name, leaf in written.items()}
    assert places == {name: (at.line, at.column) for name, at in wanted.items() if at is not None}
    assert {name: item.kind(name).layer for name in places} == {name: leaf.layer for name, leaf in written.items()}
    assert {template.name for template in item.templates} == {
        name for name, leaf in written.items() if "{{" in json.dumps(leaf.value) or "{#" in json.dumps(leaf.value)
    }
