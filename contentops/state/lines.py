"""One line of the lock or the journal as text, and back.

A line is one canonical JSON object: sorted keys, no spaces, characters as themselves. Empty optionals are left out, so
that a line is short and stays the same bytes while the record stays the same. One key tells the three kinds apart:

    contentops_lock   the header: format, digest version, lineage
    id                a record: what was made for one item
    open              an open entry, by its request id

Keys this version does not know are ignored; a format this version does not know is refused by `lock.read`.
"""

from __future__ import annotations

import json
import math
import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct

from contentops.digest import DIGEST_VERSION, Digest, canonical, digest_text
from contentops.model import ItemId, JobState, OpenEntry, Record, RequestId, Saved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.model import Json

LOCK_VERSION = 1
"""The format of lock and journal that this version writes, and the highest it reads."""

HEADER_KEY = "contentops_lock"
ENTRY_KEY = "open"
RECORD_KEY = "id"


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a lock: which format, which digest, whose."""

    lineage: str
    version: int = LOCK_VERSION
    digest: int = DIGEST_VERSION


class Forget(Struct, frozen=True):
    """The fact that an item's record is gone."""

    id: ItemId


class Drop(Struct, frozen=True):
    """The fact that an open entry is closed without a record that carries it."""

    request_id: RequestId


Line = Header | Record | OpenEntry
"""What a line of the lock says."""

Fact = Record | OpenEntry | Forget | Drop
"""What may happen to the state."""

_RECORD: Mapping[str, type] = {
    "id": str,
    "digest": str,
    "request": dict,
    "server": str,
    "dialect": str,
    "output": str,
    "title": str,
    "metadata": dict,
    "generated": str,
    "saved": dict,
    "content_id": str,
    "superseded": list,
    "job_id": str,
    "request_id": str,
    "attempt": int,
    "plan_id": str,
    "credits": int,
    "generated_at": str,
    "saved_at": str,
    "protected": bool,
    "used": dict,
    "definitions": dict,
    "moved_from": str,
    "rev": int,
}
_RECORD_NEEDS = frozenset({"id", "digest", "request", "server", "dialect", "output"})

_ENTRY: Mapping[str, type] = {
    "open": str,
    "item": str,
    "digest": str,
    "attempt": int,
    "state": str,
    "server": str,
    "dialect": str,
    "credits": int,
    "job_id": str,
    "plan_id": str,
    "submitted_at": str,
    "title": str,
    "body": str,
    "generated_at": str,
    "section": str,
    "content_id": str,
    "definitions": dict,
    "error": str,
}
_RECORD_PLAIN: Mapping[str, type] = {key: kind for key, kind in _RECORD.items() if key != "saved"}
_ENTRY_PLAIN: Mapping[str, type] = {key: kind for key, kind in _ENTRY.items() if key != "open"}
"""The keys that are named as the fields are and hold what the fields hold."""
_ENTRY_NEEDS = frozenset({"open", "item", "digest", "attempt", "state", "server", "dialect", "credits"})

_HEADER: Mapping[str, type] = {"contentops_lock": int, "digest": int, "lineage": str}
_HEADER_NEEDS = frozenset(_HEADER)
_SAVED: Mapping[str, type] = {"title": str, "body": str, "server_title": str, "server_body": str, "sent": str}

_NONE: frozenset[str] = frozenset()

_COPIED = frozenset({dict, list})
"""Kinds that a record may hold as another mapping or sequence."""

_STATES = {state.value: state for state in JobState}
_KINDS = {str: "text", int: "a whole number", float: "a fraction", bool: "true or false", dict: "a map", list: "a list"}


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
    if RECORD_KEY in found:
        return _record(found)
    if ENTRY_KEY in found:
        return _entry(found)
    if HEADER_KEY in found:
        return _header(found)
    message = "is neither a header nor a record nor an open entry"
    raise ValueError(message)


