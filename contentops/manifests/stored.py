"""What one manifest file came to, and its form as text in the parse cache.

The text starts with a checksum; anything that is not exactly what was stored is taken for absent. Where values
were written is unpacked only when somebody asks, which a plan without changes never does.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from contentops.digest import Digest
from contentops.errors import Diagnostic, Location, Severity
from contentops.model import ItemId, Moved, OnEdit, Origin, Request, Spec

FORMAT: Final = 1
"""Part of each key: a change of this text's form makes every stored one unfound."""

_CHECKSUM: Final = 32


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


class StoredOrigins(Mapping[str, Origin]):
    """Origins by name, unpacked from what a file's specs share when asked for."""

    __slots__ = ("_number", "_table")

    def __init__(self, table: _Origins, number: int) -> None:
        self._table = table
        self._number = number

    def __getitem__(self, name: str) -> Origin:
        return self._table.origin(self._table.maps[self._number][name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.maps[self._number])

    def __len__(self) -> int:
        return len(self._table.maps[self._number])

    def __repr__(self) -> str:
        return repr(dict(self))


class _Origins:
    """The origins of one file, parsed when somebody asks for the first, each made once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._made: dict[int, Origin] = {}

    @functools.cached_property
    def _raw(self) -> tuple[list[Any], list[dict[str, int]]]:
        origins, maps = json.loads(self._text)
        return origins, maps

    @property
    def maps(self) -> list[dict[str, int]]:
        """The numbers of origins by name, for each map that was stored."""
        return self._raw[1]

    def origin(self, number: int) -> Origin:
        """One origin by its number."""
        found = self._made.get(number)
        if found is None:
            layer, location, variables = self._raw[0][number]
            found = Origin(layer=layer, location=location and Location(*location), variables=tuple(variables))
            self._made[number] = found
        return found


class _Writer:
    """Numbers origins and maps of origins, so that what is shared is written once."""

    def __init__(self) -> None:
        self._origins: list[Any] = []
        self._maps: list[dict[str, int]] = []
        self._origin_numbers: dict[int, int] = {}
        self._map_numbers: dict[int, int] = {}

    def number(self, origins: Mapping[str, Origin]) -> int:
        """The number of a map of origins."""
        number = self._map_numbers.get(id(origins))
        if number is None:
            number = self._map_numbers[id(origins)] = len(self._maps)
            self._maps.append({name: self._origin(origin) for name, origin in origins.items()})
        return number

    def _origin(self, origin: Origin) -> int:
        number = self._origin_numbers.get(id(origin))
        if number is None:
            number = self._origin_numbers[id(origin)] = len(self._origins)
            self._origins.append([origin.layer, _place(origin.location), origin.variables])
        return number

    def text(self) -> str:
        """Everything numbered so far."""
        return _dump([self._origins, self._maps])


_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _place(location: Location | None) -> tuple[str, int, int] | None:
    return None if location is None else (location.file, location.line, location.column)


def encode(result: FileResult) -> str:
    """The text to store."""
    writer = _Writer()
    raw = {
        "path": result.path,
        "specs": [_encode_spec(spec, writer) for spec in result.specs],
        "claims": [(item, _place(location)) for item, location in result.claims],
        "moved": [(moved.old, moved.new, _place(moved.location)) for moved in result.moved],
        "findings": [_encode_finding(found) for found in result.findings],
        "used": sorted(result.used),
        "data": result.data,
        "complete": result.complete,
        "items": result.items,
    }
    # JSON holds no raw line break, so one can part what every load needs from what few ask for.
    text = f"{_dump(raw)}\n{writer.text()}"
    return _checksum(text) + text


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_CHECKSUM]


def _encode_spec(spec: Spec, writer: _Writer) -> list[Any]:
    request = spec.request
    return [
        spec.id,
        [
            request.template,
            request.style,
            request.inputs,
            request.mode,
            request.vertical,
            request.brand_voice,
            request.revision,
        ],
        spec.digest,
        spec.output,
        spec.metadata,
        spec.tags,
        spec.on_edit,
        spec.protected,
        spec.save,
        spec.checks,
        _place(spec.location),
        writer.number(spec.origins),
        writer.number(spec.variables),
        spec.used,
    ]


def _encode_finding(found: Diagnostic) -> list[Any]:
    place = _place(found.location)
    return [found.code, found.message, found.severity, place, found.excerpt, found.width, found.hint]


def decode(text: str) -> FileResult | None:
    """What was stored, or None where the text is not what `encode` made."""
    checksum, body = text[:_CHECKSUM], text[_CHECKSUM:]
    try:
        if checksum != _checksum(body):
            return None
        specs, _, origins = body.partition("\n")
        return _decode(json.loads(specs), _Origins(origins))
    except (ValueError, TypeError, KeyError, IndexError):
        return None


def _decode(raw: dict[str, Any], table: _Origins) -> FileResult:
    places: dict[tuple[Any, ...], Location] = {}
    return FileResult(
        path=raw["path"],
        specs=tuple(_decode_spec(entry, table, places) for entry in raw["specs"]),
        claims=tuple((item, Location(*place)) for item, place in raw["claims"]),
        moved=tuple(
            Moved(old=ItemId(old), new=ItemId(new), location=place and Location(*place))
            for old, new, place in raw["moved"]
        ),
        findings=tuple(_decode_finding(entry) for entry in raw["findings"]),
        used=frozenset(raw["used"]),
        data=tuple((path, Digest(digest)) for path, digest in raw["data"]),
        complete=raw["complete"],
        items=raw["items"],
    )


def _decode_spec(entry: list[Any], table: _Origins, places: dict[tuple[Any, ...], Location]) -> Spec:
    (item, sent, digest, output, metadata, tags, on_edit, protected, save, checks, place, origins, variables, used) = (
        entry
    )
    template, style, inputs, mode, vertical, brand_voice, revision = sent
    location = None
    if place is not None:
        key = tuple(place)
        location = places.get(key)
        if location is None:
            location = places[key] = Location(*key)
    return Spec(
        id=ItemId(item),
        request=Request(
            template=template,
            style=style,
            inputs=inputs,
            mode=mode,
            vertical=vertical,
            brand_voice=brand_voice,
            revision=revision,
        ),
        digest=Digest(digest),
        output=output,
        metadata=metadata,
        tags=tuple(tags),
        on_edit=OnEdit(on_edit),
        protected=protected,
        save=save,
        checks=checks,
        location=location,
        origins=StoredOrigins(table, origins),
        variables=StoredOrigins(table, variables),
        used=used,
    )


def _decode_finding(entry: list[Any]) -> Diagnostic:
    code, message, severity, place, excerpt, width, hint = entry
    return Diagnostic(
        code=code,
        message=message,
        severity=Severity(severity),
        location=place and Location(*place),
        excerpt=excerpt,
        width=width,
        hint=hint,
    )
