"""One line of the lock or the journal as text, and back.

A line is one canonical JSON object: sorted keys, no spaces, characters as themselves. Empty optionals are left out, so
that a line is short and stays the same bytes while the record stays the same. The keys are the fields of the types
here and in `model.records`; one of them tells which type it is (`KINDS`). Keys this version does not know are ignored;
a format this version does not know is refused by `lock.read`.
"""

from __future__ import annotations

import functools
import re
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct, field, structs

from contentops.digest import DIGEST_VERSION, Digest, canonical, digest_text
from contentops.model import Count, ItemId, OpenEntry, Record, RequestId, StoredMap
from contentops.model.stored import keep_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model.stored import Packer

LOCK_VERSION: Final = 1
"""The format of lock and journal that this version writes, and the highest it reads."""


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a lock: which format, which digest, whose."""

    lineage: str
    version: Count = field(default=LOCK_VERSION, name="contentops_lock")
    digest: Count = DIGEST_VERSION

    def __post_init__(self) -> None:
        if self.version <= LOCK_VERSION and not _UUID.fullmatch(self.lineage):
            message = "`lineage` is no UUID"
            raise ValueError(message)


class Forget(Struct, frozen=True):
    """The fact that an item's record is gone."""

    id: ItemId = field(name="forget")


class Drop(Struct, frozen=True):
    """The fact that an open entry is closed without a record that carries it."""

    request_id: RequestId = field(name="drop")


Line = Header | Record | OpenEntry
"""What a line of the lock says."""

Fact = Record | OpenEntry | Forget | Drop
"""What may happen to the state."""

KINDS: Final[Mapping[str, type[Line]]] = {"id": Record, "open": OpenEntry, "contentops_lock": Header}
"""What a line of the lock is, by the first of these keys that it has."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_L = TypeVar("_L", bound=Struct)
_T = TypeVar("_T")
_decode_record = msgspec.json.Decoder(Record).decode


class _LargeParts(Struct):
    """The larger parts of a record as they stand in its line."""

    request: msgspec.Raw
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    used: msgspec.Raw = msgspec.Raw(b"{}")


_decode_parts = msgspec.json.Decoder(_LargeParts).decode


def line_of(value: Struct) -> str:
    """A header or a fact as text. Raises ValueError or TypeError if it holds what is not JSON."""
    return canonical(_filled(value))


def line_digest(text: str) -> Digest:
    """The fingerprint of a line, without its newline: what a journal entry started from."""
    return digest_text(text)


def _filled(value: Struct) -> dict[str, Any]:
    """The keys of a line: those it needs, and the optional ones that are not empty."""
    found: dict[str, Any] = {}
    for name, key, needed in _keys(type(value)):
        one = getattr(value, name)
        if one or needed:
            found[key] = _filled(one) if isinstance(one, Struct) else one
    return found


@functools.cache
def _keys(kind: type[Struct]) -> tuple[tuple[str, str, bool], ...]:
    """Of each field: its name, its key in the line, and whether the line needs it."""
    return tuple((one.name, one.encode_name, one.required) for one in structs.fields(kind))


def parse_line(text: str, packer: Packer | None = None) -> Line:
    """One line of a lock, without its newline. Raises ValueError, in words for a person.

    What few ask for of a record shares the memory of the line, or has the `packer` keep it, so that the line can go.
    """
    try:
        record = _decode_record(text)
    except (msgspec.MsgspecError, RecursionError):
        return parse_as(text, kind_of(text, KINDS))
    _shrink(record, text, packer)
    return record


def _shrink(record: Record, text: str, packer: Packer | None) -> None:
    """Let a record that was just decoded take half the memory: there are as many of them as items.

    What few ask for stays text, now that it was seen to be what it must be; texts that repeat are kept once.
    """
    put, parts = structs.force_setattr, _decode_parts(text)
    store = StoredMap if packer is None else packer.store
    put(record, "request", StoredMap(parts.request) if packer is None else packer.pack(parts.request))
    put(record, "metadata", store(parts.metadata))
    put(record, "used", store(parts.used))
    put(record, "server", sys.intern(record.server))
    put(record, "dialect", sys.intern(record.dialect))
    put(record, "plan_id", sys.intern(record.plan_id))
    keep_once(record, request_id=record.job_id)
    if (saved := record.saved) is not None:
        keep_once(saved, body=record.generated)
        keep_once(saved, server_body=saved.body, server_title=saved.title)


def kind_of(text: str, kinds: Mapping[str, type[_L]]) -> type[_L]:
    """Which of the `kinds` a line is, by the first key that it has. Raises ValueError as `parse_line` does."""
    keys = parse_as(text, dict[str, msgspec.Raw])
    kind = next((kind for key, kind in kinds.items() if key in keys), None)
    if kind is None:
        message = "is neither a header nor a record nor an open entry"
        raise ValueError(message)
    return kind


def parse_as(text: str | bytes, kind: type[_T]) -> _T:
    """A line as a `kind`. Raises ValueError, naming the key that is missing or does not fit."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        message = "is nested too deeply"
    except msgspec.ValidationError as error:
        said, _, key = str(error).replace("Object missing required field", "it lacks").partition(" - at `$.")
        message = f"cannot be used: {f'`{key} does not fit: ' if key else ''}{said[:1].lower()}{said[1:]}"
    except msgspec.DecodeError as error:
        message = f"is not whole JSON ({str(error).removeprefix('JSON is malformed: ')})"
    raise ValueError(message)
