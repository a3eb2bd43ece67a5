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
from contentops.manifests.origins import Origins, OriginShape, OriginShapes
from contentops.model import Checks, ItemId, MergeRule, Moved, OnEdit, Origin, Request, Spec, StoredMap
from contentops.model.stored import TOGETHER, Pack, PackedMap, packed, packs, unpacked

FORMAT: Final = 10
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


class _CommonFields(Struct, frozen=True, array_like=True):
    """What many items of a manifest have alike; `checks` and `used` are numbers."""

    template: str
    style: str
    mode: str
    vertical: str | None
    brand_voice: str | None
    revision: int | str | None
    tags: tuple[str, ...]
    on_edit: OnEdit
    merge: MergeRule
    protected: bool
    save: bool
    checks: int
    used: int


class _StoredSpec(Struct, frozen=True, array_like=True):
    """A spec without its inputs and what the file's specs share; the whole numbers tell which of these."""

    id: ItemId
    digest: Digest
    output: str
    common: int
    metadata: int
    location: int
    origins: int
    variables: int


class _OriginTable(Struct, frozen=True, array_like=True):
    """The origins of a manifest: their shapes; and of each mapping the number of its shape, and its positions."""

    shapes: list[OriginShape]
    maps: list[tuple[int, list[int]]]


class _Stored(Struct, frozen=True, array_like=True):
    """A file's result as it is stored; the specs stand apart, and what few ask for is packed."""

    result: FileResult
    specs: list[_StoredSpec]
    commons: list[_CommonFields]
    metadata: list[Raw]
    locations: list[Location | None]
    checks: list[Checks]
    used: list[dict[str, str]]
    inputs: list[bytes]
    origins: bytes


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Stored)


class _Table:
    """The origins of one file, decoded when someone asks for the first."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    @functools.cached_property
    def decoded(self) -> _OriginTable:
        """All of them."""
        (text,) = unpacked(self._packed)
        return msgspec.json.decode(text, type=_OriginTable)


class StoredOrigins(Mapping[str, Origin]):
    """Origins by name, looked up in what a file's specs share."""

    __slots__ = ("_number", "_table")

    def __init__(self, table: _Table, number: int) -> None:
        self._table = table
        self._number = number

    @property
    def _found(self) -> Origins:
        decoded = self._table.decoded
        shape, places = decoded.maps[self._number]
        return Origins(decoded.shapes[shape], places)

    def __getitem__(self, name: str) -> Origin:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return repr(self._found)


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
    commons: dict[_CommonFields, int] = {}
    metadata: dict[bytes, int] = {}
    locations: dict[Location | None, int] = {}
    checks: dict[Checks, int] = {}
    used: dict[tuple[tuple[str, str], ...], int] = {}
    maps: _Shared[Mapping[str, Origin]] = _Shared()
    specs = [
        _StoredSpec(
            id=spec.id,
            digest=spec.digest,
            output=spec.output,
            common=commons.setdefault(
                _common(
                    spec,
                    checks=checks.setdefault(spec.checks, len(checks)),
                    used=used.setdefault(tuple(spec.used.items()), len(used)),
                ),
                len(commons),
            ),
            metadata=metadata.setdefault(_encoder.encode(spec.metadata), len(metadata)),
            location=locations.setdefault(spec.location, len(locations)),
            origins=maps.number(spec.origins),
            variables=maps.number(spec.variables),
        )
        for spec in result.specs
    ]
    shapes: _Shared[OriginShape] = _Shared()
    collected = map(OriginShapes().collected, maps.values)
    numbered = [(shapes.number(one.shape), list(one.places)) for one in collected]
    table = _OriginTable(shapes.values, numbered)
    stored = _Stored(
        result=structs.replace(result, specs=()),
        specs=specs,
        commons=list(commons),
        metadata=list(map(Raw, metadata)),
        locations=list(locations),
        checks=list(checks),
        used=list(map(dict, used)),
        inputs=packs(_encoder.encode(spec.request.inputs) for spec in result.specs),
        origins=packed([_encoder.encode(table)]),
    )
    data = bytearray(_CHECKSUM)
    _encoder.encode_into(stored, data, _CHECKSUM)
    data[:_CHECKSUM] = _checksum(memoryview(data)[_CHECKSUM:])
    return data.decode()


def _common(spec: Spec, *, checks: int, used: int) -> _CommonFields:
    request = spec.request
    return _CommonFields(
        template=request.template,
        style=request.style,
        mode=request.mode,
        vertical=request.vertical,
        brand_voice=request.brand_voice,
        revision=request.revision,
        tags=spec.tags,
        on_edit=spec.on_edit,
        merge=spec.merge,
        protected=spec.protected,
        save=spec.save,
        checks=checks,
        used=used,
    )


def decode(text: str) -> FileResult | None:
    """What was stored, or None where the text is not what `encode` made."""
    try:
        data = memoryview(text.encode())
        if data[:_CHECKSUM] != _checksum(data[_CHECKSUM:]):
            return None
        stored = _decoder.decode(data[_CHECKSUM:])
    except (msgspec.MsgspecError, UnicodeError):
        return None
    for location in stored.locations:
        if location is not None and location.file == stored.result.path:
            structs.force_setattr(location, "file", stored.result.path)  # as one text
    table, inputs = _Table(stored.origins), list(map(Pack, stored.inputs))
    metadata = [StoredMap(bytes(one)) for one in stored.metadata]
    specs = tuple(_spec(stored, number, inputs, metadata, table) for number in range(len(stored.specs)))
    return structs.replace(stored.result, specs=specs)


def _spec(stored: _Stored, number: int, inputs: list[Pack], metadata: list[StoredMap], table: _Table) -> Spec:
    spec = stored.specs[number]
    common = stored.commons[spec.common]
    return Spec(
        id=spec.id,
        request=Request(
            template=common.template,
            style=common.style,
            inputs=PackedMap(inputs[number // TOGETHER], number % TOGETHER),
            mode=common.mode,
            vertical=common.vertical,
            brand_voice=common.brand_voice,
            revision=common.revision,
        ),
        digest=spec.digest,
        output=spec.output,
        metadata=metadata[spec.metadata],
        tags=common.tags,
        on_edit=common.on_edit,
        merge=common.merge,
        protected=common.protected,
        save=common.save,
        checks=stored.checks[common.checks],
        location=stored.locations[spec.location],
        origins=StoredOrigins(table, spec.origins),
        variables=StoredOrigins(table, spec.variables),
        used=stored.used[common.used],
    )


def _checksum(body: memoryview) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM].encode()
