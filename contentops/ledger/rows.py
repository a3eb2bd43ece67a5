"""Reads rows of a ledger, which are not trusted: anyone who may write there may have made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from contentops.json_reader import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
S = TypeVar("S", bound=Struct)


def utc(column: str) -> str:
    """Return an SQL expression that gives a column's time as ISO 8601."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


def struct_of(kind: type[S], row: Iterable[object]) -> S:
    """Return a row as a `kind`, whose fields are its columns in order."""
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


def read_json(text: str, kind: type[T]) -> T | None:
    """Return the JSON of a row as a `kind`; None where it does not fit."""
    try:
        return decode_json(text, kind)
    except (msgspec.MsgspecError, ValueError):
        return None
