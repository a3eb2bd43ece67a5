"""What stays text reads like the object that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import Raw

from contentops.digest import canonical
from contentops.model import StoredMap
from contentops.model.stored import Pack, PackedMap, packed

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = b'{"b": [1, {"deep": null}], "a": "text", "large": 1000000000000000000000000000000}'


@pytest.mark.parametrize(
    "stored", [StoredMap(Raw(TEXT)), PackedMap(Pack(packed([b"{}", TEXT])), 1)], ids=["as text", "packed"]
)
def test_it_reads_like_the_object(stored: Mapping[str, object]) -> None:
    """Each way of asking gives what the decoded object would."""
    plain = {"b": [1, {"deep": None}], "a": "text", "large": 10**30}
    assert plain == stored == plain
    assert stored != {**plain, "a": ""}
    assert (dict(stored), list(stored), len(stored), repr(stored)) == (plain, list(plain), 3, repr(plain))
    assert (list(stored.items()), list(stored.values())) == (list(plain.items()), list(plain.values()))
    assert (stored["a"], stored.get("c", "none"), "b" in stored) == ("text", "none", True)
    assert canonical({"inside": stored}) == canonical({"inside": plain})
