"""What rows say, as far as it can be used: anyone who may write the ledger may have written it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def utc(column: str) -> str:
    """SQL: the time of a column as ISO 8601."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


def read_json(text: str, kind: type[T]) -> T | None:
    """The JSON of a row as a `kind`; None where it cannot be that."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
