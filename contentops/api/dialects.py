"""Describes the known versions of the API, and recognises the version of a server.

Pure. A version is called a dialect. It has its own addresses, headers and field names. The dialect decides only what is
sent; replies of every dialect are read in the same way (see `reading`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import Struct, field

from contentops import __version__
from contentops.api import calls
from contentops.errors import ApiError, did_you_mean
from contentops.loopback import is_loopback
from contentops.model import ApiSettings, Json
from contentops.sanitize import is_printable


def base_address(settings: ApiSettings, dialect: Dialect) -> str:
    """Return the base address for all calls, without a slash at its end.

    Raises ApiError for an address that cannot work.
    """
    if settings.base_url == "local":
        return f"http://local{dialect.prefix or '/v1'}"
    wrong = f"`api.base_url` is not usable: `{settings.base_url[:200]}`"
    if "@" in settings.base_url:
        raise ApiError(
            "`api.base_url` contains a user name or password; keys come from the environment", code="bad-url"
        )
    try:
        parts = urlsplit(settings.base_url)
        host = parts.hostname or ""
        usable = parts.scheme in {"http", "https"} and bool(host) and parts.port != 0
    except ValueError as error:
        raise ApiError(f"{wrong} ({error})", code="bad-url") from error
    if not usable or parts.query or parts.fragment or not is_printable(settings.base_url):
        hint = "use `local` or a URL that starts with `https://` and has no query"
        raise ApiError(wrong, code="bad-url", hint=hint)
    if parts.scheme == "http" and not is_loopback(host):
        raise ApiError(
            f"{wrong}: plain http would send the key unencrypted",
            code="insecure-url",
            hint="use `https://`; plain http is allowed only for addresses of this machine",
        )
    base = settings.base_url.rstrip("/")
    return base if not dialect.prefix or base.endswith(dialect.prefix) else base + dialect.prefix


def needs_key(settings: ApiSettings) -> bool:
    """Return whether the server needs an API key. The bundled server and servers on this machine need none."""
    return settings.base_url != "local" and not is_loopback(urlsplit(settings.base_url).hostname or "")


def no_key(settings: ApiSettings) -> ApiError:
    """Return the error for a server that needs an API key when no key is set."""
    hint = f"export {settings.key_env}=..., with a key from Settings, API Access; the bundled server needs none"
    return ApiError(f"`{settings.key_env}` is not set: {settings.server} needs an API key", code="no-key", hint=hint)


def headers_of(settings: ApiSettings, dialect: Dialect, key: str, user: str) -> dict[str, str]:
    """Return the HTTP headers for every call. Raises ApiError if the key or user id is missing or cannot be sent."""
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"contentops/{__version__}",
    }
    for name, value in ((settings.key_env, key), (settings.user_env, user)):
        if not is_printable(value):
            message = (
                f"the value of `{name}` contains spaces, line breaks or other characters that headers do not allow"
            )
            raise ApiError(message, code="bad-credentials", hint="copy it again, without quotes and line breaks")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    elif needs_key(settings):
        raise no_key(settings)
    if user:
        headers["X-User-ID"] = user
    elif dialect.needs_user and settings.base_url != "local":
        hint = f"export {settings.user_env}=..., with the account's user id"
        message = f"`{settings.user_env}` is not set: dialect `{dialect.name}` sends it with every call"
        raise ApiError(message, code="no-user", hint=hint)
    return headers


PREFIXES = ("/v1", "/api")
"""The known paths of a WriterzRoom API below its host."""


_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "template": ("template_id",),
        "style": ("style_profile_id",),
        "inputs": ("inputs",),
        "vertical": ("vertical",),
        "brand_voice": ("brand_voice_id",),
        "mode": ("generation_mode",),
        # Never sent: it only changes the digest.
        "revision": (),
    }
)
"""The names under which a submit sends the fields of a request, in order.

