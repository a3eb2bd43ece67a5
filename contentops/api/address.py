"""What the settings come to on the wire: the address in front of every path, and the headers of every call."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contentops import __version__
from contentops.errors import ApiError
from contentops.loopback import is_loopback
from contentops.sanitize import is_printable

if TYPE_CHECKING:
    from contentops.api.dialects import Dialect
    from contentops.model import ApiSettings


def base_address(settings: ApiSettings, dialect: Dialect) -> str:
    """The address in front of every path, without a slash at its end. Raises ApiError for one that cannot work."""
    if settings.base_url == "local":
        return f"http://local{dialect.prefix or '/v1'}"
    wrong = f"`api.base_url` is not usable: `{settings.base_url[:200]}`"
    if "@" in settings.base_url:
        raise ApiError("`api.base_url` holds a user name or password; keys come from the environment", code="bad-url")
    try:
        parts = urlsplit(settings.base_url)
        host = parts.hostname or ""
        usable = parts.scheme in {"http", "https"} and bool(host) and parts.port != 0
    except ValueError as error:
        raise ApiError(f"{wrong} ({error})", code="bad-url") from error
    if not usable or parts.query or parts.fragment or not is_printable(settings.base_url):
        hint = "it is `local`, or starts with `https://` and has no query"
        raise ApiError(wrong, code="bad-url", hint=hint)
    if parts.scheme == "http" and not is_loopback(host):
        raise ApiError(
            f"{wrong}: plain http would show the key to everyone on the way",
            code="insecure-url",
            hint="use `https://`; plain http is for this machine's own addresses only",
        )
    base = settings.base_url.rstrip("/")
    return base if not dialect.prefix or base.endswith(dialect.prefix) else base + dialect.prefix


def needs_key(settings: ApiSettings) -> bool:
    """Whether the server cannot be asked without an API key: neither the embedded one nor one on this machine."""
    return settings.base_url != "local" and not is_loopback(urlsplit(settings.base_url).hostname or "")


def no_key(settings: ApiSettings) -> ApiError:
    """The error for a server that needs a key where there is none."""
    hint = f"export {settings.key_env}=..., with a key from Settings, API Access; the embedded server needs none"
    return ApiError(f"`{settings.key_env}` is not set: {settings.server} wants an API key", code="no-key", hint=hint)


def headers_of(settings: ApiSettings, dialect: Dialect, key: str, user: str) -> dict[str, str]:
    """The headers of every call. Raises ApiError for a key or user id that is missing or cannot be sent."""
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"contentops/{__version__}",
    }
    for name, value in ((settings.key_env, key), (settings.user_env, user)):
        if not is_printable(value):
            message = f"the value of `{name}` holds spaces, line breaks or characters that no header can carry"
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
