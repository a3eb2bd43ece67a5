"""Reads rows of a ledger, which are not trusted: anyone who may write there may have made them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from contentops.json_reader import decode_json

T = TypeVar("T")


def utc(column: str) -> str:
    """Return an SQL expression that gives a column's time as ISO 8601."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


def read_json(text: str, kind: type[T]) -> T | None:
    """Return the JSON of a row as a `kind`; None where it does not fit."""
    try:
        return decode_json(text, kind)
    except (msgspec.MsgspecError, ValueError):
        return None