A field without an entry keeps its name and comes after them.
"""


class Dialect(Struct, frozen=True, kw_only=True):
    """The names of paths and fields in one version of the API.

    `names` are the names of a request's fields in a submit, if they differ from `_NAMES`. `prefix` is added to the path
    of `api.base_url`. `enveloped` says whether lists come inside `{"success", "data"}`; None means that both occur.
    """

    name: str
    prefix: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    enveloped: bool | None = None
    needs_user: bool = False
    """Whether a remote server refuses calls without `X-User-ID`."""

    def names_of(self, field_name: str) -> tuple[str, ...]:
        """Return the names of a field in a request for a text. A request can send one field under several names."""
        return self.names.get(field_name, _NAMES.get(field_name, (field_name,)))


AUTO = "auto"
_ENVELOPED_INPUTS = ("dynamic_parameters", "user_input")

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        each.name: each
        for each in (
            Dialect(name="v1", enveloped=False),
            Dialect(name="v1-2026-04", names={"inputs": ("user_input",), "vertical": ("vertical_id",)}),
            Dialect(
                name="sdk",
                prefix="/api",
                names={
                    "template": ("template",),
                    "style": ("style_profile",),
                    # The vendor's SDK sends the first alone, and the vendor's public backend reads the second alone.
                    "inputs": _ENVELOPED_INPUTS,
                    "vertical": ("vertical_id",),
                },
                enveloped=True,
                needs_user=True,
            ),
            Dialect(name=AUTO),
        )
    }
)
"""The values of `api.dialect`: the documented one, its rewrite of April 2026, the vendor's SDK, and the one that finds
out which."""

_DETECTED: Mapping[bool, Dialect] = MappingProxyType(
    {
        False: Dialect(name="v1", names={"inputs": ("inputs", "user_input"), "vertical": ("vertical", "vertical_id")}),
        True: Dialect(
            name="sdk",
            names={
                "template": ("template", "template_id"),
                "style": ("style_profile", "style_profile_id"),
                "inputs": _ENVELOPED_INPUTS,
                "vertical": ("vertical_id",),
            },
        ),
    }
)
"""The dialect for `auto` by whether lists come in an envelope: every name that such a server is known to read. A server
that reads one name ignores the others; one that refuses an unknown name costs nothing."""


def dialect_named(name: str) -> Dialect:
    """Return the API dialect with this name. Raises ApiError if there is none."""
    dialect = DIALECTS.get(name)
    if dialect is None:
        names = ", ".join(f"`{each}`" for each in DIALECTS)
        hint = did_you_mean(name, DIALECTS, "set `api.dialect` in contentops.yaml to one of them")
        raise ApiError(f"unknown dialect `{name}`; known: {names}", code="unknown-dialect", hint=hint)
    return dialect


def detected_dialect(stated: Dialect, *, enveloped: bool) -> Dialect:
    """Return the API dialect of the settings. If it is `auto`, the form of the server's lists shows the dialect."""
    return _DETECTED[enveloped] if stated.name == AUTO else stated


def contradiction(stated: Dialect, *, enveloped: bool) -> str:
    """Return why the server cannot use the API dialect from the settings, or an empty text if it can.

    The form of the server's lists shows which dialect the server uses.
    """
    if stated.enveloped in (None, enveloped):
        return ""
    detected = _DETECTED[enveloped]
    shape = "inside `{success, data}`" if enveloped else "without `{success, data}` around them"
    read, sent = (" or ".join(f"`{name}`" for name in each.names_of("inputs")) for each in (detected, stated))
    return (
        f"the server does not use the dialect `{stated.name}`: its lists come {shape}, and such a server reads the"
        f" inputs of a submit from {read}, not from {sent}; set `api.dialect: auto`"
    )


def names_blamed(dialect: Dialect, text: str) -> bool:
    """Return whether an error text of the server names a field that was sent under a second name.

    A request for a text sends some fields under two names.
    """
    return any(name in text for names in dialect.names.values() for name in names[1:])


def candidates(base: str) -> tuple[str, ...]:
    """Return the addresses where the API may be, in the order to try them.

    First comes `base`, then its host and path with each known prefix.
    """
    stem = next((base.removesuffix(prefix) for prefix in PREFIXES if base.endswith(prefix)), base)
    return tuple(dict.fromkeys((base, *(stem + prefix for prefix in PREFIXES))))


# --- requests of a dialect ---------------------------------------------------------------------------------


class Unsendable(ValueError):
    """The error for a call that cannot become a valid request. The message says why."""


_JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


