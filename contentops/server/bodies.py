"""Reads requests: bodies of any dialect of the service become typed requests, or are refused."""

from __future__ import annotations

import json
import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from contentops.pricing import CREDITS
from contentops.server.contents import ContentChange
from contentops.server.jobs import GenerationRequest, TextRequest
from contentops.server.replies import BodyRefused, FieldProblem, Page, Surface

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

BODY_BYTES = 10 * 1024 * 1024
"""The largest body accepted."""
DEPTH = 100
"""The deepest nesting accepted, so that every JSON reader can read what is stored."""

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "template": ("template_id", "template"),
        "style": ("style_profile_id", "style_profile"),
        "inputs": ("inputs", "user_input", "dynamic_parameters"),
        "vertical": ("vertical", "vertical_id"),
        "brand_voice": ("brand_voice_id",),
    }
)
"""The keys of a submit for the fields of a `TextRequest`; a field without an entry has its own name."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_KEY = re.compile(r"[!-~]{1,200}")


async def read(request: Request) -> BodyFields:
    """The fields of a body that is a JSON object. Raises HTTPException: 413, 415, or 400 (422 under `/api`)."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "Unsupported content type")
    data = await _bytes(request)
    try:
        value = json.loads(data.decode(), parse_constant=_no_constant)
    except RecursionError:
        wrong = "is not JSON: nested too deeply"
    except ValueError as error:
        wrong = f"is not JSON: {'it is not UTF-8' if isinstance(error, UnicodeDecodeError) else error}"
    else:
        if not isinstance(value, dict):
            raise BodyRefused(FieldProblem("", "body must be a JSON object", "dict_type"))
        wrong = _unstorable(value)
        if not wrong:
            return BodyFields(value)
    raise BodyRefused(FieldProblem("", f"body {wrong}", "json_invalid"))


async def _bytes(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > BODY_BYTES):
        raise HTTPException(413, "Request body too large")
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > BODY_BYTES:
                raise HTTPException(413, "Request body too large")
    except ClientDisconnect as error:
        raise HTTPException(400, "The request ended before its body did") from error
    return bytes(data)


def _no_constant(name: str) -> float:
    raise ValueError(f"`{name}` is not a JSON number")


def _unstorable(value: Any) -> str:
    """Why a decoded value cannot be stored and sent again, or empty."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        if depth > DEPTH:
            return "is nested too deeply"
        if isinstance(each, str) and not each.isascii() and re.search("[\ud800-\udfff]", each):
            return "contains half of a character pair, which is not text"
        if isinstance(each, float) and not math.isfinite(each):
            return "contains a number that is too large"
        if isinstance(each, dict):
            waiting += [(inner, depth + 1) for pair in each.items() for inner in pair]
        elif isinstance(each, list):
            waiting += [(inner, depth + 1) for inner in each]
    return ""


class BodyFields:
    """Reads the fields of a body under any of their names; `done` raises every problem at once."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        self._problems: list[FieldProblem] = []

    def _value(self, names: tuple[str, ...], kind: type, expected: str, code: str, *, required: bool) -> Any:
        """The value under the first of `names` that has one; values under several names must be equal."""
        given = [name for name in names if self._body.get(name) is not None]
        value = self._body[given[0]] if given else None
        if required and not given:
            self._problem(names[0], f"`{names[0]}` is required", "missing")
        for other in given[1:]:
            if self._body[other] != value:
                self._problem(other, f"`{given[0]}` and `{other}` differ: send one of them")
        if value is None or isinstance(value, kind):
            return value
        self._problem(names[0], f"`{names[0]}` must be {expected}", code)
        return None

    def text(self, *names: str, required: bool = False) -> str | None:
        """A text, or None where there is none."""
        text: str | None = self._value(names, str, "a string", "string_type", required=required)
        return text

    def mapping(self, *names: str, required: bool = False) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        mapping: dict[str, Any] | None = self._value(names, dict, "an object", "dict_type", required=required)
        return mapping

    def mode(self) -> str:
        """The generation mode."""
        mode = self.text("generation_mode")
        if mode is not None and mode not in CREDITS:
            self._problem("generation_mode", f"`generation_mode` must be one of {', '.join(CREDITS)}", "enum")
        return "standard" if mode is None else mode

    def identifier(self, *names: str, required: bool = False) -> str | None:
        """An id that is safe in an URL, or None where there is none."""
        text = self.text(*names, required=required)
        if text is not None and not is_identifier(text):
            expected = "1 to 200 letters, digits and `._:-`, the first a letter or digit"
            self._problem(names[0], f"`{names[0]}` must be {expected}", "string_pattern_mismatch")
        return text

    def _problem(self, field: str, message: str, kind: str = "value_error") -> None:
        self._problems.append(FieldProblem(field, message, kind))

    def done(self) -> None:
        """Raise HTTPException with every problem, if there is one."""
        if self._problems:
            raise BodyRefused(*self._problems)


