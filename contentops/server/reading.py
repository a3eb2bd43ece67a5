"""Hostile bodies become plain JSON objects, or a refusal that says what is wrong."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from contentops.server.refusal import Problem, Refusal, Surface, surface

if TYPE_CHECKING:
    from starlette.requests import Request

BODY_BYTES = 10 * 1024 * 1024
"""The largest body taken."""
DEPTH = 100
"""The deepest nesting taken: what is stored must be readable again by any JSON reader."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_KEY = re.compile(r"[!-~]{1,200}")


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises Refusal: 413, 415, or 400 (422 under `/api`)."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "Unsupported content type")
    where = surface(request.url.path)
    try:
        value = json.loads((await _bytes(request)).decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal.of([Problem("", f"body is not JSON: {_said(error)}", "json_invalid")], where) from error
    if not isinstance(value, dict):
        raise Refusal.of([Problem("", "body must be a JSON object", "dict_type")], where)
    if wrong := _unusable(value):
        raise Refusal.of([Problem("", f"body {wrong}", "json_invalid")], where)
    return value


async def _bytes(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > BODY_BYTES):
        raise Refusal(413, "Request body too large")
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_BYTES:
            raise Refusal(413, "Request body too large")
    return bytes(found)


def _no_constant(name: str) -> float:
    message = f"`{name}` is not a JSON number"
    raise ValueError(message)


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error)


def _unusable(value: Any) -> str:
    """Why a decoded value cannot be stored and sent again, or empty."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        found, depth = waiting.pop()
        if depth > DEPTH:
            return "is nested too deeply"
        if isinstance(found, str) and not _is_text(found):
            return "holds half of a character pair, which is not text"
        if isinstance(found, float) and not math.isfinite(found):
            return "holds a number that is too large"
        if isinstance(found, dict):
            waiting += [(inner, depth + 1) for pair in found.items() for inner in pair]
        elif isinstance(found, list):
            waiting += [(inner, depth + 1) for inner in found]
    return ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Fields:
    """Reads the fields of a body under any of their names, collecting every problem before refusing."""

    def __init__(self, body: dict[str, Any], where: Surface) -> None:
        self.problems: list[Problem] = []
        self._body = body
        self._where = where

    def value(self, *names: str) -> Any:
        """The value under the first of `names` that has one; equal values under several names are fine."""
        said = [name for name in names if self._body.get(name) is not None]
        if not said:
            return None
        first = self._body[said[0]]
        for other in said[1:]:
            if self._body[other] != first:
                self.problem(other, f"`{said[0]}` and `{other}` differ: send one of them")
        return first

    def text(self, *names: str, required: bool = False) -> str | None:
        """A text, or None where there is none."""
        found = self.value(*names)
        if found is None and required:
            self.problem(names[0], f"`{names[0]}` is required", "missing")
        if found is None or isinstance(found, str):
            return found
        self.problem(names[0], f"`{names[0]}` must be a string", "string_type")
        return None

    def mapping(self, *names: str) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        found = self.value(*names)
        if found is None or isinstance(found, dict):
            return found
        self.problem(names[0], f"`{names[0]}` must be an object", "dict_type")
        return None

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of `choices`."""
        found = self.text(name)
        if found is None:
            return default
        if found not in choices:
            self.problem(name, f"`{name}` must be one of {', '.join(choices)}", "enum")
        return found

    def identifier(self, *names: str, required: bool = False) -> str | None:
        """An id that is safe in an URL, or None where there is none."""
        found = self.text(*names, required=required)
        if found is not None and not is_identifier(found):
            what = "1 to 200 letters, digits and `._:-`, the first a letter or digit"
            self.problem(names[0], f"`{names[0]}` must be {what}", "string_pattern_mismatch")
        return found

    def problem(self, field: str, message: str, kind: str = "value_error") -> None:
        """Add one thing that is wrong."""
        self.problems.append(Problem(field, message, kind))

    def done(self) -> None:
        """Raise Refusal if anything was wrong."""
        if self.problems:
            raise Refusal.of(self.problems, self._where)


def is_identifier(text: str) -> bool:
    """Whether `text` may be a job or content id."""
    return _ID.fullmatch(text) is not None


def idempotency_key(request: Request, where: Surface) -> str | None:
    """The header's value, or None. Raises Refusal."""
    found = request.headers.get("idempotency-key")
    if found is None or _KEY.fullmatch(found):
        return found
    message = "`Idempotency-Key` must be 1 to 200 visible ASCII characters"
    raise Refusal.of([Problem("Idempotency-Key", message)], where)
