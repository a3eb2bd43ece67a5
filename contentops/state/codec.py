"""Writes and reads one line of the lock or the journal.

A line is one canonical JSON object: sorted keys, no spaces, characters as themselves. Empty optional keys are left out,
so that the line of an unchanged record stays the same bytes. The keys are the fields of the types here and in
`model.records`; one of them names the type (`KINDS`). Unknown keys are ignored; `lock.read` refuses an unknown format.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct, field, structs

from contentops.digest import DIGEST_VERSION, canonical
from contentops.errors import StateError
from contentops.json_reader import DeepJson, bounded, decode_json
from contentops.model import Count, ItemId, Job, Record, RequestId

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK_VERSION: Final = 2
"""The format of lock and journal that this version writes, and the highest it reads."""


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a lock: the version of its format, the version of its digests, and its project."""

    lineage: str
    version: Count = field(default=LOCK_VERSION, name="contentops_lock")
    digest: Count = DIGEST_VERSION

    def __post_init__(self) -> None:
        if self.version <= LOCK_VERSION and not is_uuid(self.lineage):
            message = "`lineage` is not a UUID"
            raise ValueError(message)


class Forget(Struct, frozen=True):
    """The fact that an item's record is gone."""

    id: ItemId = field(name="forget")


class Drop(Struct, frozen=True):
    """The fact that a job is closed without a record that has its text.

    `lost`: its text cannot be had, or a person gave it up, so that it answers no request any more.
    """

    request_id: RequestId
    lost: bool = False


Line = Header | Record
"""What a line of the lock says."""

Fact = Record | Job | Forget | Drop
"""What may happen to the state."""

KINDS: Final[Mapping[str, type[Line]]] = {"id": Record, "contentops_lock": Header}
"""The type of a line of the lock, by the first of these keys that it has."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


def is_uuid(text: str) -> bool:
    """Return whether a text has the form of a UUID."""
    return _UUID.fullmatch(text) is not None


_L = TypeVar("_L", bound=Struct)
_T = TypeVar("_T")
_decode_record = msgspec.json.Decoder(Record).decode


def line_of(value: Struct) -> str:
    """Return a header or a fact as text. Raises ValueError or TypeError for what is not JSON."""
    return canonical(_filled(value))


def checked_line(value: Record | Job | Forget) -> str:
    """Return a fact as text that can be read again. Raises StateError."""
    try:
        text = line_of(value)
        parse_as(text.encode(), type(value))  # a line that cannot be read again would make the whole file unreadable
    except (ValueError, TypeError) as error:
        name = value.item if isinstance(value, Job) else value.id
        message = f"what is known of item {name!a} cannot be written down: {error}"
        raise StateError(message, code="unwritable-fact") from error
    return text


def _filled(value: Struct) -> dict[str, Any]:
    """Return a value as the keys of its line: the required ones, and the optional ones that are not empty."""
    keys: dict[str, Any] = {}
    for name, key, required in _keys(type(value)):
        part = getattr(value, name)
        if part or required:
            keys[key] = _filled(part) if isinstance(part, Struct) else part
    return keys


@functools.cache
def _keys(kind: type[Struct]) -> tuple[tuple[str, str, bool], ...]:
    """For each field: its name, its key in the line, and whether it is required."""
    return tuple((each.name, each.encode_name, each.required) for each in structs.fields(kind))


def parse_line(text: str) -> Line:
    """Return the value in one line of a lock, without its newline. Raises ValueError with a message for people."""
    try:
        return bounded(_decode_record, text)
    except (msgspec.MsgspecError, DeepJson):
        return parse_as(text, kind_of(text, KINDS))


def kind_of(text: str, kinds: Mapping[str, type[_L]]) -> type[_L]:
    """The type of a line: that of the first key of `kinds` that it has. Raises ValueError as `parse_line` does."""
    keys = parse_as(text, dict[str, msgspec.Raw])
    kind = next((kind for key, kind in kinds.items() if key in keys), None)
    if kind is None:
        message = "is neither a header nor a record"
        raise ValueError(message)
    return kind


def parse_as(text: str | bytes, kind: type[_T]) -> _T:
    """Return a line decoded as a `kind`. Raises ValueError, naming the key that is missing or does not fit."""
    try:
        return decode_json(text, kind)
    except msgspec.ValidationError as error:
        words, _, key = str(error).replace("Object missing required field", "it lacks").partition(" - at `$.")
        message = f"cannot be used: {f'`{key} is not valid: ' if key else ''}{words[:1].lower()}{words[1:]}"
    except msgspec.DecodeError as error:
        message = f"is incomplete or invalid JSON ({str(error).removeprefix('JSON is malformed: ')})"
    raise ValueError(message)
