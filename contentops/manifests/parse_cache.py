"""What one manifest file came to, and its form as text in the parse cache.

The text starts with a checksum; anything that is not exactly what was stored counts as absent. Where values were
written is decoded only when someone asks, which a plan without changes never does.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from contentops.digest import Digest
from contentops.errors import Diagnostic, Location
from contentops.model import Checks, ItemId, Json, MergeRule, Moved, OnEdit, Origin, Request, Spec

FORMAT: Final = 5
"""Part of each key: with another form of the text, no stored one is found."""

_CHECKSUM: Final = 32

T = TypeVar("T")


class FileResult(Struct, frozen=True, kw_only=True):
    """Everything one manifest file says, rendered and checked on its own."""

    path: str
    specs: tuple[Spec, ...] = ()
    claims: tuple[tuple[str, Location], ...] = ()
    """Ids of items that are declared but have errors, and where."""
    moved: tuple[Moved, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    used: frozenset[str] = frozenset()
    """The variables its items use."""
    data: tuple[tuple[str, Digest], ...] = ()
    """The data files it looked for, with the digest of each; empty for one that was not there."""
    complete: bool = True
    """Whether every declared id is known."""
    items: int = 0
    """How many declarations it has."""


class _StoredSpec(Struct, frozen=True, array_like=True):
    """A spec without what the file's specs share: `checks`, `origins` and `variables` are numbers."""

    id: ItemId
    request: Request
    digest: Digest
    output: str
    metadata: Mapping[str, Json]
    tags: tuple[str, ...]
    on_edit: OnEdit
    merge: MergeRule
    protected: bool
    save: bool
    checks: int
    location: int
    origins: int
    variables: int
    used: Mapping[str, str]


class _StoredOrigin(Struct, frozen=True, array_like=True):
    """An origin; its location as file, line and column."""

    layer: str
    location: tuple[str, int, int] | None
    variables: tuple[str, ...]


class _Origins(Struct, frozen=True, array_like=True):
    """Every origin of a file once, and maps of names to their numbers."""

    origins: list[_StoredOrigin]
    maps: list[dict[str, int]]


class _Stored(Struct, frozen=True, array_like=True):
    """A file's result as it is stored; the specs stand apart."""

    result: FileResult
    specs: list[_StoredSpec]
    locations: list[Location | None]
    checks: list[Checks]
    origins: Raw


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Stored)
_origins_decoder: Final = msgspec.json.Decoder(_Origins)


class _Table:
    """The origins of one file, decoded when someone asks for the first."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    @functools.cached_property
    def decoded(self) -> _Origins:
        """All of them."""
        return _origins_decoder.decode(self._raw)


class StoredOrigins(Mapping[str, Origin]):
    """Origins by name, looked up in what a file's specs share."""

    __slots__ = ("_number", "_table")

    def __init__(self, table: _Table, number: int) -> None:
        self._table = table
        self._number = number

    def __getitem__(self, name: str) -> Origin:
        decoded = self._table.decoded
        stored = decoded.origins[decoded.maps[self._number][name]]
        location = None if stored.location is None else Location(*stored.location)
        return Origin(layer=stored.layer, location=location, variables=stored.variables)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.decoded.maps[self._number])

    def __len__(self) -> int:
        return len(self._table.decoded.maps[self._number])

    def __repr__(self) -> str:
        return repr(dict(self))


class _Shared(Generic[T]):
    """Values numbered by identity, so that what specs share is written once."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, T]] = {}

    def number(self, value: T) -> int:
        """The number of a value; a new one for a value not seen before."""
        return self._kept.setdefault(id(value), (len(self._kept), value))[0]

    @property
    def values(self) -> list[T]:
        """All of them, in the order of their numbers."""
        return [value for _, value in self._kept.values()]


def encode(result: FileResult) -> str:
    """The text to store."""
    locations: dict[Location | None, int] = {}
    checks: dict[Checks, int] = {}
    origins: _Shared[Origin] = _Shared()
    maps: _Shared[Mapping[str, Origin]] = _Shared()
    specs = [
        _StoredSpec(
            id=spec.id,
            request=spec.request,
            digest=spec.digest,
            output=spec.output,
            metadata=spec.metadata,
            tags=spec.tags,
            on_edit=spec.on_edit,
            merge=spec.merge,
            protected=spec.protected,
            save=spec.save,
            checks=checks.setdefault(spec.checks, len(checks)),
            location=locations.setdefault(spec.location, len(locations)),
            origins=maps.number(spec.origins),
            variables=maps.number(spec.variables),
            used=spec.used,
        )
        for spec in result.specs
    ]
    numbered = [{name: origins.number(origin) for name, origin in entry.items()} for entry in maps.values]
    table = Raw(_encoder.encode(_Origins([_stored(origin) for origin in origins.values], numbered)))
    stored = _Stored(structs.replace(result, specs=()), specs, list(locations), list(checks), table)
    text = _encoder.encode(stored)
    return _checksum(text) + text.decode()


def _stored(origin: Origin) -> _StoredOrigin:
    at = origin.location
    return _StoredOrigin(origin.layer, None if at is None else (at.file, at.line, at.column), origin.variables)


def decode(text: str) -> FileResult | None:
    """What was stored, or None where the text is not what `encode` made."""
    try:
        body = text[_CHECKSUM:].encode()
        if text[:_CHECKSUM] != _checksum(body):
            return None
        stored = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    table, locations = _Table(stored.origins), stored.locations
    specs = tuple(
        Spec(
            id=spec.id,
            request=spec.request,
            digest=spec.digest,
            output=spec.output,
            metadata=spec.metadata,
            tags=spec.tags,
            on_edit=spec.on_edit,
            merge=spec.merge,
            protected=spec.protected,
            save=spec.save,
            checks=stored.checks[spec.checks],
            location=locations[spec.location],
            origins=StoredOrigins(table, spec.origins),
            variables=StoredOrigins(table, spec.variables),
            used=spec.used,
        )
        for spec in stored.specs
    )
    return structs.replace(stored.result, specs=specs)


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM]
