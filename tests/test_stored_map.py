"""What stays text reads like the object that it is."""

from __future__ import annotations

from msgspec import Raw

from contentops.digest import canonical
from contentops.model import StoredMap


def test_it_reads_like_the_object() -> None:
    """Each way of asking gives what the decoded object would."""
    plain = {"b": [1, {"deep": None}], "a": "text", "large": 10**30}
    stored = StoredMap(Raw('{"b": [1, {"deep": null}], "a": "text", "large": 1000000000000000000000000000000}'))
    assert plain == stored == plain
    assert stored != {**plain, "a": ""}
    assert (dict(stored), list(stored), len(stored), repr(stored)) == (plain, list(plain), 3, repr(plain))
    assert (list(stored.items()), list(stored.values())) == (list(plain.items()), list(plain.values()))
    assert (stored["a"], stored.get("c", "none"), "b" in stored) == ("text", "none", True)
    assert canonical({"inside": stored}) == canonical({"inside": plain})
