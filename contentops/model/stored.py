"""JSON objects that are decoded only when they are used."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

TOGETHER: Final = 200
"""Objects in one pack: few enough to decode for one of them, enough to compress well."""


class _Undecoded(Mapping[str, Any]):
    """A JSON object that is decoded at each use: most items are never used."""

    __slots__ = ()

    @abstractmethod
    def text(self) -> bytes | Raw:
        """The object; it is valid."""

    def _decoded(self) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(self.text())
        return decoded

    def __getitem__(self, name: str) -> Any:
        return self._decoded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def items(self) -> Any:
        """The entries, decoded once."""
        return self._decoded().items()

    def values(self) -> Any:
        """The values, decoded once."""
        return self._decoded().values()

    def __repr__(self) -> str:
        return repr(self._decoded())


class StoredMap(_Undecoded):
    """A JSON object that stays text."""

    __slots__ = ("_kept",)

    def __init__(self, text: bytes | Raw) -> None:
        """A `Raw` keeps all that was read with it."""
        self._kept = text

    def text(self) -> bytes | Raw:
        """The object; it is valid."""
        return self._kept


_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


def sorted_text(value: Mapping[str, Any]) -> bytes:
    """A JSON object with sorted keys, for comparisons alone: of numbers and escapes it has a spelling of its own."""
    if type(value) is StoredMap:
        return _sorted_text(bytes(value.text()))
    return _sorted_text(msgspec.json.encode(dict(value.items())))


@functools.lru_cache(maxsize=1000)
def _sorted_text(text: bytes) -> bytes:
    """Many items say the same."""
    try:
        return _sorted(msgspec.json.decode(text))
    except OverflowError:  # a number of many digits
        return text


class StoredOnce(dict[bytes, StoredMap]):
    """Objects by their text, made at first use."""

    def __missing__(self, text: bytes) -> StoredMap:
        stored = self[text] = StoredMap(text)
        return stored


class Pack:
    """JSON objects of many items, compressed until one of them is used."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        """The compressed objects, from `packed`."""

    @functools.cached_property
    def texts(self) -> list[Raw]:
        """The objects."""
        return unpacked(self.packed)


class PackedMap(_Undecoded):
    """One object of a pack."""

    __slots__ = ("_number", "_pack")

    def __init__(self, pack: Pack, number: int) -> None:
        self._pack = pack
        self._number = number

    def text(self) -> Raw:
        """The object; it is valid."""
        return self._pack.texts[self._number]


class Packer:
    """Collects objects into packs; equal stored texts are kept once."""

    def __init__(self) -> None:
        self._pack, self._waiting = Pack(b""), list[Raw]()
        self._stored = StoredOnce()

    def pack(self, text: Raw) -> PackedMap:
        """The valid object `text`, packed; it can be used after `close`."""
        packed_map = PackedMap(self._pack, len(self._waiting))
        self._waiting.append(text)
        if len(self._waiting) == TOGETHER:
            self.close()
        return packed_map

    def store(self, text: Raw) -> StoredMap:
        """The valid object `text`, not packed."""
        return self._stored[bytes(text)]

    def close(self) -> None:
        """Pack the rest."""
        self._pack.packed = packed(self._waiting)
        self._pack, self._waiting = Pack(b""), []


def packed(texts: Iterable[bytes | Raw]) -> bytes:
    """Valid JSON values as one compressed list."""
    import zlib

    return zlib.compress(b"[%b]" % b",".join(map(bytes, texts)), 1)


def unpacked(data: bytes) -> list[Raw]:
    """The values that `packed` was given."""
    import zlib

    return msgspec.json.decode(zlib.decompress(data), type=list[Raw])