class Wire(Struct, frozen=True, kw_only=True):
    """An HTTP request for one call.

    `path` is relative to the base address and percent-encoded, and includes the query.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def spell(call: calls.Call, dialect: Dialect, *, send_mode: bool = True) -> Wire:
    """Return the HTTP request for a call in the given API dialect.

    If `send_mode` is off, a submit does not contain the mode.

    Raises Unsendable for values that are not JSON, an empty id, and a mode that would not be sent.
    """
    match call:
        case calls.Generate():
            return _post("/generate", _submit(call, dialect, send_mode=send_mode), request_id=call.request_id)
        case calls.RegenerateSection():
            # No source documents this body; these are the bundled server's names.
            body: dict[str, Json] = {
                "content_id": call.content_id,
                "section": call.heading,
                "generation_mode": call.mode,
                "request_id": call.request_id,
            }
            return _post("/content/regenerate-section", body, request_id=call.request_id)
        case calls.SaveContent():
            body = _text(call)
            if call.content_id:
                # The API's documentation says "save or update" and does not name the field: use each likely one.
                body.update(dict.fromkeys(("id", "content_id", "contentId"), call.content_id))
            return _post("/content/save", body)
        case calls.PutContent():
            return Wire(method="PUT", path=_content(call.content_id), body=_encode(_text(call)), headers=_JSON)
        case calls.SetStatus():
            body = {"status": call.status}
            return Wire(method="PUT", path=_content(call.content_id), body=_encode(body), headers=_JSON)
        case calls.DeleteContent():
            return Wire(method="DELETE", path=_content(call.content_id))
        case _:
            return Wire(method="GET", path=_get_path(call))


_FIXED: Mapping[type, str] = MappingProxyType(
    {
        calls.ListVerticals: "/verticals",
        calls.ListBrandVoices: "/brand-voices",
        calls.DashboardStats: "/dashboard/stats",
        calls.CreditsUsage: "/credits/usage",
    }
)


def _get_path(call: calls.Call) -> str:
    match call:
        case calls.GetStatus():
            return f"/generate/status/{_segment(call.job_id)}"
        case calls.ListContent():
            return f"/content{_page(call.page, call.limit)}"
        case calls.GetContent():
            return _content(call.content_id)
        case calls.ListTemplates():
            return f"/templates{_page(call.page, call.limit)}"
        case calls.GetTemplate():
            return f"/templates/{_segment(call.slug)}"
        case calls.ListStyles():
            return f"/style-profiles{_page(call.page, call.limit)}"
        case _:
            return _FIXED[type(call)]


def _post(path: str, body: Mapping[str, Json], *, request_id: str = "") -> Wire:
    headers = {**_JSON, "Idempotency-Key": request_id} if request_id else _JSON
    return Wire(method="POST", path=path, body=_encode(body), headers=headers)


def _submit(call: calls.Generate, dialect: Dialect, *, send_mode: bool) -> dict[str, Json]:
    mode = call.request.get("mode", "standard")
    if not send_mode and mode != "standard":
        raise Unsendable(f"mode `{mode}` cannot be asked for while `api.send_mode` is off")
    values = {**dict.fromkeys(_NAMES), **call.request, "mode": mode if send_mode else None}
    body = {key: value for name, value in values.items() if value is not None for key in dialect.names_of(name)}
    return {**body, "request_id": call.request_id}


def _text(call: calls.SaveContent | calls.PutContent) -> dict[str, Json]:
    body: dict[str, Json] = {"title": call.title, "content": call.body}
    if call.metadata:
        body["metadata"] = call.metadata
    return body


def _encode(body: Mapping[str, Json]) -> bytes:
    try:
        return _write_json(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"the request is not JSON: {error}") from error


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__}")


_write_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def _segment(name: str) -> str:
    """Return a name as one segment of a URL path, percent-encoded. Dots are encoded if they would change the path."""
    if not name:
        raise Unsendable("the call names no id")
    coded = quote(name, safe="", errors="replace")
    return coded.replace(".", "%2E") if not coded.strip(".") else coded


def _content(content_id: str) -> str:
    return f"/content/{_segment(content_id)}"


def _page(number: int, limit: int) -> str:
    # The documented server has no query, so the first page is requested without one.
    return "" if number <= 1 else f"?page={number}&limit={limit}"
