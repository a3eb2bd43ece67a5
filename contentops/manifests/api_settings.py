"""Reads and checks `api` of the settings: the server, and the model behind the bundled one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from contentops.loopback import is_loopback
from contentops.model import ApiSettings
from contentops.yaml.positions import finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.errors import Diagnostic
    from contentops.yaml.positions import YamlDocument

LOCAL = "local"
"""The `base_url` of the bundled server."""

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)([hms])")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_HOST = re.compile(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]")
_ODD = re.compile(r"[\s{}<>\"'\\^`|]")
_TIMES = ("job_timeout", "call_timeout")
_WITH_MODEL = {"max_in_flight": 4, "job_timeout": 7200.0}
"""The defaults with a model: as many jobs as prompts at a time, and the time that a small machine needs for them."""


def read_api(given: dict[str, Any]) -> ApiSettings:
    """The settings of the keys that are stated."""
    if "base_url" in given:
        given["base_url"] = given["base_url"].rstrip("/")
    for key in _TIMES:
        if key in given:
            given[key] = parse_duration(given[key])
    if given.get("base_url") == LOCAL:
        given["requests_per_minute"] = 0
        if given.get("engine") == "openai":
            given = {**_WITH_MODEL, **given}
    return msgspec.convert(given, ApiSettings, strict=False)  # `30.0` is a whole number too


def parse_duration(value: float | str) -> float:
    """A time in seconds: `15m`, `1h30m`, `90s`, or a number of seconds. Raises ValueError for another text."""
    if not isinstance(value, str):
        return float(value)
    parts = _TIME.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        message = f"`{value[:40]}` is not a duration such as `15m`"
        raise ValueError(message)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def check_api(
    document: YamlDocument, pointer: tuple[str, ...], api: Mapping[str, Any], merged: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Checks that a schema cannot express. `merged`: `api` of an environment over that of the project."""
    if isinstance(api.get("base_url"), str) and (refused := url_problem(api["base_url"])):
        code, message, hint = refused
        yield finding(document, code, message, (*pointer, "base_url"), hint=hint)
    for key in _TIMES:
        if isinstance(api.get(key), str) and _TIME.match(api[key]):
            yield from _check_timeout(document, (*pointer, key), api[key])
    has_engine, is_local = merged.get("engine") == "openai", merged.get("base_url") == LOCAL
    if "engine" in api and has_engine and not is_local:
        message = "`engine: openai` is for the bundled server, and `base_url` is another one"
        hint = "set `base_url: local` beside it; `OPENAI_BASE_URL` has the address of the model"
        yield finding(document, "wrong-value", message, (*pointer, "engine"), hint=hint)
    elif api.keys() & {"engine", "base_url", "model"} and has_engine and is_local and not merged.get("model"):
        message = "`engine: openai` needs the name of a model"
        hint = "add `model: NAME`, with the name that its server has for it, such as `llama3.2`"
        yield finding(document, "missing-key", message, pointer, hint=hint)
    if "model" in api and not has_engine:
        message = "`model` has no effect without `engine: openai`"
        yield finding(document, "wrong-value", message, (*pointer, "model"), hint="add `engine: openai` beside it")


def _check_timeout(document: YamlDocument, pointer: tuple[str, ...], value: str) -> Iterator[Diagnostic]:
    try:
        seconds = parse_duration(value)
    except ValueError:
        return  # the schema says so
    if not 0 < seconds < 10 * 86400:
        message = f"`{pointer[-1]}` must be more than 0 and less than ten days"
        yield finding(document, "wrong-value", message, pointer)


def url_problem(url: str) -> tuple[str, str, str] | None:
    """Code, message and hint for a `base_url` that cannot be used, else None.

    The message never repeats the address, as it may contain a password.
    """
    from urllib.parse import urlsplit  # start-up: a project without `api` needs none

    if url == LOCAL:
        return None
    example = "write it like `https://api.writerzroom.com/v1`, or `local`"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "bad-url", "`base_url` is not a URL", example
    if "@" in parts.netloc:
        return "bad-url", "`base_url` contains a user name or password", "keys come from the environment: set `key_env`"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "bad-url", "`base_url` contains a query or a fragment", example
    if _ODD.search(url) or not _HOST.fullmatch(host if ":" not in host else f"[{host}]"):
        return "bad-url", "`base_url` is not a URL", example
    if parts.scheme == "http" and not is_loopback(host):
        return "insecure-url", "`base_url` would send the API key unencrypted", "use `https://`"
    if parts.scheme not in {"http", "https"}:
        return "bad-url", "`base_url` must start with `http://` or `https://`", example
    return None
