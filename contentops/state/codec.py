"""One line of the lock or the journal as text, and back.

A line is one canonical JSON object: sorted keys, no spaces, characters as themselves. Empty optionals are left out, so
that a line is short and stays the same bytes while the record stays the same. The keys are the fields of the types in
`model.records`; one key tells the three kinds apart:

    contentops_lock   the header: format, digest version, lineage
    id                a record: what was made for one item
    open              an open entry, by its request id

Keys this version does not know are ignored; a format this version does not know is refused by `lock.read`.
"""

from __future__ import annotations

import functools
import json
import math
import uuid
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec
from msgspec import Struct, field, structs

from contentops.digest import DIGEST_VERSION, Digest, canonical, digest_text
from contentops.model import Count, ItemId, JobState, OpenEntry, Record, RequestId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json

LOCK_VERSION: Final = 1
"""The format of lock and journal that this version writes, and the highest it reads."""


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a lock: which format, which digest, whose."""

    lineage: str
    version: Count = field(default=LOCK_VERSION, name="contentops_lock")
    digest: Count = DIGEST_VERSION


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

_L = TypeVar("_L", bound=Struct)
_decode_record = msgspec.json.Decoder(Record).decode

# --- writing -----------------------------------------------------------------------------------------------


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


# --- reading -----------------------------------------------------------------------------------------------


def parse_line(text: str) -> Line:
    """One line of a lock, without its newline. Raises ValueError, in words for a person."""
    try:
        return _decode_record(text)
    except (msgspec.MsgspecError, RecursionError):
        # Something else than a record, or something wrong with it, which is told in our words.
        return read_object(parse_object(text))


def parse_object(text: str) -> dict[str, Json]:
    """The JSON object on one line. Raises ValueError, in words for a person, for anything else."""
    try:
        found = _decode(text)
    except RecursionError:
        message = "is nested too deeply"
        raise ValueError(message) from None
    except json.JSONDecodeError as error:
        message = f"is not JSON ({error.msg.lower()} at character {error.pos + 1})"
        raise ValueError(message) from None
    if type(found) is not dict:
        message = "is not a JSON object"
        raise ValueError(message)
    if "\\u" in text:
        # A lone surrogate can only come from an escape, and could never be written back as UTF-8.
        _refuse_surrogates(found)
    return found


def read_object(found: Mapping[str, Json]) -> Line:
    """What a parsed line says. Raises ValueError naming the key that is missing or of the wrong kind."""
    if "id" in found:
        return read_as(found, Record)
    if "open" in found:
        return read_as(found, OpenEntry)
    if "contentops_lock" in found:
        header = read_as(found, Header)
        if "digest" not in found:
            message = "lacks `digest`"
            raise ValueError(message)
        if header.version <= LOCK_VERSION:
            _check_lineage(header.lineage)
        return header
    message = "is neither a header nor a record nor an open entry"
    raise ValueError(message)


def read_as(found: Mapping[str, Json], kind: type[_L]) -> _L:
    """The parsed line as a `kind`. Raises ValueError as `read_object` does."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError:
        raise ValueError(_problem(found, kind)) from None


def _check_lineage(lineage: str) -> None:
    try:
        uuid.UUID(lineage)
    except ValueError:
        message = "`lineage` must be a UUID"
        raise ValueError(message) from None


def _refuse_constant(name: str) -> NoReturn:
    message = f"`{name}` is not JSON"
    raise ValueError(message)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text[:20])
    return number


def _refuse_surrogates(found: Json) -> None:
    try:
        canonical(found).encode()
    except UnicodeEncodeError:
        message = "holds half of a character (a lone surrogate)"
        raise ValueError(message) from None


_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


# --- what is wrong with a line -----------------------------------------------------------------------------

_KINDS = {str: "text", int: "a whole number", float: "a fraction", bool: "true or false", dict: "a map", list: "a list"}


def _problem(found: Mapping[str, Json], kind: type[Struct], inside: str = "") -> str:
    """What is wrong with a line that is no `kind`: the first key that does not fit, else the keys it lacks."""
    fields = {one.encode_name: one for one in structs.fields(kind)}
    for key, value in found.items():
        if key not in fields:
            continue
        try:
            msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError:
            return _complaint(f"{inside}{key}", value, fields[key].type)
    lacking = sorted(key for key, one in fields.items() if one.required and key not in found)
    return "lacks " + ", ".join(f"`{inside}{key}`" for key in lacking)


def _complaint(key: str, value: Json, kind: Any) -> str:
    from msgspec import inspect

    wanted = inspect.type_info(kind)
    if isinstance(wanted, inspect.UnionType):
        wanted = wanted.types[0]  # or None, which a line leaves out
    shape: Any = _SHAPES[type(wanted).__name__]
    if type(value) is not shape:
        return f"`{key}` must be {_KINDS[shape]}, not {_KINDS.get(type(value), 'null')}"
    if isinstance(wanted, inspect.StructType):
        return _problem(value, wanted.cls, f"{key}.")
    if isinstance(wanted, inspect.EnumType):
        return f"`{key}` must be one of {', '.join(f'`{state}`' for state in JobState)}"
    if shape is int:
        return f"`{key}` must be a whole number, not a negative number"
    return f"`{key}` is empty" if shape is str else f"`{key}` must hold only text"


_SHAPES: Final[Mapping[str, type]] = {
    "StrType": str,
    "EnumType": str,
    "IntType": int,
    "BoolType": bool,
    "DictType": dict,
    "StructType": dict,
    "VarTupleType": list,
}
