"""Reads JSON from bytes, strictly, and the text of an error reply from its known shapes."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NoReturn

from contentops.json_reader import DeepJson, bounded

if TYPE_CHECKING:
    from contentops.model import Json

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(ValueError):
    """A reply does not fit the call; the message says why."""


class Unnamed(Unreadable):
    """The job or content of a reply has an id that cannot be used."""


class Garbled(Unreadable):
    """A reply is not JSON, is cut off, or is about another job."""


def decode(data: bytes) -> Json:
    """`data` as JSON. Lone surrogates become U+FFFD.

    Raises Garbled for anything that is not whole, strict UTF-8 JSON without NaN, infinities, differing duplicate keys
    or too deep nesting.
    """
    try:
        text = data.decode("utf-8-sig")
        value = bounded(_read_json, text)
        if _SURROGATE.search(text):
            whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
            value = json.loads(whole.decode("utf-8", "replace"))
    except UnicodeDecodeError as error:
        raise Garbled("the answer is not UTF-8") from error
    except DeepJson as error:
        raise Garbled(f"the answer {error}") from error
    except json.JSONDecodeError as error:
        raise Garbled(
            f"the answer is incomplete or invalid JSON ({error.msg} at byte {error.pos} of {len(data)})"
        ) from error
    except ValueError as error:
        raise Garbled(f"the answer is not JSON ({error})") from error
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    values: dict[str, Json] = {}
    for key, value in pairs:
        if values.setdefault(key, value) != value:
            raise ValueError(f"key `{key[:100]}` appears twice")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


_read_json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite).decode


def error_text(value: Json) -> str:
    """The text of an error reply in one of the known shapes; empty if it has none.

    Known: `{"error": {"code", "message"}}`, `{"error": text}`, `{"detail": text}`, `{"detail": [{"loc", "msg"}]}`,
    `{"message": text}`, and each of them inside `data`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(text for text in map(_field_error, value[:20]) if text)
    if not isinstance(value, dict):
        return ""
    for key in ("error", "detail", "message", "msg", "title", "data"):
        inner = value.get(key)
        # A chain of `error` in `error` is no known shape, so one level is enough.
        text = _leaf(inner) if isinstance(inner, dict) else error_text(inner)
        if text:
            return text
    return ""


def _leaf(value: dict[str, Json]) -> str:
    for key in ("message", "detail", "error", "msg", "code"):
        inner = value.get(key)
        if isinstance(inner, str) and inner:
            return inner
    return ""


def _field_error(value: Json) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    text = value.get("msg") or value.get("message")
    if not isinstance(text, str):
        return ""
    location = value.get("loc")
    parts = location if isinstance(location, list) else [location] if isinstance(location, str) else []
    where = ".".join(str(part) for part in parts if isinstance(part, (str, int)) and part != "body")
    return f"{where}: {text}" if where else text