def parse_line(text: str) -> Line:
    """One line of a lock, without its newline. Raises ValueError, in words for a person."""
    return read_object(parse_object(text))


def line_digest(text: str) -> Digest:
    """The fingerprint of a line, without its newline: what a journal entry started from."""
    return digest_text(text)


def header_line(header: Header) -> str:
    """The header as text."""
    return canonical({"contentops_lock": header.version, "digest": header.digest, "lineage": header.lineage})


def record_line(record: Record) -> str:
    """A record as text. Raises ValueError or TypeError if it holds what is not JSON."""
    found = _given(record, _RECORD_PLAIN, _RECORD_NEEDS)
    if record.saved is not None:
        found["saved"] = _given(record.saved, _SAVED, _NONE)
    return canonical(found)


def entry_line(entry: OpenEntry) -> str:
    """An open entry as text. Raises ValueError or TypeError if it holds what is not JSON."""
    found = _given(entry, _ENTRY_PLAIN, _ENTRY_NEEDS)
    found["open"] = entry.request_id
    return canonical(found)


def _given(value: Record | OpenEntry | Saved, fields: Mapping[str, type], needs: frozenset[str]) -> dict[str, Any]:
    """The keys of a line: those it needs, and the optional ones that are not empty."""
    found: dict[str, Any] = {}
    for key, kind in fields.items():
        one = getattr(value, key)
        if one or key in needs:
            found[key] = kind(one) if kind in _COPIED else one
    return found


def _header(found: Mapping[str, Json]) -> Header:
    taken = _take(found, _HEADER, _HEADER_NEEDS)
    header = Header(lineage=taken["lineage"], version=taken["contentops_lock"], digest=taken["digest"])
    if header.version <= LOCK_VERSION:
        try:
            uuid.UUID(header.lineage)
        except ValueError:
            message = "`lineage` must be a UUID"
            raise ValueError(message) from None
    return header


def _record(found: Mapping[str, Json]) -> Record:
    taken = _take(found, _RECORD, _RECORD_NEEDS)
    if not taken["id"]:
        message = "`id` is empty"
        raise ValueError(message)
    if "saved" in taken:
        taken["saved"] = Saved(**_take(taken["saved"], _SAVED, _NONE, "saved."))
    if "superseded" in taken:
        _check_text(taken["superseded"], "superseded")
        taken["superseded"] = tuple(taken["superseded"])
    for key in ("used", "definitions"):
        if key in taken:
            _check_text(taken[key].values(), key)
    return Record(**taken)


def _entry(found: Mapping[str, Json]) -> OpenEntry:
    taken = _take(found, _ENTRY, _ENTRY_NEEDS)
    request_id, state = taken.pop("open"), taken.pop("state")
    if not request_id:
        message = "`open` is empty"
        raise ValueError(message)
    if state not in _STATES:
        message = f"`state` must be one of {', '.join(f'`{known}`' for known in _STATES)}"
        raise ValueError(message)
    if "definitions" in taken:
        _check_text(taken["definitions"].values(), "definitions")
    return OpenEntry(request_id=request_id, state=_STATES[state], **taken)


def _take(
    found: Mapping[str, Json], fields: Mapping[str, type], needs: frozenset[str], inside: str = ""
) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for key, value in found.items():
        kind = fields.get(key)
        if kind is None:
            continue
        if type(value) is not kind or (kind is int and isinstance(value, int) and value < 0):
            said = "a negative number" if type(value) is kind else _KINDS.get(type(value), "null")
            message = f"`{inside}{key}` must be {_KINDS[kind]}, not {said}"
            raise ValueError(message)
        taken[key] = value
    if not needs <= taken.keys():
        missing = ", ".join(f"`{inside}{key}`" for key in sorted(needs - taken.keys()))
        message = f"lacks {missing}"
        raise ValueError(message)
    return taken


def _check_text(values: Iterable[Json], key: str) -> None:
    if not all(type(value) is str for value in values):
        message = f"`{key}` must hold only text"
        raise ValueError(message)
