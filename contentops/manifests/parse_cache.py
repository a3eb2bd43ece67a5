"""The result of one manifest file, and its form as text in the parse cache.

The text starts with a checksum; a changed text counts as absent. Maps stay text until they are read, which a plan
without changes never does.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from types import GenericAlias
from typing import Any, Final, get_origin

import msgspec
from msgspec import Raw, Struct, structs

from contentops.digest import NOTHING, Digest
from contentops.errors import Diagnostic, Location
from contentops.manifests.origins import Origins, OriginShape, OriginShapes
from contentops.model import REQUEST_FIELDS, ItemId, Moved, Origin, Request, Spec, StoredMap
from contentops.model.stored import StoredOnce

FORMAT: Final = (12, *Spec.__struct_fields__, *REQUEST_FIELDS)
"""Part of each key, so that texts of another form are not found."""

_CHECKSUM: Final = 32
_ORIGINS: Final = ("origins", "variables")
_OWN: Final = ("id", "digest", "output", "location", "metadata", "names", "references", "frame")
"""The fields of a spec that are stored with each item; equal values of all others are stored once."""


class FileResult(Struct, frozen=True, kw_only=True):
    """Everything that one manifest file declares, rendered and checked."""

    path: str
    specs: tuple[Spec, ...] = ()
    claims: tuple[tuple[str, Location], ...] = ()
    """Ids and locations of items with errors."""
    moved: tuple[Moved, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    used: frozenset[str] = frozenset()
    """The variables its items use."""
    data: tuple[tuple[str, Digest], ...] = ()
    """The data files it looked for, with the digest of each; empty for one that does not exist."""
    complete: bool = True
    """Whether every declared id is known."""
    items: int = 0
    """The number of its declarations."""
    refers: bool = False
    """Whether any of its items uses the text of another one."""
    has_texts: bool = False
    """Whether these texts are in it, and not placeholders for them."""
    texts: tuple[tuple[ItemId, bool, Digest], ...] = ()
    """The texts that were asked for: whose, whether only an approved one, and the digest of what was there."""


def _as_dict(value: object) -> object:
    assert isinstance(value, Mapping)
    return dict(value.items())


_encode: Final = msgspec.json.Encoder(enc_hook=_as_dict).encode


class _Table:
    """The origins of one file, decoded when the first is read: their shapes, and each with its positions."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    @functools.cached_property
    def decoded(self) -> tuple[list[OriginShape], list[tuple[int, list[int]]]]:
        """All of them."""
        return msgspec.json.decode(self._text, type=tuple[list[OriginShape], list[tuple[int, list[int]]]])


class StoredOrigins(Mapping[str, Origin]):
    """Origins by name, read from the table of the file."""

    __slots__ = ("_number", "_table")

    def __init__(self, table: _Table, number: int) -> None:
        self._table = table
        self._number = number

    @property
    def _origins(self) -> Origins:
        shapes, maps = self._table.decoded
        shape, positions = maps[self._number]
        return Origins(shapes[shape], positions)

    def __getitem__(self, name: str) -> Origin:
        return self._origins[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)

    def __repr__(self) -> str:
        return repr(self._origins)


def encode(result: FileResult) -> str:
    """The text to store."""
    commons: dict[bytes, int] = {}
    origins: dict[int, tuple[int, Mapping[str, Origin]]] = {}

    def row(spec: Spec) -> list[object]:
        said, request = structs.asdict(spec), structs.asdict(spec.request)
        del said["request"]
        own = [request.pop("inputs"), *map(said.pop, _OWN)]
        # Many specs share theirs.
        positions = [origins.setdefault(id(one), (len(origins), one))[0] for one in map(said.pop, _ORIGINS)]
        return [commons.setdefault(_encode((said, request)), len(commons)), *positions, *own]

    rows = Raw(_encode(list(map(row, result.specs))))
    shapes: dict[OriginShape, int] = {}
    collected = map(OriginShapes().collected, (one for _, one in origins.values()))
    maps = [(shapes.setdefault(one.shape, len(shapes)), one.positions) for one in collected]
    body = _encode((structs.replace(result, specs=()), list(map(Raw, commons)), rows, (list(shapes), maps)))
    return f"{_checksum(body)}{body.decode()}"


def decode(text: str) -> FileResult | None:
    """What was stored, or None where the text is not what `encode` made."""
    try:
        body = memoryview(text.encode())[_CHECKSUM:]
        if text[:_CHECKSUM] != _checksum(body):
            return None
        result, commons, rows, origins = _decoder().decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    assert isinstance(result, FileResult)
    table, maps = _Table(bytes(origins)), StoredOnce()
    shared = [_shared(*(_with_maps(structs.asdict(part), maps) for part in common)) for common in commons]
    origins_at = functools.cache(functools.partial(StoredOrigins, table))

    def spec(row: tuple[Any, ...]) -> Spec:
        number, positions, variables, inputs, id_, digest, output, location, metadata, names, references, frame = row
        like = shared[number]
        # To make one takes three times as long.
        one: Spec = structs.replace(
            like,
            id=id_,
            digest=digest,
            output=output,
            location=location,
            metadata=maps[bytes(metadata)],
            names=names,
            references=references,
            frame=frame,
            request=structs.replace(like.request, inputs=StoredMap(bytes(inputs))),
            origins=origins_at(positions),
            variables=origins_at(variables),
        )
        return one

    return structs.replace(result, specs=tuple(map(spec, rows)))


def _shared(said: dict[str, Any], asked: dict[str, Any]) -> Spec:
    """What many specs share, with nothing in the fields that each has for itself."""
    return Spec(id=ItemId(""), digest=NOTHING, output="", request=Request(inputs={}, **asked), **said)


def _with_maps(values: dict[str, Any], maps: StoredOnce) -> dict[str, Any]:
    return {name: maps[bytes(value)] if type(value) is Raw else value for name, value in values.items()}


@functools.cache
def _decoder() -> msgspec.json.Decoder[Any]:
    said, request = _types(Spec), _types(Request)
    own = _tuple(int, int, int, request.pop("inputs"), *map(said.pop, _OWN))
    for name in ("request", *_ORIGINS):
        del said[name]
    common = _tuple(*(msgspec.defstruct("Common", list(types.items())) for types in (said, request)))
    return msgspec.json.Decoder(_tuple(FileResult, GenericAlias(list, common), GenericAlias(list, own), Raw))


def _types(kind: type[Struct]) -> dict[str, Any]:
    """The types of a struct's fields as they are read: maps stay text."""
    return {one.name: Raw if get_origin(one.type) is Mapping else one.type for one in structs.fields(kind)}


def _tuple(*types: Any) -> Any:
    return GenericAlias(tuple, types)


def _checksum(body: bytes | memoryview) -> str:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM]
