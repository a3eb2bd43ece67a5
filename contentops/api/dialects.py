"""Dialects as data: how our calls are spelt for each version of the API.

Only what we send depends on the dialect; replies are read tolerantly in all of them (see `reading`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from contentops.api.calls import (
    Call,
    CreditsUsage,
    DashboardStats,
    Generate,
    GetContent,
    GetStatus,
    GetStyle,
    GetTemplate,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
    PutContent,
    RegenerateSection,
    SaveContent,
)
from contentops.errors import ApiError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json

PAGE = 100
"""Entries per page of the catalog lists, where the server pages them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The names one version of the API uses. `prefix` follows the path of `api.base_url`."""

    name: str
    prefix: str = ""
    template: str = "template_id"
    style: str = "style_profile_id"
    inputs: str = "inputs"
    vertical: str = "vertical"
    brand_voice: str = "brand_voice_id"
    mode: str = "generation_mode"
    needs_user: bool = False
    """Whether a remote server refuses calls without `X-User-ID`."""
    beside: tuple[str, ...] = ()
    """Other dialects whose names a submit carries as well, each with the same value."""
    searches: bool = False
    """Whether the address of the API is found with free calls before the first call goes out."""

    @property
    def local_prefix(self) -> str:
        """Where the embedded server answers in this dialect."""
        return self.prefix or "/v1"


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        found.name: found
        for found in (
            Dialect(name="v1"),
            Dialect(name="v1-2026-04", inputs="user_input", vertical="vertical_id"),
            Dialect(
                name="sdk",
                prefix="/api",
                template="template",
                style="style_profile",
                inputs="dynamic_parameters",
                vertical="vertical_id",
                needs_user=True,
            ),
            Dialect(name="auto", beside=("v1-2026-04", "sdk"), searches=True),
        )
    }
)
"""Every dialect by name: the documented one, its rewrite of April 2026, the vendor's own SDK, and `auto`, which finds
out (see `finding`)."""


def dialect_named(name: str) -> Dialect:
    """The dialect called `name`. Raises ApiError for an unknown one."""
    found = DIALECTS.get(name)
    if found is None:
        known = ", ".join(f"`{each}`" for each in DIALECTS)
        close = nearest(name, DIALECTS)
        hint = f"did you mean `{close}`?" if close else "set `api.dialect` in contentops.yaml to one of them"
        raise ApiError(f"unknown dialect `{name}`: there are {known}", code="unknown-dialect", hint=hint)
    return found


class Unsendable(ValueError):
    """A call cannot be put into words of the API; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A call as it goes over the wire. `path` is relative to the base and percent-encoded, with its query."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def spell(call: Call, dialect: Dialect, *, send_mode: bool = True) -> Wire:
    """`call` in the words of `dialect`. `send_mode` off leaves the mode out of submits.

    Raises Unsendable for what cannot be asked: no JSON, an empty id, a mode that would not be sent.
    """
    match call:
        case Generate():
            body = _submit_body(call, dialect, send_mode=send_mode)
            return _post("/generate", body, request_id=call.request_id)
        case RegenerateSection():
            return _post("/content/regenerate-section", _section_body(call, dialect), request_id=call.request_id)
        case SaveContent():
            return _post("/content/save", _save_body(call))
        case PutContent():
            path = f"/content/{_segment(call.content_id)}"
            return Wire(method="PUT", path=path, body=_encode(_text_body(call)), headers=_JSON)
        case _:
            return Wire(method="GET", path=_get_path(call))


_FIXED: Mapping[type, str] = MappingProxyType(
    {
        ListContent: "/content",
        ListVerticals: "/verticals",
        DashboardStats: "/dashboard/stats",
        CreditsUsage: "/credits/usage",
    }
)


def _get_path(call: Call) -> str:
    match call:
        case GetStatus():
            return f"/generate/status/{_segment(call.job_id)}"
        case GetContent():
            return f"/content/{_segment(call.content_id)}"
        case ListTemplates():
            return f"/templates{_page(call.page)}"
        case GetTemplate():
            return f"/templates/{_segment(call.slug)}"
        case ListStyles():
            return f"/style-profiles{_page(call.page)}"
        case GetStyle():
            return f"/style-profiles/{_segment(call.slug)}"
        case _:
            return _FIXED[type(call)]


_JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


def _post(path: str, body: Mapping[str, Json], *, request_id: str = "") -> Wire:
    headers = {**_JSON, "Idempotency-Key": request_id} if request_id else _JSON
    return Wire(method="POST", path=path, body=_encode(body), headers=headers)


def _submit_body(call: Generate, dialect: Dialect, *, send_mode: bool) -> dict[str, Json]:
    body: dict[str, Json] = {}
    for each in (dialect, *(DIALECTS[name] for name in dialect.beside)):
        body.update(_named(call.request, each))
    mode = call.request.get("mode", "standard")
    if send_mode:
        body[dialect.mode] = mode
    elif mode != "standard":
        raise Unsendable(f"mode `{mode}` cannot be asked for while `api.send_mode` is off")
    body["request_id"] = call.request_id
    return body


def _named(request: Mapping[str, Json], dialect: Dialect) -> dict[str, Json]:
    """What is asked for, under the names of one dialect."""
    named = {dialect.template: request["template"], dialect.style: request["style"], dialect.inputs: request["inputs"]}
    optional = {dialect.vertical: request.get("vertical"), dialect.brand_voice: request.get("brand_voice")}
    return {**named, **{key: value for key, value in optional.items() if value is not None}}


def _section_body(call: RegenerateSection, dialect: Dialect) -> dict[str, Json]:
    # No source documents this body; these are the embedded server's names.
    return {
        "content_id": call.content_id,
        "section": call.heading,
        dialect.mode: call.mode,
        "request_id": call.request_id,
    }


def _save_body(call: SaveContent) -> dict[str, Json]:
    body = _text_body(call)
    if call.content_id:
        # The documents say "save or update" and never name the field, so each likely one carries the id.
        body.update(dict.fromkeys(("id", "content_id", "contentId"), call.content_id))
    return body


def _text_body(call: SaveContent | PutContent) -> dict[str, Json]:
    body: dict[str, Json] = {"title": call.title, "content": call.body}
    if call.metadata:
        body["metadata"] = call.metadata
    return body


def _encode(body: Mapping[str, Json]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"the request is not JSON: {error}") from error


def _plain(value: object) -> Json:
    from collections.abc import Mapping

    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__}")


def _segment(name: str) -> str:
    """`name` as one path segment that no dot rule can turn into another path."""
    if not name:
        raise Unsendable("the call names no id")
    coded = quote(name, safe="", errors="replace")
    return coded.replace(".", "%2E") if not coded.strip(".") else coded


def _page(number: int) -> str:
    # The documented server takes no query, so the first page is asked for without one.
    return "" if number <= 1 else f"?page={number}&limit={PAGE}"
