"""What was asked for, in words: a request as a person would say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.sanitize import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.model import Json

_TOPICS: Final = ("topic", "title", "subject", "product_name")
_READERS: Final = ("target_audience", "audience")
_ROOM: Final = 2_000
"""Characters of a value that are shown."""


class Brief(Struct, frozen=True, kw_only=True):
    """A request in words."""

    sentence: tuple[tuple[str, str], ...]
    """Its pieces: the words that lead to a value, and the value."""
    line: str
    """The same in a few words: `blog article, content marketing, for office managers`."""
    values: tuple[tuple[str, str], ...]
    """Every field that shapes the text, and its value."""

    @property
    def words(self) -> str:
        """The whole sentence."""
        return " ".join(f"{lead} {value}" for lead, value in self.sentence) + "."


def brief_of(request: Mapping[str, Json]) -> Brief:
    """A request, as `Request.as_json` and the lock have it, in words."""
    stated = request.get("inputs")
    inputs: Mapping[str, Json] = stated if isinstance(stated, dict) else {}
    template = _name(request.get("template")).removesuffix(" generator")
    style, vertical, voice = (_name(request.get(key)) for key in ("style", "vertical", "brand_voice"))
    topic, reader = (
        next((value_words(inputs[key]) for key in keys if inputs.get(key)), "") for keys in (_TOPICS, _READERS)
    )
    mode = _name(request.get("mode"))
    pieces = (
        ("An" if template[:1] in "aeiou" else "A", template or "text"),
        ("in the style", style),
        ("on", topic),
        ("for", reader),
        ("in the field", vertical),
        ("with the brand voice", voice),
        ("in the mode", "" if mode == "standard" else mode),
    )
    few = (template, style, f"for {reader}" if reader else "")
    return Brief(
        sentence=tuple(piece for piece in pieces if piece[1]),
        line=", ".join(filter(None, few)),
        values=tuple(_values(request, inputs)),
    )


def _values(request: Mapping[str, Json], inputs: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for key, value in {**{key: value for key, value in request.items() if key != "inputs"}, **inputs}.items():
        yield key.replace("_", " "), value_words(value)


def _name(slug: Json) -> str:
    return slug.replace("_", " ").replace("-", " ") if isinstance(slug, str) else ""


def value_words(value: Json) -> str:
    """A value as a person writes it, cut at some length; a list as its parts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(value_words, value))[:_ROOM]
    return value[:_ROOM] if isinstance(value, str) else short(value, _ROOM)
