"""Names and values that every other type is made of."""

from __future__ import annotations

from typing import Any, NewType

Json = Any
"""Any JSON value: None, bool, int, float, str, list or dict with string keys."""

ItemId = NewType("ItemId", str)
"""The stable identity of an item, chosen by a person."""

RequestId = NewType("RequestId", str)
"""uuid5 of (lineage, environment, item id, digest, attempt): our name for one paid submit."""