def is_identifier(text: str) -> bool:
    """Whether `text` may be a job or content id."""
    return _ID.fullmatch(text) is not None


def idempotency_key(request: Request) -> str | None:
    """The header's value, or None. Raises HTTPException."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        message = "`Idempotency-Key` must be 1 to 200 visible ASCII characters"
        raise BodyRefused(FieldProblem("Idempotency-Key", message, part="header"))
    return key


def page(request: Request) -> Page | None:
    """The page of a list that `page` and `limit` of the query name, or None. Raises HTTPException."""
    numbers, problems = {}, []
    for name in ("page", "limit"):
        text = request.query_params.get(name)
        if text is None:
            continue
        if text.isdecimal() and text.isascii() and len(text) < 10 and int(text) > 0:
            numbers[name] = int(text)
        else:
            problems.append(FieldProblem(name, f"`{name}` must be a whole number from 1", "int_parsing", "query"))
    if problems:
        raise BodyRefused(*problems)
    return Page(**numbers) if numbers else None


def generation(
    fields: BodyFields, surface: Surface, catalog: Mapping[str, Mapping[str, Any]]
) -> tuple[GenerationRequest, str | None]:
    """A submit and the client's request id, if any; `catalog` has the entries by kind and slug. Raises HTTPException.

    Inputs must be given. Missing required inputs are not refused: as on the service, the job fails later, under `/v1`
    for each of them, under `/api` only if there is no topic either. Unknown keys are ignored.
    """
    documented = surface is Surface.V1
    required = {"template", "style"} if documented else set()
    texts = [name for name in TextRequest.__struct_fields__ if name not in {"inputs", "mode"}]
    values = {name: fields.text(*NAMES.get(name, (name,)), required=name in required) for name in texts}
    inputs = fields.mapping(*NAMES["inputs"], required=True)
    mode = fields.mode()
    request_id = fields.identifier("request_id")
    fields.done()
    slugs = (("Template", values["template"], "templates"), ("Style profile", values["style"], "styles"))
    for word, slug, kind in slugs:
        if slug in catalog[kind]:
            continue
        if not documented:
            # As the service's own server answers, even without a slug.
            raise HTTPException(500, f"Internal server error: {word} '{slug}' not found.")
        raise HTTPException(404, f"{word} '{slug}' not found.")
    given: dict[str, Any] = {name: value for name, value in values.items() if value}
    return GenerationRequest(**given, mode=mode, inputs=inputs or {}, topic_alone=not documented), request_id


def section(fields: BodyFields) -> tuple[GenerationRequest, str | None]:
    """A section to write again, and the client's request id, if any. Raises HTTPException.

    No source documents this call; this server reads `content_id`, `section` (the text of the heading), `instructions`
    and `generation_mode`.
    """
    content_id = fields.identifier("content_id", "contentId", "id", required=True)
    heading = fields.text("section", "heading", required=True)
    instructions = fields.text("instructions") or ""
    mode = fields.mode()
    request_id = fields.identifier("request_id")
    fields.done()
    request = GenerationRequest(kind="section", content_id=content_id or "", section=heading or "")
    return replace(request, mode=mode, instructions=instructions), request_id


def saving(fields: BodyFields) -> ContentChange:
    """A text to store, or to update if it has `id`, `content_id` or `contentId`. Raises HTTPException."""
    content_id = fields.text("id", "content_id", "contentId")
    change = _change(fields, kind=fields.text("type"))
    if content_id is not None and not is_identifier(content_id):
        raise HTTPException(404, "Content not found")
    return replace(change, id=content_id or "")


def update(fields: BodyFields, content_id: str) -> ContentChange:
    """The fields to change in a stored text; its type stays. Raises HTTPException."""
    return replace(_change(fields, kind=None), id=content_id)


def _change(fields: BodyFields, kind: str | None) -> ContentChange:
    change = ContentChange(
        title=fields.text("title"),
        body=fields.text("content"),
        html=fields.text("contentHtml"),
        status=fields.text("status"),
        type=kind,
        metadata=fields.mapping("metadata"),
    )
    fields.done()
    return change
